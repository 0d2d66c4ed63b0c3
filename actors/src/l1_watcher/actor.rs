//! The actor: moves messages and time to the worker.

use std::sync::Arc;

use actix::{Actor, Context, Handler};
use ensemble_supervision::{Component, Seat, supervised};

use super::{L1WatcherConfig, L1WatcherOutlets, worker::WatcherWorker};
use crate::{
    Services,
    stepper::{Step, Stepped, Stepper},
};

/// Reads deposits from L1.
#[derive(Debug)]
pub struct L1Watcher {
    seat: Seat<Self>,
    stepper: Stepper<WatcherWorker>,
}

impl L1Watcher {
    /// A component in its supervisor's seat.
    #[must_use]
    pub fn new(
        seat: Seat<Self>,
        config: L1WatcherConfig,
        services: Services,
        outlets: Arc<L1WatcherOutlets>,
    ) -> Self {
        Self { seat, stepper: Stepper::new(WatcherWorker::new(config, services, outlets)) }
    }
}

supervised!(L1Watcher);

impl Component for L1Watcher {
    fn seat(&self) -> &Seat<Self> {
        &self.seat
    }
}

impl Actor for L1Watcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.step_now(ctx);
    }
}

impl Stepped for L1Watcher {
    type Worker = WatcherWorker;

    fn stepper(&mut self) -> &mut Stepper<WatcherWorker> {
        &mut self.stepper
    }
}

impl Handler<Step> for L1Watcher {
    type Result = ();

    fn handle(&mut self, _: Step, ctx: &mut Self::Context) {
        self.seat.enter("Step");
        self.step_now(ctx);
    }
}
