//! Which error of ours a node's JSON-RPC error is.
//!
//! Nodes agree on neither codes nor words, so this is an ordered list of the words that geth, reth, Nethermind,
//! Besu, Erigon, anvil and the large providers use. The order matters where one text contains another
//! ("replacement transaction underpriced" and "transaction underpriced").

use alloy_primitives::Bytes;
use serde_json::Value;

use crate::{L1Error, error::tame};

/// Sorts a JSON-RPC error into a variant of [`L1Error`]. Pure; [`L1Error::Rpc`] when nothing fits.
#[must_use]
pub fn classify_rpc_error(method: &'static str, code: i64, message: &str, data: Option<&Value>) -> L1Error {
    let lower = message.to_lowercase();
    let has = |needles: &[&str]| needles.iter().any(|n| lower.contains(n));
    let message = tame(message);
    let data = data.and_then(hex_data);

    if method == "eth_getLogs" && has(RANGE) {
        return L1Error::RangeTooLarge { message };
    }
    if code == 429 || (code == -32005 && method != "eth_getLogs") || has(RATE) {
        return L1Error::RateLimited { message };
    }
    if code == -32601 || has(UNSUPPORTED) {
        return L1Error::MethodUnsupported { method, message };
    }
    if method == "eth_sendRawTransaction" {
        if has(KNOWN) || (has(&["known transaction"]) && !has(&["unknown transaction"])) {
            return L1Error::AlreadyKnown { message };
        }
        if has(RESERVED) {
            return L1Error::AccountReserved { message };
        }
        if has(REPLACEMENT) {
            return L1Error::ReplacementUnderpriced { message };
        }
        if has(NONCE_LOW) {
            return L1Error::NonceTooLow { message };
        }
        if has(NONCE_HIGH) {
            return L1Error::NonceTooHigh { message };
        }
        if has(FUNDS) {
            return L1Error::InsufficientFunds { message };
        }
        if has(FEE_CAP) {
            return L1Error::FeeCapTooLow { message };
        }
        if has(UNDERPRICED) {
            return L1Error::Underpriced { message };
        }
        if has(POOL_FULL) {
            return L1Error::PoolFull { message };
        }
        if has(REJECTED) {
            return L1Error::TransactionRejected { message };
        }
    } else {
        if code == 3 || has(REVERTED) {
            return L1Error::ExecutionReverted { message, data: data.unwrap_or_default() };
        }
        if has(FUNDS) {
            return L1Error::InsufficientFunds { message };
        }
        if has(UNKNOWN_BLOCK) {
            return L1Error::UnknownBlock { message };
        }
    }
    L1Error::Rpc { code, message, data }
}

const RANGE: &[&str] = &[
    "query returned more than",
    "log response size exceeded",
    "response size should not",
    "response is too big",
    "response too large",
    "block range limit",
    "block range is too",
    "block range too",
    "range is too large",
    "range too large",
    "range too wide",
    "range is too wide",
    "ranges over",
    "block range greater than",
    "block range exceeds",
    "max block range",
    "maximum block range",
    "exceed max",
    "exceeds max",
    "exceeds the max",
    "exceeds limit",
    "exceeds the range",
    "is limited to a",
    "limited to 0 -",
    "up to a",
    "max results",
    "too many results",
    "query timeout exceeded",
    "limit the query to at most",
];
const RATE: &[&str] = &[
    "rate limit",
    "rate-limit",
    "too many requests",
    "request limit",
    "request count exceeded",
    "compute units",
    "capacity exceeded",
    "throughput limit",
];
const UNSUPPORTED: &[&str] =
    &["method not found", "does not exist/is not available", "method not supported", "unsupported method"];
const KNOWN: &[&str] =
    &["already known", "alreadyknown", "already imported", "already in the pool", "already_exists"];
const RESERVED: &[&str] = &[
    "address already reserved",
    "already reserved",
    "conflicts with existing transaction",
    "existing conflicting transaction type",
    "conflicting transaction type",
    "pooltxtypeconflict",
    "pending tx of other type",
    "blob transaction in pool",
];
const REPLACEMENT: &[&str] = &[
    "replacement transaction underpriced",
    "replacement_underpriced",
    "replacementnotallowed",
    "replacement not allowed",
    "replacement transaction underpriced",
    "could not replace existing",
    "insufficient fee to replace",
];
const NONCE_LOW: &[&str] =
    &["nonce too low", "nonce_too_low", "oldnonce", "nonce is too low", "nonce has already been used"];
const NONCE_HIGH: &[&str] = &[
    "nonce too high",
    "nonce gap",
    "gapped",
    "nonce is too high",
    "noncegap",
    "nonce too far in the future",
];
const FUNDS: &[&str] = &[
    "insufficient funds",
    "insufficientfunds",
    "insufficient balance",
    "upfront cost exceeds account balance",
    "upfront_cost_exceeds_balance",
    "overshot",
];
const FEE_CAP: &[&str] = &[
    "less than block base fee",
    "less than block blob",
    "less than the current basefee",
    "fee cap less than",
    "feecap too low",
    "fee cap too low",
    "max fee per gas less than",
    "max fee per blob gas less than",
    "maxfeeperblobgas too low",
    "gas price below base fee",
];
const UNDERPRICED: &[&str] = &[
    "underpriced",
    "below configured minimum",
    "below minimum",
    "feetoolow",
    "fee too low",
    "feetoolowtocompete",
    "tip cap too low",
    "gas_price_too_low",
    "price too low",
];
const POOL_FULL: &[&str] = &[
    "pool is full",
    "pool full",
    "account limit exceeded",
    "transaction pool overflow",
    "exceeds the account slots",
    "transaction limit exceeded",
];
const REJECTED: &[&str] = &[
    "intrinsic gas too low",
    "exceeds block gas limit",
    "gas limit too high",
    "gas limit exceed",
    "exceeds transaction gas limit",
    "exceeds maximum per-transaction",
    "oversized data",
    "max initcode size",
    "invalid sender",
    "invalid chain id",
    "wrong chain id",
    "chain id mismatch",
    "transaction type not supported",
    "tx type not supported",
    "unexpected blob sidecar version",
    "sidecar",
    "blob",
    "kzg",
    "rlp",
    "typed transaction too short",
    "decode",
    "higher than max fee",
    "signature",
    "txtypenotsupported",
    "gaslimitexceeded",
];
const REVERTED: &[&str] =
    &["execution reverted", "vm execution error", "reverted", "revert:", "vm exception"];
const UNKNOWN_BLOCK: &[&str] = &[
    "header not found",
    "unknown block",
    "block not found",
    "not currently canonical",
    "missing trie node",
    "beyond current head",
    "invalid block range",
    "state is not available",
    "required historical state unavailable",
];

/// Revert data as the nodes spell it: `"0x…"`, Parity's and Nethermind's `"Reverted 0x…"`, or an object with a
/// member `data` of such form.
fn hex_data(data: &Value) -> Option<Bytes> {
    let text = match data {
        Value::String(text) => text.as_str(),
        Value::Object(map) => map.get("data")?.as_str()?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return None,
    };
    let digits = text.strip_prefix("Reverted ").unwrap_or(text).strip_prefix("0x")?;
    hex::decode(digits).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use ensemble_error::{Classify, Severity};
    use serde_json::json;

    use super::*;

    /// The name of the variant, for tables.
    fn variant(error: &L1Error) -> String {
        let text = format!("{error:?}");
        text.split([' ', '{']).next().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_pools_say() {
        for (code, message, expected) in [
            (-32000, "nonce too low: next nonce 5, tx nonce 3", "NonceTooLow"), // geth
            (-32003, "OldNonce, Current nonce: 5", "NonceTooLow"),              // Nethermind
            (-32001, "Nonce too low", "NonceTooLow"),                           // Besu
            (-32000, "already known", "AlreadyKnown"),                          // geth, reth
            (-32000, "AlreadyKnown", "AlreadyKnown"),                           // Nethermind
            (-32000, "ALREADY_EXISTS: already known", "AlreadyKnown"),          // Erigon
            (-32000, "Known transaction", "AlreadyKnown"),                      // Besu
            (-32003, "transaction already imported", "AlreadyKnown"),           // anvil
            (-32000, "replacement transaction underpriced", "ReplacementUnderpriced"),
            (
                -32000,
                "replacement transaction underpriced: new tx gas fee cap 5 < 10 queued + 100% bump",
                "ReplacementUnderpriced",
            ),
            (-32000, "ReplacementNotAllowed", "ReplacementUnderpriced"),
            (-32000, "transaction underpriced: tip needed 1000000, tip permitted 1", "Underpriced"),
            (-32009, "Gas price below configured minimum gas price", "Underpriced"),
            (-32000, "FeeTooLow, MaxFeePerGas too low", "Underpriced"),
            (
                -32000,
                "max fee per gas less than block base fee: address 0x1, maxFeePerGas: 1, baseFee: 2",
                "FeeCapTooLow",
            ),
            (-32000, "max fee per blob gas less than block blob gas fee", "FeeCapTooLow"),
            (
                -32000,
                "insufficient funds for gas * price + value: balance 0, tx cost 1, overshot 1",
                "InsufficientFunds",
            ),
            (-32004, "Upfront cost exceeds account balance", "InsufficientFunds"),
            (-32003, "Insufficient funds for gas * price + value", "InsufficientFunds"),
            (-32000, "address already reserved", "AccountReserved"),
            (-32003, "transaction type conflicts with existing transaction", "AccountReserved"),
            (-32000, "nonce too high: tx nonce 9, gapped nonce 8", "NonceTooHigh"),
            (-32000, "txpool is full", "PoolFull"),
            (-32000, "account limit exceeded: pooled 16 txs", "PoolFull"),
            (-32000, "intrinsic gas too low: gas 20000, minimum needed 21000", "TransactionRejected"),
            (-32000, "unexpected blob sidecar version: got 0, want 1", "TransactionRejected"),
            (-32000, "transaction gas limit too high (cap: 16777216, tx: 30000000)", "TransactionRejected"),
            (-32000, "invalid chain id for signer: have 1 want 2", "TransactionRejected"),
            (-32000, "max priority fee per gas higher than max fee per gas", "TransactionRejected"),
            (-32602, "Failed to decode transaction", "TransactionRejected"),
            (-32000, "unknown transaction", "Rpc"),
            (-32603, "internal error", "Rpc"),
        ] {
            let error = classify_rpc_error("eth_sendRawTransaction", code, message, None);
            assert_eq!(variant(&error), expected, "{message}");
        }
    }

    #[test]
    fn what_providers_say_about_ranges_of_logs() {
        for (code, message, expected) in [
            (-32005, "query returned more than 10000 results", "RangeTooLarge"), // Infura
            (
                -32602,
                "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range",
                "RangeTooLarge",
            ),
            (-32614, "eth_getLogs is limited to a 10,000 range", "RangeTooLarge"), // QuickNode
            (-32602, "query exceeds max block range 100000", "RangeTooLarge"),     // reth
            (-32602, "query exceeds max results 20000, retry with the range 1-2", "RangeTooLarge"),
            (-32000, "block range is too wide", "RangeTooLarge"), // Ankr
            (35, "ranges over 10000 blocks are not supported on freetier", "RangeTooLarge"), // dRPC
            (-32005, "daily request count exceeded, request rate limited", "RateLimited"),
            (429, "Your app has exceeded its compute units per second capacity", "RateLimited"), // Alchemy
            (-32000, "invalid block range params", "UnknownBlock"),
            (-32000, "block range extends beyond current head block", "UnknownBlock"),
        ] {
            let error = classify_rpc_error("eth_getLogs", code, message, None);
            assert_eq!(variant(&error), expected, "{message}");
        }
    }

    #[test]
    fn reverts_keep_their_data() {
        let revert = |code, message, data| match classify_rpc_error("eth_call", code, message, Some(&data)) {
            L1Error::ExecutionReverted { data, .. } => data,
            other => panic!("{message}: {other}"),
        };
        let expected = Bytes::from(vec![0x08, 0xc3, 0x79, 0xa0]);
        assert_eq!(revert(3, "execution reverted", json!("0x08c379a0")), expected);
        assert_eq!(revert(-32015, "VM execution error.", json!("Reverted 0x08c379a0")), expected);
        assert_eq!(revert(-32000, "Execution reverted", json!({ "data": "0x08c379a0" })), expected);
        assert_eq!(revert(3, "execution reverted", json!("0xnothex")), Bytes::new());
        assert_eq!(revert(3, "execution reverted", json!([1, 2])), Bytes::new());
        let error = classify_rpc_error("eth_estimateGas", 3, "execution reverted: custom error", None);
        assert_eq!(variant(&error), "ExecutionReverted");
        assert_eq!(error.severity(), Severity::Recoverable);
    }

    #[test]
    fn the_rest() {
        let classify = |method, code, message| variant(&classify_rpc_error(method, code, message, None));
        assert_eq!(
            classify("eth_blobBaseFee", -32601, "the method does not exist/is not available"),
            "MethodUnsupported"
        );
        assert_eq!(classify("eth_call", -32000, "header not found"), "UnknownBlock");
        assert_eq!(
            classify("eth_estimateGas", -32000, "insufficient funds for transfer"),
            "InsufficientFunds"
        );
        assert_eq!(classify("eth_call", -32005, "limit exceeded"), "RateLimited");
        let error = classify_rpc_error("eth_call", -32602, "invalid argument", Some(&json!("0x01")));
        assert_eq!(error.severity(), Severity::Recoverable);
        assert_eq!(
            error,
            L1Error::Rpc {
                code: -32602,
                message: "invalid argument".into(),
                data: Some(Bytes::from(vec![1]))
            }
        );
    }

    /// SEQ-INV-11: what a node says is bounded and on one line.
    #[test]
    fn messages_are_tamed() {
        let message = format!("line\nbreak\u{1b}[31m{}", "x".repeat(10_000));
        match classify_rpc_error("eth_call", 1, &message, None) {
            L1Error::Rpc { message, .. } => {
                assert!(message.chars().count() <= crate::MAX_REMOTE_TEXT + 1);
                assert!(!message.chars().any(char::is_control));
            }
            other => panic!("{other}"),
        }
    }
}
