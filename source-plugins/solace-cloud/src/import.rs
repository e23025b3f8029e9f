//! Records out of a file: lines, or what `downloadType=json` gives, which is a page under another content type.

use crate::{page::Pagination, record::Entry, source::Settings};
use headwater_contracts::{Echo, Import, OwnRequests, Record, Unreadable};
use std::sync::Arc;

/// See the module.
pub(crate) struct Exported {
    pub(crate) settings: Arc<Settings>,
}

impl Import for Exported {
    fn elements(&self) -> &'static [&'static str] {
        &["data"]
    }

    fn remainder(&self, envelope: &[u8], records: u64) -> Option<String> {
        let page = Pagination::read(envelope).ok()?;
        let number = page.page_number.unwrap_or(1);
        let of = page.total_pages.filter(|all| *all > 1).map(|all| format!("it is page {number} of {all}"));
        let counted = page.count.filter(|all| *all > records).map(|all| format!("it has {records} of {all} events"));
        of.or(counted).or_else(|| page.next_page.map(|next| format!("it names page {next} as the next")))
    }

    fn record(&mut self, raw: &[u8], sent: &OwnRequests) -> Result<Record, Unreadable> {
        let entry = Entry::read(raw)?;
        let echo = self.settings.recognizer.as_ref().map_or(Echo::Foreign, |own| own.judge(&entry, sent));
        let (id, identity, time) = (entry.id().to_owned(), entry.identity(), entry.time());
        Ok(Record { echo, ..Record::foreign(id, identity, time) })
    }
}
