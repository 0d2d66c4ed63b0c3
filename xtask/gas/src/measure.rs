//! The scenario.

use std::time::Duration;

use alloy_primitives::{B256, Bytes, U256, keccak256};
use ensemble_batch::{BatchHeader, GWEI, L2Withdrawal, WithdrawalTree, deposit_leaf, next_deposits_hash};
use ensemble_contracts::calls;
use ensemble_l1::blobs::BLOB_BYTES;
use ensemble_l1::{L1Client as _, RpcConfig, RpcL1Client, Sidecar, SidecarVersion};

use crate::anvil::{Anvil, FIRST_TIMESTAMP};
use crate::chain::{Account, head_time};
use crate::deployment::{self, Deployment};
use crate::{GasError, GasReport};

/// The first two accounts of the mnemonic that anvil prints when it starts. Known to everybody.
const SEQUENCER_KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const USER_KEY: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

/// 0.1 ETH.
const DEPOSIT_WEI: u64 = 100_000_000 * GWEI;
const WITHDRAWAL_WEI: u64 = 1_000_000 * GWEI;
/// Leaves of a tree of depth 8.
const WITHDRAWALS: u64 = 256;
/// The proof's length with SP1 and RISC Zero: a selector and 256 bytes of Groth16.
const PROOF: [u8; 260] = [0x17; 260];

/// Runs the scenario on a fresh anvil.
///
/// # Errors
/// See [`GasError`].
pub async fn measure(anvil: &Anvil) -> Result<GasReport, GasError> {
    // anvil checks the blobs' proofs before it answers, which takes long where the machine is busy.
    let config = RpcConfig { timeout: Duration::from_secs(60), ..RpcConfig::default() };
    let client = RpcL1Client::new(vec![anvil.url().to_owned()], config)
        .map_err(|source| GasError::L1 { doing: "connect", source })?;
    let chain_id =
        client.chain_id().await.map_err(|source| GasError::L1 { doing: "read the chain id", source })?;
    let sequencer = Account::new(&client, chain_id, SEQUENCER_KEY)?;
    let user = Account::new(&client, chain_id, USER_KEY)?;
    let deployment = deployment::deploy(chain_id, &sequencer).await?;
    let deploy = deployment.gas;
    let mut scenario = Scenario {
        client: &client,
        sequencer,
        user,
        deposits_hash: B256::ZERO,
        deposits_index: 0,
        head: deployment.genesis.clone(),
        sidecar: sidecar()?,
        deployment,
    };

    scenario.deposit().await?;
    let deposit = scenario.deposit().await?;
    scenario.commit(B256::ZERO).await?;
    scenario.verify().await?;

    for _ in 0..10 {
        scenario.deposit().await?;
    }
    let withdrawals: Vec<L2Withdrawal> = (0..WITHDRAWALS)
        .map(|id| L2Withdrawal { id, to: scenario.user.address(), amount: U256::from(WITHDRAWAL_WEI) })
        .collect();
    let tree = WithdrawalTree::new(&withdrawals);
    let commit = scenario.commit(tree.root()).await?;
    let verify_overhead = scenario.verify().await?;

    scenario.claim(&tree, &withdrawals[5]).await?;
    let claim = scenario.claim(&tree, &withdrawals[6]).await?;

    for _ in 0..8 {
        scenario.commit(B256::ZERO).await?;
    }
    let verify_8_batches = scenario.verify().await?;
    Ok(GasReport { deposit, commit, verify_overhead, verify_8_batches, claim, deploy })
}

struct Scenario<'a> {
    client: &'a RpcL1Client,
    sequencer: Account<'a>,
    user: Account<'a>,
    deployment: Deployment,
    deposits_hash: B256,
    deposits_index: u64,
    /// The last committed batch.
    head: BatchHeader,
    sidecar: Sidecar,
}

impl Scenario<'_> {
    async fn deposit(&mut self) -> Result<u64, GasError> {
        let (to, amount) = (self.user.address(), U256::from(DEPOSIT_WEI));
        let receipt =
            self.user.send("deposit", Some(self.deployment.bridge), amount, calls::deposit(to)).await?;
        self.deposits_index += 1;
        self.deposits_hash =
            next_deposits_hash(self.deposits_hash, deposit_leaf(self.deposits_index, to, amount));
        Ok(receipt.gas_used)
    }

    /// Commits a batch that holds all deposits so far.
    async fn commit(&mut self, withdrawals_root: B256) -> Result<u64, GasError> {
        if head_time(self.client).await? < FIRST_TIMESTAMP {
            return Err(GasError::Scenario("anvil's clock is not the one that was asked for".to_owned()));
        }
        let number = self.head.number + 1;
        let header = BatchHeader {
            parent_hash: self.head.hash(),
            state_root: keccak256([b"state", &number.to_be_bytes()[..]].concat()),
            block_hash: keccak256([b"block", &number.to_be_bytes()[..]].concat()),
            withdrawals_root,
            deposits_hash: self.deposits_hash,
            blobs_hash: keccak256(self.sidecar.versioned_hashes().concat()),
            number,
            deposits_index: self.deposits_index,
            // Not the time of day: every header, and so every byte of call data, is the same in every run.
            sealed_at: FIRST_TIMESTAMP,
        };
        let receipt = self
            .sequencer
            .send_blobs("commit", self.deployment.proposer, calls::commit_batch(&header), &self.sidecar)
            .await?;
        self.head = header;
        Ok(receipt.gas_used)
    }

    async fn verify(&mut self) -> Result<u64, GasError> {
        let data = calls::verify_batches(&self.head, &[Bytes::from_static(&PROOF)]);
        let receipt = self.sequencer.send("verify", Some(self.deployment.proposer), U256::ZERO, data).await?;
        Ok(receipt.gas_used)
    }

    /// Claims a withdrawal of the last batch and makes sure that it was paid.
    async fn claim(&mut self, tree: &WithdrawalTree, withdrawal: &L2Withdrawal) -> Result<u64, GasError> {
        let proof = tree
            .index_of(withdrawal.id)
            .and_then(|index| tree.proof(index))
            .ok_or_else(|| GasError::Scenario(format!("withdrawal {} has no proof", withdrawal.id)))?;
        let data = calls::claim_withdrawal(
            &self.head,
            withdrawal.id,
            withdrawal.to,
            withdrawal.amount,
            proof.index,
            &proof.siblings,
        );
        let before = self.bridge_balance().await?;
        let receipt = self.user.send("claim", Some(self.deployment.bridge), U256::ZERO, data).await?;
        if before.checked_sub(withdrawal.amount) != Some(self.bridge_balance().await?) {
            return Err(GasError::Scenario("the claim did not pay its amount".to_owned()));
        }
        Ok(receipt.gas_used)
    }

    async fn bridge_balance(&self) -> Result<U256, GasError> {
        let doing = "read the bridge's balance";
        self.client.balance(self.deployment.bridge).await.map_err(|source| GasError::L1 { doing, source })
    }
}

/// One blob of field elements that are not zero.
fn sidecar() -> Result<Sidecar, GasError> {
    // The first byte of each 32 is zero: a field element is below 2^255 (EIP-4844).
    let blob: Vec<u8> = (0..BLOB_BYTES).map(|i| if i % 32 == 0 { 0 } else { (i % 251) as u8 }).collect();
    Ok(Sidecar::build(&[blob], SidecarVersion::V1)?)
}
