//! The chain configuration: complete, canonical, nothing left to defaults.

use ensemble_batch::ProgramKey;
use ethrex_common::types::ChainConfig;
use serde_json::Value;

use crate::error::ProgramError;

/// Forks that have a blob schedule (EIP-7840): activation time and schedule member.
const SCHEDULED_FORKS: [(&str, &str); 8] = [
    ("cancunTime", "cancun"),
    ("pragueTime", "prague"),
    ("osakaTime", "osaka"),
    ("bpo1Time", "bpo1"),
    ("bpo2Time", "bpo2"),
    ("bpo3Time", "bpo3"),
    ("bpo4Time", "bpo4"),
    ("bpo5Time", "bpo5"),
];

/// Reads the configuration. The bytes have to be the canonical form, because the program key commits to them, and
/// every member has to be one that is in force: a misspelt fork must not silently mean "never".
pub(crate) fn parse(bytes: &[u8]) -> Result<(ChainConfig, ProgramKey), ProgramError> {
    let refuse = |reason: String| ProgramError::ChainConfig { reason };
    let json: Value = serde_json::from_slice(bytes).map_err(|e| refuse(e.to_string()))?;
    let canonical = ProgramKey::canonical_chain_config(&json);
    if canonical.as_bytes() != bytes {
        return Err(refuse("it is not in its canonical form".to_owned()));
    }
    let config: ChainConfig = serde_json::from_value(json.clone()).map_err(|e| refuse(e.to_string()))?;
    let known = serde_json::to_value(config).map_err(|e| refuse(e.to_string()))?;
    for (given, known, at) in
        [(&json, &known, ""), (&json["blobSchedule"], &known["blobSchedule"], "blobSchedule.")]
    {
        let (Some(given), Some(known)) = (given.as_object(), known.as_object()) else {
            return Err(refuse("blobSchedule is missing".to_owned()));
        };
        if let Some(unknown) = given.keys().find(|key| !known.contains_key(*key)) {
            return Err(refuse(format!("unknown member {at}{unknown}")));
        }
    }
    for (time, schedule) in SCHEDULED_FORKS {
        if json.get(time).is_some() && json["blobSchedule"].get(schedule).is_none() {
            return Err(refuse(format!("{time} is set but blobSchedule.{schedule} is missing")));
        }
    }
    Ok((config, ProgramKey::exec(&canonical)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({
            "chainId": 1729, "shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0, "terminalTotalDifficulty": 0,
            "depositContractAddress": "0x00000000219ab540356cbb839cbe05303d7705fa",
            "blobSchedule": {
                "cancun": { "target": 3, "max": 6, "baseFeeUpdateFraction": 3338477 },
                "prague": { "target": 6, "max": 9, "baseFeeUpdateFraction": 5007716 },
            },
        })
    }

    fn parse_json(json: &Value) -> Result<(ChainConfig, ProgramKey), ProgramError> {
        parse(ProgramKey::canonical_chain_config(json).as_bytes())
    }

    #[test]
    fn a_complete_configuration_is_read() {
        let (config, key) = parse_json(&good()).unwrap();
        assert_eq!((config.chain_id, config.prague_time, config.osaka_time), (1729, Some(0), None));
        let mut other = good();
        other["chainId"] = json!(1730);
        assert_ne!(parse_json(&other).unwrap().1, key);
    }

    #[test]
    fn anything_left_to_chance_is_refused() {
        let mut misspelt = good();
        misspelt["osakatime"] = json!(5);
        let mut unscheduled = good();
        unscheduled["osakaTime"] = json!(5);
        let mut no_schedule = good();
        no_schedule.as_object_mut().unwrap().remove("blobSchedule");
        let mut no_id = good();
        no_id.as_object_mut().unwrap().remove("chainId");
        let mut unknown_schedule = good();
        unknown_schedule["blobSchedule"]["pragu"] =
            json!({ "target": 6, "max": 9, "baseFeeUpdateFraction": 1 });
        for bad in
            [misspelt, unscheduled, no_schedule, no_id, unknown_schedule, json!([]), json!(1), json!(null)]
        {
            assert!(matches!(parse_json(&bad), Err(ProgramError::ChainConfig { .. })), "{bad}");
        }
        let spaced = good().to_string().replace(':', ": ");
        let doubled =
            ProgramKey::canonical_chain_config(&good()).replace("\"chainId\"", "\"chainId\":1,\"chainId\"");
        for bytes in [b"".as_slice(), b"{", spaced.as_bytes(), doubled.as_bytes()] {
            assert!(matches!(parse(bytes), Err(ProgramError::ChainConfig { .. })));
        }
    }
}
