//! How a session finds the ProofManager: it asks the SystemActor.

use actix::{Handler, Message, MessageResult};
use ensemble_messages::{
    Heartbeat, ProverIdentity, ProvingFailed, Register, RequestWork, SessionEnded, SessionId, SubmitProof,
};
use ensemble_supervision::{Outlet, SystemActor};

use crate::ProofManager;

/// Name under which the ProofManager runs.
pub const PROOF_MANAGER: &str = "proof_manager";

/// A prover has said hello; to whom shall its messages go?
///
/// Producer: ProverSession. Consumer: SystemActor. Delivery: acknowledged.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Option<Route>")]
pub struct RouteSession {
    /// The session.
    pub session: SessionId,
    /// Who it is.
    pub prover: ProverIdentity,
}

/// Where the messages of a session go. Stays valid when the ProofManager is restarted.
#[derive(Clone, Debug)]
pub struct Route {
    /// Hello.
    pub register: Outlet<Register>,
    /// Requests for work.
    pub request_work: Outlet<RequestWork>,
    /// Heartbeats.
    pub heartbeat: Outlet<Heartbeat>,
    /// Proofs.
    pub submit: Outlet<SubmitProof>,
    /// Jobs that come back without a proof.
    pub failed: Outlet<ProvingFailed>,
    /// Ends of sessions.
    pub ended: Outlet<SessionEnded>,
}

impl Handler<RouteSession> for SystemActor {
    type Result = MessageResult<RouteSession>;

    fn handle(&mut self, message: RouteSession, _: &mut Self::Context) -> Self::Result {
        let manager = self.handle_of::<ProofManager>(PROOF_MANAGER);
        tracing::debug!(
            session = message.session.0,
            prover = message.prover.name,
            found = manager.is_some(),
            "routing"
        );
        MessageResult(manager.map(|manager| Route {
            register: manager.outlet(),
            request_work: manager.outlet(),
            heartbeat: manager.outlet(),
            submit: manager.outlet(),
            failed: manager.outlet(),
            ended: manager.outlet(),
        }))
    }
}
