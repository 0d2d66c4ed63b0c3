//! What follows from a [`StartupState`]. Pure.

use alloy_primitives::B256;
use serde::Serialize;

use super::state::{CursorOnL1, StartupState};

/// Seconds by which the clock may be behind the L2's head before that is worth a word.
const CLOCK_BEHIND_L2_S: u64 = 3;
/// Seconds by which the clock may be behind L1's head before that is worth a word.
const CLOCK_BEHIND_L1_S: u64 = 60;
/// Seconds by which L1's head may be old before that is worth a word.
const L1_OLD_S: u64 = 3_600;

/// What the components put right by themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// L1 lacks batches that the store has.
    #[error("batches {from} to {to} are sent to L1, with the bytes that the store has")]
    SendsBatches {
        /// First.
        from: u64,
        /// Last.
        to: u64,
    },
    /// L1 is further with batches than the store knows.
    #[error("L1 has committed up to batch {committed} and verified up to {verified}; the store takes note")]
    CatchesUp {
        /// Last committed batch on L1.
        committed: u64,
        /// Last verified batch on L1.
        verified: u64,
    },
    /// L1 does not have verifications that it had, and the store has what it takes to send them again.
    #[error(
        "the store has batch {store} as verified, L1 only {l1}: a reorg, or a node that is behind; once L1 has grown by a \
         few blocks and still lacks them, the verifications are sent again. If the L1 node is at an old block, use another \
         one"
    )]
    VerifiesAgain {
        /// In the store.
        store: u64,
        /// On L1.
        l1: u64,
    },
    /// L1 does not have deposits that the L2 holds, and the ledger knows which they are.
    #[error(
        "the L2 holds deposits up to {client}, the bridge has {l1}: a reorg deeper than watcher.confirmations, or a node \
         that is behind; blocks go on, and new deposits and the verification of batches with these wait until L1 has them \
         again, which happens by itself when their transactions are mined anew. If they stay away, see `Dropped deposits` \
         in docs/operations.md; if the L1 node is at an old block, use another one"
    )]
    WaitsForDeposits {
        /// Last of the L2.
        client: u64,
        /// Last of the bridge.
        l1: u64,
    },
    /// L1 was reorganised below the cursor.
    #[error("L1 was reorganised at or below block {cursor}; the watcher goes back to the common ancestor")]
    Unwinds {
        /// The watcher's position.
        cursor: u64,
    },
    /// The L1 node is not yet where we were.
    #[error("the L1 node is at block {head}, the watcher has read {cursor}; it waits for the node")]
    WaitsForL1 {
        /// The watcher's position.
        cursor: u64,
        /// Head of the node.
        head: u64,
    },
    /// The L2 holds deposits that the ledger lacks.
    #[error("the L2 holds deposits up to {client}, the ledger up to {store}; they are read from L1 again")]
    ReadsDeposits {
        /// Last of the ledger.
        store: u64,
        /// Last of the L2.
        client: u64,
    },
    /// The client lacks blocks.
    #[error("the execution client gets blocks {from} to {to} from the store")]
    Replays {
        /// First.
        from: u64,
        /// Last.
        to: u64,
    },
    /// The store lacks blocks.
    #[error("the store takes blocks {from} to {to} over from the execution client")]
    Adopts {
        /// First.
        from: u64,
        /// Last.
        to: u64,
    },
    /// Transactions without an outcome.
    #[error("{pending} request(s) of the {role} are taken up again")]
    TracksTransactions {
        /// The key.
        role: &'static str,
        /// How many.
        pending: u64,
    },
    /// The clock is behind the L2.
    #[error(
        "the clock is {seconds} s behind the L2's head: blocks wait until it has passed it; set it right"
    )]
    ClockBehindL2 {
        /// By how much.
        seconds: u64,
    },
    /// The clock is behind L1.
    #[error("the clock is {seconds} s behind L1's head: set it right")]
    ClockBehindL1 {
        /// By how much.
        seconds: u64,
    },
    /// The client may build blocks that no batch holds.
    #[error(
        "the execution client builds blocks of up to {gas_limit} gas, and only up to {fits} gas does every block fit into a \
         batch: one that does not is refused, and no other comes until the client builds a smaller one; lower its gas limit, \
         or raise the limits of [committer]"
    )]
    BlocksMayNotFit {
        /// Gas limit of the head.
        gas_limit: u64,
        /// The highest that is safe.
        fits: u64,
    },
    /// L1's head is old.
    #[error("L1's head is {seconds} s old: the node is behind, or our clock is ahead")]
    L1IsOld {
        /// By how much.
        seconds: u64,
    },
}

/// Why the sequencer cannot start as things are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// There is no batch in the store, and L1 has some.
    #[error("the store holds no batch, L1 has {l1}: the store was lost, or store.url names another file")]
    StoreLost {
        /// Last committed batch on L1.
        l1: u64,
    },
    /// An old store.
    #[error("the store ends with batch {store}, L1 has {l1}: an old copy of the store was restored")]
    StoreBehind {
        /// Last batch of the store.
        store: u64,
        /// Last committed batch on L1.
        l1: u64,
    },
    /// The blocks are nowhere.
    #[error("L1 has {l1} batches, and neither the store nor the execution client has a block")]
    BlocksLost {
        /// Last committed batch on L1.
        l1: u64,
    },
    /// L1 has another batch of the same number.
    #[error("batch {number} is {l1} on L1 and {store} in the store: another sequencer has committed it")]
    OtherBatch {
        /// Number.
        number: u64,
        /// Hash in the store.
        store: B256,
        /// Hash on L1.
        l1: B256,
    },
    /// L1 has dropped a commit that cannot be sent again.
    #[error("L1 no longer has batch {batch}, only up to {l1}, and the store has it without its bytes")]
    BytesMissing {
        /// The lowest such batch.
        batch: u64,
        /// Last committed batch on L1.
        l1: u64,
    },
    /// L1 has dropped a verification that cannot be sent again.
    #[error(
        "the store has batch {batch} as verified, L1 only up to {l1}, and its proofs are not in the store"
    )]
    ProofsMissing {
        /// The lowest such batch.
        batch: u64,
        /// Last verified batch on L1.
        l1: u64,
    },
    /// The L2 holds deposits that L1 does not have, and nothing tells which they are.
    #[error(
        "the L2 holds deposits up to {client}, the bridge has {l1}, and the ledger does not say what L1 has dropped: L1 was \
         rolled back, or its node is behind"
    )]
    DepositsRolledBack {
        /// Last of the L2.
        client: u64,
        /// Last of the bridge.
        l1: u64,
    },
    /// L1 has another deposit in the place of one that the L2 holds.
    #[error(
        "L1 was reorganised deeper than watcher.confirmations: deposit {id} is another one now than the L2 holds"
    )]
    DepositReplaced {
        /// The highest id that both have.
        id: u64,
    },
    /// The ledger is not the bridge's.
    #[error("deposit {id} of the ledger is not that of the bridge, although L1 was not reorganised")]
    OtherDeposit {
        /// Id.
        id: u64,
    },
    /// Another chain at the client.
    #[error("the execution client has block {client:?} at height {number}, the store {store}")]
    ClientDiverged {
        /// Height.
        number: u64,
        /// Hash in the store.
        store: B256,
        /// Hash at the client; none when it has none there.
        client: Option<B256>,
        /// Whether L1 has committed the store's chain.
        store_is_l1s: bool,
    },
    /// The client has blocks that the store lacks, and does not hand them out.
    #[error(
        "the execution client is at block {client}, the store at {store}, and the client hands out no blocks"
    )]
    BlocksHidden {
        /// Head of the client.
        client: u64,
        /// Head of the store.
        store: u64,
    },
}

impl Problem {
    /// Whether `ensemble repair` does it.
    #[must_use]
    pub fn is_repairable(&self) -> bool {
        match self {
            Self::StoreLost { .. } | Self::StoreBehind { .. } => true,
            Self::BlocksLost { .. }
            | Self::OtherBatch { .. }
            | Self::BytesMissing { .. }
            | Self::ProofsMissing { .. }
            | Self::DepositsRolledBack { .. }
            | Self::DepositReplaced { .. }
            | Self::OtherDeposit { .. }
            | Self::ClientDiverged { .. }
            | Self::BlocksHidden { .. } => false,
        }
    }

    /// What to do.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::StoreLost { .. } => {
                "if store.url is right, run `ensemble repair`: it makes the batches again from L1 and the execution client"
            }
            Self::StoreBehind { .. } => {
                "run `ensemble repair`: it makes the missing batches again from L1 and the execution client"
            }
            Self::BlocksLost { .. } => {
                "restore a backup of the store or of the execution client's data, then run `ensemble repair`"
            }
            Self::OtherBatch { .. } => {
                "make sure that no other sequencer runs; then move the store away (keep it) and run `ensemble repair`, \
                 which takes L1's batches"
            }
            Self::BytesMissing { .. } => {
                "use an L1 node that is at its head; if L1 was really rolled back, move the store away (keep it) and run \
                 `ensemble repair`: what L1 still has is made again, and the other batches are sealed anew"
            }
            Self::ProofsMissing { .. } => {
                "use an L1 node that is at its head; if L1 was really rolled back, move the store away (keep it) and run \
                 `ensemble repair`, and the batches are proven and verified again"
            }
            Self::DepositsRolledBack { .. } => {
                "use an L1 node that is at its head; if L1 was really rolled back, put the store back that has those \
                 deposits, and it waits for them; without one the L2 must go back too: see `Dropped deposits` in \
                 docs/operations.md"
            }
            Self::DepositReplaced { .. } => {
                "if L1 is being reorganised just now, start again when that is over; else the L2 must go back to before \
                 that deposit: see `Dropped deposits` in docs/operations.md"
            }
            Self::OtherDeposit { .. } => {
                "check watcher.bridge_address and eth.rpc_url; if they are right, move the store away (keep it) and run \
                 `ensemble repair`"
            }
            Self::ClientDiverged { store_is_l1s: true, .. } => {
                "wipe the execution client's data and start it with the same genesis: it gets every block back from \
                 the store, whose chain is the one that L1 has"
            }
            Self::ClientDiverged { store_is_l1s: false, .. } => {
                "find out which one is right, nothing on L1 tells yet: to keep the store's chain, wipe the client's \
                 data and start it with the same genesis; to keep the client's, move the store away (keep it) and run \
                 `ensemble repair`"
            }
            Self::BlocksHidden { .. } => {
                "switch debug_getRawBlock on at the execution client (engine.public_url), or restore a newer copy of \
                 the store"
            }
        }
    }
}

/// What the start-up state means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All agree.
    Consistent,
    /// They do not, and the components put it right by themselves.
    Recoverable(Vec<Note>),
    /// `ensemble repair` puts all of it right.
    Repairable(Vec<Problem>),
    /// Somebody has to do something first. Has every problem, those too that a repair would solve.
    Refused(Vec<Problem>),
}

impl Verdict {
    /// Whether the sequencer may start.
    #[must_use]
    pub fn may_start(&self) -> bool {
        self.problems().is_empty()
    }

    /// What stands in the way.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Consistent | Self::Recoverable(_) => &[],
            Self::Repairable(problems) | Self::Refused(problems) => problems,
        }
    }

    /// One word, for logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Consistent => "consistent",
            Self::Recoverable(_) => "recoverable",
            Self::Repairable(_) => "repairable",
            Self::Refused(_) => "refused",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Consistent => f.write_str("store, L1 and execution client agree"),
            Self::Recoverable(notes) => {
                f.write_str("the sequencer can start, and puts this right by itself:")?;
                notes.iter().try_for_each(|note| write!(f, "\n  - {note}"))
            }
            Self::Repairable(problems) | Self::Refused(problems) => {
                f.write_str("store, L1 and execution client do not fit together:")?;
                problems.iter().try_for_each(|p| write!(f, "\n  - {p}; {}", p.remedy()))
            }
        }
    }
}

/// Says what follows from a state.
#[must_use]
pub fn judge(state: &StartupState) -> Verdict {
    let problems = problems(state);
    if problems.is_empty() {
        let notes = notes(state);
        return if notes.is_empty() { Verdict::Consistent } else { Verdict::Recoverable(notes) };
    }
    if problems.iter().all(Problem::is_repairable) {
        Verdict::Repairable(problems)
    } else {
        Verdict::Refused(problems)
    }
}

fn last_batch(state: &StartupState) -> u64 {
    state.store.last_batch.as_ref().map_or(0, |b| b.number)
}

fn store_head(state: &StartupState) -> u64 {
    state.store.head.map_or(0, |p| p.number)
}

/// What an L1 node says that is not where we were tells nothing of what L1 lacks.
fn l1_is_behind(state: &StartupState) -> bool {
    state.store.cursor_on_l1 == Some(CursorOnL1::AboveHead)
}

/// Id of the last deposit that the L2 holds, whoever has its blocks.
fn held(state: &StartupState) -> u64 {
    state.client.deposits.max(state.store.deposits)
}

fn problems(state: &StartupState) -> Vec<Problem> {
    let StartupState { l1, client, .. } = state;
    let (ours, height) = (last_batch(state), store_head(state));
    let mut found = Vec::new();
    let batch_agrees = state.common_batch.is_none_or(|b| b.agree());
    if let Some(batch) = state.common_batch
        && let Some(on_l1) = batch.other
        && !batch.agree()
    {
        found.push(Problem::OtherBatch { number: batch.number, store: batch.store, l1: on_l1 });
    }
    if ours < l1.last_committed {
        if height == 0 && client.head.number == 0 {
            found.push(Problem::BlocksLost { l1: l1.last_committed });
        } else if ours == 0 {
            found.push(Problem::StoreLost { l1: l1.last_committed });
        } else if batch_agrees {
            found.push(Problem::StoreBehind { store: ours, l1: l1.last_committed });
        }
    }
    if let Some(block) = state.common_block
        && !block.agree()
    {
        let committed = state.common_batch.is_some_and(|b| b.agree());
        found.push(Problem::ClientDiverged {
            number: block.number,
            store: block.store,
            client: block.other,
            store_is_l1s: committed,
        });
    }
    if client.serves_blocks == Some(false) {
        found.push(Problem::BlocksHidden { client: client.head.number, store: height });
    }
    if l1_is_behind(state) {
        return found;
    }
    if let Some(batch) = state.without_bytes {
        found.push(Problem::BytesMissing { batch, l1: l1.last_committed });
    }
    if let Some(batch) = state.without_proofs {
        found.push(Problem::ProofsMissing { batch, l1: l1.last_verified });
    }
    found.extend(of_deposits(state));
    found
}

/// What the watcher unwinds, or waits for, is none: see `l1_watcher` of the actors.
fn of_deposits(state: &StartupState) -> Option<Problem> {
    let StartupState { l1, store, .. } = state;
    // Otherwise the watcher goes back first, and marks what L1 has dropped.
    let canonical = store.cursor_on_l1 == Some(CursorOnL1::Canonical);
    let on_l1 = |id: u64| canonical && id <= store.last_deposit_on_l1;
    let held = held(state);
    if let Some(deposit) = state.common_deposit
        && !deposit.agree()
    {
        let id = deposit.number;
        return match (on_l1(id), id <= held) {
            (true, _) => Some(Problem::OtherDeposit { id }),
            (false, true) => Some(Problem::DepositReplaced { id }),
            (false, false) => None,
        };
    }
    if on_l1(l1.last_deposit + 1) {
        // The blocks are the same, and the bridge has not what they had.
        return Some(Problem::OtherDeposit { id: l1.last_deposit + 1 });
    }
    let known = held <= store.last_deposit;
    (held > l1.last_deposit && !known)
        .then_some(Problem::DepositsRolledBack { client: held, l1: l1.last_deposit })
}

fn notes(state: &StartupState) -> Vec<Note> {
    let StartupState { l1, store, client, clock, .. } = state;
    let (ours, height) = (last_batch(state), store_head(state));
    let mut found = Vec::new();
    if ours > l1.last_committed {
        found.push(Note::SendsBatches { from: l1.last_committed + 1, to: ours });
    }
    if store.committed < l1.last_committed || store.verified < l1.last_verified {
        found.push(Note::CatchesUp { committed: l1.last_committed, verified: l1.last_verified });
    }
    if store.verified > l1.last_verified {
        found.push(Note::VerifiesAgain { store: store.verified, l1: l1.last_verified });
    }
    if held(state) > l1.last_deposit && !l1_is_behind(state) {
        found.push(Note::WaitsForDeposits { client: held(state), l1: l1.last_deposit });
    }
    let cursor = store.cursor.map_or(0, |p| p.number);
    match store.cursor_on_l1 {
        Some(CursorOnL1::Replaced) => found.push(Note::Unwinds { cursor }),
        Some(CursorOnL1::AboveHead) => found.push(Note::WaitsForL1 { cursor, head: l1.head.number }),
        Some(CursorOnL1::Canonical) | None => {}
    }
    if client.deposits > store.last_deposit {
        found.push(Note::ReadsDeposits { store: store.last_deposit, client: client.deposits });
    }
    if client.head.number < height {
        found.push(Note::Replays { from: client.head.number + 1, to: height });
    }
    if client.head.number > height {
        found.push(Note::Adopts { from: height + 1, to: client.head.number });
    }
    for role in store.roles.iter().filter(|r| r.pending > 0) {
        found.push(Note::TracksTransactions { role: role.role, pending: role.pending });
    }
    let behind = |time: u64| time.saturating_sub(*clock);
    if behind(client.timestamp) >= CLOCK_BEHIND_L2_S {
        found.push(Note::ClockBehindL2 { seconds: behind(client.timestamp) });
    }
    if behind(l1.timestamp) >= CLOCK_BEHIND_L1_S {
        found.push(Note::ClockBehindL1 { seconds: behind(l1.timestamp) });
    }
    let age = clock.saturating_sub(l1.timestamp);
    if age >= L1_OLD_S {
        found.push(Note::L1IsOld { seconds: age });
    }
    let fits = state.room.fits();
    if client.gas_limit > fits {
        found.push(Note::BlocksMayNotFit { gas_limit: client.gas_limit, fits });
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use alloy_primitives::Address;
    use ensemble_batch::BatchLimits;
    use ensemble_engine_api::ForkSchedule;
    use ensemble_store::{ChainIdentity, OpenTransactions};

    use super::*;
    use crate::startup::{
        BatchRoom, BatchState, ClientState, Compared, L1State, Point, RoleState, StartupState, StoreState,
    };

    const NOW: u64 = 1_800_000_000;

    fn hash(n: u64) -> B256 {
        B256::with_last_byte(u8::try_from(n).unwrap())
    }

    fn point(number: u64) -> Option<Point> {
        Some(Point { number, hash: hash(number) })
    }

    /// Five batches committed, three verified, seven deposits, 40 blocks: all agree.
    fn state() -> StartupState {
        let roles = ["committer", "prover"];
        StartupState {
            identity: ChainIdentity {
                l1_chain_id: 1,
                l2_chain_id: 2,
                l2_genesis: hash(0),
                proposer: Address::ZERO,
                bridge: Address::ZERO,
            },
            clock: NOW,
            l1: L1State {
                head: point(100).unwrap(),
                timestamp: NOW - 5,
                last_committed: 5,
                last_verified: 3,
                committed_hash: hash(5),
                last_deposit: 7,
                committer_in_flight: 0,
                verifier_in_flight: 0,
            },
            store: StoreState {
                schema: 1,
                cursor: point(98),
                cursor_on_l1: Some(CursorOnL1::Canonical),
                last_deposit: 7,
                last_deposit_on_l1: 7,
                head: point(40),
                deposits: 7,
                last_batch: Some(BatchState { number: 5, hash: hash(5), last_block: 38 }),
                committed: 5,
                verified: 3,
                roles: roles
                    .map(|role| RoleState { role, pending: 0, open: OpenTransactions::default() })
                    .to_vec(),
            },
            client: ClientState {
                head: point(40).unwrap(),
                timestamp: NOW - 1,
                gas_limit: 25_000_000,
                deposits: 7,
                safe: point(38),
                finalized: point(20),
                serves_blocks: None,
            },
            room: BatchRoom { bytes: Some(780_284), gas: 1_000_000_000, gas_per_byte: 38 },
            common_block: Some(Compared { number: 40, store: hash(40), other: Some(hash(40)) }),
            common_batch: Some(Compared { number: 5, store: hash(5), other: Some(hash(5)) }),
            common_deposit: Some(Compared { number: 7, store: hash(7), other: Some(hash(7)) }),
            without_bytes: None,
            without_proofs: None,
        }
    }

    /// The state after the store file is gone.
    fn without_store(state: &mut StartupState) {
        state.store.cursor = None;
        state.store.cursor_on_l1 = None;
        (state.store.last_deposit, state.store.last_deposit_on_l1) = (0, 0);
        state.store.head = None;
        state.store.deposits = 0;
        state.store.last_batch = None;
        (state.store.committed, state.store.verified) = (0, 0);
        state.client.serves_blocks = Some(true);
        (state.common_block, state.common_batch, state.common_deposit) = (None, None, None);
    }

    /// L1 has dropped the deposits after this one, which the L2 holds, and the watcher knows it.
    fn dropped_to(state: &mut StartupState, last: u64) {
        (state.l1.last_deposit, state.store.last_deposit_on_l1) = (last, last);
        state.common_deposit = Some(Compared { number: last, store: hash(last), other: Some(hash(last)) });
    }

    fn of(change: impl FnOnce(&mut StartupState)) -> Verdict {
        let mut state = state();
        change(&mut state);
        judge(&state)
    }

    #[test]
    fn a_quiet_chain_is_consistent() {
        assert_eq!(of(|_| {}), Verdict::Consistent);
    }

    #[test]
    fn the_first_start_is_consistent() {
        let verdict = of(|s| {
            without_store(s);
            s.client.serves_blocks = None;
            s.client.head.number = 0;
            (s.client.deposits, s.client.timestamp) = (0, 0);
            (s.l1.last_committed, s.l1.last_verified, s.l1.last_deposit) = (0, 0, 0);
        });
        assert_eq!(verdict, Verdict::Consistent);
    }

    /// Every case that the components put right by themselves, each alone.
    #[test]
    fn what_is_recoverable() {
        type Case = (Box<dyn FnOnce(&mut StartupState)>, Vec<Note>);
        let cases: Vec<Case> = vec![
            (
                Box::new(|s| {
                    s.store.last_batch.as_mut().unwrap().number = 6;
                    s.store.roles[0].pending = 1;
                }),
                vec![
                    Note::SendsBatches { from: 6, to: 6 },
                    Note::TracksTransactions { role: "committer", pending: 1 },
                ],
            ),
            (
                Box::new(|s| (s.store.committed, s.store.verified) = (4, 2)),
                vec![Note::CatchesUp { committed: 5, verified: 3 }],
            ),
            (
                Box::new(|s| s.store.cursor_on_l1 = Some(CursorOnL1::Replaced)),
                vec![Note::Unwinds { cursor: 98 }],
            ),
            (
                // A node that is behind says nothing about what L1 lacks.
                Box::new(|s| {
                    s.l1.head.number = 90;
                    s.store.cursor_on_l1 = Some(CursorOnL1::AboveHead);
                    (s.l1.last_verified, s.l1.last_deposit) = (1, 2);
                    s.common_deposit = Some(Compared { number: 2, store: hash(2), other: Some(hash(2)) });
                    (s.without_bytes, s.without_proofs) = (Some(2), Some(2));
                }),
                vec![Note::VerifiesAgain { store: 3, l1: 1 }, Note::WaitsForL1 { cursor: 98, head: 90 }],
            ),
            (
                Box::new(|s| {
                    s.l1.last_verified = 2;
                    s.store.roles[1].pending = 1;
                }),
                vec![
                    Note::VerifiesAgain { store: 3, l1: 2 },
                    Note::TracksTransactions { role: "prover", pending: 1 },
                ],
            ),
            (Box::new(|s| s.l1.last_verified = 2), vec![Note::VerifiesAgain { store: 3, l1: 2 }]),
            (
                // The commits went with the verification.
                Box::new(|s| {
                    (s.l1.last_committed, s.l1.last_verified) = (2, 1);
                    s.common_batch = Some(Compared { number: 2, store: hash(2), other: Some(hash(2)) });
                }),
                vec![Note::SendsBatches { from: 3, to: 5 }, Note::VerifiesAgain { store: 3, l1: 1 }],
            ),
            (
                // Dropped while the sequencer was stopped: the watcher has yet to go back.
                Box::new(|s| {
                    dropped_to(s, 5);
                    s.store.last_deposit_on_l1 = 7;
                    s.store.cursor_on_l1 = Some(CursorOnL1::Replaced);
                }),
                vec![Note::WaitsForDeposits { client: 7, l1: 5 }, Note::Unwinds { cursor: 98 }],
            ),
            // The watcher has gone back already.
            (Box::new(|s| dropped_to(s, 5)), vec![Note::WaitsForDeposits { client: 7, l1: 5 }]),
            (
                // So has it here, and L1 has one of the two again.
                Box::new(|s| {
                    dropped_to(s, 6);
                    s.store.last_deposit_on_l1 = 5;
                }),
                vec![Note::WaitsForDeposits { client: 7, l1: 6 }],
            ),
            (
                // The client has lost its chain, the store has the blocks with the deposits.
                Box::new(|s| {
                    dropped_to(s, 5);
                    (s.client.head.number, s.client.deposits) = (0, 0);
                }),
                vec![Note::WaitsForDeposits { client: 7, l1: 5 }, Note::Replays { from: 1, to: 40 }],
            ),
            (Box::new(|s| s.store.last_deposit = 4), vec![Note::ReadsDeposits { store: 4, client: 7 }]),
            (Box::new(|s| s.client.head.number = 0), vec![Note::Replays { from: 1, to: 40 }]),
            (Box::new(|s| s.client.head.number = 39), vec![Note::Replays { from: 40, to: 40 }]),
            (
                Box::new(|s| {
                    s.client.head.number = 42;
                    s.client.serves_blocks = Some(true);
                }),
                vec![Note::Adopts { from: 41, to: 42 }],
            ),
            (
                Box::new(|s| s.clock -= 7_200),
                vec![Note::ClockBehindL2 { seconds: 7_199 }, Note::ClockBehindL1 { seconds: 7_195 }],
            ),
            (Box::new(|s| s.clock += 7_200), vec![Note::L1IsOld { seconds: 7_205 }]),
        ];
        for (change, notes) in cases {
            let verdict = of(change);
            assert!(verdict.may_start());
            assert_eq!(verdict, Verdict::Recoverable(notes));
        }
    }

    /// What a repair puts right, and nothing else.
    #[test]
    fn what_is_repairable() {
        assert_eq!(of(without_store), Verdict::Repairable(vec![Problem::StoreLost { l1: 5 }]));
        let old = of(|s| {
            s.store.last_batch = Some(BatchState { number: 2, hash: hash(2), last_block: 15 });
            (s.store.committed, s.store.verified) = (2, 1);
            s.common_batch = Some(Compared { number: 2, store: hash(2), other: Some(hash(2)) });
        });
        assert_eq!(old, Verdict::Repairable(vec![Problem::StoreBehind { store: 2, l1: 5 }]));
        for verdict in [of(without_store), old] {
            assert!(!verdict.may_start());
            assert!(verdict.to_string().contains("`ensemble repair`"), "{verdict}");
        }
    }

    /// What somebody has to look at, each alone.
    #[test]
    fn what_is_refused() {
        type Case = (Box<dyn FnOnce(&mut StartupState)>, Problem);
        let cases: Vec<Case> = vec![
            (
                Box::new(|s| {
                    without_store(s);
                    s.client.head.number = 0;
                    (s.client.deposits, s.client.serves_blocks) = (0, None);
                }),
                Problem::BlocksLost { l1: 5 },
            ),
            (
                Box::new(|s| s.common_batch.as_mut().unwrap().other = Some(hash(9))),
                Problem::OtherBatch { number: 5, store: hash(5), l1: hash(9) },
            ),
            (
                Box::new(|s| {
                    (s.l1.last_committed, s.l1.last_verified) = (2, 1);
                    s.common_batch = Some(Compared { number: 2, store: hash(2), other: Some(hash(2)) });
                    s.without_bytes = Some(3);
                }),
                Problem::BytesMissing { batch: 3, l1: 2 },
            ),
            (
                Box::new(|s| {
                    s.l1.last_verified = 1;
                    s.without_proofs = Some(2);
                }),
                Problem::ProofsMissing { batch: 2, l1: 1 },
            ),
            // The ledger lacks what L1 has dropped: another deposit under its id would not be noticed.
            (Box::new(|s| s.client.deposits = 8), Problem::DepositsRolledBack { client: 8, l1: 7 }),
            (Box::new(|s| s.store.deposits = 8), Problem::DepositsRolledBack { client: 8, l1: 7 }),
            (
                Box::new(|s| {
                    dropped_to(s, 5);
                    s.store.last_deposit = 6;
                }),
                Problem::DepositsRolledBack { client: 7, l1: 5 },
            ),
            // L1 still has the blocks in which the ledger's deposits are.
            (
                Box::new(|s| s.common_deposit.as_mut().unwrap().other = Some(hash(9))),
                Problem::OtherDeposit { id: 7 },
            ),
            (
                Box::new(|s| {
                    dropped_to(s, 5);
                    s.store.last_deposit_on_l1 = 7;
                }),
                Problem::OtherDeposit { id: 6 },
            ),
            (
                Box::new(|s| {
                    s.l1.last_deposit = 6;
                    (s.client.deposits, s.store.deposits) = (6, 6);
                    s.common_deposit = Some(Compared { number: 6, store: hash(6), other: Some(hash(6)) });
                }),
                Problem::OtherDeposit { id: 7 },
            ),
            // L1 has others in the place of those that the L2 holds, whether the watcher has gone back or not.
            (
                Box::new(|s| {
                    s.store.last_deposit_on_l1 = 5;
                    s.common_deposit.as_mut().unwrap().other = Some(hash(9));
                }),
                Problem::DepositReplaced { id: 7 },
            ),
            (
                Box::new(|s| {
                    s.store.cursor_on_l1 = Some(CursorOnL1::Replaced);
                    s.common_deposit.as_mut().unwrap().other = Some(hash(9));
                }),
                Problem::DepositReplaced { id: 7 },
            ),
            (
                Box::new(|s| s.common_block.as_mut().unwrap().other = Some(hash(9))),
                Problem::ClientDiverged {
                    number: 40,
                    store: hash(40),
                    client: Some(hash(9)),
                    store_is_l1s: true,
                },
            ),
            (
                Box::new(|s| {
                    s.client.head.number = 42;
                    s.client.serves_blocks = Some(false);
                }),
                Problem::BlocksHidden { client: 42, store: 40 },
            ),
        ];
        for (change, problem) in cases {
            assert!(!problem.is_repairable());
            let verdict = of(change);
            assert!(!verdict.may_start());
            assert_eq!(verdict, Verdict::Refused(vec![problem]));
        }
    }

    /// A reorged deposit of the ledger, which the L2 does not hold, is the watcher's to unwind.
    #[test]
    fn a_ledger_that_will_be_unwound_is_no_problem() {
        let verdict = of(|s| {
            (s.client.deposits, s.store.deposits) = (6, 6);
            s.common_deposit.as_mut().unwrap().other = Some(hash(9));
            s.store.cursor_on_l1 = Some(CursorOnL1::Replaced);
        });
        assert_eq!(verdict, Verdict::Recoverable(vec![Note::Unwinds { cursor: 98 }]));
    }

    /// A store whose last batch is not L1's is not merely old: a repair on top of it would only fail.
    #[test]
    fn an_old_store_of_another_sequencer_is_not_repairable() {
        let verdict = of(|s| {
            s.store.last_batch = Some(BatchState { number: 2, hash: hash(2), last_block: 15 });
            (s.store.committed, s.store.verified) = (2, 1);
            s.common_batch = Some(Compared { number: 2, store: hash(2), other: Some(hash(9)) });
        });
        let other = Problem::OtherBatch { number: 2, store: hash(2), l1: hash(9) };
        assert_eq!(verdict, Verdict::Refused(vec![other]));
    }

    /// Whose chain is right is only said where L1 tells.
    #[test]
    fn the_store_is_not_called_right_without_l1() {
        let verdict = of(|s| {
            (s.l1.last_committed, s.l1.last_verified, s.store.committed, s.store.verified) = (0, 0, 0, 0);
            s.common_batch = None;
            s.common_block.as_mut().unwrap().other = None;
        });
        let [problem @ Problem::ClientDiverged { store_is_l1s: false, client: None, .. }] =
            verdict.problems()
        else {
            panic!("{verdict}")
        };
        assert!(problem.remedy().contains("nothing on L1 tells yet"));
    }

    /// All problems come at once, each with what to do; one that needs a person keeps the repair from running.
    #[test]
    fn every_problem_is_named() {
        let verdict = of(|s| {
            without_store(s);
            s.client.serves_blocks = Some(false);
            s.client.deposits = 9;
        });
        let Verdict::Refused(problems) = &verdict else { panic!("{verdict}") };
        assert_eq!(problems.len(), 3, "{verdict}");
        let text = verdict.to_string();
        for problem in problems {
            assert!(text.contains(&problem.to_string()) && text.contains(problem.remedy()), "{text}");
        }
        assert_eq!(serde_json::to_value(&verdict).unwrap()["refused"].as_array().unwrap().len(), 3);
    }

    /// A gas limit with which somebody could have a block made that no batch holds is told of, with the highest that is safe.
    #[test]
    fn a_gas_limit_above_the_room_of_a_batch_is_told_of() {
        let limits = |max_blobs, max_gas| BatchLimits { max_blobs, max_gas, max_blocks: 1, max_deposits: 1 };
        let prague = ForkSchedule { cancun_time: 0, prague_time: Some(NOW), osaka_time: None };
        for (limits, time, fits) in [
            (limits(6, u64::MAX), NOW, 780_284 * 38),
            (limits(1, u64::MAX), NOW, 130_044 * 38),
            (limits(6, u64::MAX), NOW - 1, 780_284 * 15),
            (limits(6, 20_000_000), NOW, 20_000_000),
            (limits(0, 20_000_000), NOW, 20_000_000),
        ] {
            let room = BatchRoom::new(&limits, &prague, time);
            assert_eq!(room.fits(), fits, "{limits:?}");
            let judged = |gas_limit| {
                of(|s| {
                    s.room = room;
                    s.client.gas_limit = gas_limit;
                })
            };
            assert_eq!(judged(fits), Verdict::Consistent);
            let note = Note::BlocksMayNotFit { gas_limit: fits + 1, fits };
            assert_eq!(judged(fits + 1), Verdict::Recoverable(vec![note]));
        }
    }

    /// The line of the log can be read by machines.
    #[test]
    fn a_state_is_plain_json() {
        let json = serde_json::to_value(state()).unwrap();
        assert_eq!(json["l1"]["last_committed"], 5);
        assert_eq!(json["store"]["cursor_on_l1"], "canonical");
        assert_eq!(json["client"]["head"]["number"], 40);
    }
}
