//! Older answers, for nodes that lag. Pure, bounded.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use crate::calls::{Call, Calls};

/// Most different answers that are kept of one question.
const MAX_ANSWERS: usize = 32;
/// Most questions; those not asked for the longest time go first.
const MAX_QUESTIONS: usize = 512;
/// Longest question and longest answer that are kept, in bytes of JSON.
const MAX_QUESTION: usize = 1024;
const MAX_ANSWER: usize = 8 * 1024;
/// Bodies above this are not looked at.
const MAX_BODY: usize = 64 * 1024;

#[derive(Debug, Default)]
struct Question {
    asked: u64,
    /// Oldest first, each different from the one before.
    answers: VecDeque<String>,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    clock: u64,
    questions: BTreeMap<(String, String), Question>,
}

/// Whether a node that lags may answer this method differently.
fn may_lag(method: &str) -> bool {
    method.starts_with("eth_")
        && !method.starts_with("eth_send")
        && !method.starts_with("eth_sign")
        && method != "eth_chainId"
}

fn question(call: &Call) -> Option<(String, String)> {
    (may_lag(&call.method) && call.params.len() <= MAX_QUESTION)
        .then(|| (call.method.clone(), call.params.clone()))
}

impl History {
    /// Notes the results in this answer.
    pub(crate) fn record(&mut self, calls: &Calls, body: &[u8]) {
        if body.len() > MAX_BODY || !calls.calls.iter().any(|call| may_lag(&call.method)) {
            return;
        }
        calls.edit_results(body, |call, result| {
            self.note(call, result);
            false
        });
    }

    fn note(&mut self, call: &Call, result: &Value) {
        let Some(key) = question(call) else { return };
        let text = result.to_string();
        if text.len() > MAX_ANSWER {
            return;
        }
        self.clock = self.clock.saturating_add(1);
        if self.questions.len() >= MAX_QUESTIONS && !self.questions.contains_key(&key) {
            let oldest = self.questions.iter().min_by_key(|(_, q)| q.asked).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.questions.remove(&oldest);
            }
        }
        let question = self.questions.entry(key).or_default();
        question.asked = self.clock;
        if question.answers.back() != Some(&text) {
            if question.answers.len() >= MAX_ANSWERS {
                question.answers.pop_front();
            }
            question.answers.push_back(text);
        }
    }

    /// The answer with results that are older by `back` different answers, `None` when there are none.
    pub(crate) fn stale(&self, calls: &Calls, body: &[u8], back: usize) -> Option<Vec<u8>> {
        calls.edit_results(body, |call, result| {
            let Some(known) = question(call).and_then(|key| self.questions.get(&key)) else { return false };
            let newest = known.answers.len().saturating_sub(1);
            let older = known.answers.get(newest.saturating_sub(back));
            match older.and_then(|text| serde_json::from_str(text).ok()) {
                Some(older) if older != *result => {
                    *result = older;
                    true
                }
                Some(_) | None => false,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn calls(method: &str, params: Value) -> Calls {
        Calls::parse(json!({ "id": 1, "method": method, "params": params }).to_string().as_bytes())
    }

    fn body(result: Value) -> Vec<u8> {
        json!({ "id": 1, "result": result }).to_string().into_bytes()
    }

    fn result(body: &[u8]) -> Value {
        serde_json::from_slice::<Value>(body).unwrap()["result"].take()
    }

    #[test]
    fn counts_different_answers() {
        let mut history = History::default();
        let head = calls("eth_blockNumber", json!([]));
        for n in ["0x1", "0x2", "0x2", "0x2", "0x3"] {
            history.record(&head, &body(json!(n)));
        }
        let now = body(json!("0x3"));
        let back = |n| history.stale(&head, &now, n).map(|body| result(&body));
        assert_eq!(back(0), None);
        assert_eq!(back(1), Some(json!("0x2")));
        assert_eq!(back(2), Some(json!("0x1")));
        assert_eq!(back(99), Some(json!("0x1")), "the oldest there is");
        let other = calls("eth_blockNumber", json!([1]));
        assert_eq!(history.stale(&other, &now, 1), None, "another question");
    }

    #[test]
    fn what_cannot_lag() {
        let mut history = History::default();
        for method in
            ["eth_sendRawTransaction", "eth_chainId", "engine_newPayloadV4", "debug_executionWitness"]
        {
            let calls = calls(method, json!([]));
            history.record(&calls, &body(json!("0x1")));
            history.record(&calls, &body(json!("0x2")));
            assert_eq!(history.stale(&calls, &body(json!("0x2")), 1), None, "{method}");
        }
        assert!(history.questions.is_empty());
    }

    #[test]
    fn is_bounded() {
        let mut history = History::default();
        let head = calls("eth_blockNumber", json!([]));
        for n in 0..2000 {
            history.record(&calls("eth_getBalance", json!([n])), &body(json!(n)));
            history.record(&head, &body(json!(n)));
        }
        assert_eq!(history.questions.len(), MAX_QUESTIONS);
        let kept = history.questions.values().map(|q| q.answers.len()).max();
        assert_eq!(kept, Some(MAX_ANSWERS), "the head is asked for always, so it stays");
        let long = calls("eth_call", json!(["x".repeat(MAX_QUESTION)]));
        history.record(&long, &body(json!(1)));
        history.record(&calls("eth_call", json!([])), &body(json!("x".repeat(MAX_ANSWER))));
        assert!(!history.questions.keys().any(|(method, _)| method == "eth_call"));
    }
}
