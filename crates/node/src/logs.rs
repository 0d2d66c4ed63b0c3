//! `eth_getLogs` filters: reading and matching, without I/O.

use ethrex_common::types::Log;
use ethrex_common::{Address, Bloom, H256};
use ethrex_rpc::types::block_identifier::BlockIdentifier;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::rpc::{RpcFailure, invalid_params};

/// Most addresses, and most alternatives per topic, in one filter.
const MAX_ALTERNATIVES: usize = 1000;
/// Topics of a log (EVM `LOG4`).
const MAX_TOPICS: usize = 4;

/// Which blocks a filter asks for.
#[derive(Clone, Debug)]
pub(crate) enum Span {
    /// One block by its hash (EIP-234).
    Hash(H256),
    /// First and last block.
    Range(BlockIdentifier, BlockIdentifier),
}

/// A parsed filter object.
#[derive(Clone, Debug)]
pub(crate) struct LogFilter {
    pub(crate) span: Span,
    /// `None`: any address.
    addresses: Option<Vec<Address>>,
    /// Per position: `None` is any topic.
    topics: Vec<Option<Vec<H256>>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl LogFilter {
    /// Reads the filter object of `eth_getLogs` and `eth_newFilter` (execution-apis `Filter`).
    pub(crate) fn parse(filter: &Value) -> Result<Self, RpcFailure> {
        let Value::Object(map) = filter else {
            return Err(invalid_params("the filter is not an object"));
        };
        let get = |key: &str| map.get(key).filter(|v| !v.is_null());
        let block = |key: &str| {
            let value = get(key).cloned().unwrap_or_else(|| json!("latest"));
            BlockIdentifier::parse(value, 0).map_err(|e| invalid_params(format!("{key}: {e}")))
        };
        let span = match get("blockHash") {
            Some(_) if get("fromBlock").is_some() || get("toBlock").is_some() => {
                return Err(invalid_params("blockHash cannot be combined with fromBlock or toBlock"));
            }
            Some(hash) => Span::Hash(parse("blockHash", hash)?),
            None => Span::Range(block("fromBlock")?, block("toBlock")?),
        };
        let addresses = match get("address") {
            None => None,
            Some(value) => match parse::<OneOrMany<Address>>("address", value)? {
                OneOrMany::One(address) => Some(vec![address]),
                OneOrMany::Many(list) if list.is_empty() => None,
                OneOrMany::Many(list) => Some(list),
            },
        };
        let topics = match get("topics") {
            None => Vec::new(),
            Some(value) => parse::<Vec<Option<OneOrMany<Option<H256>>>>>("topics", value)?,
        };
        if topics.len() > MAX_TOPICS {
            return Err(invalid_params(format!("a log has at most {MAX_TOPICS} topics")));
        }
        let topics: Vec<Option<Vec<H256>>> = topics
            .into_iter()
            .map(|position| match position? {
                OneOrMany::One(topic) => topic.map(|t| vec![t]),
                // An empty list, or one that holds null, means any topic.
                OneOrMany::Many(list) => {
                    list.into_iter().collect::<Option<Vec<_>>>().filter(|list| !list.is_empty())
                }
            })
            .collect();
        let too_long = |list: &Vec<_>| list.len() > MAX_ALTERNATIVES;
        if addresses.as_ref().is_some_and(|list| list.len() > MAX_ALTERNATIVES)
            || topics.iter().flatten().any(too_long)
        {
            return Err(invalid_params(format!("more than {MAX_ALTERNATIVES} alternatives in the filter")));
        }
        Ok(Self { span, addresses, topics })
    }

    /// False only when no log of a block with this bloom can match.
    pub(crate) fn may_match(&self, bloom: &Bloom) -> bool {
        use ethrex_common::BloomInput;
        let has = |bytes: &[u8]| bloom.contains_input(BloomInput::Raw(bytes));
        self.addresses.as_ref().is_none_or(|list| list.iter().any(|a| has(a.as_bytes())))
            && self.topics.iter().flatten().all(|list| list.iter().any(|t| has(t.as_bytes())))
    }

    /// Whether a log matches.
    pub(crate) fn matches(&self, log: &Log) -> bool {
        let (address, topics) = (&log.address, &log.topics);
        self.addresses.as_ref().is_none_or(|list| list.contains(address))
            && topics.len() >= self.topics.len()
            && self
                .topics
                .iter()
                .zip(topics)
                .all(|(wanted, topic)| wanted.as_ref().is_none_or(|list| list.contains(topic)))
    }
}

fn parse<T: serde::de::DeserializeOwned>(key: &str, value: &Value) -> Result<T, RpcFailure> {
    serde_json::from_value(value.clone()).map_err(|e| invalid_params(format!("{key}: {e}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use ethrex_common::types::bloom_from_logs;

    fn log(address: u64, topics: &[u64]) -> Log {
        Log {
            address: Address::from_low_u64_be(address),
            topics: topics.iter().map(|t| H256::from_low_u64_be(*t)).collect(),
            data: Default::default(),
        }
    }

    fn h(n: u64) -> Value {
        json!(format!("{:#066x}", n))
    }

    fn a(n: u64) -> Value {
        json!(format!("{:#042x}", n))
    }

    #[test]
    fn matching_follows_the_specification() {
        let cases = [
            (json!({}), true),
            (json!({"address": null, "topics": null}), true),
            (json!({"address": a(1)}), true),
            (json!({"address": [a(2), a(1)]}), true),
            (json!({"address": []}), true),
            (json!({"address": a(2)}), false),
            (json!({"topics": []}), true),
            (json!({"topics": [h(10)]}), true),
            (json!({"topics": [null, h(11)]}), true),
            (json!({"topics": [h(11)]}), false),
            (json!({"topics": [[h(9), h(10)], [null, h(77)]]}), true),
            (json!({"topics": [[], h(11)]}), true),
            (json!({"topics": [null, null, null]}), false),
            (json!({"address": a(1), "topics": [h(10), h(12)]}), false),
        ];
        let log = log(1, &[10, 11]);
        let bloom = bloom_from_logs(std::slice::from_ref(&log), &ethrex_crypto::NativeCrypto);
        for (filter, expected) in cases {
            let parsed = LogFilter::parse(&filter).unwrap();
            assert_eq!(parsed.matches(&log), expected, "{filter}");
            assert!(!expected || parsed.may_match(&bloom), "the bloom must not hide a match: {filter}");
        }
        let absent = LogFilter::parse(&json!({"address": a(99)})).unwrap();
        assert!(!absent.may_match(&Bloom::zero()));
    }

    /// SEQ-INV-11
    #[test]
    fn malformed_filters_are_refused() {
        let many: Vec<Value> = (0..1001).map(a).collect();
        for filter in [
            json!(null),
            json!([]),
            json!({"address": 3}),
            json!({"address": "0x12"}),
            json!({"topics": h(1)}),
            json!({"topics": [h(1), h(1), h(1), h(1), h(1)]}),
            json!({"topics": ["0x01"]}),
            json!({"blockHash": "latest"}),
            json!({"blockHash": h(1), "fromBlock": "0x1"}),
            json!({"fromBlock": "12"}),
            json!({"fromBlock": {}}),
            json!({"address": many}),
        ] {
            assert!(LogFilter::parse(&filter).is_err(), "{filter}");
        }
    }
}
