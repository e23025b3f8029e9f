//! One record per row, under a header: RFC 4180, quoted cells with line breaks included.

use super::{
    Bounds, Bytes, Layout, MARK, Piece, Pieces, Reading,
    cut::{Cut, Cutter},
    is_full,
};
use csv::{ByteRecord, ReaderBuilder};
use headwater_contracts::Columns;

/// Why the line alone is no record.
const UNCLOSED: &str = "a quote in this line is not closed before the end of the file; the line is set aside alone, and the \
                        following ones are read without it";
const TORN: &str = "the file ends in the middle of this row, in a quote that is not closed: fetch the file again";

pub(super) struct Rows {
    cutter: Cutter,
    layout: Layout,
    header: ByteRecord,
}

impl Rows {
    /// Reads the header.
    pub(super) fn open(
        bytes: Bytes,
        columns: &'static Columns,
        reading: &Reading,
        bounds: &Bounds,
    ) -> Result<Self, String> {
        let mut cutter = Cutter::new(bytes, bounds);
        let header = match cutter.next()? {
            None => return Err(format!("it has no header; {}", columns.advice)),
            Some((Cut::Row(row), _)) => cells(&row)?,
            Some((_, line)) => return Err(format!("line {line}: a quote in the header is not closed")),
        };
        let names: Vec<String> = header.iter().map(|cell| String::from_utf8_lossy(cell).trim().to_owned()).collect();
        let layout = Layout::new(&names, columns, &reading.columns, &reading.without)
            .map_err(|problem| format!("line 1: {problem}"))?;
        Ok(Self { cutter, layout, header })
    }
}

impl Pieces for Rows {
    fn more(&mut self, out: &mut Vec<Piece>) -> Result<bool, String> {
        while !is_full(out) {
            let Some((cut, line)) = self.cutter.next()? else { return Ok(false) };
            let place = format!("line {line}");
            let (row, problem) = match cut {
                Cut::Long(kept) => {
                    out.push(Piece::oversized(kept, place));
                    continue;
                }
                Cut::Unclosed(row) => (row, UNCLOSED.to_owned()),
                Cut::Torn(row) => (row, TORN.to_owned()),
                Cut::Row(row) => {
                    let cells = cells(&row)?;
                    // Files that were put behind each other.
                    if cells == self.header {
                        continue;
                    }
                    match self.layout.record(&cells) {
                        Ok(raw) => {
                            out.push(Piece::new(raw, place));
                            continue;
                        }
                        Err(problem) if cells.len() != self.header.len() && row.contains(&b'\n') => {
                            (row, format!("{problem}, in a row of several lines: is a quote not closed?"))
                        }
                        Err(problem) => (row, problem),
                    }
                }
            };
            out.push(Piece { problem: Some(problem), ..Piece::new(row, place) });
        }
        Ok(true)
    }
}

/// The cells of one row.
fn cells(row: &[u8]) -> Result<ByteRecord, String> {
    let row = row.strip_prefix(MARK).unwrap_or(row);
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).buffer_capacity(row.len().clamp(64, 64 << 10));
    let mut cells = ByteRecord::new();
    builder.from_reader(row).read_byte_record(&mut cells).map_err(|error| format!("this is no CSV: {error}"))?;
    // Where it stood in its row says nothing.
    cells.set_position(None);
    Ok(cells)
}
