//! The actor: takes intents, moves time to the worker.

use std::sync::Arc;

use actix::{Actor, ActorFutureExt, Context, Handler, ResponseActFuture, WrapFuture};
use ensemble_messages::{Send, SendReply};
use ensemble_store::IntentState;
use ensemble_supervision::{Component, Seat, supervised};

use super::{L1SenderConfig, L1SenderOutlets, worker::SenderWorker};
use crate::{
    Services,
    fail_point::hit_ack,
    stepper::{Step, Stepped, Stepper},
};

/// Signs and sends L1 transactions.
#[derive(Debug)]
pub struct L1Sender {
    seat: Seat<Self>,
    services: Services,
    stepper: Stepper<SenderWorker>,
}

impl L1Sender {
    /// A component in its supervisor's seat.
    #[must_use]
    pub fn new(
        seat: Seat<Self>,
        config: L1SenderConfig,
        services: Services,
        outlets: Arc<L1SenderOutlets>,
    ) -> Self {
        let worker = SenderWorker::new(config, services.clone(), outlets);
        Self { seat, services, stepper: Stepper::new(worker) }
    }
}

supervised!(L1Sender);

impl Component for L1Sender {
    fn seat(&self) -> &Seat<Self> {
        &self.seat
    }
}

impl Actor for L1Sender {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.step_now(ctx);
    }
}

impl Stepped for L1Sender {
    type Worker = SenderWorker;

    fn stepper(&mut self) -> &mut Stepper<SenderWorker> {
        &mut self.stepper
    }
}

impl Handler<Step> for L1Sender {
    type Result = ();

    fn handle(&mut self, _: Step, ctx: &mut Self::Context) {
        self.seat.enter("Step");
        self.step_now(ctx);
    }
}

impl Handler<Send> for L1Sender {
    type Result = ResponseActFuture<Self, SendReply>;

    fn handle(&mut self, message: Send, _: &mut Self::Context) -> Self::Result {
        self.seat.enter("Send");
        let store = self.services.store.clone();
        let put = async move { store.put_intent(&message.intent).await };
        Box::pin(put.into_actor(self).map(|state, actor, ctx| {
            hit_ack("l1_sender.send.ack");
            match state {
                Ok(IntentState::Confirmed { transaction }) => SendReply::AlreadyConfirmed { transaction },
                Ok(IntentState::Pending | IntentState::Failed { .. }) => {
                    actor.step_now(ctx);
                    SendReply::Accepted
                }
                Err(error) => SendReply::Refused { reason: error.to_string() },
            }
        }))
    }
}
