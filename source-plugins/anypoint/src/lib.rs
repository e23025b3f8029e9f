//! MuleSoft Anypoint Platform audit log: `POST /audit/v2/organizations/{org}/query`, oldest first, records without ids.
//!
//! | what | on the wire | origin |
//! |---|---|---|
//! | credentials | `Authorization: Bearer TOKEN`; the token from `POST /accounts/api/v2/oauth2/token` (connected app) or `POST /accounts/login` | vendor docs |
//! | permission | role or scope "Audit Log Viewer", granted in each business group; a missing one may be 401 as well as 403 | vendor docs |
//! | token's life | `expires_in`, else the session timeout of the root organization, 15 minutes at least; every fetch is an audit record | vendor docs |
//! | page | `{"data": [..], "cursor": TEXT}`, 1 to 200 records; **only an empty `data` is the end**, a short page is not | vendor docs |
//! | cursor | opaque, of the page's last record, bound to the body; lifetime unknown: a refused one begins the window again | vendor docs, assumed |
//! | window | `startDate`, `endDate`: **both inclusive**, to the millisecond | vendor docs |
//! | order | `ascending: true`: by timestamp | vendor docs |
//! | event id | **none**: see below | client code |
//! | time | `timestamp`, epoch milliseconds; many records may share one | client code |
//! | names | show the latest, unless `getVersionedObjectsInLogs=true`, and even then for old objects: no part of an identity | vendor docs |
//! | delay | unknown: assumed hours, hence overlap and re-scans | assumed |
//! | retention | one year by default, 30 days to six years by setting | vendor docs |
//! | throttle | per address and minute: 700 (US), 40 (EU, Gov); beyond it **503 until the minute ends**, no `Retry-After` | vendor docs |
//! | scope | a query shows one organization; logins are in the root organization only | vendor docs |
//!
//! Vendor docs: "Audit Logging", "Connected Apps", "Business Groups", "Control Plane Hostnames", and the OpenAPI of the audit
//! log query service 2.0.0. Client code: public collectors; it proves only that somebody wrote it.
//!
//! **Identity.** Two records may be equal in everything, and both happened. So a record's identity is its fingerprint (its
//! content without names that can change) *and its number among equals in the scan*: the first, the second, … A rescan
//! counts the same numbers and emits nothing; one more equal record gets one number more. Why that holds is in
//! `occurrences.rs`.
//!
//! How it reads: forward in windows of a day at most that share their boundary instants, then tails with an overlap, then
//! re-scans for what appears late. A window counts only when its empty last page has been seen.

mod config;
mod echo;
mod import;
mod occurrences;
mod record;
mod source;
mod state;
mod vocabulary;
mod window;

pub use config::{AnypointConfig, AuthConfig, Filter};
