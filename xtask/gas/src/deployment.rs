//! Puts the contracts on the chain as an operator would: through the deployer contract, behind proxies.

use alloy_primitives::{Address, B256, U256, keccak256};
use ensemble_batch::BatchHeader;
use ensemble_contracts::deploy::{self, Accounts, DeploymentConfig, L2Genesis, ProposerSettings};
use ensemble_contracts::{Backend, bytecode};

use crate::GasError;
use crate::chain::Account;

/// The chain id is that of no known network.
const L2_CHAIN_ID: u64 = 65_536_999;
/// A month, and six hours: the bounds are not what is measured.
const MAX_DEPOSIT_WAIT: u64 = 30 * 24 * 3600;
const SEAL_WINDOW: u64 = 6 * 3600;

pub(crate) struct Deployment {
    pub(crate) proposer: Address,
    pub(crate) bridge: Address,
    pub(crate) genesis: BatchHeader,
    /// Sum over the deployer, both implementations and both proxies; not the verifier of the measurement.
    pub(crate) gas: u64,
}

/// Everything that `admin` may be is `admin`; one required backend accepts every proof.
pub(crate) async fn deploy(chain_id: u64, admin: &Account<'_>) -> Result<Deployment, GasError> {
    let me = admin.address();
    let created = |receipt: &ensemble_l1::TxReceipt| {
        receipt
            .contract_address
            .ok_or_else(|| GasError::Scenario("the receipt of a creation names no contract".to_owned()))
    };
    let receipt =
        admin.send("deploy the verifier", None, U256::ZERO, bytecode::accept_all_verifier()).await?;
    let verifier = created(&receipt)?;
    let receipt =
        admin.send("deploy the deployer", None, U256::ZERO, bytecode::deterministic_deployer()).await?;
    let factory = created(&receipt)?;
    let mut gas = receipt.gas_used;

    let genesis =
        L2Genesis { chain_id: L2_CHAIN_ID, state_root: keccak256("state"), block_hash: keccak256("block") };
    let plan = deploy::plan(&DeploymentConfig {
        factory,
        deployer: me,
        salt: B256::ZERO,
        settings: ProposerSettings {
            dev_mode: false,
            require_blobs: true,
            max_deposit_wait: MAX_DEPOSIT_WAIT,
            seal_window: SEAL_WINDOW,
        },
        accounts: Accounts { admin: me, guardian: me, sequencer: me, prover: me },
        genesis,
        backends: vec![Backend { verifier, required: true, program_key: keccak256("program") }],
        threshold: 1,
        attestation: None,
        timelock: None,
    })?;
    for step in &plan.steps {
        gas += admin.send(step.name, Some(factory), U256::ZERO, step.data.clone()).await?.gas_used;
    }
    let genesis = BatchHeader::genesis(
        chain_id,
        plan.proposer,
        genesis.chain_id,
        genesis.state_root,
        genesis.block_hash,
    );
    Ok(Deployment { proposer: plan.proposer, bridge: plan.bridge, genesis, gas })
}
