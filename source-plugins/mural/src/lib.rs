//! Mural Enterprise audit log: `GET https://api.mural.co/enterprise/v1/audit-log`, newest first, one to three days late.
//!
//! | what | on the wire |
//! |---|---|
//! | credentials | `Authorization: apikey KEY`, lower-case; a key with the audit-log scope, made by a company administrator |
//! | page | `{"data": [..], "nextToken": TOKEN}`; at the end the token is absent, null or empty, or `data` is empty; behind a full page is looked once more |
//! | token | opaque, a handle on a frozen result; all other parameters but `maxResults` are ignored beside it; may expire |
//! | window | `filter[date][since]` and `filter[date][until]`, UTC, both probably inclusive, at most 30 days apart |
//! | filter | `filter[action]`: at most 10 names, separated by commas |
//! | page size | `maxResults`: 1 to 50000; older deployments 1 to 1000 |
//! | event id | `id`, unique; `snapshotDate` of the same event changes when it is extracted again |
//! | time | `date`: RFC 3339 with milliseconds; older deployments `yyyy-mm-dd HH:mm:ss.fff`, UTC without saying so |
//! | delay | an event appears **24 to 48 hours after it happened**, from daily extractions; later ones happen |
//! | retention | 30 days assumed |
//! | throttle | **1500 calls a day for the whole company**, every integration counted; how it says so is not documented |
//! | misspelt parameters | probably ignored, which would silently answer with the last 7 days: every date is checked |
//!
//! Facts: the vendor's pages "Audit Log examples", "About the Audit Log API", its reference of the endpoint and "API Key
//! Management", in several editions, and the vendor's own Splunk app. Where they are silent, the reading here is right
//! under each possibility.
//!
//! How it reads: time is cut into partitions of six hours. A sweep reads one partition to the end of its token chain.
//! A partition is swept early and often while events still appear, once more when it has settled (only that sweep
//! claims coverage), and daily for some time after, for stragglers. Identities in the ledger make repetition exact.
//! A question of a person is one sweep of all that it asks about, with the largest pages.

mod config;
mod echo;
mod import;
mod lookup;
mod record;
mod schedule;
mod source;
mod state;
mod sweep;
mod vocabulary;
mod window;

pub use config::{CallBudget, DateFormat, Filter, Mode, MuralConfig};
