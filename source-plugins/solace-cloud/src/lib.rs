//! Solace Cloud (PubSub+ Cloud) audit log: `GET /api/v2/audit/logs`, pages by number, no cursor, any record may be late.
//!
//! | what | on the wire | from |
//! |---|---|---|
//! | credentials | `Authorization: Bearer TOKEN`, made by a user in the console; no refresh | vendor |
//! | permission | "Retrieve my organization's audit logs" and the Administrator role; with less, **200 and a subset** | vendor |
//! | region | `api.solace.cloud`, `api.solacecloud.com.au`, `api.solacecloud.eu`, `api.solacecloud.sg`: the account's home | vendor |
//! | page | `{"data": [..], "meta": {"pagination": {pageNumber, pageSize, nextPage, totalPages, count}}}` | vendor |
//! | page size | `pageSize`, 25 without it; the maximum is not published: 100 is tried, 25 if that is refused | guess |
//! | order | `sort=startTime:asc`; one key only, so equal times are in any order, another one in each answer | vendor, guess |
//! | bounds | `startTime`: records after it. Of their start or of their end is not said; neither is ever relied on | vendor |
//! | unknown parameters | 400, also for a misspelt value | vendor |
//! | event id | `id`, unique; that a record changes under its id is not excluded, so the content counts too | vendor, guess |
//! | time | `startTime`, `endTime`: RFC 3339 UTC. A record appears after its end, which can be hours after its start | vendor, guess |
//! | snapshot | none: what appears or expires between two requests moves the pages | guess |
//! | retention | six months | vendor |
//! | throttle | 429, judged every 30 s over five minutes; the numbers and `Retry-After` are not published | vendor |
//! | own queries | not recorded as far as documented; if they ever are, `meta.requestPath` says so | vendor, guess |
//!
//! Vendor: the pages "Managing Audit Logs with the PubSub+ Cloud REST API", "Using Audit Logs", "Managing API Tokens" and
//! "Using the Solace Cloud REST APIs". Nothing about this API was found in anybody's code, so where the pages are silent,
//! the reading here is right under each possibility.
//!
//! How it reads: always forward by start, from well before the last event read, and without trusting page numbers. After
//! each page the next one is asked for anew, as the first page after the last start seen; only where a page holds nothing
//! but equal starts does it turn to a second page, and then counts. Identities in the ledger make repetition exact.

mod check;
mod config;
mod echo;
mod import;
mod page;
mod record;
mod scan;
mod seek;
mod source;
mod state;
mod vocabulary;

pub use config::{Filter, SolaceCloudConfig};
