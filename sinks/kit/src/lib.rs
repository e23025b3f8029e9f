//! What several sinks need, once: an event on one line, the records of a batch, and blocking work that can be interrupted safely.

mod background;
mod line;
mod records;

pub use background::Background;
pub use line::{line, on_one_line};
pub use records::records;
