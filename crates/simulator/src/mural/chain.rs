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
    /// Empty pages before the one at `offset`.
    #[serde(default)]
    empty: u32,
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
    /// Of its own: what else a seed brings stays as it is.
    empty_dice: Dice,
    begun: u32,
}

impl Chains {
    pub(super) fn new(seed: u64) -> Self {
        Self { results: HashMap::new(), dice: Dice::new(&[seed, 0x70]), empty_dice: Dice::new(&[seed, 0x71]), begun: 0 }
    }

    /// The first page of a new chain.
    pub(super) fn begin(&mut self, items: Vec<usize>, max_results: usize, now: i64, options: &MuralOptions) -> Reply {
        let ttl = seconds(options.token_ttl_s);
        self.results.retain(|_, frozen| now - frozen.used <= ttl);
        let execution = format!("{:032x}", self.dice.wide());
        let repeats = self.begun < options.repeating_chains;
        self.begun += 1;
        let frozen = Frozen { items: Arc::new(items), as_of: now, repeats, used: now };
        let token = Token { execution: execution.clone(), offset: 0, issued: now, empty: 0 };
        let empty = self.empties(options);
        let reply = page(&token, None, &frozen, empty, max_results, now, options);
        self.results.insert(execution, frozen);
        reply
    }

    /// The page a token leads to; `None` if it leads nowhere (any more).
    pub(super) fn resume(
        &mut self,
        asked: &str,
        max_results: usize,
        now: i64,
        options: &MuralOptions,
    ) -> Option<Reply> {
        let token: Token = serde_json::from_slice(&STANDARD.decode(asked).ok()?).ok()?;
        let empty = self.empties(options);
        let frozen = self.results.get_mut(&token.execution)?;
        if now - token.issued > seconds(options.token_ttl_s) {
            return None;
        }
        frozen.used = now;
        Some(page(&token, Some(asked), frozen, empty, max_results, now, options))
    }

    /// How many empty pages come before the next page.
    fn empties(&mut self, options: &MuralOptions) -> u32 {
        match options.empty_pages_per_mille {
            0 => 0,
            share if self.empty_dice.chance(share) => self.empty_dice.pick([1, 2]),
            _ => 0,
        }
    }
}

/// The page at `at`, whose token was `asked` if it is not the first; `empty` pages come before the next one.
fn page(
    at: &Token,
    asked: Option<&str>,
    frozen: &Frozen,
    empty: u32,
    max_results: usize,
    now: i64,
    options: &MuralOptions,
) -> Reply {
    let token = |offset, issued, empty| {
        let token = Token { execution: at.execution.clone(), offset, issued, empty };
        // A struct of strings and numbers always serializes.
        STANDARD.encode(serde_json::to_string(&token).unwrap_or_default())
    };
    let named = |token: &str| format!(",\"nextToken\":\"{token}\"");
    let offset = at.offset;
    let end = if at.empty > 0 { offset } else { offset.saturating_add(max_results).min(frozen.items.len()) };
    let items = frozen.items.get(offset..end).unwrap_or_default().to_vec();
    let next = if at.empty > 0 {
        named(&token(offset, now, at.empty - 1))
    } else if end < frozen.items.len() {
        named(&token(end, now, empty))
    } else if frozen.repeats {
        // Issued with the result, so that it is the same each time.
        named(&token(offset, frozen.as_of, 0))
    } else {
        match (options.final_token, asked) {
            (FinalToken::Absent, _) => String::new(),
            (FinalToken::Null, _) => ",\"nextToken\":null".to_owned(),
            (FinalToken::EmptyString, _) => ",\"nextToken\":\"\"".to_owned(),
            (FinalToken::ThenEmpty, Some(asked)) if items.is_empty() => named(asked),
            (FinalToken::ThenEmpty, _) => named(&token(end, now, 0)),
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
