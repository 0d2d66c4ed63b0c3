//! Genesis files for a development L1 and an L2.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, address};
use ethrex_common::types::Genesis;
use serde_json::{Value, json};

use crate::error::NodeError;
use crate::keys::DEV_ACCOUNTS;

/// Default chain id of the development L1 (the one that Kurtosis networks use).
pub const DEV_L1_CHAIN_ID: u64 = 3_151_908;
/// Default chain id of the L2.
pub const DEV_L2_CHAIN_ID: u64 = 1729;
/// Default gas limit of an L1's genesis.
pub const DEV_GAS_LIMIT: u64 = 60_000_000;
/// Default gas limit of an L2's genesis: whatever is in a block, it fits into six blobs, as a byte of a transaction that no
/// compression makes smaller costs 38 gas at least (EIP-7623).
pub const DEV_L2_GAS_LIMIT: u64 = 25_000_000;
/// Default genesis time, Unix seconds.
pub const DEV_GENESIS_TIMESTAMP: u64 = 0x66a0_0000;
/// Base fee of the genesis block, wei (EIP-1559 `INITIAL_BASE_FEE`).
pub const INITIAL_BASE_FEE: u64 = 1_000_000_000;

/// Address of the `CommonBridgeL2` predeploy.
pub const COMMON_BRIDGE_L2: Address = address!("0x000000000000000000000000000000000000ffff");
/// Address of the deterministic CREATE2 deployment proxy.
pub const CREATE2_FACTORY: Address = address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");
/// Deposit contract (EIP-6110).
pub const DEPOSIT_CONTRACT: Address = address!("0x00000000219ab540356cBB839Cbe05303d7705Fa");

/// Contracts that the protocol expects in the state: EIP-6110, EIP-7002, EIP-7251, EIP-2935, EIP-4788, and
/// the CREATE2 proxy that deployment tools expect.
const SYSTEM_CONTRACTS: [(Address, &str); 6] = [
    (DEPOSIT_CONTRACT, include_str!("system/deposit_contract.hex")),
    (address!("0x00000961Ef480Eb55e80D19ad83579A64c007002"), include_str!("system/withdrawal_requests.hex")),
    (
        address!("0x0000BBdDc7CE488642fb579F8B00f3a590007251"),
        include_str!("system/consolidation_requests.hex"),
    ),
    (address!("0x0000F90827F1C53a10cb7A02335B175320002935"), include_str!("system/block_hashes.hex")),
    (address!("0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02"), include_str!("system/beacon_roots.hex")),
    (CREATE2_FACTORY, include_str!("system/create2_factory.hex")),
];

/// Rules that are in force from the genesis block on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// Prague (EIP-7600).
    Prague,
    /// Osaka (EIP-7607): blob transactions carry cell proofs.
    Osaka,
}

#[derive(Clone, Debug, Default)]
struct Account {
    balance: U256,
    nonce: u64,
    code: Bytes,
    storage: BTreeMap<U256, U256>,
}

/// Builds a genesis as the JSON that execution clients read. The same settings give the same JSON.
#[derive(Clone, Debug)]
pub struct GenesisBuilder {
    chain_id: u64,
    fork: Fork,
    gas_limit: u64,
    timestamp: u64,
    base_fee_per_gas: u64,
    accounts: BTreeMap<Address, Account>,
}

impl GenesisBuilder {
    /// A development L1: Osaka, chain id [`DEV_L1_CHAIN_ID`], no funded account.
    #[must_use]
    pub fn l1() -> Self {
        Self::new(DEV_L1_CHAIN_ID, Fork::Osaka, DEV_GAS_LIMIT)
    }

    /// An L2: Prague (so that any execution client can run it), chain id [`DEV_L2_CHAIN_ID`], no funded
    /// account, no bridge yet ([`Self::common_bridge_l2`]).
    #[must_use]
    pub fn l2() -> Self {
        Self::new(DEV_L2_CHAIN_ID, Fork::Prague, DEV_L2_GAS_LIMIT)
    }

    fn new(chain_id: u64, fork: Fork, gas_limit: u64) -> Self {
        Self {
            chain_id,
            fork,
            gas_limit,
            timestamp: DEV_GENESIS_TIMESTAMP,
            base_fee_per_gas: INITIAL_BASE_FEE,
            accounts: BTreeMap::new(),
        }
    }

    /// Sets the chain id.
    #[must_use]
    pub fn chain_id(mut self, chain_id: u64) -> Self {
        self.chain_id = chain_id;
        self
    }

    /// Sets the rules.
    #[must_use]
    pub fn fork(mut self, fork: Fork) -> Self {
        self.fork = fork;
        self
    }

    /// Sets the gas limit of the genesis block; give the node the same, else the limit drifts by 1/1024 a block.
    #[must_use]
    pub fn gas_limit(mut self, gas_limit: u64) -> Self {
        self.gas_limit = gas_limit;
        self
    }

    /// Sets the genesis time, Unix seconds.
    #[must_use]
    pub fn timestamp(mut self, timestamp: u64) -> Self {
        self.timestamp = timestamp;
        self
    }

    /// Sets the base fee of the genesis block, wei.
    #[must_use]
    pub fn base_fee_per_gas(mut self, wei: u64) -> Self {
        self.base_fee_per_gas = wei;
        self
    }

    /// Gives an account a balance, wei.
    #[must_use]
    pub fn fund(mut self, address: Address, wei: U256) -> Self {
        self.accounts.entry(address).or_default().balance = wei;
        self
    }

    /// Gives each of [`DEV_ACCOUNTS`] a balance, wei.
    #[must_use]
    pub fn fund_dev_accounts(mut self, wei: U256) -> Self {
        for account in DEV_ACCOUNTS {
            self = self.fund(account.address, wei);
        }
        self
    }

    /// Puts a contract's run-time code at an address (nonce 1, EIP-161).
    #[must_use]
    pub fn contract(mut self, address: Address, code: Bytes) -> Self {
        let account = self.accounts.entry(address).or_default();
        account.code = code;
        account.nonce = 1;
        self
    }

    /// Sets a storage slot.
    #[must_use]
    pub fn storage(mut self, address: Address, slot: U256, value: U256) -> Self {
        self.accounts.entry(address).or_default().storage.insert(slot, value);
        self
    }

    /// Puts the `CommonBridgeL2` run-time code at [`COMMON_BRIDGE_L2`].
    #[must_use]
    pub fn common_bridge_l2(self, code: Bytes) -> Self {
        self.contract(COMMON_BRIDGE_L2, code)
    }

    /// The genesis JSON (geth's format).
    #[must_use]
    pub fn build(&self) -> Value {
        let mut config = json!({
            "chainId": self.chain_id,
            "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0, "eip158Block": 0, "byzantiumBlock": 0,
            "constantinopleBlock": 0, "petersburgBlock": 0, "istanbulBlock": 0, "berlinBlock": 0,
            "londonBlock": 0, "mergeNetsplitBlock": 0,
            "terminalTotalDifficulty": 0, "terminalTotalDifficultyPassed": true,
            "shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0,
            "depositContractAddress": lower_hex(DEPOSIT_CONTRACT),
            // EIP-7840; the numbers are those of EIP-4844 and EIP-7691.
            "blobSchedule": {
                "cancun": { "target": 3, "max": 6, "baseFeeUpdateFraction": 3_338_477 },
                "prague": { "target": 6, "max": 9, "baseFeeUpdateFraction": 5_007_716 },
            },
        });
        if self.fork == Fork::Osaka {
            config["osakaTime"] = json!(0);
            config["blobSchedule"]["osaka"] =
                json!({ "target": 6, "max": 9, "baseFeeUpdateFraction": 5_007_716 });
        }
        let mut alloc = serde_json::Map::new();
        for (address, code) in SYSTEM_CONTRACTS {
            let account = json!({ "balance": "0x0", "nonce": "0x1", "code": code.trim() });
            alloc.insert(lower_hex(address), account);
        }
        for (address, account) in &self.accounts {
            let entry = alloc.entry(lower_hex(*address)).or_insert_with(|| json!({ "nonce": "0x0" }));
            entry["balance"] = json!(format!("{:#x}", account.balance));
            if account.nonce != 0 {
                entry["nonce"] = json!(format!("{:#x}", account.nonce));
            }
            if !account.code.is_empty() {
                entry["code"] = json!(account.code);
            }
            if !account.storage.is_empty() {
                let slots = account.storage.iter().map(|(slot, value)| (word(*slot), json!(word(*value))));
                entry["storage"] = Value::Object(slots.collect());
            }
        }
        json!({
            "config": config,
            "nonce": "0x0",
            "timestamp": format!("{:#x}", self.timestamp),
            "extraData": "0x",
            "gasLimit": format!("{:#x}", self.gas_limit),
            "difficulty": "0x0",
            "mixHash": B256::ZERO,
            "coinbase": lower_hex(Address::ZERO),
            "number": "0x0",
            "gasUsed": "0x0",
            "parentHash": B256::ZERO,
            "baseFeePerGas": format!("{:#x}", self.base_fee_per_gas),
            "excessBlobGas": "0x0",
            "blobGasUsed": "0x0",
            "alloc": alloc,
        })
    }
}

/// What a genesis comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenesisSummary {
    /// Chain id.
    pub chain_id: u64,
    /// Hash of the genesis block.
    pub block_hash: B256,
    /// State root of the genesis block.
    pub state_root: B256,
    /// Gas limit.
    pub gas_limit: u64,
    /// Unix seconds.
    pub timestamp: u64,
    /// Rules at genesis, `None` when they are older than Prague or newer than Osaka.
    pub fork: Option<Fork>,
}

/// Computes the genesis block of a genesis JSON.
///
/// # Errors
/// [`NodeError::Genesis`] when the JSON is not a genesis.
pub fn genesis_summary(genesis: &Value) -> Result<GenesisSummary, NodeError> {
    let genesis = parse(genesis)?;
    let header = genesis.get_block().header;
    let config = &genesis.config;
    let at = genesis.timestamp;
    let fork = if config.is_amsterdam_activated(at) || config.bpo1_time.is_some_and(|t| t <= at) {
        None
    } else if config.is_osaka_activated(at) {
        Some(Fork::Osaka)
    } else if config.is_prague_activated(at) {
        Some(Fork::Prague)
    } else {
        None
    };
    Ok(GenesisSummary {
        chain_id: config.chain_id,
        block_hash: B256::from(header.hash().0),
        state_root: B256::from(header.state_root.0),
        gas_limit: genesis.gas_limit,
        timestamp: genesis.timestamp,
        fork,
    })
}

pub(crate) fn parse(genesis: &Value) -> Result<Genesis, NodeError> {
    serde_json::from_value(genesis.clone()).map_err(|e| NodeError::Genesis { reason: e.to_string() })
}

fn lower_hex(address: Address) -> String {
    format!("{address:#x}")
}

fn word(value: U256) -> String {
    format!("{:#066x}", value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn same_settings_give_same_bytes_and_hash() {
        let make = || GenesisBuilder::l2().fund_dev_accounts(U256::from(7)).build();
        assert_eq!(make().to_string(), make().to_string());
        assert_eq!(genesis_summary(&make()).unwrap(), genesis_summary(&make()).unwrap());
    }

    #[test]
    fn every_setting_reaches_the_genesis_block() {
        let base = GenesisBuilder::l2();
        let a = Address::repeat_byte(0x11);
        let variants = [
            base.clone().gas_limit(30_000_000),
            base.clone().timestamp(5),
            base.clone().base_fee_per_gas(8),
            base.clone().fund(a, U256::from(1)),
            base.clone().contract(a, Bytes::from_static(&[0x60])),
            base.clone().fund(a, U256::from(1)).storage(a, U256::from(1), U256::from(2)),
            base.clone().common_bridge_l2(Bytes::from_static(&[0x60])),
        ];
        let mut hashes = vec![genesis_summary(&base.build()).unwrap().block_hash];
        for v in variants {
            hashes.push(genesis_summary(&v.build()).unwrap().block_hash);
        }
        let unique: std::collections::BTreeSet<_> = hashes.iter().collect();
        assert_eq!(unique.len(), hashes.len());
    }

    #[test]
    fn forks_and_chain_ids_are_the_documented_ones() {
        let l1 = genesis_summary(&GenesisBuilder::l1().build()).unwrap();
        let l2 = genesis_summary(&GenesisBuilder::l2().build()).unwrap();
        assert_eq!((l1.chain_id, l1.fork), (DEV_L1_CHAIN_ID, Some(Fork::Osaka)));
        assert_eq!((l2.chain_id, l2.fork), (DEV_L2_CHAIN_ID, Some(Fork::Prague)));
        assert_eq!(genesis_summary(&GenesisBuilder::l2().chain_id(9).build()).unwrap().chain_id, 9);
    }

    #[test]
    fn a_funded_system_contract_keeps_its_code() {
        let json = GenesisBuilder::l2().fund(DEPOSIT_CONTRACT, U256::from(5)).build();
        let entry = &json["alloc"][lower_hex(DEPOSIT_CONTRACT)];
        assert_eq!(entry["balance"], "0x5");
        assert_eq!(entry["nonce"], "0x1");
        assert!(entry["code"].as_str().unwrap().len() > 1000);
    }

    /// SEQ-INV-11
    #[test]
    fn junk_is_refused() {
        for junk in [json!(null), json!([]), json!({"config": 3}), json!({"config": {}, "alloc": {}})] {
            assert!(matches!(genesis_summary(&junk), Err(NodeError::Genesis { .. })), "{junk}");
        }
    }
}
