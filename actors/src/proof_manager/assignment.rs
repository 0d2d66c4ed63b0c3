//! Which batch a prover gets, and who is listened to. Pure: time is passed in.

use std::collections::HashMap;

use ensemble_messages::ProverType;
use ensemble_store::LeaseRecord;

/// The smallest batch that needs a proof of this kind and is with nobody else.
///
/// `open` is ascending. A lease of the same prover does not stand in its way: it has lost its connection and comes
/// back.
pub(super) fn choose(
    open: &[u64],
    leases: &[LeaseRecord],
    prover_type: ProverType,
    prover: &str,
    now_ms: u64,
) -> Option<u64> {
    open.iter().copied().find(|number| {
        !leases.iter().any(|lease| {
            lease.batch_number == *number
                && lease.prover_type == prover_type
                && lease.prover != prover
                && lease.expires_at > now_ms
        })
    })
}

/// Counts bad proofs per prover.
#[derive(Debug, Default)]
pub(super) struct Reputation {
    bad: HashMap<String, (u32, u64)>,
}

/// Most provers that are remembered; more bad ones than this are an attack, and the oldest are forgotten.
const REMEMBERED: usize = 10_000;

impl Reputation {
    /// A prover handed in a bad proof. True when it goes into quarantine by this one.
    pub(super) fn bad_proof(&mut self, prover: &str, max_bad: u32, now_ms: u64) -> bool {
        if self.bad.len() >= REMEMBERED
            && !self.bad.contains_key(prover)
            && let Some(oldest) = self.bad.iter().min_by_key(|(_, (_, at))| *at).map(|(name, _)| name.clone())
        {
            self.bad.remove(&oldest);
        }
        let entry = self.bad.entry(prover.to_owned()).or_default();
        entry.0 = entry.0.saturating_add(1);
        entry.1 = now_ms;
        entry.0 == max_bad.max(1)
    }

    /// Whether a prover is not listened to now. A quarantine that is over is forgotten.
    pub(super) fn quarantined(
        &mut self,
        prover: &str,
        max_bad: u32,
        quarantine_ms: u64,
        now_ms: u64,
    ) -> bool {
        let Some((count, at)) = self.bad.get(prover).copied() else { return false };
        if now_ms.saturating_sub(at) >= quarantine_ms {
            self.bad.remove(prover);
            return false;
        }
        count >= max_bad.max(1)
    }
}

#[cfg(test)]
mod tests {
    use ensemble_messages::LeaseId;

    use super::*;

    fn lease(batch_number: u64, prover: &str, expires_at: u64) -> LeaseRecord {
        LeaseRecord {
            id: LeaseId(batch_number),
            batch_number,
            prover_type: ProverType::Exec,
            prover: prover.to_owned(),
            expires_at,
        }
    }

    #[test]
    fn the_smallest_free_batch() {
        let leases = [lease(1, "a", 100), lease(2, "b", 40)];
        let pick = |prover, now| choose(&[1, 2, 3], &leases, ProverType::Exec, prover, now);
        assert_eq!(pick("c", 50), Some(2), "the lease on 2 has run out");
        assert_eq!(pick("c", 30), Some(3));
        assert_eq!(pick("a", 30), Some(1), "its own lease again");
        assert_eq!(choose(&[1, 2, 3], &leases, ProverType::Sp1, "c", 30), Some(1), "leases are per kind");
        assert_eq!(choose(&[], &leases, ProverType::Exec, "c", 30), None);
    }

    #[test]
    fn quarantine_begins_and_ends() {
        let mut reputation = Reputation::default();
        assert!(!reputation.bad_proof("liar", 2, 0));
        assert!(!reputation.quarantined("liar", 2, 100, 1));
        assert!(reputation.bad_proof("liar", 2, 10));
        assert!(reputation.quarantined("liar", 2, 100, 50));
        assert!(!reputation.quarantined("honest", 2, 100, 50));
        assert!(!reputation.quarantined("liar", 2, 100, 110));
        assert!(!reputation.quarantined("liar", 2, 100, 50), "a new start after the quarantine");
    }

    /// SEQ-INV-11: names from the network use bounded memory.
    #[test]
    fn memory_is_bounded() {
        let mut reputation = Reputation::default();
        for n in 0..REMEMBERED as u64 + 50 {
            reputation.bad_proof(&format!("p{n}"), 3, n);
        }
        assert_eq!(reputation.bad.len(), REMEMBERED);
    }
}
