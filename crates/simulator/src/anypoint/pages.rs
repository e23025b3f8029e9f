//! Pages, by cursor and by offset.

use super::AnypointOptions;
use super::query::Query;
use crate::api::{Call, Reply};
use crate::dice::Dice;
use crate::time::seconds;
use std::collections::HashMap;
use std::fmt::Write as _;

/// Where a cursor leads.
#[derive(Debug)]
struct Mark {
    organization: usize,
    identity: String,
    /// The last record of the page it came with.
    after: (i64, usize),
    issued: i64,
}

/// The cursors given.
#[derive(Debug)]
pub(super) struct Cursors {
    given: HashMap<String, Mark>,
    dice: Dice,
}

impl Cursors {
    pub(super) fn new(seed: u64) -> Self {
        Self { given: HashMap::new(), dice: Dice::new(&[seed, 0xc5]) }
    }

    /// The page that a query asks for; the error is for the body of a 400.
    pub(super) fn page(
        &mut self,
        organization: usize,
        query: &Query,
        found: Vec<(i64, usize)>,
        call: &Call,
        options: &AnypointOptions,
    ) -> Result<Reply, String> {
        let ttl = seconds(options.cursor_ttl_s);
        self.given.retain(|_, mark| call.now - mark.issued <= ttl);
        let after = match &query.cursor {
            None => None,
            Some(cursor) => {
                let mark = self.given.get(cursor).ok_or("the cursor is unknown or has expired")?;
                if mark.organization != organization || mark.identity != query.identity {
                    return Err("the cursor belongs to another query".to_owned());
                }
                Some(mark.after)
            }
        };
        let total = found.len();
        // By key, not by number: what appears behind the last record of a page is on no later one.
        let rest: Vec<_> = found
            .into_iter()
            .filter(|place| after.is_none_or(|after| if query.ascending { *place > after } else { *place < after }))
            .collect();
        let size = if options.short_pages { 1 + self.dice.index(query.limit) } else { query.limit };
        let page = rest.get(..size.min(rest.len())).unwrap_or_default();
        let mut suffix = String::from("]");
        if let Some(last) = page.last() {
            let cursor = format!("{}_{:016x}", last.0, self.dice.roll());
            let _ = write!(suffix, ",\"cursor\":\"{cursor}\"");
            let mark = Mark { organization, identity: query.identity.clone(), after: *last, issued: call.now };
            self.given.insert(cursor, mark);
        }
        Ok(reply(page, suffix + &shown_total(total, call, options, false), call))
    }
}

/// The page at an offset, which shifts as records appear; the error is for the body of a 400.
pub(super) fn by_offset(
    query: &Query,
    found: Vec<(i64, usize)>,
    call: &Call,
    options: &AnypointOptions,
) -> Result<Reply, String> {
    if query.offset > usize::try_from(options.offset_max).unwrap_or(usize::MAX) {
        return Err(format!("offset must be at most {}", options.offset_max));
    }
    let rest = found.get(query.offset.min(found.len())..).unwrap_or_default();
    let page = rest.get(..query.limit.min(rest.len())).unwrap_or_default();
    Ok(reply(page, format!("]{}", shown_total(found.len(), call, options, true)), call))
}

fn shown_total(total: usize, call: &Call, options: &AnypointOptions, always: bool) -> String {
    let total = match call.parameter("doIncludeTotal") {
        Some("capped") => total.min(usize::try_from(options.total_max).unwrap_or(usize::MAX)),
        Some("true") => total,
        _ if always => total,
        _ => return "}".to_owned(),
    };
    format!(",\"total\":{total}}}")
}

fn reply(page: &[(i64, usize)], suffix: String, call: &Call) -> Reply {
    let versioned = call.parameter("getVersionedObjectsInLogs") == Some("true");
    Reply {
        status: 200,
        headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
        prefix: b"{\"data\":[".to_vec(),
        items: page.iter().map(|(_, index)| *index).collect(),
        suffix: suffix.into_bytes(),
        // What is asked for as it was when logged has the sign turned.
        as_of: if versioned { -call.now } else { call.now },
    }
}
