//! The audit APIs that headwater reads, as faithful fakes over real HTTP, with faults.
//!
//! A [`Simulator`] serves one [`Provider`] on 127.0.0.1. A [`Scenario`] says what it holds and how it behaves; all time
//! comes from the injected clock, so that a test can let days pass at once. The [`Ledger`] is the truth to compare
//! with: nothing missing, nothing invented, byte for byte.
//!
//! # PactFlow: what can be simulated
//!
//! | # | behaviour | switch |
//! |---|---|---|
//! | 1 | each `GET /audit` is recorded; when the record appears; refused requests | [`PactFlowOptions::own_records`], [`PactFlowOptions::records_refused`] |
//! | 2 | reading until no `next` never ends | [`PactFlowOptions::default_page_size`], [`PactFlowOptions::honours_page_size`], [`OtherReaders::second_collector_echoes`] |
//! | 3 | `from` inclusive, exclusive | [`PactFlowOptions::from`] |
//! | 4 | other readers: collector, person, imitator, thief | [`Scenario::others`] |
//! | 5 | offsets across a change of summer time, equal instants | [`PactFlowOptions::zone`], [`Scenario::ties_per_mille`] |
//! | 6 | late events, near and far; events appearing while pages are read | [`Scenario::late`], [`Scenario::late_per_mille`], [`Scenario::drift`] |
//! | 7 | hostile links and redirects | [`PactFlowOptions::links`], [`Fault::Redirect`], [`PactFlowOptions::context_path`] |
//! | 8 | expiry, unknown cursors | [`PactFlowOptions::retention_days`], [`PactFlowOptions::unknown_cursor`] |
//! | 9 | refusals in every shape, throttling, broken, slow and missing answers | [`Scenario::faults`]: [`Fault`], [`ErrorBody`], [`RetryAfter`], healing by [`When`] |
//! | 10 | null and missing members, unknown fields and types, no events | [`Scenario::odd_per_mille`], [`Scenario::history_events`], [`PactFlowOptions::system_account`] |
//! | 11 | crash points of the client | [`Fault::Hang`] (sent, not received), [`Fault::CutBody`]; between emit, acknowledge and checkpoint the client's own test kills it |
//!
//! Of the parameters, `from`, `pageSize`, `since`, `sort`, `type` and `pageNumber` count; `userUuid` is ignored.
//!
//! # Mural: what can be simulated
//!
//! | # | behaviour | switch |
//! |---|---|---|
//! | 1 | daily extraction 24 to 48 hours late, stragglers | [`MuralOptions::extraction_hour`], [`MuralOptions::straggler_60h_per_mille`], [`MuralOptions::straggler_5d_per_mille`] |
//! | 2 | extracted again with another `snapshotDate` | [`MuralOptions::reextracted_per_mille`] |
//! | 3 | newest first, ties, `maxResults` | [`Scenario::ties_per_mille`], [`MuralOptions::max_results`] |
//! | 4 | tokens of frozen results, expiry, ends of a chain | [`MuralOptions::token_ttl_s`], [`MuralOptions::final_token`], [`MuralOptions::repeating_chains`], [`MuralOptions::expired_token_status`] |
//! | 5 | default window, wide windows, retention | [`MuralOptions::wide_window`], [`MuralOptions::retention_days`] |
//! | 6 | unknown parameters are ignored | always |
//! | 7 | quota shared with others; refusals | [`MuralOptions::quota`], [`MuralOptions::other_calls_per_day`], [`MuralOptions::quota_retry_after`], [`MuralOptions::quota_body`] |
//! | 8 | `apikey` literally, missing scope, revoked key | always, [`Simulator::unprivileged_credential`], [`Fault::Status`] with [`When`] |
//! | 9 | `ACCESS_AUDIT_LOG` by our key, another, a person | [`MuralOptions::records_readings`], [`Scenario::others`] |
//! | 10 | missing and null members, unknown actions and types, both date formats | [`Scenario::odd_per_mille`], [`MuralOptions::dates`] |
//! | 11 | pages of 50 000 entries, slow and broken bodies | [`Scenario::history_events`], [`Fault::Stall`], [`Fault::CutBody`], [`Fault::ShortBody`] |
//!
//! # Solace Cloud: what can be simulated
//!
//! | # | behaviour | switch |
//! |---|---|---|
//! | 1 | token: for all, for its owner's records only (a silent subset), revoked meanwhile, without permission | [`SolaceCloudOptions::scope`], [`SolaceCloudOptions::tells_permissions`], [`Fault::Status`] with [`When`], [`Simulator::unprivileged_credential`] |
//! | 2 | strict parameters; a `pageSize` that is too large | always; [`SolaceCloudOptions::clamps_page_size`], [`SolaceCloudOptions::max_page_size`] |
//! | 3 | defaults; ties in another order in each answer | always; [`Scenario::ties_per_mille`] |
//! | 4 | what the exclusive bounds are compared with | [`SolaceCloudOptions::time_filter`] |
//! | 5 | actions of hours, shown after their end; more ties than a page holds | [`SolaceCloudOptions::long_per_mille`], [`SolaceCloudOptions::visibility_delay_s`], [`Scenario::ties_per_mille`] |
//! | 6 | late records, also between two requests | [`Scenario::late`], [`Scenario::late_per_mille`], [`Scenario::drift`] |
//! | 7 | no snapshot: pages shift | [`Scenario::drift`], [`SolaceCloudOptions::expires_per_request`] |
//! | 8 | retention | [`SolaceCloudOptions::retention_days`] |
//! | 9 | records that change | [`SolaceCloudOptions::changes_per_mille`] |
//! | 10 | ends of the pages, capped `count` | [`SolaceCloudOptions::last_page`], [`SolaceCloudOptions::one_page_when_empty`], [`SolaceCloudOptions::count_cap`], [`SolaceCloudOptions::past_end`] |
//! | 11 | missing, odd and unknown members, ids in no order | [`Scenario::odd_per_mille`] |
//! | 12 | rate limit in every shape; broken, slow and missing answers | [`SolaceCloudOptions::limit`], [`SolaceCloudOptions::limit_body`], [`SolaceCloudOptions::limit_retry_after`], [`Scenario::faults`] |
//! | 13 | a growing list of categories; `downloadType` | always |
//! | 14 | a token of another region | always |
//! | 15 | reading that is recorded | [`SolaceCloudOptions::records_readings`], [`Scenario::others`] |
//! | 16 | the truth, form by form | [`Truth::form_at`] |
//!
//! # API7: what can be simulated
//!
//! | # | behaviour | switch |
//! |---|---|---|
//! | 1 | whole seconds with hundreds of entries, ties in another order in each answer | [`Api7Options::burst_s`], [`Api7Options::shuffles_ties`] |
//! | 2 | `page_size` clamped, its default, pages beyond the end, `page=0` | [`Api7Options::max_page_size`], [`Api7Options::default_page_size`], [`Api7Options::empty_list`] |
//! | 3 | inserts and deletes between pages, late rows | [`Scenario::drift`], [`Scenario::late`], [`Scenario::late_per_mille`], [`Api7Options::write_delay_s`], [`Api7Options::retention_days`] |
//! | 4 | `total` of the filter, as of the answer | always |
//! | 5 | seconds or milliseconds, bounds inclusive or exclusive | [`Api7Options::unit`], [`Api7Options::start_inclusive`], [`Api7Options::end_inclusive`] |
//! | 6 | readings not recorded, recorded, recorded with their answers | [`Api7Options::reads`], [`Api7Options::recorded_body_max`] |
//! | 7 | another user, another token of our user, a copy of our token | [`Scenario::others`] |
//! | 8 | header and cookie, `Bearer` refused, a token that dies, permissions by action | always, [`Fault::Status`], [`Simulator::unprivileged_credential`], [`Api7Options::event_types_forbidden`], [`Api7Options::export_forbidden`] |
//! | 9 | error bodies, outages, throttling, slow and broken answers | [`Api7Options::error_body`], [`ErrorBody::ErrorMsg`], [`ErrorBody::Message`], [`Scenario::faults`]; TLS is not served |
//! | 10 | missing, null and extra members, unknown types, masked secrets, large bodies, log-ons without operator | [`Scenario::odd_per_mille`], [`Api7Options::large_body_bytes`] |
//! | 11 | export in both formats, clock offset and steps, crash points | always, [`Scenario::clock_skew_s`], [`Scenario::clock_steps`]; the client's own test kills it |
//!
//! # Anypoint: what can be simulated
//!
//! | # | behaviour | switch |
//! |---|---|---|
//! | 1 | logins by form, JSON, Basic and password; each is recorded, refused ones too; tokens that die early, or do not say when | [`AnypointOptions::expires_in_s`], [`AnypointOptions::token_life_s`]; count them in [`Ledger::requests`] |
//! | 2 | expired tokens; organizations without permission, as 401 or 403 | [`AnypointOptions::forbidden`], [`AnypointOptions::forbidden_status`], [`Simulator::unprivileged_credential`] |
//! | 3 | throttled logins with `X-RateLimit-Reset` | [`AnypointOptions::throttled_logins`] |
//! | 4 | 503 without `Retry-After` until the minute ends; all other failures | [`AnypointOptions::per_minute`], [`AnypointOptions::html_503`], [`Scenario::faults`] |
//! | 5 | inclusive bounds, spellings of dates, refused ones | always |
//! | 6 | order, filters, unknown members | always |
//! | 7 | `limit`, `offset`, `total` | [`AnypointOptions::high_limit`], [`AnypointOptions::offset_max`], [`AnypointOptions::total_max`] |
//! | 8 | cursors on every page that is not empty, bound to the query, expiring | [`AnypointOptions::cursor_ttl_s`] |
//! | 9 | short pages in the middle | [`AnypointOptions::short_pages`] |
//! | 10 | bursts in one millisecond, identical records | [`AnypointOptions::burst_per_mille`], [`AnypointOptions::identical_per_mille`] |
//! | 11 | late and future records, skewed clocks | [`Scenario::late`], [`Scenario::drift`], [`AnypointOptions::ahead_per_mille`], [`Scenario::clock_skew_s`] |
//! | 12 | renamings | [`AnypointOptions::renamed_after_h`] |
//! | 13 | odd shapes, split payloads | [`Scenario::odd_per_mille`], [`AnypointOptions::split_per_mille`] |
//! | 14 | business groups, records in two of them | [`ANYPOINT_ORGANIZATIONS`], [`AnypointOptions::shared_per_mille`] |
//! | 15 | pages by offset shift | [`Scenario::drift`] |
//! | 16 | retention | [`AnypointOptions::retention_days`] |
//! | 17 | listings, on the same budget | always |
//! | 18 | the truth | [`Ledger`]; records have no id, so it is told by content ([`Provider::has_ids`]) |
//!
//! # Adding a provider
//!
//! A variant of [`Provider`], a module that implements the crate's `Api` trait (how a request is answered, how an event
//! is written), its options in [`Scenario`], and a line in `server.rs`. Faults, time, other readers, streaming and the
//! ledger are there already.

mod anypoint;
mod api;
mod api7;
mod dice;
mod faults;
mod ledger;
mod log;
mod mural;
mod pactflow;
mod people;
mod presets;
mod scenario;
mod server;
mod solace_cloud;
mod stream;
mod template;
mod time;
mod world;

pub use anypoint::{AnypointOptions, HighLimit, ORGANIZATIONS as ANYPOINT_ORGANIZATIONS};
pub use api7::{Api7Options, AuditReads, EmptyList, TimeUnit};
pub use faults::{ErrorBody, Fault, FaultRule, RetryAfter, When};
pub use ledger::{Ledger, Seen, Truth};
pub use log::Kind;
pub use mural::{Dates, FinalToken, MuralOptions, WideWindow};
pub use pactflow::{FromMode, Links, OwnRecords, PactFlowOptions, UnknownCursor, Zone};
pub use scenario::{ClockStep, Drift, LateEvent, OtherReaders, Provider, Scenario};
pub use server::Simulator;
pub use solace_cloud::{LastPage, LimitBody, PastEnd, SolaceCloudOptions, TimeFilter, TokenScope};
