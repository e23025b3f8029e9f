//! API7 Enterprise (API7 Gateway) audit log: `GET {control plane}/api/audit_logs`, pages by number over a live table.
//!
//! | what | on the wire | origin |
//! |---|---|---|
//! | credentials | `X-API-KEY: TOKEN`; a token has its owner's rights, expires, and dies when it is regenerated | vendor's token guide, its CLI |
//! | permission | `iam:GetAudit` on `arn:api7:iam:organization/*` | vendor's permission reference |
//! | page | `{"total": N, "list": [..]}`; `list` may be `null`; the default and the largest `page_size` are not documented | vendor's OpenAPI file; not documented: the length of `list` is believed |
//! | parameters | `start_at`, `end_at`, `order_by=event_time`, `direction`, `page` (from 1), `page_size`; filters `event_type`, `operator_id`, `resource_id` | OpenAPI file |
//! | event id | `id`, a string | OpenAPI file |
//! | time | `event_time`, an integer; **seconds or milliseconds is not said** | told by the oldest entry: from 10^11 on it is milliseconds |
//! | bounds | whether they include their own time is not said | both are handled: a unit more on either side |
//! | order | by time alone; **arbitrary among equal times, perhaps different in each answer** | inferred: hence no second pages |
//! | delay | not documented: an event may appear some time after its own | assumed a minute (`settle`), ten (`overlap`), then re-scans |
//! | retention | 180 days by default in older versions, 60 in newer ones | vendor's manuals contradict each other: 60 assumed |
//! | throttle | none documented; 429 and 503 are obeyed | |
//! | errors | `{"error_msg": ..}` or `{"message": ..}`, or HTML | OpenAPI file, vendor's CLI |
//! | side effect | **some versions may record each read**, perhaps with the answer given | vendor's manuals differ |
//!
//! How it reads: the oldest entry once a day, for unit and reach; then windows of time, always closed, up to a little
//! before the present. See the module `window` for how one is read without trusting a page border. Identities in the
//! ledger make the overlap exact. How fast: where each read is a record, small pages stretch the intervals (`Pace`).

mod config;
mod echo;
mod import;
mod probe;
mod record;
mod source;
mod state;
mod trim;
mod unit;
mod vocabulary;
mod window;

pub use config::{Api7Config, Filter, OwnIdentity, TimestampUnit};
