//! Records out of a file.

use crate::{record::Entry, source::Settings};
use headwater_contracts::{Echo, Import, OwnRequests, Record, Unreadable};
use headwater_source_kit::cursor;
use std::sync::Arc;

/// See the module.
pub(crate) struct Exported {
    pub(crate) settings: Arc<Settings>,
}

impl Import for Exported {
    fn elements(&self) -> &'static [&'static str] {
        &["data"]
    }

    fn remainder(&self, envelope: &[u8], _: u64) -> Option<String> {
        let page = serde_json::from_slice(envelope).ok()?;
        let token = cursor(&page, "nextToken").unwrap_or_else(|_| Some(String::new()));
        token.map(|_| "it has a `nextToken`".to_owned())
    }

    fn record(&mut self, raw: &[u8], sent: &OwnRequests) -> Result<Record, Unreadable> {
        let entry = Entry::read(raw)?;
        let echo = self.settings.recognizer.as_ref().map_or(Echo::Foreign, |own| own.judge(&entry, sent));
        let (id, identity, time) = (entry.id().to_owned(), entry.identity(), entry.time());
        Ok(Record { echo, ..Record::foreign(id, identity, time) })
    }
}
