//! A MaxMind DB file: one record per network of IP addresses.

use super::{Lookup, Question};
use headwater_contracts::files::must_be_file;
use maxminddb::Reader;
use std::net::IpAddr;
use std::path::Path;
use vrl::value::{ObjectMap, Value};

pub(super) struct MmdbTable(Reader<Vec<u8>>);

impl MmdbTable {
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        must_be_file(path).map_err(|error| error.to_string())?;
        Reader::open_readfile(path).map(Self).map_err(|error| error.to_string())
    }

    /// The one question such a file answers is `{ "ip": ADDRESS }`.
    pub(super) fn prepare(question: Question<'_>) -> Result<(), &'static str> {
        match (question.equal, question.between) {
            ([column], []) if column == "ip" => Ok(()),
            _ => Err("an mmdb table is asked by address only: the condition must be `{ \"ip\": .. }`"),
        }
    }

    pub(super) fn find(&self, lookup: &Lookup<'_>) -> Result<Vec<ObjectMap>, String> {
        let text = lookup.equal.first().and_then(Value::to_str_lossy);
        // As in Vector, what is no address is in no network.
        let Some(address) = text.and_then(|text| text.trim().parse::<IpAddr>().ok()) else { return Ok(Vec::new()) };
        let found = self.0.lookup(address).and_then(|found| found.decode::<Value>());
        let found = found.map_err(|error| error.to_string())?;
        let Some(Value::Object(record)) = found else { return Ok(Vec::new()) };
        let Some(select) = lookup.select else { return Ok(vec![record]) };
        Ok(vec![selected(&Value::Object(record), select)])
    }
}

/// The parts of `record` at the paths selected, for example `country.iso_code`, at the same paths.
fn selected(record: &Value, paths: &[String]) -> ObjectMap {
    let mut part = Value::Object(ObjectMap::new());
    for path in paths.iter().filter_map(|text| headwater_contracts::path(text)) {
        if let Some(value) = record.get(&path) {
            part.insert(&path, value.clone());
        }
    }
    match part {
        Value::Object(part) => part,
        _ => ObjectMap::new(),
    }
}
