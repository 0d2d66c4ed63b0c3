//! Which batch a prover gets, and who is listened to. Pure: time is passed in.

use std::collections::HashMap;

use ensemble_messages::{LeaseId, ProverType, SessionId};
use ensemble_store::LeaseRecord;

use super::RetryPolicy;

/// The smallest batch that needs a proof of this kind and is with nobody else.
///
/// `open` is ascending. A lease that is its own (`own`) does not stand in its way.
pub(super) fn choose(
    open: &[u64],
    leases: &[LeaseRecord],
    prover_type: ProverType,
    own: impl Fn(&LeaseRecord) -> bool,
    now_ms: u64,
) -> Option<u64> {
    open.iter().copied().find(|number| {
        !leases.iter().any(|lease| {
            is_of(lease, *number)
                && lease.prover_type == prover_type
                && !own(lease)
                && lease.expires_at > now_ms
        })
    })
}

/// Whether a lease is of this batch by itself, not of a range of batches.
pub(super) fn is_of(lease: &LeaseRecord, number: u64) -> bool {
    (lease.first_batch, lease.batch_number) == (number, number)
}

/// Which session works on which lease. Names do not tell: several provers may go by one.
///
/// In memory, so after a restart each lease counts as one whose session is gone.
#[derive(Clone, Debug, Default)]
pub(super) struct Holders(HashMap<LeaseId, Holder>);

#[derive(Clone, Debug)]
struct Holder {
    /// None when it is gone.
    session: Option<SessionId>,
    /// The prover was heard at work on it.
    begun: bool,
}

impl Holders {
    /// A lease was given to a session. Leases that are no longer among `live` are forgotten.
    pub(super) fn given(&mut self, lease: LeaseId, session: SessionId, live: &[LeaseId]) {
        self.0.retain(|id, _| live.contains(id));
        self.0.insert(lease, Holder { session: Some(session), begun: false });
    }

    /// A session is at work on a lease, perhaps after a new connection.
    pub(super) fn heard(&mut self, lease: LeaseId, session: SessionId) {
        self.0.insert(lease, Holder { session: Some(session), begun: true });
    }

    /// A lease is over.
    pub(super) fn over(&mut self, lease: LeaseId) {
        self.0.remove(&lease);
    }

    /// A session is gone; the leases that it held.
    pub(super) fn ended(&mut self, session: SessionId) -> Vec<LeaseId> {
        let mut held = Vec::new();
        for (lease, holder) in &mut self.0 {
            if holder.session == Some(session) {
                holder.session = None;
                held.push(*lease);
            }
        }
        held
    }

    /// Whether a lease of this prover may go to this session: it is its own, or that of a session that is gone.
    pub(super) fn own(&self, lease: &LeaseRecord, prover: &str, session: SessionId) -> bool {
        let holder = self.0.get(&lease.id).and_then(|h| h.session);
        lease.prover == prover && holder.is_none_or(|holder| holder == session)
    }

    /// Whether a prover was at work on a lease and its session is gone. When it asks for work under a new one, the work
    /// is lost: a prover that goes on with it sends a heartbeat.
    pub(super) fn abandoned(&self, lease: LeaseId) -> bool {
        self.0.get(&lease).is_some_and(|h| h.begun && h.session.is_none())
    }
}

/// Counts bad proofs and failures per prover.
#[derive(Debug, Default)]
pub(super) struct Reputation {
    bad: Tally,
    failed: Tally,
}

/// Number of events per prover, and when the last one was.
type Tally = HashMap<String, (u32, u64)>;

/// Most provers that are remembered; more bad ones than this are an attack, and the oldest are forgotten.
const REMEMBERED: usize = 10_000;

/// One more event of a prover; how many there are.
fn count(tally: &mut Tally, prover: &str, now_ms: u64) -> u32 {
    if tally.len() >= REMEMBERED
        && !tally.contains_key(prover)
        && let Some(oldest) = tally.iter().min_by_key(|(_, (_, at))| *at).map(|(name, _)| name.clone())
    {
        tally.remove(&oldest);
    }
    let entry = tally.entry(prover.to_owned()).or_default();
    entry.0 = entry.0.saturating_add(1);
    entry.1 = now_ms;
    entry.0
}

impl Reputation {
    /// A prover handed in a bad proof. True when it goes into quarantine by this one.
    pub(super) fn bad_proof(&mut self, prover: &str, max_bad: u32, now_ms: u64) -> bool {
        count(&mut self.bad, prover, now_ms) == max_bad.max(1)
    }

    /// A prover gave a batch back without a proof.
    pub(super) fn failed(&mut self, prover: &str, now_ms: u64) {
        count(&mut self.failed, prover, now_ms);
    }

    /// A prover handed in a good proof: what failed before is forgiven.
    pub(super) fn proved(&mut self, prover: &str) {
        self.failed.remove(prover);
    }

    /// How long a prover that failed again and again gets no work yet. One that is broken would use up the retry budget
    /// of batch after batch.
    pub(super) fn rests(&self, prover: &str, retry: &RetryPolicy, now_ms: u64) -> Option<u64> {
        let (failures, at) = self.failed.get(prover)?;
        let wait = u64::try_from(retry.backoff(*failures).as_millis()).unwrap_or(u64::MAX);
        at.saturating_add(wait).checked_sub(now_ms).filter(|left| *left > 0)
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
    use std::time::Duration;

    use super::*;

    fn lease(batch_number: u64, prover: &str, expires_at: u64) -> LeaseRecord {
        LeaseRecord {
            id: LeaseId(batch_number),
            first_batch: batch_number,
            batch_number,
            prover_type: ProverType::Exec,
            prover: prover.to_owned(),
            expires_at,
        }
    }

    #[test]
    fn the_smallest_free_batch() {
        let leases = [lease(1, "a", 100), lease(2, "b", 40)];
        let own = |prover: &'static str| move |lease: &LeaseRecord| lease.prover == prover;
        let pick = |prover, now| choose(&[1, 2, 3], &leases, ProverType::Exec, own(prover), now);
        assert_eq!(pick("c", 50), Some(2), "the lease on 2 has run out");
        assert_eq!(pick("c", 30), Some(3));
        assert_eq!(pick("a", 30), Some(1), "its own lease again");
        assert_eq!(
            choose(&[1, 2, 3], &leases, ProverType::Sp1, own("c"), 30),
            Some(1),
            "leases are per kind"
        );
        assert_eq!(choose(&[], &leases, ProverType::Exec, own("c"), 30), None);
        let range = LeaseRecord { first_batch: 1, ..lease(3, "b", 100) };
        let open = choose(&[3], &[range], ProverType::Exec, own("c"), 30);
        assert_eq!(open, Some(3), "a lease of the range to 3 is not one of 3");
    }

    /// Two provers of one name do not take each other's work; one that comes back gets its own.
    #[test]
    fn a_lease_belongs_to_a_session() {
        let (one, two) = (SessionId(1), SessionId(2));
        let mine = lease(7, "a", 100);
        let mut holders = Holders::default();
        assert!(holders.own(&mine, "a", two), "nothing is known after a restart");
        holders.given(mine.id, one, &[mine.id]);
        assert!(
            holders.own(&mine, "a", one) && !holders.own(&mine, "a", two) && !holders.own(&mine, "b", one)
        );
        assert_eq!(holders.ended(two), []);
        assert_eq!(holders.ended(one), [mine.id]);
        assert!(holders.own(&mine, "a", two));
        assert!(!holders.abandoned(mine.id), "perhaps it never got the work");
        holders.heard(mine.id, two);
        assert!(!holders.own(&mine, "a", one) && !holders.abandoned(mine.id));
        holders.ended(two);
        assert!(holders.abandoned(mine.id));
        holders.given(LeaseId(8), one, &[LeaseId(8)]);
        assert!(!holders.abandoned(mine.id), "a lease that is over is forgotten");
        holders.over(LeaseId(8));
        assert_eq!(holders.ended(one), []);
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

    /// A broken prover slows down with every failure, and no other one does.
    #[test]
    fn provers_rest_after_failures() {
        let retry = RetryPolicy {
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_millis(300),
            ..RetryPolicy::default()
        };
        let mut reputation = Reputation::default();
        assert_eq!(reputation.rests("a", &retry, 0), None);
        for wait in [100, 200, 300, 300] {
            reputation.failed("a", 1_000);
            assert_eq!(reputation.rests("a", &retry, 1_010), Some(wait - 10));
            assert_eq!(reputation.rests("a", &retry, 1_000 + wait), None);
        }
        assert_eq!(reputation.rests("b", &retry, 1_000), None);
        reputation.proved("a");
        assert_eq!(reputation.rests("a", &retry, 1_000), None);
    }
}
