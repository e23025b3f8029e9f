//! Records out of a file.

use crate::{
    page::{self, Link},
    record::Entry,
    source::Settings,
};
use headwater_contracts::{Echo, Import, OwnRequests, Record, Unreadable};
use std::sync::Arc;

/// See the module.
pub(crate) struct Exported {
    pub(crate) settings: Arc<Settings>,
}

impl Import for Exported {
    fn elements(&self) -> &'static [&'static str] {
        &["events"]
    }

    fn remainder(&self, envelope: &[u8], records: u64) -> Option<String> {
        let leads_on = !matches!(page::next(envelope), Ok(Link::End) | Err(_));
        leads_on.then(|| format!("it has {records} events and a link to the page that follows"))
    }

    fn record(&mut self, raw: &[u8], sent: &OwnRequests) -> Result<Record, Unreadable> {
        let entry = Entry::read(raw)?;
        let recognizer = &self.settings.recognizer;
        let echo = match recognizer.own(&entry, sent) {
            Some(request) => Echo::Own(request.id.clone()),
            None => recognizer.foreign(&entry),
        };
        let (id, identity, time) = (entry.uuid().to_owned(), entry.identity(), entry.time);
        Ok(Record { echo, ..Record::foreign(id, identity, time) })
    }
}
