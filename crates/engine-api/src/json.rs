//! JSON of execution-apis: strict where it matters (quantities, required fields), blind to unknown fields.

use alloy_primitives::{Address, B256, Bloom, Bytes, U256};
use ensemble_batch::{SealedBlock, Withdrawal};
use serde::{Deserialize, Serialize};

use crate::{
    BlockSummary, ClientLog, ClientReceipt, ForkchoiceState, PayloadAttributes, PayloadId, PayloadStatus,
    error::remote_text,
};

/// `QUANTITY`: `0x`, then hex digits without leading zeros, `0x0` for zero.
pub(crate) mod quantity {
    use std::borrow::Cow;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn digits(text: &str, max: usize) -> Result<&str, &'static str> {
        let digits = text.strip_prefix("0x").ok_or("a quantity begins with 0x")?;
        if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
            return Err("a quantity has at least one digit and no leading zeros");
        }
        if digits.len() > max || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("not a quantity of this width");
        }
        Ok(digits)
    }

    pub(crate) fn parse(text: &str) -> Result<u64, &'static str> {
        u64::from_str_radix(digits(text, 16)?, 16).map_err(|_| "not a quantity of 64 bits")
    }

    pub(crate) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:#x}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        parse(&text).map_err(D::Error::custom)
    }
}

/// `QUANTITY` of 256 bits.
mod quantity256 {
    use std::borrow::Cow;

    use alloy_primitives::U256;
    use serde::{Deserialize, Deserializer, de::Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<U256, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let digits = super::quantity::digits(&text, 64).map_err(D::Error::custom)?;
        U256::from_str_radix(digits, 16).map_err(D::Error::custom)
    }
}

#[derive(Deserialize)]
pub(crate) struct Quantity(#[serde(with = "quantity")] pub(crate) u64);

/// `WithdrawalV1`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonWithdrawal {
    #[serde(with = "quantity")]
    index: u64,
    #[serde(with = "quantity")]
    validator_index: u64,
    address: Address,
    #[serde(with = "quantity")]
    amount: u64,
}

impl From<&Withdrawal> for JsonWithdrawal {
    fn from(w: &Withdrawal) -> Self {
        Self { index: w.index, validator_index: w.validator_index, address: w.address, amount: w.amount_gwei }
    }
}

impl From<JsonWithdrawal> for Withdrawal {
    fn from(w: JsonWithdrawal) -> Self {
        Self { index: w.index, validator_index: w.validator_index, address: w.address, amount_gwei: w.amount }
    }
}

/// `ExecutionPayloadV3`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JsonPayload {
    parent_hash: B256,
    fee_recipient: Address,
    state_root: B256,
    receipts_root: B256,
    logs_bloom: Bloom,
    prev_randao: B256,
    #[serde(with = "quantity")]
    block_number: u64,
    #[serde(with = "quantity")]
    gas_limit: u64,
    #[serde(with = "quantity")]
    gas_used: u64,
    #[serde(with = "quantity")]
    timestamp: u64,
    extra_data: Bytes,
    // 256 bits in the specification; a base fee above 2^64 wei would be 18 ETH per gas
    #[serde(with = "quantity")]
    base_fee_per_gas: u64,
    block_hash: B256,
    transactions: Vec<Bytes>,
    withdrawals: Vec<JsonWithdrawal>,
    #[serde(with = "quantity")]
    blob_gas_used: u64,
    #[serde(with = "quantity")]
    excess_blob_gas: u64,
}

impl From<&SealedBlock> for JsonPayload {
    fn from(b: &SealedBlock) -> Self {
        Self {
            parent_hash: b.parent_hash,
            fee_recipient: b.fee_recipient,
            state_root: b.state_root,
            receipts_root: b.receipts_root,
            logs_bloom: b.logs_bloom,
            prev_randao: b.prev_randao,
            block_number: b.number,
            gas_limit: b.gas_limit,
            gas_used: b.gas_used,
            timestamp: b.timestamp,
            extra_data: b.extra_data.clone(),
            base_fee_per_gas: b.base_fee_per_gas,
            block_hash: b.block_hash,
            transactions: b.transactions.clone(),
            withdrawals: b.withdrawals.iter().map(Into::into).collect(),
            blob_gas_used: b.blob_gas_used,
            excess_blob_gas: b.excess_blob_gas,
        }
    }
}

/// Answer of `engine_getPayload` V3 to V5; the blobs bundle is of no use to us.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JsonBuiltPayload {
    execution_payload: JsonPayload,
    #[serde(deserialize_with = "quantity256::deserialize")]
    pub(crate) block_value: U256,
    execution_requests: Option<Vec<Bytes>>,
}

impl JsonBuiltPayload {
    /// The block, once what JSON types cannot say has been checked.
    pub(crate) fn into_block(
        self,
        has_requests: bool,
        parent_beacon_block_root: B256,
    ) -> Result<(SealedBlock, U256), String> {
        let p = self.execution_payload;
        let execution_requests = match (self.execution_requests, has_requests) {
            (Some(requests), true) => requests,
            (None, true) => return Err("executionRequests is missing".into()),
            (None, false) => Vec::new(),
            (Some(requests), false) if requests.is_empty() => requests,
            (Some(_), false) => return Err("executionRequests before Prague".into()),
        };
        if p.extra_data.len() > 32 {
            return Err(format!("extraData of {} bytes, the limit is 32", p.extra_data.len()));
        }
        if p.transactions.iter().any(|tx| tx.is_empty()) {
            return Err("an empty transaction".into());
        }
        // execution-apis, Prague: each element is a type byte and data; empty data must be left out
        if execution_requests.iter().any(|request| request.len() < 2) {
            return Err("an execution request without data".into());
        }
        let block = SealedBlock {
            parent_hash: p.parent_hash,
            fee_recipient: p.fee_recipient,
            state_root: p.state_root,
            receipts_root: p.receipts_root,
            logs_bloom: p.logs_bloom,
            prev_randao: p.prev_randao,
            number: p.block_number,
            gas_limit: p.gas_limit,
            gas_used: p.gas_used,
            timestamp: p.timestamp,
            extra_data: p.extra_data,
            base_fee_per_gas: p.base_fee_per_gas,
            block_hash: p.block_hash,
            transactions: p.transactions,
            withdrawals: p.withdrawals.into_iter().map(Into::into).collect(),
            blob_gas_used: p.blob_gas_used,
            excess_blob_gas: p.excess_blob_gas,
            parent_beacon_block_root,
            execution_requests,
        };
        Ok((block, self.block_value))
    }
}

/// `ForkchoiceStateV1`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JsonForkchoiceState {
    head_block_hash: B256,
    safe_block_hash: B256,
    finalized_block_hash: B256,
}

impl From<ForkchoiceState> for JsonForkchoiceState {
    fn from(s: ForkchoiceState) -> Self {
        Self { head_block_hash: s.head, safe_block_hash: s.safe, finalized_block_hash: s.finalized }
    }
}

/// `PayloadAttributesV3`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JsonPayloadAttributes {
    #[serde(with = "quantity")]
    timestamp: u64,
    prev_randao: B256,
    suggested_fee_recipient: Address,
    withdrawals: Vec<JsonWithdrawal>,
    parent_beacon_block_root: B256,
}

impl From<&PayloadAttributes> for JsonPayloadAttributes {
    fn from(a: &PayloadAttributes) -> Self {
        Self {
            timestamp: a.timestamp,
            prev_randao: a.prev_randao,
            suggested_fee_recipient: a.suggested_fee_recipient,
            withdrawals: a.withdrawals.iter().map(Into::into).collect(),
            parent_beacon_block_root: a.parent_beacon_block_root,
        }
    }
}

/// `PayloadStatusV1`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JsonPayloadStatus {
    status: JsonStatus,
    latest_valid_hash: Option<B256>,
    validation_error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum JsonStatus {
    Valid,
    Invalid,
    InvalidBlockHash,
    Syncing,
    Accepted,
}

impl From<JsonPayloadStatus> for PayloadStatus {
    fn from(s: JsonPayloadStatus) -> Self {
        let validation_error = s.validation_error.as_deref().map(remote_text);
        match s.status {
            JsonStatus::Valid => Self::Valid { latest_valid_hash: s.latest_valid_hash },
            JsonStatus::Invalid => Self::Invalid { latest_valid_hash: s.latest_valid_hash, validation_error },
            JsonStatus::InvalidBlockHash => Self::Invalid {
                latest_valid_hash: s.latest_valid_hash,
                validation_error: validation_error.or_else(|| Some("invalid block hash".into())),
            },
            JsonStatus::Syncing => Self::Syncing,
            JsonStatus::Accepted => Self::Accepted,
        }
    }
}

/// Answer of `engine_forkchoiceUpdated`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JsonForkchoiceUpdated {
    pub(crate) payload_status: JsonPayloadStatus,
    pub(crate) payload_id: Option<PayloadId>,
}

/// `eth_getBlockBy…` without transaction bodies.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JsonBlock {
    #[serde(with = "quantity")]
    number: u64,
    hash: B256,
    parent_hash: B256,
    state_root: B256,
    #[serde(with = "quantity")]
    timestamp: u64,
    mix_hash: B256,
    #[serde(with = "quantity")]
    gas_limit: u64,
    #[serde(with = "quantity")]
    gas_used: u64,
    #[serde(with = "quantity")]
    base_fee_per_gas: u64,
    transactions: Vec<serde::de::IgnoredAny>,
}

impl From<JsonBlock> for BlockSummary {
    fn from(b: JsonBlock) -> Self {
        Self {
            number: b.number,
            hash: b.hash,
            parent_hash: b.parent_hash,
            state_root: b.state_root,
            timestamp: b.timestamp,
            prev_randao: b.mix_hash,
            gas_limit: b.gas_limit,
            gas_used: b.gas_used,
            base_fee_per_gas: b.base_fee_per_gas,
            transaction_count: b.transactions.len() as u64,
        }
    }
}

/// A log of `eth_getLogs`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JsonLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    #[serde(with = "quantity")]
    block_number: u64,
    #[serde(with = "quantity")]
    log_index: u64,
    transaction_hash: B256,
    #[serde(default)]
    pub(crate) removed: bool,
}

impl From<JsonLog> for ClientLog {
    fn from(l: JsonLog) -> Self {
        Self {
            address: l.address,
            topics: l.topics,
            data: l.data,
            block_number: l.block_number,
            log_index: l.log_index,
            transaction_hash: l.transaction_hash,
        }
    }
}

/// What is read of `eth_getTransactionReceipt`. Some clients answer one without a block for what is only pending.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JsonReceipt {
    transaction_hash: B256,
    block_number: Option<Quantity>,
    status: Quantity,
    logs: Vec<JsonLog>,
}

impl JsonReceipt {
    /// The receipt of transaction `asked`; none when it is not in a block.
    pub(crate) fn into_receipt(self, asked: B256) -> Result<Option<ClientReceipt>, String> {
        if self.transaction_hash != asked {
            return Err(format!("asked for transaction {asked}, got {}", self.transaction_hash));
        }
        let Some(Quantity(block_number)) = self.block_number else { return Ok(None) };
        let succeeded = match self.status.0 {
            0 => false,
            1 => true,
            other => return Err(format!("status {other}, expected 0 or 1")),
        };
        let logs: Vec<ClientLog> = self.logs.into_iter().map(Into::into).collect();
        let belongs = |log: &ClientLog| {
            log.transaction_hash == asked && log.block_number == block_number && log.topics.len() <= 4
        };
        if !logs.iter().all(belongs) {
            return Err("a log of another transaction or block".to_owned());
        }
        if logs.windows(2).any(|w| w[0].log_index >= w[1].log_index) {
            return Err("logs out of order".to_owned());
        }
        Ok(Some(ClientReceipt { transaction_hash: asked, block_number, succeeded, logs }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn quantities_are_strict() {
        for (text, value) in
            [("0x0", 0), ("0x1", 1), ("0xff", 255), ("0xFF", 255), ("0xffffffffffffffff", u64::MAX)]
        {
            assert_eq!(quantity::parse(text), Ok(value));
        }
        for text in
            ["", "0", "0x", "0x00", "0x01", "1", "0x+1", "0x1g", "0x10000000000000000", "0X1", "-0x1", "0x 1"]
        {
            assert!(quantity::parse(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Quantity>("7").is_err());
        assert_eq!(serde_json::from_str::<Quantity>("\"\\u0030x7\"").unwrap().0, 7);
    }

    #[test]
    fn statuses() {
        let read = |text: &str| serde_json::from_str::<JsonPayloadStatus>(text).map(PayloadStatus::from);
        assert_eq!(read(r#"{"status":"SYNCING","x":[1]}"#).unwrap(), PayloadStatus::Syncing);
        assert_eq!(
            read(r#"{"status":"ACCEPTED","latestValidHash":null,"validationError":null}"#).unwrap(),
            PayloadStatus::Accepted
        );
        assert_eq!(
            read(r#"{"status":"INVALID_BLOCK_HASH"}"#).unwrap(),
            PayloadStatus::Invalid {
                latest_valid_hash: None,
                validation_error: Some("invalid block hash".into())
            }
        );
        assert!(read(r#"{"status":"FINE"}"#).is_err());
        assert!(read("{}").is_err());
    }
}
