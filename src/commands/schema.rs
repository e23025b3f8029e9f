//! `headwater schema`.

use super::print;
use crate::{Failure, plugins};

/// Prints the JSON Schema of the configuration.
pub(crate) fn schema() -> Result<(), Failure> {
    let schema = headwater_config::json_schema(&plugins::registry());
    print(format!("{schema:#}\n"))
}
