//! The actor: moves messages and time to the worker.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use actix::{Actor, Context, Handler};
use ensemble_messages::{BatchCommitted, IntentKind, JoinGivenUp, ProofReady, TxConfirmed, TxFailed};
use ensemble_supervision::{Component, Seat, supervised};

use super::{
    ProofSenderConfig, ProofSenderOutlets,
    worker::{Inbox, ProofSenderWorker},
};
use crate::{
    Services,
    stepper::{Step, Stepped, Stepper},
};

/// Has proven batches verified on L1.
#[derive(Debug)]
pub struct ProofSender {
    seat: Seat<Self>,
    stepper: Stepper<ProofSenderWorker>,
    inbox: Rc<RefCell<Inbox>>,
}

impl ProofSender {
    /// A component in its supervisor's seat.
    #[must_use]
    pub fn new(
        seat: Seat<Self>,
        config: ProofSenderConfig,
        services: Services,
        outlets: Arc<ProofSenderOutlets>,
    ) -> Self {
        let inbox = Rc::new(RefCell::new(Inbox::default()));
        let worker = ProofSenderWorker::new(config, services, outlets, Rc::clone(&inbox));
        Self { seat, stepper: Stepper::new(worker), inbox }
    }
}

supervised!(ProofSender);

impl Component for ProofSender {
    fn seat(&self) -> &Seat<Self> {
        &self.seat
    }
}

impl Actor for ProofSender {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.step_now(ctx);
    }
}

impl Stepped for ProofSender {
    type Worker = ProofSenderWorker;

    fn stepper(&mut self) -> &mut Stepper<ProofSenderWorker> {
        &mut self.stepper
    }
}

impl Handler<Step> for ProofSender {
    type Result = ();

    fn handle(&mut self, _: Step, ctx: &mut Self::Context) {
        self.seat.enter("Step");
        self.step_now(ctx);
    }
}

impl Handler<ProofReady> for ProofSender {
    type Result = ();

    fn handle(&mut self, _: ProofReady, ctx: &mut Self::Context) {
        self.seat.enter("ProofReady");
        self.step_now(ctx);
    }
}

impl Handler<JoinGivenUp> for ProofSender {
    type Result = ();

    fn handle(&mut self, message: JoinGivenUp, ctx: &mut Self::Context) {
        self.seat.enter("JoinGivenUp");
        self.inbox.borrow_mut().given_up = Some(message.range);
        self.step_now(ctx);
    }
}

impl Handler<BatchCommitted> for ProofSender {
    type Result = ();

    fn handle(&mut self, _: BatchCommitted, ctx: &mut Self::Context) {
        self.seat.enter("BatchCommitted");
        self.step_now(ctx);
    }
}

impl Handler<TxConfirmed> for ProofSender {
    type Result = ();

    fn handle(&mut self, message: TxConfirmed, ctx: &mut Self::Context) {
        self.seat.enter("TxConfirmed");
        if matches!(message.kind, IntentKind::VerifyBatches { .. }) {
            self.step_now(ctx);
        }
    }
}

impl Handler<TxFailed> for ProofSender {
    type Result = ();

    fn handle(&mut self, message: TxFailed, ctx: &mut Self::Context) {
        self.seat.enter("TxFailed");
        if matches!(message.kind, IntentKind::VerifyBatches { .. }) {
            self.inbox.borrow_mut().failed = Some(message);
            self.step_now(ctx);
        }
    }
}
