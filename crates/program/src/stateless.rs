//! Stateless re-execution of one block on its witness.

use std::fmt::Display;
use std::sync::Arc;

use alloy_primitives::B256;
use ethrex_common::types::block_execution_witness::{
    GuestProgramState, RpcExecutionWitness, decode_witness_headers, validate_witness_headers_chain,
};
use ethrex_common::types::{Block, BlockHeader, ChainConfig, ELASTICITY_MULTIPLIER, Receipt};
use ethrex_common::{
    validate_block_pre_execution, validate_gas_used, validate_receipts_root_and_logs_bloom,
    validate_requests_hash,
};
use ethrex_crypto::Crypto;
use ethrex_vm::{Evm, GuestProgramStateWrapper};

use crate::convert::b256;
use crate::error::{InvalidPart, ProgramError};
use crate::trie_node;

/// Headers that a block can reach: its parent and the rest of the 256 ancestors of the BLOCKHASH opcode.
const MAX_WITNESS_HEADERS: usize = 256;

/// A block that was executed.
pub(crate) struct Executed {
    /// State root of the parent block.
    pub(crate) pre_state_root: B256,
    /// Receipts that execution gave.
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) gas_used: u64,
}

/// Executes a block on the state in its witness, of which nothing is trusted: headers have to chain up to the block's
/// parent hash, and everything else is looked up by hash from the parent's state root. That the header is the body's is
/// not checked again: [`convert::block`](crate::convert::block) takes the header's roots from the body.
pub(crate) fn execute(
    block: &Block,
    witness: RpcExecutionWitness,
    config: ChainConfig,
    shared: &Arc<dyn Crypto>,
) -> Result<Executed, ProgramError> {
    let crypto = &**shared;
    let number = block.header.number;
    let bad_witness = |e: &dyn Display| ProgramError::Witness { block: number, reason: e.to_string() };
    let invalid = |part: InvalidPart, e: &dyn Display| ProgramError::Invalid {
        block: number,
        part,
        reason: e.to_string(),
    };

    if witness.headers.len() > MAX_WITNESS_HEADERS {
        return Err(bad_witness(&format!("more than {MAX_WITNESS_HEADERS} headers")));
    }
    if let Some(index) = witness.state.iter().position(|node| !trie_node::is_well_formed(node)) {
        return Err(bad_witness(&format!("state entry {index} is not a trie node")));
    }
    let headers = decode_witness_headers(&witness.headers).map_err(|e| bad_witness(&e))?;
    validate_witness_headers_chain(&headers, crypto).map_err(|e| bad_witness(&e))?;
    let parent = parent(&headers, block, crypto)?;

    let witness =
        witness.into_execution_witness(config, number, &headers, crypto).map_err(|e| bad_witness(&e))?;
    let state = GuestProgramState::from_witness(witness, crypto).map_err(|e| bad_witness(&e))?;
    let mut db = GuestProgramStateWrapper::new(state, shared.clone());
    let found = b256(db.state_trie_root().map_err(|e| bad_witness(&e))?);
    let pre_state_root = b256(parent.state_root);
    if found != pre_state_root {
        return Err(ProgramError::PreStateRoot { block: number, expected: pre_state_root, found });
    }

    validate_block_pre_execution(block, parent, &config, ELASTICITY_MULTIPLIER)
        .map_err(|e| invalid(InvalidPart::Header, &e))?;
    let mut vm = Evm::new_for_l1(db.clone(), shared.clone());
    // A hole in the witness surfaces here too, as a database error.
    let (result, _) = vm.execute_block(block).map_err(|e| invalid(InvalidPart::Execution, &e))?;
    let updates = vm.get_state_transitions().map_err(|e| invalid(InvalidPart::Execution, &e))?;
    db.apply_account_updates(&updates).map_err(|e| bad_witness(&e))?;
    validate_gas_used(result.block_gas_used, &block.header).map_err(|e| invalid(InvalidPart::GasUsed, &e))?;
    validate_receipts_root_and_logs_bloom(&block.header, &result.receipts, crypto)
        .map_err(|e| invalid(InvalidPart::Receipts, &e))?;
    validate_requests_hash(&block.header, &config, &result.requests)
        .map_err(|e| invalid(InvalidPart::Requests, &e))?;
    let found = b256(db.state_trie_root().map_err(|e| bad_witness(&e))?);
    let expected = b256(block.header.state_root);
    if found != expected {
        return Err(ProgramError::StateRoot { block: number, expected, found });
    }
    Ok(Executed { pre_state_root, receipts: result.receipts, gas_used: result.block_gas_used })
}

/// The last header of the witness, which has to be the block's parent.
fn parent<'a>(
    headers: &'a [BlockHeader],
    block: &Block,
    crypto: &dyn Crypto,
) -> Result<&'a BlockHeader, ProgramError> {
    let number = block.header.number;
    let bad = |reason: String| ProgramError::Witness { block: number, reason };
    let parent = headers.last().ok_or_else(|| bad("it has no headers".to_owned()))?;
    let found = b256(*parent.hash.get_or_init(|| parent.compute_block_hash(crypto)));
    let expected = b256(block.header.parent_hash);
    if expected != found {
        return Err(ProgramError::WitnessParent { block: number, expected, found });
    }
    if parent.number.checked_add(1) != Some(number) {
        return Err(bad(format!("its parent has height {}", parent.number)));
    }
    Ok(parent)
}
