//! Records out of a file: the dashboard's or the API's export, as JSON or CSV.
//!
//! What an export looks like inside is not documented. JSON is taken as an array of the API's records, or a page of them. Of
//! CSV the columns are those members, under their own names; an identity needs `id`, and the time exactly as the API
//! shows it.

use crate::{record::Entry, source::Settings, state::Owner, trim};
use headwater_contracts::{Cell, Column, Columns, Echo, Import, Need, OwnRequests, Record, Unreadable};
use headwater_source_kit::counted;
use std::sync::Arc;

const fn column(member: &'static str, cell: Cell, need: Need) -> Column {
    Column { member, cell, need }
}

/// The members that the vendor's OpenAPI file names.
const COLUMNS: Columns = Columns {
    members: &[
        column("id", Cell::Text, Need::Identity),
        column("event_time", Cell::Whole, Need::Identity),
        column("event_type", Cell::Text, Need::Content),
        column("operator", Cell::Json, Need::Content),
        column("operator.id", Cell::Text, Need::None),
        column("operator.username", Cell::Text, Need::None),
        column("operator.first_name", Cell::Text, Need::None),
        column("operator.last_name", Cell::Text, Need::None),
        column("operator.email", Cell::Text, Need::None),
        column("source", Cell::Text, Need::Content),
        column("token_name", Cell::Text, Need::Content),
        column("resource_id", Cell::Text, Need::Content),
        column("ip_address", Cell::Text, Need::Content),
        column("error_message", Cell::Text, Need::Content),
        column("http_request", Cell::Json, Need::Content),
        column("http_request.method", Cell::Text, Need::None),
        column("http_request.uri", Cell::Text, Need::None),
        column("http_request.user_agent", Cell::Text, Need::None),
        column("http_request.body", Cell::Json, Need::None),
        column("http_response", Cell::Json, Need::Content),
        column("http_response.status_code", Cell::Whole, Need::None),
        column("http_response.body", Cell::Json, Need::None),
    ],
    open: true,
    advice: "the vendor does not document the columns of its CSV: say under `columns` which one holds which member of the API's record, such as `columns: { Time: event_time }`, or export as JSON, which has them all",
};

/// See the module.
pub(crate) struct Exported {
    pub(crate) settings: Arc<Settings>,
    /// Whom own records have shown.
    pub(crate) owner: Option<Owner>,
}

impl Import for Exported {
    fn elements(&self) -> &'static [&'static str] {
        &["list"]
    }

    fn columns(&self) -> Option<&'static Columns> {
        Some(&COLUMNS)
    }

    fn remainder(&self, envelope: &[u8], records: u64) -> Option<String> {
        counted(envelope, "total", records)
    }

    fn record(&mut self, raw: &[u8], sent: &OwnRequests) -> Result<Record, Unreadable> {
        let entry = Entry::read(raw)?;
        let recognizer = &self.settings.recognizer;
        let echo = match recognizer.own(&entry, sent) {
            Some(request) => Echo::Own(request.id.clone()),
            None => recognizer.foreign(&entry, self.owner.as_ref()),
        };
        let (id, identity, time) = (entry.id().to_owned(), entry.identity(), entry.time());
        Ok(Record { echo, ..Record::foreign(id, identity, time) })
    }

    fn trimmed(&self, raw: &[u8]) -> Option<Vec<u8>> {
        trim::trimmed(raw, self.settings.max_event_bytes)
    }
}
