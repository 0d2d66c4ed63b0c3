//! Which request gets which fault: a pure function of a seed and of what was asked before.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::{Fault, Length};

/// Most methods that are told apart; what a client makes up beyond that counts as one.
pub(crate) const MAX_METHODS: usize = 1024;
/// The name under which methods beyond the bound are counted.
pub(crate) const OTHER_METHODS: &str = "(other)";
/// Longest method name that is kept, in bytes.
pub(crate) const MAX_METHOD_LEN: usize = 128;

/// Which methods a rule is about: a name, or the beginning of names with a `*` at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(String);

impl Pattern {
    /// Whether the rule is about this method.
    ///
    /// ```
    /// use ensemble_chaos::Pattern;
    ///
    /// assert!(Pattern::from("engine_newPayload*").matches("engine_newPayloadV4"));
    /// assert!(!Pattern::from("eth_call").matches("eth_callMany"));
    /// assert!(Pattern::from("*").matches("anything"));
    /// ```
    #[must_use]
    pub fn matches(&self, method: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => method.starts_with(start),
            None => method == self.0,
        }
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self(text)
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    pattern: Pattern,
    probability: f64,
    fault: Fault,
}

/// Which faults happen how often. Built once, given to a proxy, which asks it about every request.
///
/// What happens to a request depends on the seed, on its method, and on how many requests of that method came before:
/// not on time, and not on how requests of different methods interleave.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultPlan {
    seed: u64,
    latency: Vec<(Pattern, RangeInclusive<Duration>)>,
    rules: Vec<Rule>,
    in_a_row: u32,
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl FaultPlan {
    /// A plan without latency and without faults. It still has a seed, for rules to be added.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, latency: Vec::new(), rules: Vec::new(), in_a_row: u32::MAX }
    }

    /// No faults: the proxy only passes on.
    #[must_use]
    pub fn none() -> Self {
        Self::new(0)
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Every request of these methods takes longer by a time drawn from this range, faulted or not. The first rule
    /// that fits a method counts.
    #[must_use]
    pub fn latency(mut self, methods: impl Into<Pattern>, range: RangeInclusive<Duration>) -> Self {
        self.latency.push((methods.into(), range));
        self
    }

    /// Requests of these methods get this fault with this probability, 0 to 1; anything else is clamped, and what is
    /// no number is 0. A request gets at most one fault: the probabilities of all rules that fit add up, and what they
    /// have beyond 1 never happens, rules added first before those added last.
    #[must_use]
    pub fn fault(mut self, methods: impl Into<Pattern>, probability: f64, fault: Fault) -> Self {
        let probability = if probability.is_nan() { 0.0 } else { probability.clamp(0.0, 1.0) };
        self.rules.push(Rule { pattern: methods.into(), probability, fault });
        self
    }

    /// After so many faulted requests of a method in a row, its next one passes. Delays don't count as faulted; scripted
    /// faults are not limited. With it, whoever retries gets through.
    #[must_use]
    pub fn at_most_in_a_row(mut self, limit: u32) -> Self {
        self.in_a_row = limit;
        self
    }

    /// What a bad provider does to an L1 client, with everything that a sequencer has to survive: errors, cuts, lost and
    /// late answers, doubled transactions, heads that step back, short outages. At `intensity` 1.0 about every
    /// eighth request is faulted, and every fourth transaction; at 2.0 twice as many. At most three in a row, so whoever
    /// retries makes progress.
    ///
    /// Not in it is what a client must stop at (another chain) and what no client can see (logs that are missing).
    #[must_use]
    pub fn l1(seed: u64, intensity: f64) -> Self {
        let reads = [
            "eth_call",
            "eth_estimateGas",
            "eth_getBalance",
            "eth_getTransactionCount",
            "eth_getLogs",
            "eth_feeHistory",
        ];
        let heads = [
            "eth_blockNumber",
            "eth_getBlockByNumber",
            "eth_getTransactionCount",
            "eth_getTransactionReceipt",
        ];
        let mut plan = Self::new(seed)
            .latency("*", ms(0)..=ms(10))
            .at_most_in_a_row(3)
            .fault("eth_sendRawTransaction", 0.08 * intensity, Fault::LoseAnswer)
            .fault("eth_sendRawTransaction", 0.06 * intensity, Fault::Duplicate);
        for method in reads {
            plan = plan.fault(method, 0.01 * intensity, Fault::header_not_found());
        }
        for method in heads {
            plan = plan.fault(method, 0.02 * intensity, Fault::Stale(1)).fault(
                method,
                0.01 * intensity,
                Fault::Stale(3),
            );
        }
        plan.fault("*", 0.02 * intensity, Fault::DelayRequest(ms(20)..=ms(300)))
            .fault("*", 0.015 * intensity, Fault::DelayAnswer(ms(20)..=ms(500)))
            .fault("*", 0.01 * intensity, Fault::Status(503))
            .fault("*", 0.005 * intensity, Fault::Status(502))
            .fault("*", 0.01 * intensity, Fault::Status(429))
            .fault("*", 0.01 * intensity, Fault::rate_limited())
            .fault("*", 0.005 * intensity, Fault::internal_error())
            .fault("*", 0.01 * intensity, Fault::CutRequest)
            .fault("*", 0.005 * intensity, Fault::LoseAnswer)
            .fault("*", 0.005 * intensity, Fault::cut_in_the_middle())
            .fault("*", 0.003 * intensity, Fault::CutAnswer { percent: 70, length: Length::OfTheRest })
            .fault("*", 0.003 * intensity, Fault::CutAnswer { percent: 30, length: Length::Unknown })
            .fault("*", 0.004 * intensity, Fault::InvalidJson)
            .fault("*", 0.002 * intensity, Fault::InvalidUtf8)
            .fault("*", 0.003 * intensity, Fault::WrongId)
            .fault("*", 0.003 * intensity, Fault::WrongType(crate::WrongType::Text))
            .fault("*", 0.001 * intensity, Fault::Enormous { bytes: 32 << 20, announced: false })
            .fault("*", 0.001 * intensity, Fault::NeverAnswer)
            .fault("*", 0.002 * intensity, Fault::Down(ms(300)))
    }

    /// What a bad network does between a sequencer and its execution client: Engine API calls whose answer is lost or
    /// that arrive twice, forgotten builds, errors, cuts, short outages. About every eighth request is faulted at
    /// `intensity` 1.0; at most two in a row.
    ///
    /// Not in it is what a sequencer must stop at: refused tokens, another chain, methods that are not offered.
    #[must_use]
    pub fn engine(seed: u64, intensity: f64) -> Self {
        Self::new(seed)
            .latency("*", ms(0)..=ms(3))
            .at_most_in_a_row(2)
            .fault("engine_newPayload*", 0.04 * intensity, Fault::LoseAnswer)
            .fault("engine_newPayload*", 0.04 * intensity, Fault::Duplicate)
            .fault("engine_forkchoiceUpdated*", 0.04 * intensity, Fault::LoseAnswer)
            .fault("engine_forkchoiceUpdated*", 0.03 * intensity, Fault::Duplicate)
            .fault("engine_getPayload*", 0.03 * intensity, Fault::LoseAnswer)
            .fault(
                "engine_getPayload*",
                0.02 * intensity,
                Fault::RpcError { code: -38001, message: "Unknown payload".to_owned() },
            )
            .fault("eth_getBlockByNumber", 0.02 * intensity, Fault::Stale(1))
            .fault("*", 0.015 * intensity, Fault::DelayRequest(ms(10)..=ms(150)))
            .fault("*", 0.01 * intensity, Fault::DelayAnswer(ms(10)..=ms(200)))
            .fault("*", 0.01 * intensity, Fault::Status(503))
            .fault("*", 0.01 * intensity, Fault::internal_error())
            .fault("*", 0.01 * intensity, Fault::CutRequest)
            .fault("*", 0.005 * intensity, Fault::cut_in_the_middle())
            .fault("*", 0.003 * intensity, Fault::CutAnswer { percent: 70, length: Length::OfTheRest })
            .fault("*", 0.003 * intensity, Fault::InvalidJson)
            .fault("*", 0.002 * intensity, Fault::InvalidUtf8)
            .fault("*", 0.003 * intensity, Fault::WrongId)
            .fault("*", 0.003 * intensity, Fault::WrongType(crate::WrongType::Text))
            .fault("*", 0.001 * intensity, Fault::NeverAnswer)
            .fault("*", 0.002 * intensity, Fault::Down(ms(200)))
    }
}

/// What is to happen to one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The time that the request takes longer in any case.
    pub latency: Duration,
    /// The fault, with every range drawn: both ends of it are equal.
    pub fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    requests: u64,
    faulted_in_a_row: u32,
}

#[derive(Clone, Debug)]
struct Scripted {
    pattern: Pattern,
    left: u64,
    fault: Fault,
}

/// Walks through a [`FaultPlan`]: synchronous, without I/O and without a clock. The proxy has one; alone it serves to
/// look at a plan before it is used.
#[derive(Clone, Debug)]
pub struct Planner {
    plan: FaultPlan,
    counts: BTreeMap<String, Count>,
    script: Vec<Scripted>,
}

impl Planner {
    /// At the beginning of this plan.
    #[must_use]
    pub fn new(plan: FaultPlan) -> Self {
        Self { plan, counts: BTreeMap::new(), script: Vec::new() }
    }

    /// Another plan, from its beginning. What is scripted stays.
    pub fn set_plan(&mut self, plan: FaultPlan) {
        self.plan = plan;
        self.counts.clear();
    }

    /// The next `times` requests of these methods get this fault, whatever the plan says. Scripts that fit the same
    /// request are used up in the order they were added.
    pub fn script(&mut self, methods: impl Into<Pattern>, times: u64, fault: Fault) {
        if times > 0 {
            self.script.push(Scripted { pattern: methods.into(), left: times, fault });
        }
    }

    /// Forgets what was scripted and did not happen yet.
    pub fn clear_script(&mut self) {
        self.script.clear();
    }

    /// Scripted faults that did not happen yet.
    #[must_use]
    pub fn scripted(&self) -> u64 {
        self.script.iter().map(|s| s.left).sum()
    }

    /// Decides about the next request. `methods` are those of a batch, in order, or the one of a single request. A batch
    /// is one request: a rule fits it when it fits one of its methods.
    pub fn decide(&mut self, methods: &[&str]) -> Decision {
        let key = self.key(methods);
        let count = self.counts.entry(key.clone()).or_default();
        let number = count.requests;
        count.requests = number.saturating_add(1);
        let mut rng = rng(self.plan.seed, &key, number);
        let fits = |pattern: &Pattern| methods.iter().any(|method| pattern.matches(method));

        // Drawn in any case and first, so that a scripted fault or a row that is full changes nothing else.
        let latency = match self.plan.latency.iter().find(|(pattern, _)| fits(pattern)) {
            Some((_, range)) => draw(&mut rng, range),
            None => Duration::ZERO,
        };
        let mut point: f64 = rng.r#gen();
        let scripted = self.script.iter().position(|s| fits(&s.pattern));
        let fault = match scripted {
            Some(at) => {
                let entry = &mut self.script[at];
                entry.left -= 1;
                let fault = entry.fault.clone();
                if entry.left == 0 {
                    self.script.remove(at);
                }
                Some(fault)
            }
            None => {
                let drawn = self.plan.rules.iter().filter(|rule| fits(&rule.pattern)).find_map(|rule| {
                    let hit = point < rule.probability;
                    point -= rule.probability;
                    hit.then(|| rule.fault.clone())
                });
                let full = count.faulted_in_a_row >= self.plan.in_a_row;
                drawn.filter(|fault| !(full && breaks(fault)))
            }
        };
        if fault.as_ref().is_some_and(breaks) {
            count.faulted_in_a_row = count.faulted_in_a_row.saturating_add(1);
        } else {
            count.faulted_in_a_row = 0;
        }
        Decision { latency, fault: fault.map(|fault| resolve(&mut rng, fault)) }
    }

    /// The name that the requests of these methods are counted under.
    fn key(&self, methods: &[&str]) -> String {
        let key = match methods {
            [method] if method.len() <= MAX_METHOD_LEN => (*method).to_owned(),
            [_] => OTHER_METHODS.to_owned(),
            _ => "(batch)".to_owned(),
        };
        if self.counts.len() >= MAX_METHODS && !self.counts.contains_key(&key) {
            return OTHER_METHODS.to_owned();
        }
        key
    }
}

/// Whether the client gets something else than a good answer.
fn breaks(fault: &Fault) -> bool {
    !matches!(fault, Fault::DelayRequest(_) | Fault::DelayAnswer(_))
}

/// A generator of its own for each request. `ChaCha8Rng` and SHA-256 are the same on every machine and in every version,
/// so a seed from a CI log means the same everywhere.
fn rng(seed: u64, key: &str, number: u64) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(number.to_le_bytes());
    hash.update(key.as_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

fn draw(rng: &mut ChaCha8Rng, range: &RangeInclusive<Duration>) -> Duration {
    let nanos = |d: &Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
    let (from, to) = (nanos(range.start()), nanos(range.end()));
    Duration::from_nanos(if from >= to { from } else { rng.gen_range(from..=to) })
}

fn resolve(rng: &mut ChaCha8Rng, fault: Fault) -> Fault {
    let fixed = |d: Duration| d..=d;
    match fault {
        Fault::DelayRequest(range) => Fault::DelayRequest(fixed(draw(rng, &range))),
        Fault::DelayAnswer(range) => Fault::DelayAnswer(fixed(draw(rng, &range))),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;
    use crate::FaultKind;

    fn kinds(planner: &mut Planner, methods: &[&str]) -> Vec<Option<FaultKind>> {
        methods.iter().map(|method| planner.decide(&[method]).fault.map(|fault| fault.kind())).collect()
    }

    /// The exact faults of a seed: when this changes, seeds of old CI logs mean something else.
    #[test]
    fn a_seed_means_the_same_for_ever() {
        let plan = FaultPlan::new(42).latency("*", ms(0)..=ms(10)).fault("a", 0.4, Fault::Status(500)).fault(
            "*",
            0.2,
            Fault::DelayAnswer(ms(0)..=ms(1000)),
        );
        let mut planner = Planner::new(plan);
        let text: String = (0..40)
            .map(|_| match planner.decide(&["a"]).fault {
                Some(Fault::Status(_)) => 's',
                Some(_) => 'd',
                None => '.',
            })
            .collect();
        assert_eq!(text, ".....dd...s.sssss.ssssdsss.sss.s.sssss.s");
    }

    /// What a method gets does not depend on how often others are called in between.
    #[test]
    fn methods_do_not_disturb_each_other() {
        let plan = FaultPlan::l1(7, 2.0);
        let (mut alone, mut mixed) = (Planner::new(plan.clone()), Planner::new(plan));
        for n in 0..500 {
            for _ in 0..n % 3 {
                mixed.decide(&["eth_getLogs"]);
                mixed.decide(&["eth_call", "eth_getLogs"]);
            }
            assert_eq!(alone.decide(&["eth_call"]), mixed.decide(&["eth_call"]), "request {n}");
        }
    }

    #[test]
    fn scripts_come_first_and_in_order() {
        let mut planner = Planner::new(FaultPlan::new(1).fault("*", 1.0, Fault::CutRequest));
        planner.script("eth_*", 2, Fault::Status(500));
        planner.script("eth_call", 1, Fault::LoseAnswer);
        planner.script("eth_call", 0, Fault::WrongId);
        assert_eq!(planner.scripted(), 3);
        let got = kinds(
            &mut planner,
            &["net_version", "eth_call", "eth_getLogs", "eth_getLogs", "eth_call", "eth_call"],
        );
        let (cut, status) = (Some(FaultKind::CutRequest), Some(FaultKind::Status));
        assert_eq!(got, [cut, status, status, cut, Some(FaultKind::LoseAnswer), cut]);
        planner.script("x", 5, Fault::WrongId);
        planner.clear_script();
        assert_eq!((planner.scripted(), kinds(&mut planner, &["x"])), (0, vec![cut]));
    }

    /// A script changes the requests that it is about and no others.
    #[test]
    fn scripts_do_not_move_the_plan() {
        let plan = FaultPlan::l1(5, 2.0);
        let (mut plain, mut scripted) =
            (Planner::new(plan.clone()), Planner::new(plan.at_most_in_a_row(u32::MAX)));
        scripted.script("eth_call", 3, Fault::WrongId);
        plain.plan.in_a_row = u32::MAX;
        for n in 0..300 {
            let (a, b) = (plain.decide(&["eth_call"]), scripted.decide(&["eth_call"]));
            if n >= 3 {
                assert_eq!(a, b, "request {n}");
            }
        }
    }

    #[test]
    fn another_plan_begins_at_its_beginning() {
        let plan = FaultPlan::engine(9, 3.0);
        let mut fresh = Planner::new(plan.clone());
        let mut used = Planner::new(FaultPlan::none());
        kinds(&mut used, &["a"; 17]);
        used.script("b", 1, Fault::WrongId);
        used.set_plan(plan);
        assert_eq!(kinds(&mut used, &["a"; 200]), kinds(&mut fresh, &["a"; 200]));
        assert_eq!(kinds(&mut used, &["b"]), [Some(FaultKind::WrongId)], "scripts stay");
    }

    #[test]
    fn a_batch_is_one_request_of_all_its_methods() {
        let mut planner = Planner::new(FaultPlan::new(1).fault("b", 1.0, Fault::WrongId));
        assert_eq!(planner.decide(&["a", "b"]).fault, Some(Fault::WrongId));
        assert_eq!(planner.decide(&["a", "c"]).fault, None);
        assert_eq!(planner.decide(&[]).fault, None);
    }

    #[test]
    fn probabilities_are_probabilities() {
        let always = |p: f64| {
            Planner::new(FaultPlan::new(1).fault("*", p, Fault::WrongId)).decide(&["x"]).fault.is_some()
        };
        assert_eq!(
            [2.0, 1.0, 0.0, -1.0, f64::NAN, f64::INFINITY].map(always),
            [true, true, false, false, false, true]
        );
        let mut planner = Planner::new(FaultPlan::new(4).fault("*", 0.25, Fault::WrongId).fault(
            "*",
            0.5,
            Fault::CutRequest,
        ));
        let got = kinds(&mut planner, &["x"; 4000]);
        let share = |kind| got.iter().filter(|k| **k == kind).count();
        assert!(
            (900..1100).contains(&share(Some(FaultKind::WrongId))),
            "{}",
            share(Some(FaultKind::WrongId))
        );
        assert!((1900..2100).contains(&share(Some(FaultKind::CutRequest))));
    }

    #[test]
    fn ranges_are_drawn_within_their_ends() {
        let plan =
            FaultPlan::new(8).latency("*", ms(5)..=ms(9)).fault("*", 1.0, Fault::DelayRequest(ms(1)..=ms(3)));
        let mut planner = Planner::new(plan);
        for _ in 0..100 {
            let Decision { latency, fault: Some(Fault::DelayRequest(time)) } = planner.decide(&["x"]) else {
                panic!()
            };
            assert!((ms(5)..=ms(9)).contains(&latency) && (ms(1)..=ms(3)).contains(time.start()));
            assert_eq!(time.start(), time.end());
        }
        let backwards = FaultPlan::new(8).latency("*", ms(9)..=ms(5));
        assert_eq!(Planner::new(backwards).decide(&["x"]).latency, ms(9));
    }

    /// SEQ-INV-11: a client that makes up methods does not fill memory.
    #[test]
    fn methods_are_bounded() {
        let mut planner = Planner::new(FaultPlan::none());
        for n in 0..3 * MAX_METHODS {
            planner.decide(&[&format!("m{n}")]);
        }
        planner.decide(&[&"x".repeat(100_000)]);
        assert!(planner.counts.len() <= MAX_METHODS + 1);
        assert!(planner.counts.keys().all(|key| key.len() <= MAX_METHOD_LEN));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whoever retries gets through: at any seed and intensity, no method is faulted more often in a row than the
        /// plan allows.
        #[test]
        fn presets_let_who_retries_through(seed: u64, intensity in 0.0..20.0f64) {
            for (plan, limit) in [(FaultPlan::l1(seed, intensity), 3), (FaultPlan::engine(seed, intensity), 2)] {
                let mut planner = Planner::new(plan);
                for method in ["eth_sendRawTransaction", "eth_getLogs", "engine_newPayloadV4"] {
                    let mut row = 0;
                    for _ in 0..200 {
                        match planner.decide(&[method]).fault {
                            Some(fault) if breaks(&fault) => row += 1,
                            Some(_) | None => row = 0,
                        }
                        prop_assert!(row <= limit, "seed {seed}: {row} in a row");
                    }
                }
            }
        }
    }

    #[test]
    fn presets_fault_about_as_often_as_they_say() {
        let share = |plan: FaultPlan, method: &str| {
            let mut planner = Planner::new(plan);
            kinds(&mut planner, &vec![method; 5000]).iter().flatten().count() as f64 / 5000.0
        };
        for (intensity, low, high) in [(0.0, 0.0, 0.0), (1.0, 0.08, 0.26), (2.0, 0.16, 0.5)] {
            for method in ["eth_chainId", "eth_getTransactionCount", "eth_sendRawTransaction", "eth_getLogs"]
            {
                let got = share(FaultPlan::l1(1, intensity), method);
                assert!((low..=high).contains(&got), "l1 {method} at {intensity}: {got}");
            }
            for method in ["engine_newPayloadV4", "engine_getPayloadV5", "eth_getBlockByNumber"] {
                let got = share(FaultPlan::engine(1, intensity), method);
                assert!((low..=high).contains(&got), "engine {method} at {intensity}: {got}");
            }
        }
    }
}
