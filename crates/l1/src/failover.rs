//! Which of several L1 endpoints may be asked. Pure: time comes in, decisions go out.

use std::time::{Duration, Instant};

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::L1Error;

/// When an endpoint is left alone, and when it is asked again. Plays a role with two or more endpoints only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailoverConfig {
    /// Time between two looks at the chain id and the head of every endpoint.
    pub check_every: Duration,
    /// Longest wait for one answer in such a look.
    pub check_timeout: Duration,
    /// Rest of an endpoint after its first failure; it doubles with each further one.
    pub cool_down: Duration,
    /// Longest rest.
    pub max_cool_down: Duration,
    /// Blocks by which an endpoint may be behind the best one and still be asked.
    pub max_lag: u64,
    /// Blocks below the lowest head at which all endpoints must have the same block. Closer to the head, two honest
    /// nodes may be on two branches for a while.
    pub agreement_depth: u64,
}

impl Default for FailoverConfig {
    /// A look every 10 s with 3 s for an answer, rests of 1 to 60 s, a lag of 8 blocks, agreement 8 blocks down.
    fn default() -> Self {
        Self {
            check_every: Duration::from_secs(10),
            check_timeout: Duration::from_secs(3),
            cool_down: Duration::from_secs(1),
            max_cool_down: Duration::from_secs(60),
            max_lag: 8,
            agreement_depth: 8,
        }
    }
}

/// What is thought of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "standing")]
pub enum Standing {
    /// It is asked.
    Good,
    /// It is behind the best one: asked only when no better one answers.
    Lagging {
        /// By so many blocks.
        behind: u64,
    },
    /// It did not answer, or wrongly: it rests, and is asked before that only when no better one answers.
    Failing {
        /// Its last failure.
        reason: String,
    },
    /// It has another block than the others, deep enough below the head: never asked.
    Forked {
        /// Height.
        height: u64,
        /// Its block there.
        block: B256,
        /// That of the others.
        others: B256,
    },
    /// It serves another chain: never asked for more than its chain id.
    WrongChain {
        /// The chain it serves.
        actual: u64,
    },
}

impl Standing {
    /// Whether an operator has to look.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Good)
    }

    fn kind(&self) -> std::mem::Discriminant<Self> {
        std::mem::discriminant(self)
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Good => f.write_str("good"),
            Self::Lagging { behind } => write!(f, "{behind} blocks behind the best endpoint"),
            Self::Failing { reason } => write!(f, "failing: {reason}"),
            Self::Forked { height, block, others } => write!(
                f,
                "on another fork: it has block {block} at height {height}, the others {others}; find out which is right"
            ),
            Self::WrongChain { actual } => write!(f, "serves chain {actual}: check the RPC URL"),
        }
    }
}

/// An endpoint as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// Scheme and host (SEQ-INV-12).
    pub endpoint: String,
    /// What is thought of it.
    #[serde(flatten)]
    pub standing: Standing,
    /// Its head when it was last looked at.
    pub head: Option<u64>,
}

/// A standing has become another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) index: usize,
    pub(crate) standing: Standing,
}

#[derive(Clone, Debug)]
struct Health {
    standing: Standing,
    head: Option<u64>,
    /// Failures with no long good time between them.
    failures: u32,
    good_since: Option<Instant>,
    retry_at: Option<Instant>,
}

/// More doublings than any limit has.
const MAX_DOUBLINGS: u32 = 16;

/// The state of all endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Failover {
    config: FailoverConfig,
    nodes: Vec<Health>,
    next_check: Option<Instant>,
}

impl Failover {
    pub(crate) fn new(count: usize, config: FailoverConfig) -> Self {
        let fresh =
            Health { standing: Standing::Good, head: None, failures: 0, good_since: None, retry_at: None };
        Self { config, nodes: vec![fresh; count], next_check: None }
    }

    /// Whom to ask, best first: the good ones in the order they were configured in, those behind by how little they
    /// are, the failing ones by how soon their rest is over.
    pub(crate) fn order(&self) -> Vec<usize> {
        let mut ranked: Vec<_> = self
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(index, node)| {
                let rank = match node.standing {
                    Standing::Good => (0, 0, None),
                    Standing::Lagging { behind } => (1, behind, None),
                    // its chain id is asked for before anything else
                    Standing::Failing { .. } | Standing::WrongChain { .. } => (2, 0, node.retry_at),
                    Standing::Forked { .. } => return None,
                };
                Some((rank, index))
            })
            .collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, index)| index).collect()
    }

    /// Whom to look at now; nobody when no look is due.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<usize> {
        if self.nodes.len() < 2 {
            return Vec::new();
        }
        let rested = |node: &Health| node.retry_at.is_some_and(|at| at <= now);
        if self.next_check.is_some_and(|at| now < at) && !self.nodes.iter().any(rested) {
            return Vec::new();
        }
        self.next_check = Some(now + self.config.check_every);
        let awake = |node: &Health| node.retry_at.is_none_or(|at| at <= now);
        self.nodes.iter().enumerate().filter(|(_, node)| awake(node)).map(|(index, _)| index).collect()
    }

    /// An endpoint failed by its own fault.
    pub(crate) fn failed(&mut self, index: usize, now: Instant, error: &L1Error) -> Option<Change> {
        let config = self.config;
        let node = self.nodes.get_mut(index)?;
        let was_good_for = node.good_since.take().map(|since| now.saturating_duration_since(since));
        if was_good_for.is_some_and(|time| time > 4 * rest(&config, node.failures)) {
            node.failures = 0;
        }
        node.failures = node.failures.saturating_add(1);
        node.retry_at = Some(now + rest(&config, node.failures));
        let standing = match error {
            L1Error::WrongChain { actual, .. } => Standing::WrongChain { actual: *actual },
            other => Standing::Failing { reason: other.to_string() },
        };
        self.set(index, standing)
    }

    /// An endpoint that was given up answered after all: it is looked at next. A single one has nothing to prove.
    pub(crate) fn answered(&mut self, index: usize, now: Instant) {
        if self.nodes.len() < 2 {
            self.good(index, now, Standing::Good);
        }
        if let Some(node) = self.nodes.get_mut(index)
            && node.retry_at.is_some()
        {
            node.retry_at = Some(now);
        }
    }

    /// Takes note of the heads that a look has found. Says which endpoints to compare at which height: all but those
    /// far below the median; none when there is nothing to compare.
    pub(crate) fn heads(&mut self, now: Instant, heads: &[(usize, u64)]) -> (Vec<Change>, Vec<usize>, u64) {
        for &(index, head) in heads {
            if let Some(node) = self.nodes.get_mut(index) {
                node.head = Some(head);
            }
        }
        let mut sorted: Vec<u64> = heads.iter().map(|(_, head)| *head).collect();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0);
        let floor = median.saturating_sub(self.config.max_lag);
        let (late, compared): (Vec<_>, Vec<_>) = heads.iter().copied().partition(|(_, head)| *head < floor);
        let mut changes = Vec::new();
        for (index, head) in late {
            if !self.is_forked(index) {
                changes.extend(self.good(index, now, Standing::Lagging { behind: median - head }));
            }
        }
        if let [(index, _)] = compared.as_slice() {
            // Alone, it has nobody to agree with.
            if !self.is_forked(*index) {
                changes.extend(self.good(*index, now, Standing::Good));
            }
            return (changes, Vec::new(), 0);
        }
        let lowest = compared.iter().map(|(_, head)| *head).min().unwrap_or(0);
        let compared = compared.into_iter().map(|(index, _)| index).collect();
        (changes, compared, lowest.saturating_sub(self.config.agreement_depth))
    }

    /// Takes note of the blocks that the endpoints have at `height`. Those known to be on another fork have no say,
    /// most of the others decide; if there are as many on each side, those that were good, and then the one
    /// configured first.
    pub(crate) fn blocks(&mut self, now: Instant, height: u64, blocks: &[(usize, B256)]) -> Vec<Change> {
        let weight = |block: B256| {
            let voters: Vec<usize> = blocks
                .iter()
                .filter(|(index, b)| *b == block && !self.is_forked(*index))
                .map(|(index, _)| *index)
                .collect();
            let good = voters.iter().filter(|i| self.nodes.get(**i).is_some_and(|n| n.standing.is_good()));
            (voters.len(), good.count(), std::cmp::Reverse(voters.into_iter().min()))
        };
        let Some(others) = blocks
            .iter()
            .filter(|(index, _)| !self.is_forked(*index))
            .map(|(_, block)| *block)
            .max_by_key(|block| weight(*block))
        else {
            return Vec::new();
        };
        let head = |index: usize| self.nodes.get(index).and_then(|node| node.head).unwrap_or(0);
        let best = blocks.iter().filter(|(_, b)| *b == others).map(|(i, _)| head(*i)).max().unwrap_or(0);
        let verdicts: Vec<(usize, Standing)> = blocks
            .iter()
            .map(|&(index, block)| {
                let behind = best.saturating_sub(head(index));
                let standing = if block != others {
                    Standing::Forked { height, block, others }
                } else if behind > self.config.max_lag {
                    Standing::Lagging { behind }
                } else {
                    Standing::Good
                };
                (index, standing)
            })
            .collect();
        verdicts.into_iter().filter_map(|(index, standing)| self.good(index, now, standing)).collect()
    }

    fn is_forked(&self, index: usize) -> bool {
        self.nodes.get(index).is_some_and(|node| matches!(node.standing, Standing::Forked { .. }))
    }

    /// What is thought of each, with its last known head.
    pub(crate) fn standings(&self) -> impl Iterator<Item = (Standing, Option<u64>)> + '_ {
        self.nodes.iter().map(|node| (node.standing.clone(), node.head))
    }

    /// It answered a look.
    fn good(&mut self, index: usize, now: Instant, standing: Standing) -> Option<Change> {
        let node = self.nodes.get_mut(index)?;
        node.retry_at = None;
        node.good_since.get_or_insert(now);
        self.set(index, standing)
    }

    fn set(&mut self, index: usize, standing: Standing) -> Option<Change> {
        let node = self.nodes.get_mut(index)?;
        let changed = node.standing.kind() != standing.kind();
        node.standing = standing.clone();
        changed.then_some(Change { index, standing })
    }
}

/// Rest after the n-th failure.
fn rest(config: &FailoverConfig, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(MAX_DOUBLINGS);
    config.cool_down.saturating_mul(1 << doublings).min(config.max_cool_down)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn block(n: u8) -> B256 {
        B256::with_last_byte(n)
    }

    fn silent() -> L1Error {
        L1Error::Transport {
            endpoint: "http://a".to_owned(),
            method: "eth_call",
            reason: "refused".to_owned(),
        }
    }

    fn failover(count: usize) -> (Failover, Instant) {
        (Failover::new(count, FailoverConfig::default()), Instant::now())
    }

    /// A whole look: heads, then the block of each at the common height.
    fn look(f: &mut Failover, now: Instant, found: &[(usize, u64, u8)]) -> Vec<Change> {
        let heads: Vec<_> = found.iter().map(|(index, head, _)| (*index, *head)).collect();
        let (mut changes, compared, height) = f.heads(now, &heads);
        let blocks: Vec<_> = found
            .iter()
            .filter(|(index, ..)| compared.contains(index))
            .map(|(index, _, b)| (*index, block(*b)))
            .collect();
        changes.extend(f.blocks(now, height, &blocks));
        changes
    }

    #[test]
    fn a_single_endpoint_is_always_asked_and_never_looked_at() {
        let (mut f, now) = failover(1);
        assert!(f.due(now).is_empty());
        assert!(f.failed(0, now, &silent()).is_some());
        assert_eq!(f.order(), [0]);
        assert!(!f.nodes[0].standing.is_good());
        f.answered(0, now);
        assert!(f.nodes[0].standing.is_good());
    }

    #[test]
    fn looks_come_at_intervals_and_when_a_rest_is_over() {
        let (mut f, now) = failover(3);
        assert_eq!(f.due(now), [0, 1, 2]);
        assert!(f.due(now + 9 * SECOND).is_empty());
        f.failed(1, now + 9 * SECOND, &silent());
        assert_eq!(f.due(now + 9 * SECOND + SECOND / 2), [] as [usize; 0]);
        assert_eq!(f.due(now + 10 * SECOND), [0, 1, 2]);
        // its rest is as long as before, the look has not changed that
        f.failed(1, now + 10 * SECOND, &silent());
        assert_eq!(f.due(now + 11 * SECOND), [] as [usize; 0]);
        assert_eq!(f.due(now + 12 * SECOND), [0, 1, 2]);
    }

    #[test]
    fn who_fails_rests_longer_each_time_and_is_the_last_to_be_asked() {
        let (mut f, mut now) = failover(2);
        let mut rests = Vec::new();
        for _ in 0..9 {
            f.failed(0, now, &silent());
            assert_eq!(f.order(), [1, 0]);
            let until = f.nodes[0].retry_at.unwrap();
            rests.push((until - now).as_secs());
            now = until;
            // a short good time in between changes nothing
            look(&mut f, now, &[(0, 10, 1), (1, 10, 1)]);
            assert_eq!(f.order(), [0, 1], "the first one is preferred again");
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        // a long one does
        now += 300 * SECOND;
        f.failed(0, now, &silent());
        assert_eq!(f.nodes[0].retry_at.unwrap() - now, SECOND);
    }

    #[test]
    fn who_is_behind_is_asked_after_the_others() {
        let (mut f, now) = failover(3);
        let changes = look(&mut f, now, &[(0, 100, 1), (1, 108, 1), (2, 109, 1)]);
        assert_eq!(changes, [Change { index: 0, standing: Standing::Lagging { behind: 9 } }]);
        assert_eq!(f.order(), [1, 2, 0]);
        f.failed(2, now, &silent());
        assert_eq!(f.order(), [1, 0, 2]);
        let changes = look(&mut f, now, &[(0, 101, 1), (1, 109, 1)]);
        assert_eq!(changes, [Change { index: 0, standing: Standing::Good }]);
    }

    /// Most decide what L1 is; one on another fork is not asked even when nobody else answers.
    #[test]
    fn who_is_on_another_fork_is_never_asked() {
        let (mut f, now) = failover(3);
        let (_, compared, height) = f.heads(now, &[(0, 100), (1, 102), (2, 101)]);
        assert_eq!((compared.as_slice(), height), ([0, 1, 2].as_slice(), 92));
        let changes = f.blocks(now, height, &[(0, block(7)), (1, block(1)), (2, block(1))]);
        let forked = Standing::Forked { height: 92, block: block(7), others: block(1) };
        assert_eq!(changes, [Change { index: 0, standing: forked.clone() }]);
        assert_eq!(f.order(), [1, 2]);
        f.failed(1, now, &silent());
        f.failed(2, now, &silent());
        assert_eq!(f.order(), [1, 2]);
        // alone, it stays what it is
        assert!(look(&mut f, now, &[(0, 103, 7)]).is_empty());
        assert_eq!(f.nodes[0].standing, forked);
        look(&mut f, now, &[(0, 103, 1), (1, 103, 1)]);
        assert_eq!(f.order(), [0, 1, 2]);
    }

    #[test]
    fn of_two_that_disagree_the_first_is_right_unless_the_other_was_in_use() {
        let (mut f, now) = failover(2);
        look(&mut f, now, &[(0, 50, 1), (1, 50, 2)]);
        assert_eq!(f.order(), [0]);
        let (mut f, now) = failover(2);
        f.failed(0, now, &silent());
        look(&mut f, now, &[(1, 50, 2)]);
        let changes = look(&mut f, now + SECOND, &[(0, 50, 1), (1, 50, 2)]);
        assert!(matches!(changes.as_slice(), [Change { index: 0, standing: Standing::Forked { .. } }]));
        assert_eq!(f.order(), [1]);
    }

    /// A node that claims an enormous height does not make the others late when it is on another chain.
    #[test]
    fn a_boaster_counts_only_among_its_own() {
        let (mut f, now) = failover(3);
        look(&mut f, now, &[(0, 50, 1), (1, u64::MAX, 2), (2, 51, 1)]);
        assert_eq!(f.order(), [0, 2]);
    }

    /// One that has just begun to sync does not let the others be compared at its height.
    #[test]
    fn who_is_far_behind_is_not_compared() {
        let (mut f, now) = failover(3);
        let (changes, compared, height) = f.heads(now, &[(0, 10), (1, 1000), (2, 1003)]);
        assert_eq!(changes, [Change { index: 0, standing: Standing::Lagging { behind: 990 } }]);
        assert_eq!((compared.as_slice(), height), ([1, 2].as_slice(), 992));
    }

    /// Two on another fork do not become right when those who were right are down.
    #[test]
    fn those_on_another_fork_have_no_say() {
        let (mut f, now) = failover(5);
        look(&mut f, now, &[(0, 50, 1), (1, 50, 1), (2, 50, 1), (3, 50, 2), (4, 50, 2)]);
        for down in [0, 1] {
            f.failed(down, now, &silent());
        }
        assert!(look(&mut f, now, &[(2, 60, 1), (3, 60, 2), (4, 60, 2)]).is_empty());
        assert!(look(&mut f, now, &[(3, 70, 2), (4, 70, 2)]).is_empty());
        assert_eq!(f.order(), [2, 0, 1]);
    }

    #[test]
    fn another_chain_is_asked_last_and_looked_at_again() {
        let (mut f, now) = failover(2);
        let change = f.failed(0, now, &L1Error::WrongChain { expected: 1, actual: 5 }).unwrap();
        assert_eq!(change.standing, Standing::WrongChain { actual: 5 });
        assert_eq!(f.order(), [1, 0]);
        f.next_check = Some(now + 100 * SECOND);
        assert_eq!(f.due(now + SECOND), [0, 1]);
    }

    #[test]
    fn who_answers_after_all_is_looked_at_next() {
        let (mut f, now) = failover(2);
        f.due(now);
        for _ in 0..6 {
            f.failed(1, now, &silent());
        }
        assert!(f.due(now + SECOND).is_empty());
        f.answered(0, now + SECOND);
        assert!(f.due(now + SECOND).is_empty(), "a good one changes nothing");
        f.answered(1, now + SECOND);
        assert_eq!(f.due(now + SECOND), [0, 1]);
    }

    proptest! {
        /// Whatever happens, everybody is asked at most once, everybody who is not on another fork is asked, the good
        /// ones first, and no rest exceeds the limit.
        #[test]
        fn an_order_is_always_sane(steps in prop::collection::vec((0u8..5, 0usize..4, 0u64..40, 0u8..3), 0..60)) {
            let (mut f, mut now) = failover(4);
            for (what, index, head, b) in steps {
                now += SECOND * u32::from(b);
                match what {
                    0 => drop(f.failed(index, now, &silent())),
                    1 => drop(f.failed(index, now, &L1Error::WrongChain { expected: 1, actual: 2 })),
                    2 => f.answered(index, now),
                    3 => drop(look(&mut f, now, &[(index, head, b), ((index + 1) % 4, head + 5, 1)])),
                    _ => drop(f.due(now)),
                }
                let order = f.order();
                let forked = f.nodes.iter().filter(|n| matches!(n.standing, Standing::Forked { .. })).count();
                let mut seen = order.clone();
                seen.sort_unstable();
                seen.dedup();
                prop_assert_eq!(seen.len(), order.len());
                prop_assert_eq!(order.len() + forked, 4);
                prop_assert!(!order.is_empty(), "at least one side of a disagreement is right");
                let first_bad = order.iter().position(|i| !f.nodes[*i].standing.is_good()).unwrap_or(4);
                prop_assert!(order[first_bad.min(order.len())..].iter().all(|i| !f.nodes[*i].standing.is_good()));
                for node in &f.nodes {
                    prop_assert!(node.retry_at.is_none_or(|at| at <= now + Duration::from_secs(60)));
                }
            }
        }
    }
}
