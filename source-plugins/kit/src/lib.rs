//! What source plugins share: small, pure helpers that know no API.
//!
//! | item | for |
//! |---|---|
//! | [`Scalar`] | a member that may be text, a whole number, absent, or anything else |
//! | [`object`], [`part`] | one element of a page; a nested object that is allowed to be odd |
//! | [`envelope`] | a page without its elements, checked to have its array |
//! | [`check_endpoint`], [`stream_name`] | the `endpoint` option, and the ledger's name for it |
//! | [`Visited`] | the positions that a scan has asked for |
//! | [`Rescanned`], [`rescan_begin`] | when re-scans were done, and where the next one begins |

mod endpoint;
mod json;
mod rescan;
mod scalar;
mod visited;

pub use endpoint::{check_endpoint, stream_name};
pub use json::{envelope, object, part};
pub use rescan::{Rescanned, rescan_begin};
pub use scalar::Scalar;
pub use visited::Visited;
