//! Call data of the contracts' functions.

use std::num::NonZeroU64;

use alloy_primitives::{Address, B256, Bytes, U256, address};
use ensemble_batch::{BatchHeader, blobs_hash, call_data_hash};
use ethers_contract::EthCall;

use crate::abi::{self, bridge, bridge_l2, nested_withdrawer, proposer};
use crate::words::Words;
use crate::{ContractError, ScheduledBackend};

/// Address of the predeploy `CommonBridgeL2` on the L2.
pub const L2_BRIDGE_ADDRESS: Address = address!("000000000000000000000000000000000000ffff");

// ------------------------------------------------------------------------------------------------- CommonBridge

/// `CommonBridge.deposit(to)`; the transaction's value is the amount, whole gwei.
#[must_use]
pub fn deposit(to: Address) -> Bytes {
    abi::encode(bridge::DepositCall { to: abi::address(to) })
}

/// `CommonBridge.claimWithdrawal(...)`.
///
/// `header` is the header of the verified batch that holds the withdrawal, `amount` is in wei, `path` the index of
/// the leaf in the batch's withdrawals tree, and `proof` has the siblings from the leaf upwards.
#[must_use]
pub fn claim_withdrawal(
    header: &BatchHeader,
    id: u64,
    to: Address,
    amount: U256,
    path: u64,
    proof: &[B256],
) -> Bytes {
    abi::encode(bridge::ClaimWithdrawalCall {
        header: abi::bridge_header(header),
        id: id.into(),
        to: abi::address(to),
        amount: abi::uint(amount),
        path: path.into(),
        proof: abi::words(proof),
    })
}

/// View `CommonBridge.depositCheckpoint(index)`, read with
/// [`returns::deposit_checkpoint`](crate::returns::deposit_checkpoint).
#[must_use]
pub fn deposit_checkpoint(index: u64) -> Bytes {
    abi::encode(bridge::DepositCheckpointCall { index })
}

/// View `CommonBridge.lastDepositId()`, a `u64`.
#[must_use]
pub fn last_deposit_id() -> Bytes {
    abi::encode(bridge::LastDepositIdCall {})
}

/// View `CommonBridge.isClaimed(id)`, a `bool`.
#[must_use]
pub fn is_claimed(id: u64) -> Bytes {
    abi::encode(bridge::IsClaimedCall { id: id.into() })
}

/// View `CommonBridge.PROPOSER()`, an `address`.
#[must_use]
pub fn bridge_proposer() -> Bytes {
    abi::encode(bridge::ProposerCall {})
}

// ---------------------------------------------------------------------------------------------- OnChainProposer

/// `OnChainProposer.commitBatch(...)`. The parent hash and the blobs hash of the header are not in it: L1 knows the
/// one and makes the other from the transaction's blobs.
#[must_use]
pub fn commit_batch(header: &BatchHeader) -> Bytes {
    abi::encode(proposer::CommitBatchCall {
        state_root: header.state_root.0,
        block_hash: header.block_hash.0,
        withdrawals_root: header.withdrawals_root.0,
        deposits_hash: header.deposits_hash.0,
        deposits_index: header.deposits_index,
        sealed_at: header.sealed_at,
        number: header.number,
    })
}

/// [`commit_batch`] of a batch whose payload lies behind the arguments, for a transaction without blobs.
#[must_use]
pub fn commit_batch_with_data(header: &BatchHeader, payload: &[u8]) -> Bytes {
    [commit_batch(header).as_ref(), payload].concat().into()
}

/// Reads the call data of [`commit_batch`] or [`commit_batch_with_data`] back from L1: the header, and the payload in
/// the call data, which is empty when there is none or there are blobs. The parent hash and the versioned hashes of the
/// transaction's blobs are as the caller knows them.
///
/// # Errors
/// When it is not the call data of `commitBatch`.
pub fn decode_commit_batch<'a>(
    data: &'a [u8],
    parent_hash: B256,
    versioned_hashes: &[B256],
) -> Result<(BatchHeader, &'a [u8]), ContractError> {
    const ARGUMENTS: usize = 7 * 32;
    let bad = |reason: String| ContractError::BadCall { function: "commitBatch", reason };
    let arguments = data
        .strip_prefix(&proposer::CommitBatchCall::selector())
        .ok_or_else(|| bad("the selector is another".to_owned()))?;
    let (arguments, rest) = arguments.split_at(arguments.len().min(ARGUMENTS));
    let (payload, blobs_hash) = match (versioned_hashes, rest) {
        ([], []) => (rest, B256::ZERO),
        ([], payload) => (payload, call_data_hash(payload)),
        (hashes, _) => (&[][..], blobs_hash(hashes)),
    };
    let read = || -> Result<BatchHeader, String> {
        let mut words = Words::exact(arguments, ARGUMENTS / 32)?;
        Ok(BatchHeader {
            parent_hash,
            state_root: words.word()?,
            block_hash: words.word()?,
            withdrawals_root: words.word()?,
            deposits_hash: words.word()?,
            blobs_hash,
            deposits_index: words.u64()?,
            sealed_at: words.u64()?,
            number: words.u64()?,
        })
    };
    read().map(|header| (header, payload)).map_err(bad)
}

/// `OnChainProposer.verifyBatches(last, proofs)`: proves every batch after the last verified one up to `last`.
/// `proofs[i]` belongs to backend i, empty when it has none.
#[must_use]
pub fn verify_batches(last: &BatchHeader, proofs: &[Bytes]) -> Bytes {
    abi::encode(proposer::VerifyBatchesCall {
        last: abi::proposer_header(last),
        proofs: proofs.iter().map(|proof| abi::bytes(proof)).collect(),
    })
}

/// `OnChainProposer.revertBatches(lastToKeep)`, for the admin while paused.
#[must_use]
pub fn revert_batches(last_to_keep: u64) -> Bytes {
    abi::encode(proposer::RevertBatchesCall { last_to_keep })
}

/// `OnChainProposer.setBackends(backends, threshold)`, for the admin. It reverts when some batch would be proven by
/// fewer than `threshold` backends, or a range is empty or has a number of more than 40 bits.
#[must_use]
pub fn set_backends(backends: &[ScheduledBackend], threshold: u8) -> Bytes {
    abi::encode(proposer::SetBackendsCall { backends: proposer_backends(backends), threshold })
}

/// `OnChainProposer.setSequencer(sequencer)`, for the admin.
#[must_use]
pub fn set_sequencer(sequencer: Address) -> Bytes {
    abi::encode(proposer::SetSequencerCall { sequencer: abi::address(sequencer) })
}

/// `OnChainProposer.setProver(prover)`, for the admin.
#[must_use]
pub fn set_prover(prover: Address) -> Bytes {
    abi::encode(proposer::SetProverCall { prover: abi::address(prover) })
}

/// View `OnChainProposer.lastCommittedBatch()`, a `u64`.
#[must_use]
pub fn last_committed_batch() -> Bytes {
    abi::encode(proposer::LastCommittedBatchCall {})
}

/// View `OnChainProposer.lastVerifiedBatch()`, a `u64`.
#[must_use]
pub fn last_verified_batch() -> Bytes {
    abi::encode(proposer::LastVerifiedBatchCall {})
}

/// View `OnChainProposer.committedHash(number)`, a `bytes32`. Reverts for a batch that is not committed.
#[must_use]
pub fn committed_hash(number: u64) -> Bytes {
    abi::encode(proposer::CommittedHashCall { number: number.into() })
}

/// View `OnChainProposer.verifiedHash(number)`, a `bytes32`. Reverts for a batch that is not verified.
#[must_use]
pub fn verified_hash(number: u64) -> Bytes {
    abi::encode(proposer::VerifiedHashCall { number: number.into() })
}

/// View `OnChainProposer.backends()`, read with [`returns::backends`](crate::returns::backends).
#[must_use]
pub fn backends() -> Bytes {
    abi::encode(proposer::BackendsCall {})
}

/// View `OnChainProposer.sequencer()`, an `address`.
#[must_use]
pub fn sequencer() -> Bytes {
    abi::encode(proposer::SequencerCall {})
}

/// View `OnChainProposer.prover()`, an `address`.
#[must_use]
pub fn prover() -> Bytes {
    abi::encode(proposer::ProverCall {})
}

/// View `OnChainProposer.BRIDGE()`, an `address`.
#[must_use]
pub fn proposer_bridge() -> Bytes {
    abi::encode(proposer::BridgeCall {})
}

/// View `OnChainProposer.DEV_MODE()`, a `bool`.
#[must_use]
pub fn dev_mode() -> Bytes {
    abi::encode(proposer::DevModeCall {})
}

/// View `OnChainProposer.REQUIRE_BLOBS()`, a `bool`.
#[must_use]
pub fn require_blobs() -> Bytes {
    abi::encode(proposer::RequireBlobsCall {})
}

/// View `OnChainProposer.MAX_DEPOSIT_WAIT()`, a `u64` in seconds.
#[must_use]
pub fn max_deposit_wait() -> Bytes {
    abi::encode(proposer::MaxDepositWaitCall {})
}

/// View `OnChainProposer.SEAL_WINDOW()`, a `u64` in seconds.
#[must_use]
pub fn seal_window() -> Bytes {
    abi::encode(proposer::SealWindowCall {})
}

/// View `KEY_HASH()` of a verifier of [`verifiers`](crate::verifiers), a `bytes32`: compare it with
/// [`verifiers::key_hash`](crate::verifiers::key_hash).
#[must_use]
pub fn verifier_key_hash() -> Bytes {
    abi::encode(abi::sp1::KeyHashCall {})
}

/// `IProofVerifier.verify(programKey, publicValues, proof)`, which every verifier of the proposer has: answers nothing,
/// or reverts with the reason.
#[must_use]
pub fn verify_proof(program_key: B256, public_values: &[u8], proof: &[u8]) -> Bytes {
    abi::encode(abi::sp1::VerifyCall {
        program_key: program_key.0,
        public_values: abi::bytes(public_values),
        proof: abi::bytes(proof),
    })
}

// --------------------------------------------------------------------------------------------- both L1 contracts

/// `pause()` or `unpause()` of `CommonBridge` or `OnChainProposer`. The guardian and the admin may pause, only the
/// admin may go on.
#[must_use]
pub fn set_paused(paused: bool) -> Bytes {
    if paused { abi::encode(proposer::PauseCall {}) } else { abi::encode(proposer::UnpauseCall {}) }
}

/// View `paused()` of `CommonBridge` or `OnChainProposer`, a `bool`.
#[must_use]
pub fn paused() -> Bytes {
    abi::encode(proposer::PausedCall {})
}

/// `upgradeToAndCall(implementation, data)` of `CommonBridge` or `OnChainProposer`, for the admin.
#[must_use]
pub fn upgrade_to_and_call(implementation: Address, data: &[u8]) -> Bytes {
    abi::encode(proposer::UpgradeToAndCallCall {
        new_implementation: abi::address(implementation),
        data: abi::bytes(data),
    })
}

// ----------------------------------------------------------------------------------------------- CommonBridgeL2

/// `CommonBridgeL2.withdraw(receiverOnL1)` at [`L2_BRIDGE_ADDRESS`]; the transaction's value is the amount.
#[must_use]
pub fn withdraw(receiver_on_l1: Address) -> Bytes {
    abi::encode(bridge_l2::WithdrawCall { receiver_on_l1: abi::address(receiver_on_l1) })
}

/// View `CommonBridgeL2.withdrawalCount()`, a `u64`: the id of the next withdrawal.
#[must_use]
pub fn withdrawal_count() -> Bytes {
    abi::encode(bridge_l2::WithdrawalCountCall {})
}

// --------------------------------------------------------------------------------------------- NestedWithdrawer

/// `NestedWithdrawer.runDeep(bridge, receivers, amount)`: a withdrawal of `amount` for each receiver, each one call
/// deeper than the one before. The transaction's value pays for all. FOR TESTS ONLY.
#[must_use]
pub fn nested_withdrawals(receivers: &[Address], amount: U256) -> Bytes {
    abi::encode(nested_withdrawer::RunDeepCall {
        bridge: abi::address(L2_BRIDGE_ADDRESS),
        receivers: receivers.iter().copied().map(abi::address).collect(),
        amount: abi::uint(amount),
    })
}

pub(crate) fn proposer_backends(backends: &[ScheduledBackend]) -> Vec<proposer::Backend> {
    backends
        .iter()
        .map(|backend| proposer::Backend {
            verifier: abi::address(backend.verifier),
            required: backend.required,
            first: backend.batches.first,
            last: backend.batches.last.map_or(0, NonZeroU64::get),
            program_key: backend.program_key.0,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy_primitives::{hex, keccak256};

    use super::*;

    fn selector(signature: &str) -> [u8; 4] {
        let hash = keccak256(signature);
        [hash[0], hash[1], hash[2], hash[3]]
    }

    const HEADER: &str = "(bytes32,bytes32,bytes32,bytes32,bytes32,bytes32,uint64,uint64,uint64)";

    fn header() -> BatchHeader {
        BatchHeader {
            parent_hash: B256::repeat_byte(1),
            state_root: B256::repeat_byte(2),
            block_hash: B256::repeat_byte(3),
            withdrawals_root: B256::repeat_byte(4),
            deposits_hash: B256::repeat_byte(5),
            blobs_hash: B256::repeat_byte(6),
            number: 7,
            deposits_index: 8,
            sealed_at: 9,
        }
    }

    /// The functions' signatures, written out by hand: a changed contract must not go unnoticed.
    #[test]
    fn selectors() {
        let (h, a) = (header(), Address::ZERO);
        let table: Vec<(Bytes, String)> = vec![
            (deposit(a), "deposit(address)".into()),
            (
                claim_withdrawal(&h, 0, a, U256::ZERO, 0, &[]),
                format!("claimWithdrawal({HEADER},uint256,address,uint256,uint256,bytes32[])"),
            ),
            (deposit_checkpoint(0), "depositCheckpoint(uint64)".into()),
            (last_deposit_id(), "lastDepositId()".into()),
            (is_claimed(0), "isClaimed(uint256)".into()),
            (bridge_proposer(), "PROPOSER()".into()),
            (commit_batch(&h), "commitBatch(bytes32,bytes32,bytes32,bytes32,uint64,uint64,uint40)".into()),
            (verify_batches(&h, &[]), format!("verifyBatches({HEADER},bytes[])")),
            (revert_batches(0), "revertBatches(uint40)".into()),
            (set_backends(&[], 0), "setBackends((address,bool,uint40,uint40,bytes32)[],uint8)".into()),
            (set_sequencer(a), "setSequencer(address)".into()),
            (set_prover(a), "setProver(address)".into()),
            (last_committed_batch(), "lastCommittedBatch()".into()),
            (last_verified_batch(), "lastVerifiedBatch()".into()),
            (committed_hash(0), "committedHash(uint256)".into()),
            (verified_hash(0), "verifiedHash(uint256)".into()),
            (backends(), "backends()".into()),
            (sequencer(), "sequencer()".into()),
            (prover(), "prover()".into()),
            (proposer_bridge(), "BRIDGE()".into()),
            (dev_mode(), "DEV_MODE()".into()),
            (require_blobs(), "REQUIRE_BLOBS()".into()),
            (max_deposit_wait(), "MAX_DEPOSIT_WAIT()".into()),
            (seal_window(), "SEAL_WINDOW()".into()),
            (verifier_key_hash(), "KEY_HASH()".into()),
            (verify_proof(B256::ZERO, &[1; 64], &[2]), "verify(bytes32,bytes,bytes)".into()),
            (set_paused(true), "pause()".into()),
            (set_paused(false), "unpause()".into()),
            (paused(), "paused()".into()),
            (upgrade_to_and_call(a, &[]), "upgradeToAndCall(address,bytes)".into()),
            (withdraw(a), "withdraw(address)".into()),
            (withdrawal_count(), "withdrawalCount()".into()),
        ];
        for (data, signature) in table {
            assert_eq!(data[..4], selector(&signature), "{signature}");
        }
    }

    /// The header goes into the call data as `abi.encode(header)`, so that L1 hashes the same bytes as we do.
    #[test]
    fn header_words() {
        let data = verify_batches(&header(), &[]);
        assert_eq!(data[4..4 + BatchHeader::ENCODED_LEN], header().abi_encode());
        let data = claim_withdrawal(&header(), 1, Address::ZERO, U256::from(2), 3, &[B256::repeat_byte(9)]);
        assert_eq!(data[4..4 + BatchHeader::ENCODED_LEN], header().abi_encode());
        assert_eq!(
            data[4 + BatchHeader::ENCODED_LEN..].to_vec(),
            hex!(
                "0000000000000000000000000000000000000000000000000000000000000001"
                "0000000000000000000000000000000000000000000000000000000000000000"
                "0000000000000000000000000000000000000000000000000000000000000002"
                "0000000000000000000000000000000000000000000000000000000000000003"
                "00000000000000000000000000000000000000000000000000000000000001c0"
                "0000000000000000000000000000000000000000000000000000000000000001"
                "0909090909090909090909090909090909090909090909090909090909090909"
            )
            .to_vec()
        );
    }

    /// SEQ-INV-10: a committed header is read back from L1, and the payload that lies behind it.
    #[test]
    fn commit_round_trip() {
        let hashes = [B256::repeat_byte(1), B256::repeat_byte(2)];
        let h = BatchHeader { blobs_hash: keccak256(hashes.concat()), ..header() };
        let data = commit_batch(&h);
        assert_eq!(decode_commit_batch(&data, h.parent_hash, &hashes).unwrap(), (h.clone(), &[][..]));
        for broken in [&data[1..], &data[..data.len() - 1], &[], &deposit(Address::ZERO)] {
            assert!(matches!(
                decode_commit_batch(broken, h.parent_hash, &hashes),
                Err(ContractError::BadCall { function: "commitBatch", .. })
            ));
        }
        let mut wide = data.to_vec();
        wide[4 + 6 * 32] = 1;
        assert!(decode_commit_batch(&wide, h.parent_hash, &hashes).is_err());

        let payload = [9, 8, 7];
        let with_data = commit_batch_with_data(&h, &payload);
        assert_eq!(with_data.len(), data.len() + payload.len());
        let in_call_data = BatchHeader { blobs_hash: !keccak256(payload), ..h.clone() };
        assert_eq!(
            decode_commit_batch(&with_data, h.parent_hash, &[]).unwrap(),
            (in_call_data, &payload[..])
        );
        // as in the contract, blobs go before call data; with neither there is no data
        assert_eq!(decode_commit_batch(&with_data, h.parent_hash, &hashes).unwrap(), (h.clone(), &[][..]));
        let without = BatchHeader { blobs_hash: B256::ZERO, ..h.clone() };
        assert_eq!(decode_commit_batch(&data, h.parent_hash, &[]).unwrap(), (without, &[][..]));
    }
}
