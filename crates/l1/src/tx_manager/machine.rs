//! The state machine itself.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use alloy_primitives::{B256, U256};

use super::{
    Action, ChainView, FailReason, FeeDecision, IntentId, IntentState, IntentStatus, Outcome, PastTx,
    SignFailure, SignedRecord, TrackedTx, TxManagerConfig, TxManagerError,
};
use crate::{FeePlan, L1Error, TxReceipt, TxType};

/// Mined intents that may wait for confirmations beside those in flight.
const MAX_UNCONFIRMED: usize = 64;
/// Rounds of receipts that must find nothing before a used nonce counts as foreign.
const FOREIGN_ROUNDS: u32 = 3;
/// First wait after a failure; it doubles up to `resubmit_after`.
const RETRY_BASE: Duration = Duration::from_secs(1);

/// See the [module documentation](super).
#[derive(Debug)]
pub struct TxManager {
    config: TxManagerConfig,
    entries: BTreeMap<IntentId, Entry>,
    /// Intents without a nonce, in the order in which they came.
    queue: VecDeque<IntentId>,
    /// Nonces of unfinished intents.
    live: BTreeMap<u64, IntentId>,
    /// What was signed for intents that have their outcome, by nonce: the last [`TxManager::PAST_NONCES`] of them.
    past: BTreeMap<u64, Vec<PastTx>>,
    outcomes: VecDeque<Outcome>,
    /// The chain was seen to have used all nonces below this one.
    floor: u64,
    /// The block that has shown it: height and hash.
    floor_block: Option<(u64, B256)>,
    /// Since when the chain says less than `floor`.
    floor_contradicted: Option<Instant>,
    /// A nonce that nobody seems to use, below one of ours, and since when.
    gap: Option<(u64, Instant)>,
}

#[derive(Debug)]
struct Entry {
    tx_type: TxType,
    nonce: Option<u64>,
    attempts: Vec<Attempt>,
    /// The attempt to broadcast.
    current: usize,
    busy: Option<Busy>,
    needs_broadcast: bool,
    bump_wanted: bool,
    /// No signing or sending before this.
    retry_at: Option<Instant>,
    failures: u32,
    /// When bytes were last sent, or a replacement was last tried.
    last_sent: Option<Instant>,
    check: Check,
    mined: Option<u64>,
    /// A transaction of an earlier try has had the effect meanwhile, at another nonce.
    done: Option<TxReceipt>,
    foreign: Option<Foreign>,
    /// The pool said at the last try that it holds a transaction of the other type.
    reserved: bool,
    /// Since when it says so while this nonce is the next one.
    reserved_since: Option<Instant>,
    blocked: Option<String>,
}

#[derive(Debug)]
struct Attempt {
    record: SignedRecord,
    /// It was given out for sending.
    maybe_sent: bool,
    /// Some node may hold it: it was sent, and the answer was not a plain refusal of its content.
    maybe_kept: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Busy {
    Sign(TxType),
    Adopt,
    Broadcast(B256),
    Check,
}

#[derive(Debug, Default)]
struct Check {
    forced: bool,
    last: Option<(Instant, u64)>,
    not_before: Option<Instant>,
    failures: u32,
}

#[derive(Debug)]
struct Foreign {
    since_head: u64,
    rounds: u32,
}

impl Entry {
    fn new(tx_type: TxType) -> Self {
        Self {
            tx_type,
            nonce: None,
            attempts: Vec::new(),
            current: 0,
            busy: None,
            needs_broadcast: false,
            bump_wanted: false,
            retry_at: None,
            failures: 0,
            last_sent: None,
            check: Check::default(),
            mined: None,
            done: None,
            foreign: None,
            reserved: false,
            reserved_since: None,
            blocked: None,
        }
    }

    /// Takes up what was signed by an earlier instance or for an earlier try: it may be anywhere by now.
    fn take_up(&mut self, record: SignedRecord) {
        if self.attempts.iter().all(|a| a.record.hash != record.hash) {
            self.attempts.push(Attempt { record, maybe_sent: true, maybe_kept: true });
        }
        // Each replacement raises this field, so the order of signing comes back. Those of the other type were signed
        // last.
        let own = self.tx_type;
        self.attempts.sort_by_key(|a| (a.record.tx_type != own, a.record.fees.max_fee_per_gas));
        self.current = self.newest();
        self.needs_broadcast = true;
        self.check.forced = true;
    }

    fn of_type(&self, tx_type: TxType) -> impl DoubleEndedIterator<Item = (usize, &Attempt)> {
        self.attempts.iter().enumerate().filter(move |(_, a)| a.record.tx_type == tx_type)
    }

    fn highest_fees(&self, tx_type: TxType) -> Option<FeePlan> {
        self.of_type(tx_type).map(|(_, a)| a.record.fees).reduce(FeePlan::max)
    }

    fn newest_of(&self, tx_type: TxType) -> Option<usize> {
        self.of_type(tx_type).next_back().map(|(place, _)| place)
    }

    fn newest(&self) -> usize {
        self.attempts.len().saturating_sub(1)
    }

    /// Type of the attempt to broadcast.
    fn current_type(&self) -> TxType {
        self.attempts.get(self.current).map_or(self.tx_type, |a| a.record.tx_type)
    }

    /// The most it can still cost: one of its attempts is mined at most.
    fn worst_cost(&self) -> U256 {
        match self.mined {
            Some(_) => U256::ZERO,
            None => self.attempts.iter().map(|a| a.record.max_cost).max().unwrap_or_default(),
        }
    }

    fn ever_sent(&self) -> bool {
        self.attempts.iter().any(|a| a.maybe_sent)
    }

    /// Whether to look for receipts. `used`: the chain has used the nonce, so that bytes that were never given out never
    /// will be.
    fn check_due(&self, now: Instant, head: u64, poll: Duration, used: bool) -> bool {
        let signed = !self.attempts.is_empty();
        if !(self.ever_sent() || (used && signed)) || self.check.not_before.is_some_and(|t| now < t) {
            return false;
        }
        self.check.forced
            || self.check.last.is_none_or(|(at, seen)| seen != head || now.duration_since(at) >= poll)
    }
}

impl TxManager {
    /// Nonces, counted from the highest one, whose transactions stay known after their outcome. A reorg that frees more
    /// of them is deeper than L1's finality.
    pub const PAST_NONCES: usize = 256;

    /// A manager without intents.
    #[must_use]
    pub fn new(config: TxManagerConfig) -> Self {
        Self {
            config: TxManagerConfig {
                max_in_flight: config.max_in_flight.clamp(1, TxManagerConfig::MAX_IN_FLIGHT),
                ..config
            },
            entries: BTreeMap::new(),
            queue: VecDeque::new(),
            live: BTreeMap::new(),
            past: BTreeMap::new(),
            outcomes: VecDeque::new(),
            floor: 0,
            floor_block: None,
            floor_contradicted: None,
            gap: None,
        }
    }

    /// Takes over what an earlier run signed, in any order. Call it before any [`Self::on_intent`]. The receipts of
    /// all of it are looked for first; what is not mined is sent again with the same bytes.
    ///
    /// # Errors
    /// [`TxManagerError::TwoNonces`], [`TxManagerError::SharedNonce`]: the store is corrupt or shared with another
    /// sequencer. The manager is then empty.
    pub fn recover(&mut self, transactions: Vec<TrackedTx>) -> Result<(), TxManagerError> {
        let mut entries: BTreeMap<IntentId, Entry> = BTreeMap::new();
        let mut live: BTreeMap<u64, IntentId> = BTreeMap::new();
        for TrackedTx { intent, tx_type, record } in transactions {
            let nonce = record.nonce;
            if let Some(other) = live.get(&nonce).filter(|other| **other != intent) {
                return Err(TxManagerError::SharedNonce { nonce, first: other.clone(), second: intent });
            }
            let entry = entries.entry(intent.clone()).or_insert_with(|| Entry::new(tx_type));
            if let Some(first) = entry.nonce.filter(|first| *first != nonce) {
                return Err(TxManagerError::TwoNonces { intent, first, second: nonce });
            }
            entry.nonce = Some(nonce);
            entry.take_up(record);
            live.insert(nonce, intent);
        }
        let config = self.config;
        *self = Self { entries, live, ..Self::new(config) };
        Ok(())
    }

    /// Learns what earlier runs signed for intents that have their outcome, and for earlier tries of those that have not.
    /// Call it after [`Self::recover`].
    pub fn remember(&mut self, past: impl IntoIterator<Item = PastTx>) {
        for tx in past {
            let same_nonce = self.past.entry(tx.nonce).or_default();
            same_nonce.retain(|known| known.hash != tx.hash);
            same_nonce.push(tx);
        }
        while self.past.len() > Self::PAST_NONCES {
            self.past.pop_first();
        }
    }

    /// An effect is wanted. `false` when it is tracked already, or the id is reserved ([`IntentId::is_filler`]):
    /// nothing changes then.
    pub fn on_intent(&mut self, intent: IntentId, tx_type: TxType) -> bool {
        if intent.is_filler() || self.entries.contains_key(&intent) {
            return false;
        }
        self.queue.push_back(intent.clone());
        self.entries.insert(intent, Entry::new(tx_type));
        true
    }

    /// Drops an intent that has nothing signed and is not being signed. `false` when it is too late for that.
    pub fn cancel(&mut self, intent: &IntentId) -> bool {
        let Some(place) = self.queue.iter().position(|id| id == intent) else { return false };
        self.queue.remove(place);
        self.entries.remove(intent);
        true
    }

    /// The next thing to do, `None` when there is nothing at present. Call it until it says so, at each new head
    /// and at least every second or so.
    ///
    /// `now` must not go backwards. The view must be read after the last [`Self::on_broadcast_result`] that the
    /// manager is to see reflected in it; an older one does no harm but wastes requests.
    pub fn next_action(&mut self, now: Instant, view: &ChainView) -> Option<Action> {
        let latest = self.latest_nonce(now, view);
        self.watch_gap(now, latest, view);
        // Nothing behind a gap is mined before it is closed. Resubmissions come again and again, faster than a slow node
        // takes them: they must not be in its way.
        if self.behind_gap(latest).is_some()
            && let Some(action) = self.start_next(now, latest, view)
        {
            return Some(action);
        }
        let ids: Vec<(u64, IntentId)> = self.live.iter().map(|(n, id)| (*n, id.clone())).collect();
        for (nonce, id) in ids {
            if let Some(action) = self.advance(now, view, latest, nonce, &id) {
                return Some(action);
            }
        }
        self.start_next(now, latest, view)
    }

    /// What to do for an intent that has a nonce.
    fn advance(
        &mut self,
        now: Instant,
        view: &ChainView,
        latest: u64,
        nonce: u64,
        id: &IntentId,
    ) -> Option<Action> {
        let config = self.config;
        let entry = self.entries.get_mut(id)?;
        if entry.busy.is_some() {
            return None;
        }
        if entry.check_due(now, view.head, config.receipt_poll, latest > nonce) {
            entry.busy = Some(Busy::Check);
            let past = self.past.get(&nonce).into_iter().flatten().map(|p| p.hash);
            let hashes = entry.attempts.iter().rev().map(|a| a.record.hash).chain(past).collect();
            return Some(Action::CheckReceipts { intent: id.clone(), hashes });
        }
        // A used nonce is the receipts' business only.
        if entry.mined.is_some() || latest > nonce || entry.retry_at.is_some_and(|t| now < t) {
            return None;
        }
        if entry.reserved && nonce == latest {
            let since = *entry.reserved_since.get_or_insert(now);
            if now.duration_since(since) >= config.resubmit_after {
                return entry.clear_the_place(id, nonce);
            }
        } else {
            entry.reserved_since = None;
        }
        let overdue = entry.last_sent.is_some_and(|sent| now.duration_since(sent) >= config.resubmit_after);
        let tx_type = entry.current_type();
        let replacements =
            u32::try_from(entry.of_type(tx_type).count().saturating_sub(1)).unwrap_or(u32::MAX);
        // Behind a nonce that is not mined yet, a higher fee would buy nothing.
        let may_bump = nonce == latest && replacements < config.max_replacements;
        if (entry.bump_wanted || (overdue && !entry.needs_broadcast))
            && may_bump
            && let Some(previous) = entry.highest_fees(tx_type)
        {
            return Some(entry.ask(id, tx_type, nonce, FeeDecision::Bump { previous }));
        }
        if entry.needs_broadcast || overdue {
            let current = entry.current;
            let attempt = entry.attempts.get_mut(current)?;
            // From here on the bytes may be anywhere, even if the owner dies before it reports.
            attempt.maybe_sent = true;
            let hash = attempt.record.hash;
            entry.busy = Some(Busy::Broadcast(hash));
            return Some(Action::Broadcast { intent: id.clone(), hash, raw: attempt.record.raw.clone() });
        }
        None
    }

    /// Gives a nonce to the first intent of the queue, if one may go out now.
    fn start_next(&mut self, now: Instant, latest: u64, view: &ChainView) -> Option<Action> {
        let id = self.queue.front()?.clone();
        // While the view contradicts the receipts, either it lags or a reorg took our blocks away. Signing for the
        // nonce of the receipts would leave a gap in the second case, so it is waited until that is clear.
        if view.nonce_latest < self.floor || !self.may_start(now, &id) {
            return None;
        }
        if let Some(nonce) = self.to_adopt(latest, &id) {
            self.queue.pop_front();
            self.live.insert(nonce, id.clone());
            let entry = self.entries.get_mut(&id)?;
            entry.nonce = Some(nonce);
            entry.retry_at = None;
            entry.busy = Some(Busy::Adopt);
            return Some(Action::Adopt { intent: id, nonce });
        }
        let pool = if id.is_filler() && view.nonce_pending <= self.explained(latest) {
            latest
        } else {
            view.nonce_pending
        };
        let first = latest.max(pool);
        let nonce = (first..).find(|n| !self.live.contains_key(n))?;
        self.queue.pop_front();
        if id.is_filler() && id != IntentId::filler(nonce) {
            // Somebody took the nonce it was for.
            self.entries.remove(&id);
            return None;
        }
        let entry = self.entries.get_mut(&id)?;
        self.live.insert(nonce, id.clone());
        entry.nonce = Some(nonce);
        entry.retry_at = None;
        let tx_type = entry.tx_type;
        Some(entry.ask(&id, tx_type, nonce, FeeDecision::Fresh))
    }

    /// The nonce of an earlier transaction with the effect of this intent, if the chain waits for that nonce again. Any
    /// other nonce would make two transactions with one effect.
    fn to_adopt(&self, latest: u64, id: &IntentId) -> Option<u64> {
        let free = self.past.range(latest..).filter(|(nonce, _)| !self.live.contains_key(nonce));
        let mut has_effect = free.filter(|(_, txs)| txs.iter().any(|tx| tx.intent == *id && !tx.empty));
        has_effect.next().map(|(nonce, _)| *nonce)
    }

    /// Whether the first intent of the queue may get a nonce now.
    fn may_start(&self, now: Instant, id: &IntentId) -> bool {
        let Some(entry) = self.entries.get(id) else { return false };
        if entry.retry_at.is_some_and(|t| now < t) {
            return false;
        }
        if id.is_filler() {
            return true;
        }
        let live = || self.live.values().filter_map(|id| self.entries.get(id));
        let waiting = || live().filter(|e| e.mined.is_none());
        waiting().count() < self.config.max_in_flight
            && self.live.len() < self.config.max_in_flight + MAX_UNCONFIRMED
            // One after the other, so that a failure cannot change their order.
            && waiting().all(|e| !e.attempts.is_empty() && !e.needs_broadcast && !e.bump_wanted)
            // Pools take one type at a time from an account. Mined ones count as well: if a reorg brought one
            // back below a transaction of the other type, the pool would never take it again.
            && live().all(|e| e.tx_type == entry.tx_type && e.current_type() == entry.tx_type)
    }

    /// The next nonce of the chain: what the view says, unless the view lags behind what receipts have shown.
    fn latest_nonce(&mut self, now: Instant, view: &ChainView) -> u64 {
        if view.nonce_latest >= self.floor {
            self.floor_contradicted = None;
            return view.nonce_latest;
        }
        let since = *self.floor_contradicted.get_or_insert(now);
        if now.duration_since(since) >= self.config.resubmit_after {
            // No lag lasts that long: a reorg deeper than our confirmations took the blocks away.
            self.on_block_gone();
            return view.nonce_latest;
        }
        self.floor
    }

    /// The block, by height and hash, that has confirmed a transaction of ours whose nonce is free again according
    /// to this view. When the chain has another block at that height, [`Self::on_block_gone`] spares the wait until
    /// the view is believed; while it is still there, the view is one of a node that lags.
    #[must_use]
    pub fn doubtful_block(&self, view: &ChainView) -> Option<(u64, B256)> {
        self.floor_block.filter(|(height, _)| view.nonce_latest < self.floor && view.head >= *height)
    }

    /// A reorg deeper than the confirmations took the block of [`Self::doubtful_block`] away.
    pub fn on_block_gone(&mut self) {
        self.floor = 0;
        self.floor_block = None;
        self.floor_contradicted = None;
    }

    /// The most in wei that everything in flight can still cost, but for the intent `except`.
    #[must_use]
    pub fn worst_cost(&self, except: Option<&IntentId>) -> U256 {
        let others = self.live.values().filter(|id| Some(*id) != except);
        others
            .filter_map(|id| self.entries.get(id))
            .fold(U256::ZERO, |sum, entry| sum.saturating_add(entry.worst_cost()))
    }

    /// The intents that are signed, not mined yet as far as is known, and come before this nonce.
    pub fn in_flight_before(&self, nonce: u64) -> impl Iterator<Item = &IntentId> {
        let earlier = self.live.range(..nonce).map(|(_, id)| id);
        earlier
            .filter(|id| self.entries.get(*id).is_some_and(|e| e.mined.is_none() && !e.attempts.is_empty()))
    }

    /// The highest pending nonce that our own transactions explain. Some pools (ethrex) count past a gap, so up to
    /// this one a pending nonce shows no transaction but ours.
    fn explained(&self, latest: u64) -> u64 {
        self.live.keys().next_back().map_or(latest, |top| top.saturating_add(1)).max(latest)
    }

    /// The intent behind the gap, when we have signed for a higher nonce than the one that the chain waits for, and not
    /// for that.
    fn behind_gap(&self, latest: u64) -> Option<&IntentId> {
        let next = self.live.range(latest..).next().filter(|(nonce, _)| **nonce > latest);
        next.map(|(_, id)| id)
    }

    /// Queues a filler when the chain waits for a nonce that neither we nor the pool have, while we have a higher
    /// one, and that stays so.
    fn watch_gap(&mut self, now: Instant, latest: u64, view: &ChainView) {
        let behind = self.behind_gap(latest).and_then(|id| self.entries.get(id));
        let Some((reserved, ours)) = behind.map(|e| (e.reserved, e.current_type())) else {
            self.gap = None;
            return;
        };
        if view.nonce_pending > self.explained(latest) {
            self.gap = None;
            return;
        }
        let since = match self.gap {
            Some((nonce, since)) if nonce == latest => since,
            _ => {
                self.gap = Some((latest, now));
                now
            }
        };
        let filler = IntentId::filler(latest);
        // A waiting intent takes the nonce as well as a filler does, unless it is held up itself.
        let queue_moves = self.queue.front().is_some_and(|id| self.may_start(now, id));
        if now.duration_since(since) >= self.config.resubmit_after
            && !queue_moves
            && !self.entries.contains_key(&filler)
        {
            // It must be of the type of what is in its place, if something is that we do not see.
            let tx_type = if reserved { ours.other() } else { TxType::Eip1559 };
            self.entries.insert(filler.clone(), Entry::new(tx_type));
            self.queue.push_front(filler);
        }
    }

    /// The transaction asked for is signed and stored.
    ///
    /// # Errors
    /// [`TxManagerError`] when it is not what was asked for; the request stays open.
    pub fn on_signed(&mut self, intent: &IntentId, record: SignedRecord) -> Result<(), TxManagerError> {
        let not_signing = || TxManagerError::NotSigning { intent: intent.clone() };
        let entry = self.entries.get_mut(intent).ok_or_else(not_signing)?;
        let (expected, tx_type) = match (&entry.busy, entry.nonce) {
            (Some(Busy::Sign(tx_type)), Some(nonce)) => (nonce, *tx_type),
            _ => return Err(not_signing()),
        };
        if record.nonce != expected {
            return Err(TxManagerError::WrongNonce { intent: intent.clone(), expected, got: record.nonce });
        }
        if record.tx_type != tx_type {
            return Err(TxManagerError::WrongType {
                intent: intent.clone(),
                expected: tx_type,
                got: record.tx_type,
            });
        }
        if let Some(previous) = entry.highest_fees(tx_type)
            && !record.fees.replaces(&previous, tx_type)
        {
            return Err(TxManagerError::NotAReplacement {
                intent: intent.clone(),
                previous,
                got: record.fees,
            });
        }
        entry.attempts.push(Attempt { record, maybe_sent: false, maybe_kept: false });
        entry.current = entry.newest();
        entry.busy = None;
        entry.needs_broadcast = true;
        entry.bump_wanted = false;
        entry.retry_at = None;
        entry.failures = 0;
        entry.reserved = false;
        entry.reserved_since = None;
        entry.blocked = None;
        Ok(())
    }

    /// What was signed for earlier tries, as asked for by [`Action::Adopt`], now belongs to the present one. When there is
    /// nothing of it any more, the intent is signed anew.
    ///
    /// # Errors
    /// [`TxManagerError`] when it is not what was asked for; the request stays open.
    pub fn on_adopted(
        &mut self,
        intent: &IntentId,
        records: Vec<SignedRecord>,
    ) -> Result<(), TxManagerError> {
        let not_asked = || TxManagerError::NotSigning { intent: intent.clone() };
        let entry = self.entries.get_mut(intent).filter(|e| e.busy == Some(Busy::Adopt));
        let entry = entry.ok_or_else(not_asked)?;
        let expected = entry.nonce.ok_or_else(not_asked)?;
        if let Some(other) = records.iter().find(|r| r.nonce != expected) {
            return Err(TxManagerError::WrongNonce { intent: intent.clone(), expected, got: other.nonce });
        }
        entry.busy = None;
        for record in records {
            entry.take_up(record);
        }
        // The effect is wanted, not the place.
        entry.current = entry.newest_of(entry.tx_type).unwrap_or(entry.current);
        if entry.attempts.is_empty() {
            entry.nonce = None;
            self.live.remove(&expected);
            self.queue.push_front(intent.clone());
        }
        if let Some(past) = self.past.get_mut(&expected) {
            past.retain(|tx| tx.intent != *intent);
        }
        Ok(())
    }

    /// Nothing was signed. An intent that has no transaction yet gives its nonce back and waits (or ends, when the
    /// failure is permanent); one that has keeps them and sends the last bytes again.
    pub fn on_sign_failed(&mut self, intent: &IntentId, failure: SignFailure, now: Instant) {
        let asked = |e: &&mut Entry| matches!(e.busy, Some(Busy::Sign(_) | Busy::Adopt));
        let Some(entry) = self.entries.get_mut(intent).filter(asked) else { return };
        let (reason, permanent) = match failure {
            SignFailure::Retry { reason } => (Some(reason), false),
            SignFailure::Wait => (None, false),
            SignFailure::FeeCap(cap) => (Some(cap.to_string()), false),
            SignFailure::Funds(shortfall) => (Some(shortfall.to_string()), false),
            SignFailure::Permanent { reason } => (Some(reason), true),
        };
        entry.busy = None;
        if !entry.attempts.is_empty() {
            entry.bump_wanted = false;
            entry.needs_broadcast = true;
            entry.last_sent = Some(now);
            entry.retry_at = Some(now + backoff(&mut entry.failures, self.config.resubmit_after));
            entry.blocked = reason;
            return;
        }
        if let Some(nonce) = entry.nonce.take() {
            self.live.remove(&nonce);
        }
        if permanent {
            self.entries.remove(intent);
            let reason = FailReason::Unsendable { reason: reason.unwrap_or_default() };
            self.outcomes.push_back(Outcome::Failed { intent: intent.clone(), reason });
            return;
        }
        entry.retry_at = Some(match &reason {
            Some(_) => now + backoff(&mut entry.failures, self.config.resubmit_after),
            None => now + RETRY_BASE.min(self.config.receipt_poll),
        });
        entry.blocked = reason;
        self.queue.push_front(intent.clone());
    }

    /// What came of sending the bytes of `hash`.
    pub fn on_broadcast_result(
        &mut self,
        intent: &IntentId,
        hash: B256,
        result: Result<(), &L1Error>,
        now: Instant,
    ) {
        let limit = self.config.resubmit_after;
        let Some(entry) = self.entries.get_mut(intent).filter(|e| e.busy == Some(Busy::Broadcast(hash)))
        else {
            return;
        };
        entry.busy = None;
        entry.last_sent = Some(now);
        let Some(place) = entry.attempts.iter().position(|a| a.record.hash == hash) else { return };
        let refused =
            matches!(result, Err(L1Error::TransactionRejected { .. } | L1Error::ExecutionReverted { .. }));
        let was_kept = entry.attempts.iter().any(|a| a.maybe_kept);
        if let Some(attempt) = entry.attempts.get_mut(place) {
            attempt.maybe_kept |= !refused;
        }
        let Err(error) = result else {
            entry.sent();
            return;
        };
        match error {
            L1Error::AlreadyKnown { .. } => entry.sent(),
            L1Error::ReplacementUnderpriced { .. }
                if entry.newest_of(entry.current_type()) != Some(entry.current) =>
            {
                // The pool holds a later replacement of ours.
                entry.current = entry.newest_of(entry.current_type()).unwrap_or(entry.current);
            }
            L1Error::Underpriced { .. }
            | L1Error::ReplacementUnderpriced { .. }
            | L1Error::FeeCapTooLow { .. } => {
                entry.needs_broadcast = false;
                entry.bump_wanted = true;
                entry.blocked = Some(error.to_string());
            }
            L1Error::AccountReserved { .. } => {
                entry.reserved = true;
                entry.retry_later(now, limit, error);
            }
            L1Error::NonceTooLow { .. } => {
                entry.check.forced = true;
                entry.retry_later(now, limit, error);
            }
            L1Error::TransactionRejected { .. } | L1Error::ExecutionReverted { .. } => {
                if !was_kept {
                    let nonce = entry.nonce;
                    self.finish(intent, nonce);
                    let reason = FailReason::Rejected { message: error.to_string() };
                    self.outcomes.push_back(Outcome::Failed { intent: intent.clone(), reason });
                    return;
                }
                // One of ours may still be mined. Leave it at that, and sign anew in time.
                entry.current = place.saturating_sub(1);
                entry.needs_broadcast = false;
                entry.blocked = Some(error.to_string());
            }
            L1Error::InvalidEndpoint { .. }
            | L1Error::Transport { .. }
            | L1Error::Timeout { .. }
            | L1Error::ResponseTooLarge { .. }
            | L1Error::InvalidResponse { .. }
            | L1Error::WrongChain { .. }
            | L1Error::NonceTooHigh { .. }
            | L1Error::InsufficientFunds { .. }
            | L1Error::PoolFull { .. }
            | L1Error::RangeTooLarge { .. }
            | L1Error::RateLimited { .. }
            | L1Error::UnknownBlock { .. }
            | L1Error::MethodUnsupported { .. }
            | L1Error::Rpc { .. } => entry.retry_later(now, limit, error),
        }
    }

    /// The receipts of a whole round of [`Action::CheckReceipts`]: those that exist. `view` is the one the round
    /// was asked for with, or an older one.
    pub fn on_receipts(&mut self, intent: &IntentId, receipts: &[TxReceipt], view: &ChainView, now: Instant) {
        let confirmations = self.config.confirmations.max(1);
        let Some(entry) = self.entries.get_mut(intent).filter(|e| e.busy == Some(Busy::Check)) else {
            return;
        };
        let Some(nonce) = entry.nonce else { return };
        entry.busy = None;
        entry.check = Check { last: Some((now, view.head)), ..Check::default() };
        let ours = |r: &&TxReceipt| entry.attempts.iter().any(|a| a.record.hash == r.transaction_hash);
        // Two at once are only possible when a reorg came in between the two requests.
        if let Some(receipt) = receipts.iter().filter(ours).max_by_key(|r| r.block_number) {
            entry.current = entry
                .attempts
                .iter()
                .position(|a| a.record.hash == receipt.transaction_hash)
                .unwrap_or(entry.current);
            entry.mined = Some(receipt.block_number);
            let emptied = !intent.is_filler() && entry.current_type() != entry.tx_type;
            entry.foreign = None;
            entry.reserved = false;
            entry.needs_broadcast = false;
            entry.bump_wanted = false;
            entry.retry_at = None;
            entry.failures = 0;
            entry.blocked = None;
            if receipt.confirmations(view.head) >= confirmations {
                let (intent, receipt, done) = (intent.clone(), receipt.clone(), entry.done.take());
                self.finish(&intent, Some(nonce));
                self.used_up(nonce, Some((receipt.block_number, receipt.block_hash)));
                self.outcomes.push_back(match (emptied, receipt.status, done) {
                    (false, true, _) => Outcome::Confirmed { intent, receipt },
                    (_, _, Some(receipt)) => Outcome::Confirmed { intent, receipt },
                    (true, _, None) => Outcome::Failed { intent, reason: FailReason::PoolConflict { nonce } },
                    (false, false, None) => Outcome::Reverted { intent, receipt },
                });
            }
            return;
        }
        let past = self.past.get(&nonce).into_iter().flatten();
        let earlier =
            past.filter_map(|tx| Some((receipts.iter().find(|r| r.transaction_hash == tx.hash)?, tx)));
        if let Some((receipt, tx)) = earlier.max_by_key(|(r, _)| r.block_number) {
            entry.mined = None;
            entry.foreign = None;
            entry.needs_broadcast = false;
            entry.bump_wanted = false;
            entry.retry_at = None;
            entry.blocked = None;
            if receipt.confirmations(view.head) >= confirmations {
                let (receipt, tx) = (receipt.clone(), tx.clone());
                self.displaced(intent.clone(), nonce, receipt, tx);
            }
            return;
        }
        if entry.mined.take().is_some() {
            // A reorg took it out of the chain: the same bytes again, before anything else.
            entry.needs_broadcast = true;
            entry.last_sent = Some(now);
            entry.blocked = Some("a reorg removed its block".to_owned());
        }
        if view.nonce_latest <= nonce {
            entry.foreign = None;
            return;
        }
        let foreign = entry.foreign.get_or_insert(Foreign { since_head: view.head, rounds: 0 });
        foreign.rounds = foreign.rounds.saturating_add(1);
        entry.blocked = Some(format!("nonce {nonce} is used, but by none of our transactions"));
        if foreign.rounds >= FOREIGN_ROUNDS
            && view.head >= foreign.since_head.saturating_add(confirmations - 1)
        {
            self.finish(intent, Some(nonce));
            self.used_up(nonce, None);
            let reason = FailReason::ForeignNonce { nonce };
            self.outcomes.push_back(Outcome::Failed { intent: intent.clone(), reason });
        }
    }

    /// A transaction that was signed earlier has used the nonce of an intent for good.
    fn displaced(&mut self, intent: IntentId, nonce: u64, receipt: TxReceipt, tx: PastTx) {
        let done = self.entries.get_mut(&intent).and_then(|e| e.done.take());
        self.finish(&intent, Some(nonce));
        self.used_up(nonce, Some((receipt.block_number, receipt.block_hash)));
        let effect = receipt.status && !tx.empty;
        if let Some(receipt) = done {
            self.outcomes.push_back(Outcome::Confirmed { intent, receipt });
        } else if effect && tx.intent == intent {
            self.outcomes.push_back(Outcome::Confirmed { intent, receipt });
            return;
        } else {
            self.outcomes.push_back(Outcome::Displaced { intent, nonce, by: tx.intent.clone() });
        }
        // Its own intent may be wanted again, and on its way with another nonce.
        match self.entries.get_mut(&tx.intent).filter(|_| effect) {
            Some(entry) if entry.nonce.is_some() => entry.done = Some(receipt),
            Some(_) => {
                self.queue.retain(|id| *id != tx.intent);
                self.entries.remove(&tx.intent);
                self.outcomes.push_back(Outcome::Confirmed { intent: tx.intent, receipt });
            }
            None => {}
        }
    }

    /// A round of [`Action::CheckReceipts`] could not be completed.
    pub fn on_check_failed(&mut self, intent: &IntentId, now: Instant) {
        let limit = self.config.receipt_poll;
        let Some(entry) = self.entries.get_mut(intent).filter(|e| e.busy == Some(Busy::Check)) else {
            return;
        };
        entry.busy = None;
        entry.check.not_before = Some(now + backoff(&mut entry.check.failures, limit));
    }

    /// The next outcome that was not taken yet.
    pub fn next_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    /// Unfinished intents: those with a nonce in its order, then the queue.
    #[must_use]
    pub fn status(&self) -> Vec<IntentStatus> {
        let ids = self.live.values().chain(&self.queue);
        ids.filter_map(|id| {
            let entry = self.entries.get(id)?;
            let state = match (entry.mined, entry.nonce, entry.attempts.is_empty()) {
                (Some(block), _, _) => IntentState::Mined { block },
                (None, Some(_), false) => IntentState::Pending,
                (None, Some(_), true) => IntentState::Signing,
                (None, None, _) => IntentState::Queued,
            };
            Some(IntentStatus {
                intent: id.clone(),
                tx_type: entry.tx_type,
                state,
                nonce: entry.nonce,
                hashes: entry.attempts.iter().map(|a| a.record.hash).collect(),
                blocked: entry.blocked.clone(),
            })
        })
        .collect()
    }

    /// Number of unfinished intents.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no unfinished intent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn finish(&mut self, intent: &IntentId, nonce: Option<u64>) {
        let Some(entry) = self.entries.remove(intent) else { return };
        if let Some(nonce) = nonce {
            self.live.remove(&nonce);
        }
        let kept = entry.attempts.into_iter().filter(|a| a.maybe_kept).map(|a| PastTx {
            intent: intent.clone(),
            hash: a.record.hash,
            nonce: a.record.nonce,
            empty: !intent.is_filler() && a.record.tx_type != entry.tx_type,
        });
        self.remember(kept);
    }

    /// The chain has used this nonce, in this block (height and hash) if that is known.
    fn used_up(&mut self, nonce: u64, block: Option<(u64, B256)>) {
        if self.floor <= nonce {
            self.floor = nonce.saturating_add(1);
            self.floor_block = block;
        }
    }
}

impl Entry {
    fn ask(&mut self, id: &IntentId, tx_type: TxType, nonce: u64, fees: FeeDecision) -> Action {
        self.busy = Some(Busy::Sign(tx_type));
        let empty = id.is_filler() || tx_type != self.tx_type;
        Action::Sign { intent: id.clone(), tx_type, nonce, fees, empty }
    }

    /// The pool holds something of the other type in our place: signs an empty transaction of that type, or goes
    /// back to the last one signed.
    fn clear_the_place(&mut self, id: &IntentId, nonce: u64) -> Option<Action> {
        let other = self.current_type().other();
        let Some(last) = self.newest_of(other) else {
            return Some(self.ask(id, other, nonce, FeeDecision::Fresh));
        };
        self.current = last;
        self.reserved = false;
        self.reserved_since = None;
        self.needs_broadcast = false;
        let attempt = self.attempts.get_mut(last)?;
        attempt.maybe_sent = true;
        let (hash, raw) = (attempt.record.hash, attempt.record.raw.clone());
        self.busy = Some(Busy::Broadcast(hash));
        Some(Action::Broadcast { intent: id.clone(), hash, raw })
    }

    fn sent(&mut self) {
        self.reserved = false;
        self.reserved_since = None;
        self.needs_broadcast = false;
        self.failures = 0;
        self.retry_at = None;
        self.blocked = None;
    }

    fn retry_later(&mut self, now: Instant, limit: Duration, error: &L1Error) {
        self.needs_broadcast = true;
        self.retry_at = Some(now + backoff(&mut self.failures, limit));
        self.blocked = Some(error.to_string());
    }
}

/// The wait after one more failure: [`RETRY_BASE`] doubled each time, at most `limit`.
fn backoff(failures: &mut u32, limit: Duration) -> Duration {
    let wait = RETRY_BASE.saturating_mul(1 << (*failures).min(16)).min(limit);
    *failures = failures.saturating_add(1);
    wait
}
