//! The program.

use std::sync::Arc;

use ensemble_batch::{
    BatchHeader, BatchInput, ParentRef, ProgramKey, PublicValues, WithdrawalTree, decode_blocks,
};
use ethrex_crypto::Crypto;

use crate::deposits::Deposits;
use crate::error::ProgramError;
use crate::guest_input::WitnessForm;
use crate::withdrawals::Withdrawals;
use crate::{blobs, config, convert, crypto, stateless};

/// Stack of the program's thread. A debug build of the EVM needs more than the usual 2 MiB.
const STACK_BYTES: usize = 64 << 20;

/// What the program computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramOutput {
    /// What a proof of this execution proves.
    pub public_values: PublicValues,
    /// The batch's header; its hash is the second public value.
    pub header: BatchHeader,
    /// Key of the program together with the chain configuration that was used.
    pub program_key: ProgramKey,
    /// Number of blocks.
    pub blocks: u64,
    /// Number of transactions.
    pub transactions: u64,
    /// Gas used by all blocks.
    pub gas_used: u64,
}

/// Runs the program on a thread of its own: whatever the input, the caller gets a result or an error, never a panic
/// or a stack overflow of its own thread. Blocks the caller; see [`execute_in_place`] for a zkVM guest.
///
/// # Errors
/// [`ProgramError`] when the input has no public values.
pub fn execute(input: &BatchInput) -> Result<ProgramOutput, ProgramError> {
    execute_unless(input, &|| false)
}

/// [`execute`] that gives up before the next block when `stop` says so.
///
/// # Errors
/// [`ProgramError`] when the input has no public values; [`ProgramError::Stopped`] when it was told to stop.
pub fn execute_unless(
    input: &BatchInput,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<ProgramOutput, ProgramError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("ensemble-program".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || run(input, None, stop, &crypto::default()))
            .map_err(|e| ProgramError::Thread { reason: e.to_string() })?;
        thread.join().unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(ProgramError::Panicked { reason: text.unwrap_or("no message").to_owned() })
        })
    })
}

/// Runs the program on the caller's stack.
///
/// # Errors
/// [`ProgramError`] when the input has no public values.
pub fn execute_in_place(input: &BatchInput) -> Result<ProgramOutput, ProgramError> {
    execute_with(input, &crypto::default())
}

/// [`execute_in_place`] with the given cryptography, which changes how long it takes and nothing else.
///
/// # Errors
/// [`ProgramError`] when the input has no public values.
pub fn execute_with(input: &BatchInput, crypto: &Arc<dyn Crypto>) -> Result<ProgramOutput, ProgramError> {
    run(input, None, &|| false, crypto)
}

/// `program` is the one program and chain that is proven, when there is one.
pub(crate) fn run<W: WitnessForm>(
    input: &BatchInput<W>,
    program: Option<ProgramKey>,
    stop: &dyn Fn() -> bool,
    crypto: &Arc<dyn Crypto>,
) -> Result<ProgramOutput, ProgramError> {
    let (config, program_key) = config::parse(&input.chain_config)?;
    if let Some(expected) = program.filter(|expected| *expected != program_key) {
        return Err(ProgramError::OtherChain { expected: expected.0, found: program_key.0 });
    }
    let parent = &input.parent;
    let number = parent.number.checked_add(1).ok_or(ProgramError::Overflow { what: "the batch number" })?;

    if input.sealed_at < parent.sealed_at {
        return Err(ProgramError::SealedBeforeParent {
            sealed_at: input.sealed_at,
            parent: parent.sealed_at,
        });
    }
    let first_parent = ParentRef { hash: parent.block_hash, number: input.parent_block };
    let sealed = decode_blocks(&input.da_payload, &first_parent)?;
    let last = sealed.last().ok_or(ProgramError::EmptyBatch)?;
    if sealed.len() != input.witnesses.len() {
        return Err(ProgramError::WitnessCount { blocks: sealed.len(), witnesses: input.witnesses.len() });
    }

    let mut deposits = Deposits::after(parent);
    let mut withdrawals = Withdrawals::default();
    let (mut transactions, mut gas_used) = (0u64, 0u64);
    for (index, (sealed, witness)) in sealed.iter().zip(&input.witnesses).enumerate() {
        if stop() {
            return Err(ProgramError::Stopped);
        }
        let block = convert::block(sealed, &config, &**crypto)?;
        let executed = stateless::execute(&block, witness.parsed(sealed.number)?, config, crypto)?;
        if index == 0 && executed.pre_state_root != parent.state_root {
            return Err(ProgramError::ParentStateRoot {
                block: input.parent_block,
                expected: parent.state_root,
                found: executed.pre_state_root,
            });
        }
        deposits.add_block(sealed)?;
        withdrawals.add_block(sealed.number, &executed.receipts)?;
        transactions = transactions.saturating_add(sealed.transactions.len() as u64);
        gas_used = gas_used.saturating_add(executed.gas_used);
    }

    let header = BatchHeader {
        parent_hash: parent.hash(),
        state_root: last.state_root,
        block_hash: last.block_hash,
        withdrawals_root: WithdrawalTree::new(&withdrawals.into_inner()).root(),
        deposits_hash: deposits.hash,
        blobs_hash: blobs::verify(&input.da_payload, &input.blobs, input.in_call_data, &**crypto)?,
        number,
        deposits_index: deposits.index,
        sealed_at: input.sealed_at,
    };
    Ok(ProgramOutput {
        public_values: PublicValues { from: header.parent_hash, to: header.hash() },
        header,
        program_key,
        blocks: sealed.len() as u64,
        transactions,
        gas_used,
    })
}
