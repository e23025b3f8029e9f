//! The envelope of a page.

use headwater_contracts::ReadError;

const HINT: &str = "check that `endpoint` is the API's address of your region";

/// What a page says about itself. All of it is hearsay: a server may clamp, cap or leave out each of them. Numbers may be text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pagination {
    pub(crate) page_number: Option<u64>,
    pub(crate) page_size: Option<u64>,
    pub(crate) next_page: Option<u64>,
    pub(crate) total_pages: Option<u64>,
    pub(crate) count: Option<u64>,
    /// Nothing is said of the pages that follow, or something that cannot be read.
    pub(crate) odd: bool,
}

impl Pagination {
    /// Reads the envelope of a page.
    pub(crate) fn read(envelope: &[u8]) -> Result<Self, ReadError> {
        let page = headwater_source_kit::envelope(envelope, "data", HINT)?;
        let member = |key: &str| page.pointer("/meta/pagination").and_then(|all| all.get(key));
        let number = |key: &str| member(key).and_then(headwater_source_kit::count);
        let odd = |key: &str| member(key).is_some_and(|said| !said.is_null() && *said != "") && number(key).is_none();
        let silent = ["nextPage", "totalPages", "count"].iter().all(|key| member(key).is_none());
        Ok(Self {
            odd: silent || odd("nextPage") || odd("totalPages"),
            page_number: number("pageNumber"),
            page_size: number("pageSize").filter(|size| *size > 0),
            next_page: number("nextPage"),
            total_pages: number("totalPages"),
            count: number("count"),
        })
    }

    /// Whether page `asked`, of `records` records where `size` were asked for, is the last one. A full page never is: what
    /// its server says of the rest may be capped. An empty one is, unless the server counts pages after it and names the next.
    pub(crate) fn is_last(&self, asked: u64, records: u64, size: u64) -> bool {
        let size = self.page_size.map_or(size, |clamped| clamped.min(size));
        let names_next =
            self.next_page.is_some_and(|next| next > asked && self.total_pages.is_none_or(|all| next <= all));
        let more_pages = self.total_pages.is_some_and(|all| all > asked);
        if records == 0 {
            // Beyond the end some servers go on to name a next page; what counts the pages names those that there are.
            return !(names_next && more_pages);
        }
        records < size && !names_next && !more_pages && !self.odd
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pagination(pagination: &Value) -> Pagination {
        Pagination::read(json!({ "data": [], "meta": { "pagination": pagination } }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_last_page_is_told_in_every_spelling() {
        let check = |all: Value, asked, records, last| {
            assert_eq!(pagination(&all).is_last(asked, records, 25), last, "{all} {asked} {records}");
        };
        check(json!({ "totalPages": 2 }), 2, 7, true);
        check(json!({ "totalPages": 2, "nextPage": null }), 2, 7, true);
        check(json!({ "totalPages": 2, "nextPage": 2 }), 2, 7, true);
        check(json!({ "totalPages": 2, "nextPage": 3 }), 2, 7, true);
        check(json!({ "totalPages": 2, "nextPage": 2 }), 1, 25, false);
        check(json!({ "totalPages": 2 }), 1, 7, false);
        check(json!({ "nextPage": 2 }), 1, 7, false);
        // It may have given less than was asked for.
        check(json!({}), 1, 7, false);
        check(json!({ "nextPage": null }), 1, 7, true);
        check(json!({}), 2, 0, true);
        check(json!({ "totalPages": "2" }), 1, 7, false);
        check(json!({ "nextPage": 2.0 }), 1, 7, false);
        check(json!({ "totalPages": "2", "nextPage": "2" }), 2, 7, true);
        // Whatever it means, an empty page is the end.
        check(json!({ "nextPage": { "number": 2 } }), 1, 7, false);
        check(json!({ "nextPage": { "number": 2 } }), 2, 0, true);
        check(json!({ "totalPages": 0 }), 1, 0, true);
        check(json!({ "totalPages": 1 }), 1, 0, true);
        // A gap: there are pages behind it.
        check(json!({ "totalPages": 3, "nextPage": 3 }), 2, 0, false);
        check(json!({ "totalPages": 3, "nextPage": 4 }), 3, 0, true);
        check(json!({ "nextPage": 3 }), 2, 0, true);
        // Full: not the last one, whatever it says; also if the server gives less than was asked for.
        check(json!({ "totalPages": 1, "pageSize": 25 }), 1, 25, false);
        check(json!({ "totalPages": 1, "pageSize": 10 }), 1, 10, false);
        check(json!({ "totalPages": 1, "pageSize": 0 }), 1, 10, true);
    }

    #[test]
    fn odd_members_count_as_absent_and_what_is_no_page_is_an_error() {
        let odd = json!({ "pageNumber": "x", "pageSize": -3, "nextPage": [], "totalPages": 1.5, "count": {} });
        assert_eq!(pagination(&odd), Pagination { odd: true, ..Pagination::default() });
        let odd = json!({ "pageNumber": "", "pageSize": null, "nextPage": "", "count": {} });
        assert_eq!(pagination(&odd), Pagination::default());
        assert!(Pagination::read(br#"{"data":[]}"#).is_ok());
        for body in [&b"<html>"[..], b"[]", br#"{"message":"x"}"#, br#"{"data":null}"#] {
            assert!(Pagination::read(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }
}
