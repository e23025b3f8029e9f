//! What several sinks need, once: an event on one line or in one row, its facts by the names that all encodings share, templates,
//! the records of a batch, and blocking work that can be interrupted safely.

mod background;
mod csv;
mod facts;
mod line;
mod records;
mod severity;
mod shorten;
mod template;
mod tls_files;

pub use background::Background;
pub use csv::{Formulas, cells, csv_record, csv_row};
pub use facts::{Facts, Target};
pub use headwater_net::{Names, Trust};
pub use line::{for_terminals, line, on_one_line};
pub use records::{pieces, records};
pub use severity::{Severity, severity};
pub use shorten::shortened;
pub use template::Template;
pub use tls_files::TlsFiles;
