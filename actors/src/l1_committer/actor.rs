//! The actor: moves messages and time to the worker.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use actix::{Actor, Context, Handler};
use ensemble_messages::{BlockSealed, IntentKind, L1Reorged, TxConfirmed, TxFailed};
use ensemble_supervision::{Component, Seat, supervised};

use super::{
    L1CommitterConfig, L1CommitterOutlets,
    worker::{CommitterWorker, Inbox},
};
use crate::{
    Services,
    stepper::{Step, Stepped, Stepper},
};

/// Puts blocks into batches and has them committed.
#[derive(Debug)]
pub struct L1Committer {
    seat: Seat<Self>,
    stepper: Stepper<CommitterWorker>,
    inbox: Rc<RefCell<Inbox>>,
}

impl L1Committer {
    /// A component in its supervisor's seat.
    #[must_use]
    pub fn new(
        seat: Seat<Self>,
        config: L1CommitterConfig,
        services: Services,
        outlets: Arc<L1CommitterOutlets>,
    ) -> Self {
        let inbox = Rc::new(RefCell::new(Inbox::default()));
        let worker = CommitterWorker::new(config, services, outlets, Rc::clone(&inbox));
        Self { seat, stepper: Stepper::new(worker), inbox }
    }
}

supervised!(L1Committer);

impl Component for L1Committer {
    fn seat(&self) -> &Seat<Self> {
        &self.seat
    }
}

impl Actor for L1Committer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.step_now(ctx);
    }
}

impl Stepped for L1Committer {
    type Worker = CommitterWorker;

    fn stepper(&mut self) -> &mut Stepper<CommitterWorker> {
        &mut self.stepper
    }
}

impl Handler<Step> for L1Committer {
    type Result = ();

    fn handle(&mut self, _: Step, ctx: &mut Self::Context) {
        self.seat.enter("Step");
        self.step_now(ctx);
    }
}

impl Handler<BlockSealed> for L1Committer {
    type Result = ();

    fn handle(&mut self, _: BlockSealed, ctx: &mut Self::Context) {
        self.seat.enter("BlockSealed");
        self.step_now(ctx);
    }
}

impl Handler<L1Reorged> for L1Committer {
    type Result = ();

    fn handle(&mut self, _: L1Reorged, ctx: &mut Self::Context) {
        self.seat.enter("L1Reorged");
        self.inbox.borrow_mut().look = true;
        self.step_now(ctx);
    }
}

impl Handler<TxConfirmed> for L1Committer {
    type Result = ();

    fn handle(&mut self, message: TxConfirmed, ctx: &mut Self::Context) {
        self.seat.enter("TxConfirmed");
        if matches!(message.kind, IntentKind::CommitBatch { .. }) {
            self.inbox.borrow_mut().look = true;
            self.step_now(ctx);
        }
    }
}

impl Handler<TxFailed> for L1Committer {
    type Result = ();

    fn handle(&mut self, message: TxFailed, ctx: &mut Self::Context) {
        self.seat.enter("TxFailed");
        if matches!(message.kind, IntentKind::CommitBatch { .. }) {
            self.inbox.borrow_mut().failed = Some(message);
            self.step_now(ctx);
        }
    }
}
