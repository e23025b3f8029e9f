//! What hides the credentials of this process in every text that leaves it.
//!
//! A server may repeat in an answer what it was sent, in whatever notation its error pages have. So each credential is made known
//! here when it is read or fetched ([`learn`], [`learn_token`]; every [`Secret`](crate::Secret) does so by itself), and each way out
//! for texts of ours (log lines, the HTTP API, reasons of dead letters, traces, what commands print) goes through [`mask`].
//! Events are not texts of ours: they leave as they came.
//!
//! How a credential is found:
//!
//! | what | where |
//! |---|---|
//! | notations | a text is searched as it is, and with percent, form, JSON, Rust, Python and HTML notations undone and without the null bytes of UTF-16, up to three times over; Base64 is looked for at each of its three alignments, so also as a part of `user:password` |
//! | parts | 8 characters of a credential in a row are enough if letters and digits or both cases are mixed in them; 16 of any kind |
//! | 6 characters and more | the whole is hidden wherever it stands |
//! | 4 and 5 | where they are a word of their own |
//! | 1 to 3 | only behind `Bearer` or `Basic`: `***` for each `a` of a text would help nobody |

mod index;
mod view;

use index::Index;
use std::{
    borrow::Cow,
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use view::{NOTATIONS, PERCENT, View};

/// What stands in the place of a credential, however long that is.
pub const MASK: &str = "***";

/// Tokens that were fetched at run time are replaced after a while: the newest of them are kept, as many as fit into this many bytes.
const TOKENS_MAX: usize = 32 << 10;
/// A shorter line of a key gives nothing away.
const LINE_MIN: usize = 16;
/// How often notations are undone that are wrapped in each other.
const LAYERS: usize = 3;

static KNOWN: Mutex<Known> = Mutex::new(Known::new());

struct Known {
    /// Configured: they are known until the end.
    secrets: BTreeSet<String>,
    /// Fetched.
    tokens: VecDeque<String>,
    /// Made of both when first needed.
    index: Option<Arc<Index>>,
}

impl Known {
    const fn new() -> Self {
        Self { secrets: BTreeSet::new(), tokens: VecDeque::new(), index: None }
    }

    fn index(&mut self) -> Arc<Index> {
        let texts = self.secrets.iter().chain(&self.tokens).map(String::as_str);
        self.index.get_or_insert_with(|| Arc::new(Index::new(texts))).clone()
    }
}

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a configured credential known.
pub fn learn(secret: &str) {
    for secret in parts(secret) {
        let mut known = known();
        if known.secrets.insert(secret) {
            known.index = None;
        }
    }
}

/// Makes a token known that was fetched at run time.
pub fn learn_token(token: &str) {
    let mut known = known();
    if token.trim().is_empty() || known.tokens.iter().any(|held| held == token) {
        return;
    }
    known.tokens.push_back(token.to_owned());
    while known.tokens.len() > 1 && known.tokens.iter().map(String::len).sum::<usize>() > TOKENS_MAX {
        known.tokens.pop_front();
    }
    known.index = None;
}

/// Makes the key of a PEM file known. Its first and last lines are the same in all of them.
pub fn learn_pem(pem: &[u8]) {
    let text = String::from_utf8_lossy(pem);
    text.lines().map(str::trim).filter(|line| !line.starts_with("-----") && line.len() >= LINE_MIN).for_each(learn);
}

/// Makes the password of a URL known, and what its query calls a token, a key or the like; of a text that is no URL nothing.
pub fn learn_url(text: &str) {
    let Some(url) = url::Url::parse(text).ok().filter(url::Url::has_authority) else { return };
    if let Some(password) = url.password() {
        learn(&View::of(password).decoded(PERCENT).map_or_else(|| password.to_owned(), |view| view.text()));
    }
    for (name, value) in url.query_pairs() {
        if is_sensitive(&name) || ["key", "sig", "signature", "code"].contains(&&*name) {
            learn(&value);
        }
    }
}

/// The same of an address, which may also have no scheme, as curl takes proxies, or be no URL by a mistake.
pub fn learn_address(text: &str) {
    learn_url(text);
    if url::Url::parse(text).is_ok_and(|url| url.has_authority()) {
        return;
    }
    let Some((before, _)) = text.rsplit_once('@') else { return };
    let user_info = before.rsplit_once("//").map_or(before, |(_, rest)| rest);
    learn(user_info.split_once(':').map_or(user_info, |(_, password)| password));
}

/// Whether a key, a header or a parameter of this name is likely to hold a credential.
pub fn is_sensitive(name: &str) -> bool {
    const ENDS: &[&str] = &[
        "token",
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "secret",
        "apikey",
        "accesskey",
        "privatekey",
        "keypem",
        "bearerconfig",
    ];
    const WHOLE: &[&str] = &["authorization", "proxyauthorization", "cookie", "auth"];
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    WHOLE.contains(&name.as_str()) || ENDS.iter().any(|word| name.ends_with(word))
}

/// A credential, and what in it is one by itself: what follows a scheme, and the password in `Basic` (RFC 7617).
fn parts(secret: &str) -> Vec<String> {
    let mut parts = vec![secret.trim().to_owned()];
    if let Some((scheme, rest)) = secret.trim().split_once(' ').filter(|(scheme, _)| is_scheme(scheme)) {
        parts.push(rest.trim().to_owned());
        let plain = index::from_base64(rest.trim()).filter(|_| scheme.eq_ignore_ascii_case("basic"));
        let plain = plain.and_then(|plain| String::from_utf8(plain).ok());
        parts.extend(plain.and_then(|plain| plain.split_once(':').map(|(_, password)| password.to_owned())));
    }
    // A stand-in may be followed by the place that it stands for.
    let is_stand_in = |part: &str| part.split(' ').next().is_some_and(|word| crate::STAND_INS.contains(&word));
    parts.retain(|part| !part.is_empty() && !is_stand_in(part));
    parts
}

fn is_scheme(word: &str) -> bool {
    ["bearer", "basic", "token", "apikey", "splunk"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// `text`, with [`MASK`] in the place of each credential that is known, and of the one-time part of our own `User-Agent`.
pub fn mask(text: &str) -> Cow<'_, str> {
    let index = known().index();
    let mut found = Vec::new();
    let mut views = vec![View::of(text)];
    let mut begin = 0;
    for layer in 0..=LAYERS {
        let end = views.len();
        for at in begin..end {
            index.find(&views[at], &mut found);
            for notation in NOTATIONS.into_iter().filter(|_| layer < LAYERS) {
                let view = views[at].decoded(notation);
                // Which notation is undone first makes no difference most of the time.
                views.extend(view.filter(|view| views.iter().all(|known| known.bytes != view.bytes)));
            }
        }
        begin = end;
    }
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_unstable();
    let mut out = String::with_capacity(text.len());
    let mut hidden_to = None;
    for (start, end) in found {
        let (start, end) = (floor(text, start), ceil(text, end));
        // What touches what is hidden already is the same credential.
        if hidden_to.is_none_or(|to| start > to) {
            out.push_str(&text[hidden_to.unwrap_or(0)..start]);
            out.push_str(MASK);
        }
        hidden_to = hidden_to.max(Some(end));
    }
    out.push_str(&text[hidden_to.unwrap_or(0)..]);
    Cow::Owned(out)
}

/// The same for all texts of a JSON document, its keys excepted.
pub fn mask_json(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => {
            if let Cow::Owned(masked) = mask(text) {
                *text = masked;
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(mask_json),
        serde_json::Value::Object(map) => map.values_mut().for_each(mask_json),
        _ => {}
    }
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceil(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests;
