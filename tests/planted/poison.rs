//! Mistakes in reading records that hold what parsers cannot. The runtime keeps such records from plugins, so that the mistakes are made
//! where a client is given a record's own bytes.

use super::{Harm, Mistake, calm, verdict_in};
use headwater_simulator::{Provider, Scenario};
use serde_json::Value;

/// The bytes that a client with this mistake delivers for a record; `None` for the record's own.
pub(super) fn spoiled(mistake: Mistake, raw: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(raw);
    match mistake {
        Mistake::TextForObjects if serde_json::from_slice::<Value>(raw).is_err() => {
            Some(Value::String(text.into_owned()).to_string().into_bytes())
        }
        Mistake::DropsHalves => {
            let whole = text.replace("\\ud800", "").replace("\\uDFFF", "");
            (whole != text).then(|| whole.into_bytes())
        }
        _ => None,
    }
}

#[test]
fn records_that_are_hard_to_read_catch_mistakes_in_each_source() {
    for provider in Provider::ALL {
        let scenario = Scenario { poison_per_mille: 300, ..calm(*provider).history(3, 200).live(10) };
        let right = verdict_in(*provider, Mistake::None, scenario.clone());
        assert!(right.is_good() && right.expected > 0 && right.set_aside > 0, "{provider}: {right}");
        for (mistake, harm) in [
            (Mistake::StopsAtDepth, Harm::Lost),
            (Mistake::TextForObjects, Harm::Repeated),
            (Mistake::DropsHalves, Harm::Repeated),
        ] {
            let verdict = verdict_in(*provider, mistake, scenario.clone());
            assert!(
                harm.done(&verdict),
                "{provider}: {mistake:?} passes, or is caught for the wrong reason: {verdict}"
            );
        }
    }
}
