//! Named places around every side effect outside of the store, where a test can have a panic or an error (feature
//! `fault-injection`).

use crate::ActorError;

/// Every fail point of the actors, in the syntax of [`fail::cfg`]. Those of the store are
/// [`ensemble_store::FAIL_POINTS`].
///
/// `before`: nothing has happened yet. `after`: it has, and the component does not learn of it. `ack`: it is durable,
/// and who asked for it does not learn of that; such a point can only panic.
#[cfg(feature = "fault-injection")]
pub const FAIL_POINTS: &[&str] = &[
    "block_producer.build.before",
    "block_producer.build.after",
    "block_producer.get_payload.after",
    "block_producer.new_payload.before",
    "block_producer.new_payload.after",
    "block_producer.head.before",
    "block_producer.head.after",
    "l1_sender.broadcast.before",
    "l1_sender.broadcast.after",
    "l1_sender.send.ack",
    "proof_manager.failure.ack",
    "proof_manager.lease.ack",
    "proof_manager.proof.ack",
    "prover_session.proof.ack",
];

/// A fail point: panics or fails when a test has told it to.
#[cfg(feature = "fault-injection")]
pub(crate) fn hit(name: &'static str) -> Result<(), ActorError> {
    fail::fail_point!(name, |_| Err(ActorError::Task(format!("injected fault at {name}"))));
    Ok(())
}

#[cfg(not(feature = "fault-injection"))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail with the feature")]
pub(crate) const fn hit(_: &'static str) -> Result<(), ActorError> {
    Ok(())
}

/// A fail point where there is nobody to tell of an error: it can only panic.
pub(crate) fn hit_ack(name: &'static str) {
    if let Err(error) = hit(name) {
        tracing::debug!(%error, "this fail point can only panic");
    }
}

#[cfg(all(test, feature = "fault-injection"))]
mod tests {
    use super::FAIL_POINTS;

    /// The list is what tests draw from: a point that it lacks would never be tried.
    #[test]
    fn the_list_is_complete() {
        let sources = [
            include_str!("block_producer/worker.rs"),
            include_str!("l1_sender/actor.rs"),
            include_str!("l1_sender/worker.rs"),
            include_str!("proof_manager/actor.rs"),
            include_str!("prover_server/session.rs"),
        ];
        let names = |s: &'static str, call: &str| -> Vec<&'static str> {
            s.split(call).skip(1).filter_map(|rest| rest.split('"').next()).collect()
        };
        let mut there: Vec<&str> =
            sources.iter().flat_map(|s| [names(s, "hit(\""), names(s, "hit_ack(\"")].concat()).collect();
        let mut listed = FAIL_POINTS.to_vec();
        there.sort_unstable();
        listed.sort_unstable();
        assert_eq!(there, listed);
    }
}
