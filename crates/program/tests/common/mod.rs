//! An L2 on the embedded node that seals real blocks, and batches made of them.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{path::Path, sync::Arc};

use alloy_primitives::{Address, B256, Bytes, FixedBytes, U64, U256, hex, keccak256};
use c_kzg::ethereum_kzg_settings;
use ensemble_batch::{
    BatchHeader, BatchInput, BlobProof, ProgramKey, PublicValues, SealedBlock, Withdrawal, encode_blocks,
    pack, prev_randao,
};
use ensemble_node::{
    DEV_ACCOUNTS, DEV_L2_CHAIN_ID, EmbeddedNode, GenesisBuilder, NodeConfig, NodeHandle, genesis_summary,
};
use ensemble_program::{Crypto, PackedInput, Portable, ProgramError, ProgramOutput, Software, execute_with};
use ethrex_common::types::{EIP1559Transaction, Transaction, TxKind};
use ethrex_rlp::encode::PayloadRLPEncode;
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::{Value, json};

/// A contract that forwards its call data twice to the bridge, 5 wei each.
pub(crate) const TWICE: Address = Address::repeat_byte(0x22);
const TWICE_CODE: [u8; 27] = [
    0x36, 0x5f, 0x5f, 0x37, // copy the call data
    0x5f, 0x5f, 0x36, 0x5f, 0x60, 0x05, 0x61, 0xff, 0xff, 0x5a, 0xf1, 0x50, // call the bridge
    0x5f, 0x5f, 0x36, 0x5f, 0x60, 0x05, 0x61, 0xff, 0xff, 0x5a, 0xf1, // and again
];

/// The runtime code of CommonBridgeL2 from the committed artifact.
fn bridge_code() -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/artifacts/CommonBridgeL2.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| {
        panic!("{}: {e}; write the artifacts with `cargo xtask contracts`", path.display())
    });
    let json: Value = serde_json::from_str(&text).unwrap();
    json["deployedBytecode"].as_str().unwrap().parse().unwrap()
}

pub(crate) fn genesis() -> Value {
    GenesisBuilder::l2()
        .fund_dev_accounts(U256::from(10u128.pow(24)))
        .common_bridge_l2(bridge_code())
        .contract(TWICE, Bytes::copy_from_slice(&TWICE_CODE))
        .build()
}

/// `withdraw(address)` of CommonBridgeL2.
pub(crate) fn withdraw_call(receiver: Address) -> Vec<u8> {
    let mut data = keccak256("withdraw(address)")[..4].to_vec();
    data.extend_from_slice(receiver.into_word().as_slice());
    data
}

pub(crate) fn signed(account: usize, nonce: u64, to: Address, wei: u64, data: Vec<u8>) -> String {
    let key = SecretKey::from_slice(&hex::decode(DEV_ACCOUNTS[account].private_key).unwrap()).unwrap();
    let mut tx = EIP1559Transaction {
        chain_id: DEV_L2_CHAIN_ID,
        nonce,
        max_priority_fee_per_gas: 1_000_000_000,
        max_fee_per_gas: 20_000_000_000,
        gas_limit: 300_000,
        to: TxKind::Call(ethrex_common::Address::from(to.into_array())),
        value: wei.into(),
        data: data.into(),
        ..Default::default()
    };
    let mut payload = vec![2u8];
    payload.extend(tx.encode_payload_to_vec());
    let message = Message::from_digest(keccak256(&payload).0);
    let (id, signature) = SECP256K1.sign_ecdsa_recoverable(&message, &key).serialize_compact();
    tx.signature_r = ethrex_common::U256::from_big_endian(&signature[..32]);
    tx.signature_s = ethrex_common::U256::from_big_endian(&signature[32..]);
    tx.signature_y_parity = i32::from(id) == 1;
    hex::encode_prefixed(Transaction::EIP1559Transaction(tx).encode_canonical_to_vec())
}

/// An L2 and its head.
pub(crate) struct L2 {
    pub(crate) node: NodeHandle,
    pub(crate) genesis: BatchHeader,
    pub(crate) chain_config: Bytes,
    pub(crate) head: (u64, B256),
    pub(crate) deposits_index: u64,
    timestamp: u64,
}

/// What goes into a block.
#[derive(Default)]
pub(crate) struct Content {
    pub(crate) transactions: Vec<String>,
    /// Receiver and gwei; ids follow.
    pub(crate) deposits: Vec<(Address, u64)>,
    /// Replaces the right `prevRandao`.
    pub(crate) prev_randao: Option<B256>,
    /// Replaces the ids and validator indices of the deposits.
    pub(crate) ids: Option<Vec<(u64, u64)>>,
}

impl L2 {
    pub(crate) async fn start() -> Self {
        let genesis = genesis();
        let summary = genesis_summary(&genesis).unwrap();
        let node =
            EmbeddedNode::start(NodeConfig::local("l2", genesis.clone(), [7; 32]).unwrap()).await.unwrap();
        let proposer = Address::repeat_byte(0xab);
        Self {
            node,
            genesis: BatchHeader::genesis(
                1,
                proposer,
                summary.chain_id,
                summary.state_root,
                summary.block_hash,
            ),
            chain_config: ProgramKey::canonical_chain_config(&genesis["config"]).into_bytes().into(),
            head: (0, summary.block_hash),
            deposits_index: 0,
            timestamp: summary.timestamp,
        }
    }

    /// Builds a block on the head, makes it the head, and takes its witness.
    pub(crate) async fn seal(&mut self, content: Content) -> (SealedBlock, Bytes) {
        for raw in &content.transactions {
            self.node.call("eth_sendRawTransaction", vec![json!(raw)]).await.unwrap();
        }
        let ids = content.ids.unwrap_or_else(|| {
            (0..content.deposits.len() as u64).map(|i| (self.deposits_index + 1 + i, 0)).collect()
        });
        let deposits: Vec<Value> = content
            .deposits
            .iter()
            .zip(&ids)
            .map(|((to, gwei), (id, validator))| {
                json!({ "index": hex_u64(*id), "validatorIndex": hex_u64(*validator), "address": to, "amount": hex_u64(*gwei) })
            })
            .collect();
        self.deposits_index += deposits.len() as u64;
        self.timestamp += 2;
        let randao = content.prev_randao.unwrap_or_else(|| prev_randao(&self.head.1, self.deposits_index));
        let attributes = json!({
            "timestamp": hex_u64(self.timestamp), "prevRandao": randao,
            "suggestedFeeRecipient": Address::repeat_byte(0xfe), "withdrawals": deposits,
            "parentBeaconBlockRoot": B256::ZERO,
        });
        let id = self.fork_choice(self.head.1, attributes).await["payloadId"].clone();
        let built = self.node.call("engine_getPayloadV4", vec![id]).await.unwrap();
        let payload = built["executionPayload"].clone();
        let params = vec![payload.clone(), json!([]), json!(B256::ZERO), built["executionRequests"].clone()];
        let status = self.node.call("engine_newPayloadV4", params).await.unwrap();
        assert_eq!(status["status"], "VALID", "{status}");
        let block = sealed(&payload, &built["executionRequests"]);
        assert_eq!(block.transactions.len(), content.transactions.len(), "every transaction is in the block");
        self.fork_choice(block.block_hash, Value::Null).await;
        self.head = (block.number, block.block_hash);
        let witness =
            self.node.call("debug_executionWitness", vec![json!(hex_u64(block.number))]).await.unwrap();
        (block, witness.to_string().into_bytes().into())
    }

    async fn fork_choice(&self, head: B256, attributes: Value) -> Value {
        let state =
            json!({ "headBlockHash": head, "safeBlockHash": B256::ZERO, "finalizedBlockHash": B256::ZERO });
        let answer = self.node.call("engine_forkchoiceUpdatedV3", vec![state, attributes]).await.unwrap();
        assert_eq!(answer["payloadStatus"]["status"], "VALID", "{answer}");
        answer
    }

    /// The input for a batch of these blocks.
    pub(crate) fn batch(
        &self,
        parent: &BatchHeader,
        blocks: &[(SealedBlock, Bytes)],
        blobs: bool,
    ) -> BatchInput {
        let sealed: Vec<SealedBlock> = blocks.iter().map(|(block, _)| block.clone()).collect();
        let payload = encode_blocks(&sealed).unwrap();
        BatchInput {
            parent: parent.clone(),
            parent_block: sealed[0].number - 1,
            sealed_at: self.timestamp + 1,
            blobs: if blobs { blob_proofs(&payload) } else { Vec::new() },
            da_payload: payload.into(),
            witnesses: blocks.iter().map(|(_, witness)| witness.clone()).collect(),
            chain_config: self.chain_config.clone(),
        }
    }
}

/// What a zkVM guest runs, on this machine: pure-Rust cryptography, with the input as it is and packed. It has to come to
/// the same result; only the words about points of no curve are each library's own.
pub(crate) fn check_guest(
    name: &str,
    input: &BatchInput,
    chain: ProgramKey,
    native: &Result<ProgramOutput, ProgramError>,
) {
    let portable = || -> Arc<dyn Crypto> { Arc::new(Portable(Software)) };
    let run = |work: &(dyn Fn() -> Result<PublicValues, ProgramError> + Sync)| {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(64 << 20).spawn_scoped(scope, work).unwrap();
            thread.join().unwrap_or_else(|_| panic!("{name}: the pure-Rust program panicked"))
        })
    };
    let expected = native.as_ref().map(|out| out.public_values).map_err(without_words);
    let plain = run(&|| execute_with(input, &portable()).map(|out| out.public_values));
    assert_eq!(plain.map_err(|e| without_words(&e)), expected, "{name}: native against portable");

    let packed = run(&|| {
        let bytes = PackedInput::new(input)?.to_bytes()?;
        PackedInput::from_bytes(&bytes)?.run(chain, &portable())
    });
    let packed = packed.map_err(|e| without_words(&e));
    match std::str::from_utf8(&input.chain_config).map(ProgramKey::exec) {
        // Another chain, or a configuration that none can have.
        Ok(found) if found != chain => match packed {
            Err(ProgramError::OtherChain { .. } | ProgramError::ChainConfig { .. }) => {}
            other => panic!("{name}: {other:?}"),
        },
        _ => assert_eq!(packed, expected, "{name}: native against packed"),
    }
}

fn without_words(error: &ProgramError) -> ProgramError {
    match error {
        ProgramError::BlobInput { index, .. } => {
            ProgramError::BlobInput { index: *index, reason: String::new() }
        }
        other => other.clone(),
    }
}

pub(crate) fn blob_proofs(payload: &[u8]) -> Vec<BlobProof> {
    let settings = ethereum_kzg_settings(0);
    pack(payload, 64)
        .unwrap()
        .iter()
        .map(|blob| {
            let blob = c_kzg::Blob::from_bytes(blob.as_bytes()).unwrap();
            let commitment = settings.blob_to_kzg_commitment(&blob).unwrap().to_bytes();
            let proof = settings.compute_blob_kzg_proof(&blob, &commitment).unwrap().to_bytes();
            BlobProof {
                commitment: FixedBytes::from(commitment.into_inner()),
                proof: FixedBytes::from(proof.into_inner()),
            }
        })
        .collect()
}

fn hex_u64(n: u64) -> String {
    format!("{n:#x}")
}

/// Execution payload JSON to a sealed block.
fn sealed(payload: &Value, requests: &Value) -> SealedBlock {
    fn get<T: serde::de::DeserializeOwned>(payload: &Value, key: &str) -> T {
        serde_json::from_value(payload[key].clone()).unwrap_or_else(|e| panic!("{key}: {e}"))
    }
    let number = |value: &Value, key: &str| -> u64 { get::<U64>(value, key).to() };
    let p = payload;
    SealedBlock {
        parent_hash: get(p, "parentHash"),
        fee_recipient: get(p, "feeRecipient"),
        state_root: get(p, "stateRoot"),
        receipts_root: get(p, "receiptsRoot"),
        logs_bloom: get(p, "logsBloom"),
        prev_randao: get(p, "prevRandao"),
        number: number(p, "blockNumber"),
        gas_limit: number(p, "gasLimit"),
        gas_used: number(p, "gasUsed"),
        timestamp: number(p, "timestamp"),
        extra_data: get(p, "extraData"),
        base_fee_per_gas: number(p, "baseFeePerGas"),
        block_hash: get(p, "blockHash"),
        transactions: get(p, "transactions"),
        withdrawals: p["withdrawals"]
            .as_array()
            .unwrap()
            .iter()
            .map(|w| Withdrawal {
                index: number(w, "index"),
                validator_index: number(w, "validatorIndex"),
                address: get(w, "address"),
                amount_gwei: number(w, "amount"),
            })
            .collect(),
        blob_gas_used: number(p, "blobGasUsed"),
        excess_blob_gas: number(p, "excessBlobGas"),
        parent_beacon_block_root: B256::ZERO,
        execution_requests: serde_json::from_value(requests.clone()).unwrap(),
    }
}
