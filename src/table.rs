//! A plain table of text, for stderr.

/// Lays out rows under headings; numbers to the right, words to the left. Width counts characters.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or_default()
    };
    let is_number = |cell: &str| !cell.is_empty() && cell.chars().all(|c| c.is_ascii_digit());
    let right =
        |column: usize| !rows.is_empty() && rows.iter().all(|row| row.get(column).is_some_and(|cell| is_number(cell)));
    let line = |cells: &[String]| {
        let padded: Vec<String> = cells
            .iter()
            .enumerate()
            .map(|(column, cell)| {
                let (width, right) = (width(column), right(column));
                if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            })
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    std::iter::once(&headings).chain(rows).map(|row| line(row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_line_up_right_and_words_left() {
        let rows = vec![vec!["pactflow".into(), "7".into()], vec!["mé".into(), "1200".into()]];
        assert_eq!(table(&["stream", "read"], &rows), "stream    read\npactflow     7\nmé        1200\n");
    }
}
