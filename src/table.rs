//! A plain table of text for terminals.

use headwater_contracts::visible;
use std::fmt::Write as _;

/// Lays out rows under headings; numbers to the right, words to the left.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new(headings);
    for row in rows {
        table.measure(row);
    }
    let mut out = table.heading();
    for row in rows {
        table.row(row, &mut out);
    }
    out
}

/// How a table is laid out. Width counts characters; what a terminal would obey is shown as its number.
pub(crate) struct Table {
    headings: Vec<String>,
    /// By column: its width, and whether all cells so far are numbers.
    columns: Vec<(usize, bool)>,
    is_empty: bool,
}

impl Table {
    pub(crate) fn new(headings: &[&str]) -> Self {
        let headings: Vec<String> = headings.iter().map(|heading| visible(heading).into_owned()).collect();
        let columns = headings.iter().map(|heading| (heading.chars().count(), true)).collect();
        Self { headings, columns, is_empty: true }
    }

    /// Makes room for a row.
    pub(crate) fn measure(&mut self, row: &[String]) {
        self.is_empty = false;
        for (at, (width, is_number)) in self.columns.iter_mut().enumerate() {
            let cell = row.get(at).map_or("", String::as_str);
            *width = (*width).max(visible(cell).chars().count());
            *is_number &= !cell.is_empty() && cell.bytes().all(|b| b.is_ascii_digit());
        }
    }

    /// The headings in a line.
    pub(crate) fn heading(&self) -> String {
        let mut out = String::new();
        self.row(&self.headings, &mut out);
        out
    }

    /// Adds a row to `out`. A cell that is wider than its column moves the rest of its line.
    pub(crate) fn row(&self, row: &[String], out: &mut String) {
        let begin = out.len();
        for ((width, is_number), cell) in self.columns.iter().zip(row) {
            let cell = visible(cell);
            let pad = width.saturating_sub(cell.chars().count());
            let (before, after) = if *is_number && !self.is_empty { (pad, 0) } else { (0, pad) };
            let _ = write!(out, "{:before$}{cell}{:after$}  ", "", "");
        }
        out.truncate(begin + out[begin..].trim_end().len());
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_line_up_right_and_words_left() {
        let rows = vec![vec!["pactflow".into(), "7".into()], vec!["mé".into(), "1200".into()]];
        assert_eq!(table(&["stream", "read"], &rows), "stream    read\npactflow     7\nmé        1200\n");
    }

    #[test]
    fn a_cell_is_one_line_and_moves_no_cursor() {
        let rows = vec![vec!["a\nb\u{1b}[2J".into(), "\u{202e}x".into()], vec!["c".into(), String::new()]];
        let expected = concat!("name              x\n", r"a\u{a}b\u{1b}[2J  \u{202e}x", "\nc\n");
        assert_eq!(table(&["name", "x"], &rows), expected);
    }

    #[test]
    fn many_rows_take_no_more_time_each() {
        let rows: Vec<Vec<String>> = (0..50_000).map(|n| vec![n.to_string(), "x".repeat(n % 50)]).collect();
        assert_eq!(table(&["n", "x"], &rows).lines().count(), 50_001);
    }
}
