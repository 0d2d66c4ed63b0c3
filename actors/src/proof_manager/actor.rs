//! The actor: one request at a time, replies after the effect.

use std::{sync::Arc, time::Duration};

use actix::{
    Actor, ActorFutureExt, AsyncContext, AtomicResponse, Context, Handler, MessageResult, WrapFuture,
};
use ensemble_messages::{
    BatchCommitted, BatchVerified, Heartbeat, JoinGivenUp, JoinProofs, LeaseId, LeaseState, ProofReady,
    ProofRejection, ProvingFailed, Register, RequestWork, SessionEnded, SubmitProof, SubmitReply, WorkReply,
};
use ensemble_supervision::{Component, Seat, supervised};

use super::{
    ProofManagerConfig,
    assignment::{Holders, Reputation},
    goal::Goal,
    retry::tidy,
    work::{Desk, Failed},
};
use crate::{ActorError, Services, fail_point::hit_ack, fanout::Fanout, stepper::Step};

/// How often the next finished batch is announced again, in case a hint was lost.
const REMIND: Duration = Duration::from_secs(2);
/// How long a prover waits when the store cannot be used.
const RETRY_MS: u64 = 1_000;

/// Where the messages of the ProofManager go.
#[derive(Clone, Debug, Default)]
pub struct ProofManagerOutlets {
    /// All proofs of a batch are there.
    pub proof_ready: Fanout<ProofReady>,
    /// A range gets no proof of its own.
    pub join_given_up: Fanout<JoinGivenUp>,
}

/// Hands out batches, takes proofs.
#[derive(Debug)]
pub struct ProofManager {
    seat: Seat<Self>,
    desk: Desk,
    out: Arc<ProofManagerOutlets>,
    reputation: Reputation,
    holders: Holders,
    goal: Goal,
}

impl ProofManager {
    /// A component in its supervisor's seat.
    #[must_use]
    pub fn new(
        seat: Seat<Self>,
        config: Arc<ProofManagerConfig>,
        services: Services,
        outlets: Arc<ProofManagerOutlets>,
    ) -> Self {
        Self {
            seat,
            desk: Desk::new(config, services),
            out: outlets,
            reputation: Reputation::default(),
            holders: Holders::default(),
            goal: Goal::default(),
        }
    }

    fn quarantined(&mut self, prover: &str) -> bool {
        let config = Arc::clone(&self.desk.config);
        let quarantine = u64::try_from(config.quarantine.as_millis()).unwrap_or(u64::MAX);
        let now = self.desk.now_ms();
        self.reputation.quarantined(prover, config.max_bad_proofs, quarantine, now)
    }

    /// A prover did not make the proof of a range.
    fn not_joined(&mut self, range: JoinProofs, prover: &str, reason: &str) {
        if let Some(given_up) = self.goal.failed(range, tidy(reason)) {
            let JoinGivenUp { range: JoinProofs { first, last }, reason } = &given_up;
            tracing::warn!(first, last, prover, reason, "no proof of these batches together");
            self.out.join_given_up.send(&given_up);
        }
    }

    /// Shows whether any batch is degraded.
    fn judge(&self, ctx: &mut Context<Self>) {
        let desk = self.desk.clone();
        let look = async move { desk.trouble().await };
        ctx.wait(look.into_actor(self).map(|trouble, actor, _| actor.show(trouble)));
    }

    fn show(&self, trouble: Result<Option<String>, ActorError>) {
        match trouble {
            Ok(None) => self.seat.healthy(),
            Ok(Some(trouble)) => self.seat.degraded(trouble),
            Err(error) => self.seat.degraded(error.to_string()),
        }
    }

    // `wait`, here and for every use of the store below: while an atomic response is under way nothing else of this
    // actor is polled, and a frozen look at the store would keep a connection of the pool that everybody shares.
    fn announce(&self, number: u64, ctx: &mut Context<Self>) {
        let desk = self.desk.clone();
        let look = async move { desk.ready(number).await };
        ctx.wait(look.into_actor(self).map(|found, actor, _| match found {
            Ok(Some(ready)) => actor.out.proof_ready.send(&ready),
            Ok(None) => {}
            Err(error) => actor.seat.degraded(error.to_string()),
        }));
    }
}

supervised!(ProofManager);

impl Component for ProofManager {
    fn seat(&self) -> &Seat<Self> {
        &self.seat
    }
}

impl Actor for ProofManager {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let desk = self.desk.clone();
        let cap = async move { desk.cap_leases().await };
        ctx.wait(cap.into_actor(self).map(|done, actor, _| {
            if let Err(error) = done {
                actor.seat.degraded(error.to_string());
            }
        }));
        ctx.notify(Step);
    }
}

impl Handler<Step> for ProofManager {
    type Result = ();

    fn handle(&mut self, _: Step, ctx: &mut Self::Context) {
        self.seat.enter("Step");
        let desk = self.desk.clone();
        let look = async move { Ok((desk.next_ready().await?, desk.trouble().await?)) };
        ctx.wait(look.into_actor(self).map(|found, actor, ctx| {
            let trouble = found.map(|(ready, trouble)| {
                if let Some(ready) = ready {
                    actor.out.proof_ready.send(&ready);
                }
                trouble
            });
            actor.show(trouble);
            ctx.notify_later(Step, REMIND);
        }));
    }
}

impl Handler<BatchCommitted> for ProofManager {
    type Result = ();

    fn handle(&mut self, batch: BatchCommitted, ctx: &mut Self::Context) {
        self.seat.enter("BatchCommitted");
        // Proving does not wait for the commit, verifying does: tell ProofSender again now that it can.
        self.announce(batch.number, ctx);
    }
}

impl Handler<JoinProofs> for ProofManager {
    type Result = ();

    fn handle(&mut self, range: JoinProofs, _: &mut Self::Context) {
        self.seat.enter("JoinProofs");
        if let Some(given_up) = self.goal.wanted(range) {
            self.out.join_given_up.send(&given_up);
        }
    }
}

impl Handler<BatchVerified> for ProofManager {
    type Result = ();

    fn handle(&mut self, batch: BatchVerified, ctx: &mut Self::Context) {
        self.seat.enter("BatchVerified");
        self.announce(batch.number + 1, ctx);
    }
}

impl Handler<Register> for ProofManager {
    type Result = MessageResult<Register>;

    fn handle(&mut self, message: Register, _: &mut Self::Context) -> Self::Result {
        self.seat.enter("Register");
        let prover = &message.prover;
        MessageResult(if !self.desk.wants(prover.prover_type) {
            Err(format!("no {} proofs are wanted here", prover.prover_type))
        } else if self.quarantined(&prover.name) {
            Err(ProofRejection::Quarantined.to_string())
        } else {
            tracing::info!(prover = prover.name, peer = prover.peer, kind = %prover.prover_type, "prover connected");
            Ok(())
        })
    }
}

impl Handler<RequestWork> for ProofManager {
    // Atomic: no second request is looked at before the lease of this one is stored.
    type Result = AtomicResponse<Self, WorkReply>;

    fn handle(&mut self, message: RequestWork, _: &mut Self::Context) -> Self::Result {
        self.seat.enter("RequestWork");
        let refused = self.quarantined(&message.prover.name);
        let rests = self.reputation.rests(&message.prover.name, &self.desk.config.retry, self.desk.now_ms());
        let idle = u64::try_from(self.desk.config.idle_retry.as_millis()).unwrap_or(u64::MAX);
        let (desk, holders, wanted) = (self.desk.clone(), self.holders.clone(), self.goal.range());
        let session = message.session;
        let work = async move {
            if refused {
                let reason = ProofRejection::Quarantined.to_string();
                return Ok((WorkReply::Refused { reason }, Vec::new()));
            }
            if let Some(left) = rests {
                return Ok((WorkReply::Idle { retry_after_ms: left.max(idle) }, Vec::new()));
            }
            let prover = &message.prover;
            let work = desk.assign(prover.prover_type, &prover.name, session, &holders, wanted).await?;
            Ok(match work {
                Some((work, live)) => (WorkReply::Work(work), live),
                None => (WorkReply::Idle { retry_after_ms: idle }, Vec::new()),
            })
        };
        AtomicResponse::new(Box::pin(work.into_actor(self).map(
            move |result: Result<(WorkReply, Vec<LeaseId>), ActorError>, actor, ctx| {
                hit_ack("proof_manager.lease.ack");
                match result {
                    Ok((reply, live)) => {
                        match &reply {
                            WorkReply::Work(work) => actor.holders.given(work.lease, session, &live),
                            // Perhaps as batches were set back.
                            WorkReply::Idle { .. } => actor.judge(ctx),
                            WorkReply::Refused { .. } => {}
                        }
                        reply
                    }
                    Err(error) => {
                        actor.seat.degraded(error.to_string());
                        WorkReply::Idle { retry_after_ms: RETRY_MS }
                    }
                }
            },
        )))
    }
}

impl Handler<Heartbeat> for ProofManager {
    type Result = AtomicResponse<Self, LeaseState>;

    fn handle(&mut self, message: Heartbeat, _: &mut Self::Context) -> Self::Result {
        self.seat.enter("Heartbeat");
        let desk = self.desk.clone();
        let (lease, session) = (message.lease, message.session);
        let work = async move { desk.prolong(&message).await };
        AtomicResponse::new(Box::pin(work.into_actor(self).map(move |result, actor: &mut Self, _| {
            match result {
                Ok(state) => {
                    match state {
                        LeaseState::Alive => actor.holders.heard(lease, session),
                        LeaseState::Lost | LeaseState::Done => actor.holders.over(lease),
                    }
                    state
                }
                // When the store cannot be asked the prover goes on: its proof is looked at anyway.
                Err(error) => {
                    actor.seat.degraded(error.to_string());
                    LeaseState::Alive
                }
            }
        })))
    }
}

impl Handler<SessionEnded> for ProofManager {
    type Result = ();

    fn handle(&mut self, SessionEnded { session, goodbye }: SessionEnded, ctx: &mut Self::Context) {
        self.seat.enter("SessionEnded");
        let held = self.holders.ended(session);
        if !goodbye || held.is_empty() {
            return;
        }
        // It will not come back for them.
        let desk = self.desk.clone();
        let free = async move {
            for lease in held {
                desk.services.store.remove_lease(lease).await?;
            }
            Ok::<(), ActorError>(())
        };
        ctx.wait(free.into_actor(self).map(|freed, actor, _| {
            if let Err(error) = freed {
                actor.seat.degraded(error.to_string());
            }
        }));
    }
}

impl Handler<ProvingFailed> for ProofManager {
    type Result = AtomicResponse<Self, bool>;

    fn handle(&mut self, message: ProvingFailed, _: &mut Self::Context) -> Self::Result {
        self.seat.enter("ProvingFailed");
        let desk = self.desk.clone();
        let ProvingFailed { session: _, prover, lease, kind, reason } = message;
        let work = async move {
            let counted = desk.failed(lease, &prover.name, kind, &reason).await;
            (prover.name, reason, counted)
        };
        AtomicResponse::new(Box::pin(work.into_actor(self).map(
            move |(name, reason, counted), actor: &mut Self, ctx| {
                hit_ack("proof_manager.failure.ack");
                match counted {
                    Ok(Failed::Range(range)) => {
                        actor.holders.over(lease);
                        actor.not_joined(range, &name, &reason);
                        true
                    }
                    Ok(Failed::Batch) => {
                        actor.holders.over(lease);
                        let now = actor.desk.now_ms();
                        actor.reputation.failed(&name, now);
                        actor.judge(ctx);
                        true
                    }
                    // It was told before.
                    Ok(Failed::Unknown) => true,
                    Err(error) => {
                        actor.seat.degraded(error.to_string());
                        false
                    }
                }
            },
        )))
    }
}

impl Handler<SubmitProof> for ProofManager {
    type Result = AtomicResponse<Self, SubmitReply>;

    fn handle(&mut self, message: SubmitProof, _: &mut Self::Context) -> Self::Result {
        self.seat.enter("SubmitProof");
        let quarantined = self.quarantined(&message.prover.name);
        let (desk, name, lease) = (self.desk.clone(), message.prover.name, message.lease);
        let (number, kind) = (message.proof.batch_number, message.proof.prover_type);
        let work = async move {
            if quarantined {
                return (name, None, Ok(SubmitReply::Rejected(ProofRejection::Quarantined)));
            }
            let reply = desk.accept(&message.proof, &name).await;
            let mut range = None;
            if let Ok(SubmitReply::Rejected(_)) = &reply {
                match desk.give_back(lease, &name).await {
                    Ok(given_back) => range = given_back,
                    Err(error) => {
                        tracing::warn!(%error, "the lease of a rejected proof runs on until it expires");
                    }
                }
            }
            (name, range, reply)
        };
        AtomicResponse::new(Box::pin(work.into_actor(self).map(
            move |(name, range, reply), actor: &mut Self, ctx| {
                hit_ack("proof_manager.proof.ack");
                match reply {
                    Ok(SubmitReply::Rejected(why)) => {
                        tracing::warn!(batch = number, %kind, prover = name, %why, "proof refused");
                        let bad = !matches!(why, ProofRejection::Quarantined | ProofRejection::NotWanted);
                        let now = actor.desk.now_ms();
                        if bad && actor.reputation.bad_proof(&name, actor.desk.config.max_bad_proofs, now) {
                            tracing::error!(prover = name, "prover put in quarantine after bad proofs");
                        }
                        if let Some(range) = range {
                            actor.not_joined(range, &name, &why.to_string());
                        }
                        SubmitReply::Rejected(why)
                    }
                    Ok(reply) => {
                        if reply == SubmitReply::Accepted {
                            actor.reputation.proved(&name);
                        }
                        actor.announce(number, ctx);
                        reply
                    }
                    Err(error) => {
                        actor.seat.degraded(error.to_string());
                        SubmitReply::RetryLater { retry_after_ms: RETRY_MS }
                    }
                }
            },
        )))
    }
}
