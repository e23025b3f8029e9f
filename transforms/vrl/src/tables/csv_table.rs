//! A CSV file in memory, with a hash index per set of columns that a program asks by.

use super::{Between, Lookup, Question, nearest};
use headwater_contracts::{Timestamp, files::open_file};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use vrl::value::{KeyString, ObjectMap, Value};

/// The type of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnType {
    /// Text as it is.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// `true` or `false`, also `yes`, `no`, `1`, `0`.
    Boolean,
    /// A day: `2026-01-31`, or this strftime format. Becomes midnight UTC.
    Date(Option<String>),
    /// An instant: RFC 3339, or this strftime format (UTC unless it says so).
    Timestamp(Option<String>),
}

impl ColumnType {
    /// Reads Vector's notation: `string`, `integer`, `float`, `boolean`, `date`, `timestamp`, `date|FORMAT`,
    /// `timestamp|FORMAT`.
    ///
    /// # Errors
    /// A sentence that lists the types.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (word, format) = match text.split_once('|') {
            Some((word, format)) => (word, Some(format.to_owned())),
            None => (text, None),
        };
        match (word, format) {
            ("string", None) => Ok(Self::String),
            ("integer", None) => Ok(Self::Integer),
            ("float", None) => Ok(Self::Float),
            ("boolean", None) => Ok(Self::Boolean),
            ("date", format) => Ok(Self::Date(format)),
            ("timestamp", format) => Ok(Self::Timestamp(format)),
            _ => Err(format!(
                "`{text}` is no column type: use `string`, `integer`, `float`, `boolean`, `date`, `timestamp`, `date|FORMAT` or `timestamp|FORMAT`"
            )),
        }
    }

    fn read(&self, text: &str) -> Option<Value> {
        match self {
            Self::String => Some(text.into()),
            Self::Integer => text.trim().parse::<i64>().ok().map(Value::Integer),
            Self::Float => text
                .trim()
                .parse::<f64>()
                .ok()
                .and_then(|number| vrl::prelude::NotNan::new(number).ok())
                .map(Value::Float),
            Self::Boolean => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "1" => Some(true.into()),
                "false" | "no" | "0" => Some(false.into()),
                _ => None,
            },
            Self::Date(format) => date(text, format.as_deref().unwrap_or("%Y-%m-%d")).map(Value::Timestamp),
            Self::Timestamp(None) => instant(text).map(Value::Timestamp),
            Self::Timestamp(Some(format)) => chrono::DateTime::parse_from_str(text.trim(), format)
                .map(|time| time.to_utc())
                .or_else(|_| chrono::NaiveDateTime::parse_from_str(text.trim(), format).map(|time| time.and_utc()))
                .ok()
                .map(Value::Timestamp),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Date(_) => "date",
            Self::Timestamp(_) => "timestamp",
        }
    }
}

fn date(text: &str, format: &str) -> Option<Timestamp> {
    let day = chrono::NaiveDate::parse_from_str(text.trim(), format).ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc())
}

fn instant(text: &str) -> Option<Timestamp> {
    chrono::DateTime::parse_from_rfc3339(text.trim()).ok().map(|time| time.to_utc())
}

/// The rows, and how to find them.
#[derive(Debug, Clone)]
pub(super) struct CsvTable {
    rows: Arc<Rows>,
    indexes: Vec<Arc<Index>>,
}

#[derive(Debug)]
struct Rows {
    headers: Vec<KeyString>,
    cells: Vec<Vec<Value>>,
}

#[derive(Debug)]
struct Index {
    columns: Vec<String>,
    case_sensitive: bool,
    rows: HashMap<String, Vec<usize>>,
}

impl CsvTable {
    /// Without a header line, `headers: false`, columns are called `0`, `1` and so on.
    pub(super) fn load(
        path: &Path,
        delimiter: u8,
        headers: bool,
        schema: &BTreeMap<String, ColumnType>,
    ) -> Result<Self, String> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(headers)
            .from_reader(open_file(path).map_err(|error| error.to_string())?);
        let first = reader.headers().map_err(|error| error.to_string())?;
        let headers: Vec<KeyString> = if headers {
            first.iter().map(KeyString::from).collect()
        } else {
            (0..first.len()).map(|number| KeyString::from(number.to_string())).collect()
        };
        if headers.is_empty() {
            return Err("the file is empty; its first line must name the columns".to_owned());
        }
        for (number, header) in headers.iter().enumerate() {
            if headers[..number].contains(header) {
                return Err(format!("column `{header}` appears twice in the header line"));
            }
        }
        let mut types = vec![&ColumnType::String; headers.len()];
        for (column, kind) in schema {
            types[position(&headers, column)?] = kind;
        }
        let mut cells = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| error.to_string())?;
            let line = record.position().map_or(0, csv::Position::line);
            let row = record.iter().zip(&types).zip(&headers).map(|((text, kind), header)| {
                kind.read(text).ok_or_else(|| format!("line {line}, column `{header}`: `{text}` is no {}", kind.name()))
            });
            cells.push(row.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Self { rows: Arc::new(Rows { headers, cells }), indexes: Vec::new() })
    }

    /// This table with an index for the question, and the index's number.
    pub(super) fn prepare(&self, question: Question<'_>) -> Result<(Self, usize), String> {
        let others = question.between.iter().chain(question.select.into_iter().flatten());
        for column in others {
            position(&self.rows.headers, column)?;
        }
        let same =
            |index: &Arc<Index>| index.columns == question.equal && index.case_sensitive == question.case_sensitive;
        let mut ready = self.clone();
        if let Some(number) = self.indexes.iter().position(same) {
            return Ok((ready, number));
        }
        ready.indexes.push(Arc::new(self.rows.index(question.equal, question.case_sensitive)?));
        Ok((ready, self.indexes.len()))
    }

    /// This table with the indexes that programs have been compiled against.
    pub(super) fn with_indexes_of(mut self, old: &Self) -> Result<Self, String> {
        let rebuilt = old.indexes.iter().map(|index| self.rows.index(&index.columns, index.case_sensitive));
        self.indexes = rebuilt.map(|index| index.map(Arc::new)).collect::<Result<_, _>>()?;
        Ok(self)
    }

    pub(super) fn find(&self, prepared: usize, lookup: &Lookup<'_>) -> Result<Vec<ObjectMap>, String> {
        // A program holds only numbers that `prepare` gave it, and reloading keeps them.
        let index = self.indexes.get(prepared).ok_or("the index is missing; restart headwater and report this")?;
        let between = lookup
            .between
            .iter()
            .map(|range| Ok((position(&self.rows.headers, &range.column)?, range)))
            .collect::<Result<Vec<_>, String>>()?;
        let hits = index.rows.get(&key(lookup.equal.iter(), index.case_sensitive)).map_or(&[][..], Vec::as_slice);
        Ok(hits
            .iter()
            .map(|row| &self.rows.cells[*row])
            .filter(|row| between.iter().all(|(column, range)| range.holds(&row[*column])))
            .take(lookup.limit)
            .map(|row| self.rows.object(row, lookup.select))
            .collect())
    }
}

impl Rows {
    fn index(&self, columns: &[String], case_sensitive: bool) -> Result<Index, String> {
        let positions = columns.iter().map(|column| position(&self.headers, column)).collect::<Result<Vec<_>, _>>()?;
        let mut rows: HashMap<String, Vec<usize>> = HashMap::new();
        for (number, row) in self.cells.iter().enumerate() {
            rows.entry(key(positions.iter().map(|column| &row[*column]), case_sensitive)).or_default().push(number);
        }
        Ok(Index { columns: columns.to_vec(), case_sensitive, rows })
    }

    fn object(&self, row: &[Value], select: Option<&[String]>) -> ObjectMap {
        let wanted =
            |header: &KeyString| select.is_none_or(|columns| columns.iter().any(|column| column == header.as_str()));
        self.headers
            .iter()
            .zip(row)
            .filter(|(header, _)| wanted(header))
            .map(|(header, cell)| (header.clone(), cell.clone()))
            .collect()
    }
}

impl Between {
    /// Whether the cell is an instant inside. A string column is read as RFC 3339 or as a day.
    fn holds(&self, cell: &Value) -> bool {
        let time = match cell {
            Value::Timestamp(time) => Some(*time),
            other => other.to_str_lossy().and_then(|text| instant(&text).or_else(|| date(&text, "%Y-%m-%d"))),
        };
        time.is_some_and(|time| self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time <= to))
    }
}

fn position(headers: &[KeyString], column: &str) -> Result<usize, String> {
    headers.iter().position(|header| header.as_str() == column).ok_or_else(|| {
        let hint = nearest(column, headers.iter().map(KeyString::as_str))
            .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        let all: Vec<_> = headers.iter().map(KeyString::as_str).collect();
        format!("there is no column `{column}`{hint} (columns: {})", all.join(", "))
    })
}

/// What equal values share: type and text, each with its length so that borders count.
fn key<'v>(values: impl Iterator<Item = &'v Value>, case_sensitive: bool) -> String {
    let mut key = String::new();
    for value in values {
        let (kind, text) = match value.to_str_lossy() {
            Some(text) if case_sensitive => ("string", text.into_owned()),
            Some(text) => ("string", text.to_lowercase()),
            None => (value.kind_str(), value.to_string()),
        };
        // Writing to a string cannot fail.
        let _ = write!(key, "{kind}:{}:{text};", text.len());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_between_values_and_their_type_count() {
        let of = |values: &[Value]| key(values.iter(), true);
        assert_ne!(of(&["a;".into(), "b".into()]), of(&["a".into(), ";b".into()]));
        assert_ne!(of(&["1".into()]), of(&[1.into()]));
        assert_eq!(of(&["a".into()]), of(&[Value::Bytes("a".into())]));
        assert_eq!(key([&Value::from("Ä")].into_iter(), false), key([&Value::from("ä")].into_iter(), false));
    }

    #[test]
    fn cells_become_their_type_or_nothing() {
        let check = |kind: &str, text: &str, expected: Option<Value>| {
            assert_eq!(ColumnType::parse(kind).unwrap().read(text), expected, "{kind} {text}");
        };
        let day = |text| Value::Timestamp(date(text, "%Y-%m-%d").unwrap());
        check("string", " a", Some(" a".into()));
        check("integer", "17", Some(17.into()));
        check("integer", "17.5", None);
        check("boolean", "Yes", Some(true.into()));
        check("boolean", "maybe", None);
        check("float", "nan", None);
        check("date", "2026-01-31", Some(day("2026-01-31")));
        check("date|%d.%m.%Y", "31.01.2026", Some(day("2026-01-31")));
        check("timestamp", "2026-01-31T01:00:00+01:00", Some(day("2026-01-31")));
        check("timestamp|%Y/%m/%d %H:%M", "2026/01/31 00:00", Some(day("2026-01-31")));
        assert!(ColumnType::parse("int").is_err());
        assert!(ColumnType::parse("string|x").is_err());
    }
}
