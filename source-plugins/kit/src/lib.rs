//! What source plugins share: small, pure helpers that know no API.
//!
//! | item | for |
//! |---|---|
//! | [`Scalar`] | a member that may be text, a whole number, absent, or anything else |
//! | [`object`], [`part`] | one element of a page; a nested object that is allowed to be odd |
//! | [`envelope`] | a page without its elements, checked to have its array |
//! | [`count`], [`counted`] | a number of a page; what a page out of a file says of the rest |
//! | [`cursor`] | the position that a page leads on to |
//! | [`listed`], [`text`], [`texts`] | a list of names, and the texts of its items |
//! | [`check_endpoint`], [`stream_name`] | the `endpoint` option, and the ledger's name for it |
//! | [`ascending`], [`is_unsorted`], [`certain`] | the order of a page, whatever a few of its records say, and where to go on from |
//! | [`Pace`] | how often and how far back to read where each page read is recorded |
//! | [`Rescans`] | when re-scans were last done, and where the next begin |
//! | [`Strays`] | records whose times lie outside the range that was asked for |
//! | [`Visited`] | the positions that a scan has asked for |
//! | [`same_query`] | a recorded query string beside the parameters that were sent |

mod empties;
mod endpoint;
mod json;
mod listed;
mod order;
mod pace;
mod query;
mod raw;
mod rescans;
mod scalar;
mod strays;
mod visited;

pub use empties::Empties;
pub use endpoint::{check_endpoint, stream_name};
pub use json::{count, counted, cursor, envelope, object, part};
pub use listed::{listed, text, texts};
pub use order::{ascending, certain, is_unsorted};
pub use pace::Pace;
pub use query::same_query;
pub use raw::Raw;
pub use rescans::Rescans;
pub use scalar::{Scalar, no_id};
pub use strays::{Page as StrayPage, Strays};
pub use visited::Visited;
