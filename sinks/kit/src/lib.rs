//! What several sinks need, once: an event on one line or in one row, the records of a batch, and blocking work that can be interrupted safely.

mod background;
mod csv;
mod line;
mod records;

pub use background::Background;
pub use csv::{cells, csv_record, csv_row};
pub use line::{line, on_one_line};
pub use records::{pieces, records};
