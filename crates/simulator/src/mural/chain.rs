//! Chains of pages: each reads one frozen result.

use super::{FinalToken, MuralOptions};
use crate::api::Reply;
use crate::dice::Dice;
use crate::time::seconds;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// What a token holds, for whoever looks: a handle on an execution and a place in its result.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    execution: String,
    offset: usize,
    issued: i64,
}

/// A result as it was when the chain began.
#[derive(Debug)]
struct Frozen {
    items: Arc<Vec<usize>>,
    as_of: i64,
    /// Its last token leads nowhere new.
    repeats: bool,
    /// When its youngest token was issued.
    used: i64,
}

/// The results that tokens point to.
#[derive(Debug)]
pub(super) struct Chains {
    results: HashMap<String, Frozen>,
    dice: Dice,
    begun: u32,
}

impl Chains {
    pub(super) fn new(seed: u64) -> Self {
        Self { results: HashMap::new(), dice: Dice::new(&[seed, 0x70]), begun: 0 }
    }

    /// The first page of a new chain.
    pub(super) fn begin(&mut self, items: Vec<usize>, max_results: usize, now: i64, options: &MuralOptions) -> Reply {
        let ttl = seconds(options.token_ttl_s);
        self.results.retain(|_, frozen| now - frozen.used <= ttl);
        let execution = format!("{:032x}", self.dice.wide());
        let repeats = self.begun < options.repeating_chains;
        self.begun += 1;
        let frozen = Frozen { items: Arc::new(items), as_of: now, repeats, used: now };
        let reply = page(&execution, &frozen, 0, max_results, now, options);
        self.results.insert(execution, frozen);
        reply
    }

    /// The page a token leads to; `None` if it leads nowhere (any more).
    pub(super) fn resume(
        &mut self,
        token: &str,
        max_results: usize,
        now: i64,
        options: &MuralOptions,
    ) -> Option<Reply> {
        let token: Token = serde_json::from_slice(&STANDARD.decode(token).ok()?).ok()?;
        let frozen = self.results.get_mut(&token.execution)?;
        if now - token.issued > seconds(options.token_ttl_s) {
            return None;
        }
        frozen.used = now;
        Some(page(&token.execution, frozen, token.offset, max_results, now, options))
    }
}

fn page(
    execution: &str,
    frozen: &Frozen,
    offset: usize,
    max_results: usize,
    now: i64,
    options: &MuralOptions,
) -> Reply {
    let end = offset.saturating_add(max_results).min(frozen.items.len());
    let items = frozen.items.get(offset..end).unwrap_or_default().to_vec();
    let token = |offset, issued| {
        let token = Token { execution: execution.to_owned(), offset, issued };
        // A struct of strings and numbers always serializes.
        let json = serde_json::to_string(&token).unwrap_or_default();
        format!(",\"nextToken\":\"{}\"", STANDARD.encode(json))
    };
    let next = if end < frozen.items.len() {
        token(end, now)
    } else if frozen.repeats {
        // Issued with the result, so that it is the same each time.
        token(offset, frozen.as_of)
    } else {
        match options.final_token {
            FinalToken::Absent => String::new(),
            FinalToken::Null => ",\"nextToken\":null".to_owned(),
            FinalToken::EmptyString => ",\"nextToken\":\"\"".to_owned(),
            FinalToken::ThenEmpty => token(end, now),
        }
    };
    Reply {
        status: 200,
        headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
        prefix: b"{\"data\":[".to_vec(),
        items,
        suffix: format!("]{next}}}").into_bytes(),
        as_of: frozen.as_of,
    }
}
