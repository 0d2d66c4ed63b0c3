//! The actor: moves messages and time to the worker.

use std::sync::Arc;

use actix::{Actor, Context, Handler};
use ensemble_messages::{BatchCommitted, BatchVerified, NewDeposit};
use ensemble_supervision::{Component, Seat, supervised};

use super::{BlockProducerConfig, BlockProducerOutlets, worker::ProducerWorker};
use crate::{
    Services,
    stepper::{Step, Stepped, Stepper},
};

/// Makes L2 blocks.
#[derive(Debug)]
pub struct BlockProducer {
    seat: Seat<Self>,
    stepper: Stepper<ProducerWorker>,
}

impl BlockProducer {
    /// A producer in its supervisor's seat.
    #[must_use]
    pub fn new(
        seat: Seat<Self>,
        config: BlockProducerConfig,
        services: Services,
        outlets: Arc<BlockProducerOutlets>,
    ) -> Self {
        Self { seat, stepper: Stepper::new(ProducerWorker::new(config, services, outlets)) }
    }
}

supervised!(BlockProducer);

impl Component for BlockProducer {
    fn seat(&self) -> &Seat<Self> {
        &self.seat
    }
}

impl Actor for BlockProducer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.step_now(ctx);
    }
}

impl Stepped for BlockProducer {
    type Worker = ProducerWorker;

    fn stepper(&mut self) -> &mut Stepper<ProducerWorker> {
        &mut self.stepper
    }
}

impl Handler<Step> for BlockProducer {
    type Result = ();

    fn handle(&mut self, _: Step, ctx: &mut Self::Context) {
        self.seat.enter("Step");
        self.step_now(ctx);
    }
}

// The ledger and the statuses of batches are read from the store for every block, so these hints need no action:
// what they announce is in the next block.

impl Handler<NewDeposit> for BlockProducer {
    type Result = ();

    fn handle(&mut self, deposit: NewDeposit, _: &mut Self::Context) {
        self.seat.enter("NewDeposit");
        tracing::debug!(id = deposit.deposit.id, "deposit waits for the next block");
    }
}

impl Handler<BatchCommitted> for BlockProducer {
    type Result = ();

    fn handle(&mut self, batch: BatchCommitted, _: &mut Self::Context) {
        self.seat.enter("BatchCommitted");
        tracing::debug!(batch = batch.number, safe = batch.last_block, "the next block moves the safe head");
    }
}

impl Handler<BatchVerified> for BlockProducer {
    type Result = ();

    fn handle(&mut self, batch: BatchVerified, _: &mut Self::Context) {
        self.seat.enter("BatchVerified");
        tracing::debug!(
            batch = batch.number,
            finalized = batch.last_block,
            "the next block moves the finalized head"
        );
    }
}
