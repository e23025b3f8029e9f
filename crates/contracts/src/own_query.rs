//! Recognising the audit records that headwater's own reading causes.

use crate::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// One request headwater is about to send, written to the ledger before it leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnRequest {
    /// One-time id, also inside `user_agent`.
    pub id: String,
    /// The whole `User-Agent` header sent.
    pub user_agent: String,
    /// HTTP method.
    pub method: String,
    /// Path as sent, with the endpoint's context path.
    pub path: String,
    /// Query parameters as sent, decoded, in order.
    pub query: Vec<(String, String)>,
    /// When it was sent, by the server's clock as far as it is known.
    pub sent: Timestamp,
}

/// The own requests of a stream that no record has been matched with yet.
///
/// Each entry matches one record: nobody can hide more than what headwater really sent.
#[derive(Debug, Clone, Default)]
pub struct OwnRequests(HashMap<String, OwnRequest>);

impl OwnRequests {
    /// Adds one that is about to be sent.
    pub fn insert(&mut self, request: OwnRequest) {
        self.0.insert(request.user_agent.clone(), request);
    }

    /// The unmatched request that was sent with exactly this `User-Agent`.
    pub fn by_user_agent(&self, user_agent: &str) -> Option<&OwnRequest> {
        self.0.get(user_agent)
    }

    /// All unmatched requests, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &OwnRequest> {
        self.0.values()
    }

    /// Takes out a request that a record has been matched with.
    pub fn consume(&mut self, id: &str) -> Option<OwnRequest> {
        let user_agent = self.0.values().find(|request| request.id == id)?.user_agent.clone();
        self.0.remove(&user_agent)
    }

    /// Forgets those sent before `instant`: their echo is not expected any more.
    pub fn forget_before(&mut self, instant: Timestamp) {
        self.0.retain(|_, request| request.sent >= instant);
    }

    /// How many are left.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a record says about who caused it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Echo {
    /// Not an own query as far as can be told.
    #[default]
    Foreign,
    /// Caused by the own request with this id, which is hereby used up.
    Own(String),
    /// Looks like ours and matches nothing we sent: delivered, with this remark for whoever investigates.
    Suspicious(&'static str),
}

/// What to do with recognised own queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OwnQueryPolicy {
    /// Mark them, and let the shipped rule `drop_own_queries.vrl` drop and count them.
    #[default]
    Suppress,
    /// Mark them; the shipped rule lets them pass, and the normalized event carries the label `own_query`.
    Tag,
    /// Do not mark them.
    Forward,
}

impl OwnQueryPolicy {
    /// Its name in YAML and in `%headwater.own_query_policy`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suppress => "suppress",
            Self::Tag => "tag",
            Self::Forward => "forward",
        }
    }
}
