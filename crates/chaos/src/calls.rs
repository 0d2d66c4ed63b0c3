//! What of a JSON-RPC message the proxy understands, and how it makes answers wrong. Pure.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::{LogFault, WrongType};

/// One call of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// JSON text, empty for a notification.
    pub(crate) id: String,
    /// JSON text, empty when there are none.
    pub(crate) params: String,
}

/// The calls of a request body: one, or those of a batch. Empty for what is no JSON-RPC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) calls: Vec<Call>,
    pub(crate) batch: bool,
}

#[derive(Deserialize)]
struct WireCall<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

impl From<WireCall<'_>> for Call {
    fn from(call: WireCall<'_>) -> Self {
        let text = |raw: Option<&RawValue>| raw.map_or(String::new(), |raw| raw.get().to_owned());
        Self { method: call.method.into_owned(), id: text(call.id), params: text(call.params) }
    }
}

impl Calls {
    pub(crate) fn parse(body: &[u8]) -> Self {
        if let Ok(call) = serde_json::from_slice::<WireCall<'_>>(body) {
            return Self { calls: vec![call.into()], batch: false };
        }
        match serde_json::from_slice::<Vec<WireCall<'_>>>(body) {
            Ok(calls) => Self { calls: calls.into_iter().map(Into::into).collect(), batch: true },
            Err(_) => Self::default(),
        }
    }

    /// The id that an answer made by the proxy carries: that of the first call.
    fn first_id(&self) -> &str {
        self.calls.first().map_or("null", |call| if call.id.is_empty() { "null" } else { &call.id })
    }

    /// The call that this answer is to: by its id, or the only one there is.
    fn call_of(&self, answer: &Map<String, Value>) -> Option<&Call> {
        if !self.batch {
            return self.calls.first();
        }
        let id = answer.get("id")?.to_string();
        self.calls.iter().find(|call| call.id == id)
    }

    /// The answers in this body that `edit` changed, written anew; `None` when it changed none.
    pub(crate) fn edit(
        &self,
        body: &[u8],
        mut edit: impl FnMut(&Call, &mut Map<String, Value>) -> bool,
    ) -> Option<Vec<u8>> {
        let mut value: Value = serde_json::from_slice(body).ok()?;
        let answers = match &mut value {
            Value::Array(answers) => answers.as_mut_slice(),
            one => std::slice::from_mut(one),
        };
        let mut changed = false;
        for answer in answers.iter_mut().filter_map(Value::as_object_mut) {
            if let Some(call) = self.call_of(answer) {
                changed |= edit(call, answer);
            }
        }
        changed.then(|| value.to_string().into_bytes())
    }

    /// The same for results only: error answers stay.
    pub(crate) fn edit_results(
        &self,
        body: &[u8],
        mut edit: impl FnMut(&Call, &mut Value) -> bool,
    ) -> Option<Vec<u8>> {
        self.edit(body, |call, answer| answer.get_mut("result").is_some_and(|result| edit(call, result)))
    }

    /// An error answer to every call.
    pub(crate) fn error(&self, code: i64, message: &str) -> Vec<u8> {
        let id = |call: &Call| serde_json::from_str(&call.id).unwrap_or(Value::Null);
        let answer =
            |id: Value| json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } });
        let value = match self.calls.as_slice() {
            calls if self.batch => calls.iter().map(|call| answer(id(call))).collect(),
            [call, ..] => answer(id(call)),
            [] => answer(Value::Null),
        };
        value.to_string().into_bytes()
    }

    /// A body that is no JSON: a number of a language that is not this one.
    pub(crate) fn invalid_json(&self) -> Vec<u8> {
        format!(r#"{{"jsonrpc":"2.0","id":{},"result":0x1f}}"#, self.first_id()).into_bytes()
    }

    /// What comes before and after the characters of an endless string.
    pub(crate) fn enormous(&self) -> (Vec<u8>, Vec<u8>) {
        let head = format!(r#"{{"jsonrpc":"2.0","id":{},"result":""#, self.first_id());
        (head.into_bytes(), b"\"}".to_vec())
    }

    pub(crate) fn wrong_id(&self, body: &[u8]) -> Option<Vec<u8>> {
        self.edit(body, |_, answer| {
            let wrong = match answer.get("id").and_then(Value::as_u64) {
                Some(id) => json!(id.wrapping_add(0x1000_0000)),
                None => json!("an id that nobody asked with"),
            };
            answer.insert("id".to_owned(), wrong);
            true
        })
    }

    pub(crate) fn wrong_chain(&self, body: &[u8], chain: u64) -> Option<Vec<u8>> {
        self.edit_results(body, |call, result| {
            *result = match call.method.as_str() {
                "eth_chainId" => json!(format!("{chain:#x}")),
                "net_version" => json!(chain.to_string()),
                _ => return false,
            };
            true
        })
    }

    pub(crate) fn wrong_type(&self, body: &[u8], wrong: &WrongType) -> Option<Vec<u8>> {
        self.edit_results(body, |_, result| {
            *result = match wrong {
                WrongType::Null => Value::Null,
                WrongType::Text => json!("neither hex nor anything else"),
                WrongType::Number => json!(31_337.5),
                WrongType::EmptyList => json!([]),
                WrongType::EmptyObject => json!({}),
                WrongType::Without(field) => return remove_field(result, field),
            };
            true
        })
    }

    pub(crate) fn logs(&self, body: &[u8], fault: LogFault) -> Option<Vec<u8>> {
        self.edit_results(body, |_, result| spoil_logs(result, fault))
    }
}

fn remove_field(result: &mut Value, field: &str) -> bool {
    match result {
        Value::Object(object) => object.remove(field).is_some(),
        Value::Array(list) => {
            list.iter_mut().find(|item| item.is_object()).is_some_and(|item| remove_field(item, field))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// A 32-byte word that is no event.
fn other_topic() -> Value {
    json!(format!("0x{}", "c4a05".repeat(13).split_off(1)))
}

fn spoil_logs(result: &mut Value, fault: LogFault) -> bool {
    let Some(logs) = result.as_array_mut() else { return false };
    if !logs.iter().all(|log| log.get("topics").is_some_and(Value::is_array)) {
        return false;
    }
    let Some(mut last) = logs.pop() else { return false };
    let mut set = |field: &str, value: Value| {
        if let Some(log) = last.as_object_mut() {
            log.insert(field.to_owned(), value);
        }
    };
    match fault {
        LogFault::OtherAddress => set("address", json!("0x00000000000000000000000000000000000c4a05")),
        LogFault::OtherTopic => {
            if let Some(first) = last["topics"].as_array_mut().and_then(|topics| topics.first_mut()) {
                *first = other_topic();
            }
        }
        LogFault::FiveTopics => {
            if let Some(topics) = last["topics"].as_array_mut() {
                topics.resize(5, other_topic());
            }
        }
        LogFault::OtherBlock => set("blockNumber", json!("0x0")),
        LogFault::NoBlock => {
            set("blockNumber", Value::Null);
            set("blockHash", Value::Null);
        }
        LogFault::Twice => logs.push(last.clone()),
        LogFault::Again => {
            logs.push(last.clone());
            let index = last["logIndex"].as_str().and_then(|text| text.strip_prefix("0x"));
            let next =
                index.and_then(|hex| u64::from_str_radix(hex, 16).ok()).map_or(1, |n| n.saturating_add(1));
            last["logIndex"] = json!(format!("{next:#x}"));
        }
        LogFault::Removed => set("removed", json!(true)),
        LogFault::Missing => return true,
        LogFault::Reversed => {
            logs.push(last);
            logs.reverse();
            return true;
        }
    }
    logs.push(last);
    true
}

/// The body with a byte that UTF-8 does not have before its last quote.
pub(crate) fn invalid_utf8(body: &[u8]) -> Option<Vec<u8>> {
    let at = body.iter().rposition(|byte| *byte == b'"')?;
    let (before, after) = body.split_at(at);
    Some([before, &[0xff], after].concat())
}

/// So many hundredths of `len`, and less than all of it.
pub(crate) fn part(len: usize, percent: u8) -> usize {
    (len.saturating_mul(usize::from(percent.min(100))) / 100).min(len.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn one(method: &str) -> Calls {
        Calls::parse(
            json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": ["0x1", false] })
                .to_string()
                .as_bytes(),
        )
    }

    fn answer(result: Value) -> Vec<u8> {
        json!({ "jsonrpc": "2.0", "id": 7, "result": result }).to_string().into_bytes()
    }

    fn result(body: Option<Vec<u8>>) -> Value {
        let mut value: Value = serde_json::from_slice(&body.expect("it was changed")).unwrap();
        value["result"].take()
    }

    #[test]
    fn requests_are_understood() {
        let call = Call { method: "eth_call".into(), id: "7".into(), params: r#"["0x1",false]"#.into() };
        assert_eq!(one("eth_call"), Calls { calls: vec![call], batch: false });
        let batch = Calls::parse(br#" [{"method":"a","id":"x"}, {"id":2,"params":{},"method":"b\u0063"}]"#);
        assert!(batch.batch);
        let parts: Vec<_> =
            batch.calls.iter().map(|c| (c.method.as_str(), c.id.as_str(), c.params.as_str())).collect();
        assert_eq!(parts, [("a", "\"x\"", ""), ("bc", "2", "{}")]);
        for other in [&b""[..], b"{}", b"[1]", b"nonsense", b"{\"method\":1}", &[0xff, 0xfe]] {
            assert_eq!(Calls::parse(other).calls, []);
        }
    }

    /// The answers of a batch come in any order and are found by their ids.
    #[test]
    fn batches_are_edited_by_id() {
        let calls = Calls::parse(br#"[{"method":"eth_call","id":1},{"method":"eth_chainId","id":2}]"#);
        let body = br#"[{"id":2,"result":"0x1"},{"id":1,"result":"0x1"},{"id":3,"result":"0x1"}]"#;
        let edited: Value = serde_json::from_slice(&calls.wrong_chain(body, 5).unwrap()).unwrap();
        assert_eq!(edited, json!([{"id":2,"result":"0x5"},{"id":1,"result":"0x1"},{"id":3,"result":"0x1"}]));
        let errors: Value = serde_json::from_slice(&calls.error(-1, "no")).unwrap();
        assert_eq!(errors[1], json!({"jsonrpc":"2.0","id":2,"error":{"code":-1,"message":"no"}}));
    }

    #[test]
    fn wrong_types() {
        let calls = one("eth_getBlockByNumber");
        let body = answer(json!({ "number": "0x1", "hash": "0x2" }));
        let wrong = |wrong: &WrongType| result(calls.wrong_type(&body, wrong));
        assert_eq!(wrong(&WrongType::Null), Value::Null);
        assert_eq!(wrong(&WrongType::EmptyObject), json!({}));
        assert_eq!(wrong(&WrongType::EmptyList), json!([]));
        assert_eq!(wrong(&WrongType::Without("hash".into())), json!({ "number": "0x1" }));
        assert!(wrong(&WrongType::Number).is_number() && wrong(&WrongType::Text).is_string());
        let list = answer(json!([{ "a": 1, "b": 2 }, { "a": 3 }]));
        assert_eq!(
            result(calls.wrong_type(&list, &WrongType::Without("a".into()))),
            json!([{ "b": 2 }, { "a": 3 }])
        );
        assert_eq!(calls.wrong_type(&list, &WrongType::Without("c".into())), None);
        let error = br#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"x"}}"#;
        assert_eq!(calls.wrong_type(error, &WrongType::Null), None, "an error has no result");
        assert_eq!(calls.wrong_type(b"no JSON", &WrongType::Null), None);
    }

    #[test]
    fn logs_are_spoilt_one_way_each() {
        let calls = one("eth_getLogs");
        let log = |index: &str| {
            json!({ "address": "0xcc", "topics": ["0x01", "0x02"], "data": "0x", "blockNumber": "0x9",
            "blockHash": "0x3", "logIndex": index, "removed": false })
        };
        let (first, last) = (log("0x0"), log("0x1f"));
        let body = answer(json!([first, last]));
        let with = |field: &str, value: Value| {
            let mut log = last.clone();
            log[field] = value;
            json!([first, log])
        };
        let spoilt = |fault| result(calls.logs(&body, fault));
        assert_eq!(
            spoilt(LogFault::OtherAddress),
            with("address", json!("0x00000000000000000000000000000000000c4a05"))
        );
        assert_eq!(spoilt(LogFault::OtherTopic), with("topics", json!([other_topic(), "0x02"])));
        assert_eq!(other_topic().as_str().map(str::len), Some(66), "a word of 32 bytes");
        assert_eq!(spoilt(LogFault::FiveTopics)[1]["topics"].as_array().map(Vec::len), Some(5));
        assert_eq!(spoilt(LogFault::OtherBlock), with("blockNumber", json!("0x0")));
        assert_eq!(spoilt(LogFault::NoBlock)[1]["blockHash"], Value::Null);
        assert_eq!(spoilt(LogFault::Twice), json!([first, last, last]));
        assert_eq!(spoilt(LogFault::Again), json!([first, last, log("0x20")]));
        assert_eq!(spoilt(LogFault::Removed), with("removed", json!(true)));
        assert_eq!(spoilt(LogFault::Missing), json!([first]));
        assert_eq!(spoilt(LogFault::Reversed), json!([last, first]));
        for other in [json!([]), json!("0x"), json!([1]), json!([{ "topics": 1 }])] {
            assert_eq!(calls.logs(&answer(other), LogFault::Twice), None);
        }
    }

    #[test]
    fn bodies_that_are_no_json_or_no_text() {
        let calls = one("eth_call");
        assert!(serde_json::from_slice::<Value>(&calls.invalid_json()).is_err());
        let broken = invalid_utf8(&answer(json!("0x12"))).unwrap();
        assert!(std::str::from_utf8(&broken).is_err());
        assert_eq!(invalid_utf8(b"12"), None);
        let (head, tail) = calls.enormous();
        let whole: Value = serde_json::from_slice(&[head, b"00".to_vec(), tail].concat()).unwrap();
        assert_eq!(whole, json!({ "jsonrpc": "2.0", "id": 7, "result": "00" }));
        let wrong: Value = serde_json::from_slice(&calls.wrong_id(&answer(json!(1))).unwrap()).unwrap();
        assert_eq!(wrong, json!({ "jsonrpc": "2.0", "id": 0x1000_0007, "result": 1 }));
    }

    #[test]
    fn a_part_is_never_the_whole() {
        assert_eq!(
            (part(10, 50), part(10, 0), part(10, 100), part(10, 255), part(0, 50), part(1, 99)),
            (5, 0, 9, 9, 0, 0)
        );
    }
}
