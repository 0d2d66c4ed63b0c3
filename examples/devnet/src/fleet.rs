//! The devnet's provers: which of them proved which batch, and how many were at work at the same time.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ensemble_batch::BatchInput;
use ensemble_messages::{BatchProof, ProverType};
use ensemble_prover::{
    Cancel,
    backend::{BackendError, BackendProof, ProverBackend},
};

/// All provers of this devnet.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Provers that get a batch wait with it.
    held: bool,
    /// Prover and its batch.
    waiting: BTreeMap<String, u64>,
    at_work: BTreeMap<String, u64>,
    /// Most that were at work at the same time.
    most: usize,
    /// Batch, prover, and how long it took.
    proven: BTreeMap<u64, (String, Duration)>,
}

impl State {
    fn begins(&mut self, prover: &str, batch: u64) {
        self.at_work.insert(prover.to_owned(), batch);
        self.most = self.most.max(self.at_work.len());
    }
}

impl Fleet {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a prover that gets a batch waits with it.
    pub(crate) fn hold(&self) {
        self.state().held = true;
    }

    /// The provers that wait, and their batches.
    pub(crate) fn waiting(&self) -> BTreeMap<String, u64> {
        self.state().waiting.clone()
    }

    /// All that wait begin at the same time, and nobody waits any more.
    pub(crate) fn release(&self) {
        let mut state = self.state();
        state.held = false;
        for (prover, batch) in std::mem::take(&mut state.waiting) {
            state.begins(&prover, batch);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Makes a proof, and notes who made it; waits before while provers are held. Blocks.
    fn work<T, E>(&self, prover: &str, batch: u64, prove: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut state = self.state();
        if state.held {
            state.waiting.insert(prover.to_owned(), batch);
            while state.waiting.contains_key(prover) {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        } else {
            state.begins(prover, batch);
        }
        drop(state);
        let begun = Instant::now();
        let proof = prove();
        let mut state = self.state();
        state.at_work.remove(prover);
        if proof.is_ok() {
            state.proven.insert(batch, (prover.to_owned(), begun.elapsed()));
        }
        proof
    }

    /// Who proved a batch, and how long it took; none when it was proven by nobody here.
    pub(crate) fn proven(&self, batch: u64) -> Option<(String, Duration)> {
        self.state().proven.get(&batch).cloned()
    }

    /// One line about all of them.
    pub(crate) fn summary(&self) -> String {
        let state = self.state();
        let mut batches = BTreeMap::<&str, usize>::new();
        for (prover, _) in state.proven.values() {
            *batches.entry(prover).or_default() += 1;
        }
        let mut text = String::new();
        for (prover, count) in batches {
            // Writing to a String does not fail.
            let _never = write!(text, "{prover} {count} batch(es), ");
        }
        format!("{text}at most {} at work at once", state.most)
    }
}

/// One prover.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) backend: Box<dyn ProverBackend>,
}

impl ProverBackend for Member {
    fn prover_type(&self) -> ProverType {
        self.backend.prover_type()
    }

    fn prove(&self, input: &BatchInput, cancel: &Cancel) -> Result<BackendProof, BackendError> {
        self.fleet.work(&self.name, input.parent.number + 1, || self.backend.prove(input, cancel))
    }

    fn join(&self, proofs: &[BatchProof]) -> Result<BackendProof, BackendError> {
        self.backend.join(proofs)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Held provers all wait, begin together, and each is named with its batch; a proof that failed is nobody's.
    #[test]
    fn held_provers_begin_together() {
        let fleet = Fleet::default();
        assert_eq!(fleet.work("exec-1", 1, || Ok::<_, ()>(())), Ok(()));
        assert_eq!(fleet.work("exec-1", 2, || Err::<(), _>("refused")), Err("refused"));
        assert_eq!(fleet.summary(), "exec-1 1 batch(es), at most 1 at work at once");
        fleet.hold();
        thread::scope(|scope| {
            for (prover, batch) in [("exec-1", 2), ("exec-2", 3), ("exec-3", 4)] {
                let fleet = &fleet;
                scope.spawn(move || fleet.work(prover, batch, || Ok::<_, ()>(())));
            }
            while fleet.waiting().len() < 3 {
                thread::yield_now();
            }
            assert_eq!(fleet.proven(3), None, "it waits");
            fleet.release();
        });
        assert!(fleet.waiting().is_empty());
        assert_eq!(fleet.proven(3).map(|(prover, _)| prover), Some("exec-2".to_owned()));
        assert_eq!(
            fleet.summary(),
            "exec-1 2 batch(es), exec-2 1 batch(es), exec-3 1 batch(es), at most 3 at work at once"
        );
    }
}
