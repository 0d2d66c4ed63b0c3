//! Signed transactions and a small HTTP client for the tests.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;

use ensemble_node::DEV_ACCOUNTS;
use ethrex_common::types::{
    BlobsBundle, EIP1559Transaction, EIP4844Transaction, Transaction, TxKind, WrappedEIP4844Transaction,
};
use ethrex_common::utils::keccak;
use ethrex_common::{Address, Bytes, U256};
use ethrex_rlp::encode::{PayloadRLPEncode, RLPEncode};
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) fn key(i: usize) -> SecretKey {
    SecretKey::from_slice(&hex::decode(DEV_ACCOUNTS[i].private_key).unwrap()).unwrap()
}

fn sign(key: &SecretKey, payload: &[u8]) -> (U256, U256, bool) {
    let message = Message::from_digest(keccak(payload).0);
    let (id, s) = SECP256K1.sign_ecdsa_recoverable(&message, key).serialize_compact();
    (U256::from_big_endian(&s[..32]), U256::from_big_endian(&s[32..]), i32::from(id) == 1)
}

/// A signed EIP-1559 transaction, raw, as hex.
pub(crate) fn transfer(
    account: usize,
    chain_id: u64,
    nonce: u64,
    to: Address,
    wei: u64,
    data: Vec<u8>,
) -> String {
    let mut tx = EIP1559Transaction {
        chain_id,
        nonce,
        max_priority_fee_per_gas: 1_000_000_000,
        max_fee_per_gas: 20_000_000_000,
        gas_limit: 200_000,
        to: TxKind::Call(to),
        value: U256::from(wei),
        data: Bytes::from(data),
        ..Default::default()
    };
    let mut payload = vec![2u8];
    payload.extend(tx.encode_payload_to_vec());
    (tx.signature_r, tx.signature_s, tx.signature_y_parity) = sign(&key(account), &payload);
    format!("0x{}", hex::encode(Transaction::EIP1559Transaction(tx).encode_canonical_to_vec()))
}

/// A signed blob transaction with cell proofs (EIP-7594), raw, as hex; and its versioned hashes.
pub(crate) fn blob_transaction(
    account: usize,
    chain_id: u64,
    nonce: u64,
    blobs: &[Vec<u8>],
) -> (String, Vec<String>) {
    let blobs: Vec<[u8; 131_072]> = blobs.iter().map(|b| b.as_slice().try_into().unwrap()).collect();
    let bundle = BlobsBundle::create_from_blobs(&blobs, Some(1)).unwrap();
    let hashes = bundle.generate_versioned_hashes();
    let mut tx = EIP4844Transaction {
        chain_id,
        nonce,
        max_priority_fee_per_gas: 1_000_000_000,
        max_fee_per_gas: 20_000_000_000,
        gas: 100_000,
        to: Address::repeat_byte(0x42),
        max_fee_per_blob_gas: U256::from(10_000_000_000u64),
        blob_versioned_hashes: hashes.clone(),
        ..Default::default()
    };
    let mut payload = vec![3u8];
    payload.extend(tx.encode_payload_to_vec());
    (tx.signature_r, tx.signature_s, tx.signature_y_parity) = sign(&key(account), &payload);
    let wrapped = WrappedEIP4844Transaction { tx, wrapper_version: Some(1), blobs_bundle: bundle };
    let mut raw = vec![3u8];
    wrapped.encode(&mut raw);
    (format!("0x{}", hex::encode(raw)), hashes.iter().map(|h| format!("{h:#x}")).collect())
}

/// One HTTP/1.1 exchange: status and body.
pub(crate) async fn http(url: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let addr: SocketAddr = url.trim_start_matches("http://").parse().unwrap();
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may answer and close before it has read everything.
    let sent = stream.write_all(body).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    assert!(read.is_ok() || sent.is_err() || !answer.is_empty(), "no answer: {read:?}");
    let split = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("an HTTP answer");
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer[split + 4..].to_vec())
}

/// A JSON-RPC POST; the raw answer.
pub(crate) async fn post(url: &str, headers: &str, body: &Value) -> (u16, Value) {
    let (status, body) = http(url, "POST", "/", headers, body.to_string().as_bytes()).await;
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// A JSON-RPC call; panics on an error answer.
pub(crate) async fn rpc(url: &str, method: &str, params: Value) -> Value {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let (status, answer) = post(url, "", &request).await;
    assert_eq!(status, 200, "{method}: {answer}");
    assert!(answer.get("error").is_none(), "{method}: {answer}");
    answer["result"].clone()
}

/// The `authorization` header line for the Engine API.
#[expect(clippy::disallowed_methods, reason = "the node checks tokens against the wall clock")]
pub(crate) fn bearer(secret: &[u8]) -> String {
    let iat = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let token = jsonwebtoken::encode(
        &jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256),
        &json!({ "iat": iat }),
        &jsonwebtoken::EncodingKey::from_secret(secret),
    );
    format!("authorization: Bearer {}\r\n", token.unwrap())
}
