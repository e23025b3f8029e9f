//! Single attributes: users, groups, endpoints, requests. Each marks the raw leaves it represents as used.

use crate::ocsf::{OTHER, SCHEMA, UNKNOWN};
use crate::pattern::same_word;
use crate::table::Provider;
use crate::unmapped::Used;
use crate::view::{Entity, Leaf, View};
use std::collections::BTreeMap;
use std::net::IpAddr;
use vrl::compiler::prelude::Bytes;
use vrl::value::{KeyString, ObjectMap, Value};

/// The event under construction.
#[derive(Debug, Default)]
pub(crate) struct Out {
    /// The OCSF event.
    pub(crate) event: ObjectMap,
    /// The raw leaves that are in it.
    pub(crate) used: Vec<Used>,
}

impl Out {
    /// Sets an attribute.
    pub(crate) fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.event.insert(name.into(), value.into());
    }

    /// The text of `leaf`, which is from now on represented.
    pub(crate) fn take(&mut self, leaf: &Leaf<'_>) -> Value {
        if let Some(path) = leaf.path {
            self.used.push((path, None));
        }
        self.used.extend(leaf.also.iter().map(|path| (*path, None)));
        Value::from(leaf.text.as_ref())
    }

    /// Puts the text of `leaf` into `map`, if there is one.
    pub(crate) fn move_into(&mut self, map: &mut ObjectMap, name: &str, leaf: Option<&Leaf<'_>>) {
        if let Some(leaf) = leaf {
            map.insert(name.into(), self.take(leaf));
        }
    }
}

/// A text of the tables or of this code, which is there for ever and need not be copied.
pub(crate) fn fixed(text: &'static str) -> Value {
    Value::Bytes(Bytes::from_static(text.as_bytes()))
}

/// An object of these attributes.
pub(crate) fn object<const N: usize>(attributes: [(&str, Value); N]) -> Value {
    Value::Object(attributes.into_iter().map(|(name, value)| (KeyString::from(name), value)).collect())
}

/// Id and caption of a source's word: through the provider's table to a caption, else 99 and the word itself.
fn typed<'w>(word: &'w str, words: &'static BTreeMap<String, String>, ids: &BTreeMap<String, u8>) -> (u8, &'w str) {
    let caption = words.iter().find(|(known, _)| same_word(known, word)).map(|(_, caption)| caption.as_str());
    match caption.and_then(|caption| Some((*ids.get(caption)?, caption))) {
        Some(known) => known,
        None => (OTHER, word),
    }
}

fn put_type(map: &mut ObjectMap, id: u8, caption: &str) {
    map.insert("type_id".into(), Value::from(id));
    map.insert("type".into(), Value::from(caption));
}

/// `user`; `None` if nothing tells it from others.
pub(crate) fn user(out: &mut Out, table: &'static Provider, entity: &Entity<'_>) -> Option<Value> {
    if !entity.is_known() {
        return None;
    }
    let mut user = ObjectMap::new();
    out.move_into(&mut user, "uid", entity.uid.as_ref());
    out.move_into(&mut user, "name", entity.name());
    out.move_into(&mut user, "email_addr", entity.email.as_ref());
    if !entity.full_name.is_empty() {
        let parts: Vec<&str> = entity.full_name.iter().map(|part| part.text.as_ref()).collect();
        user.insert("full_name".into(), Value::from(parts.join(" ")));
        entity.full_name.iter().for_each(|part| drop(out.take(part)));
    }
    if let Some(org) = &entity.org {
        let name = out.take(org);
        user.insert("org".into(), object([("name", name)]));
    }
    match &entity.kind {
        Some(kind) => {
            out.take(kind);
            let (id, caption) = typed(&kind.text, &table.user_types, &SCHEMA.user_types);
            put_type(&mut user, id, caption);
        }
        None => {
            let caption = entity.user_type.unwrap_or("Unknown");
            put_type(&mut user, SCHEMA.user_types.get(caption).copied().unwrap_or(UNKNOWN), caption);
        }
    }
    Some(Value::Object(user))
}

/// `actor`: the user, the token it acted with, and what it acted through. `None` if nothing tells the user from others.
pub(crate) fn actor(out: &mut Out, table: &'static Provider, view: &View<'_>) -> Option<Value> {
    let mut shown = user(out, table, view.entity("actor")?)?;
    if let (Value::Object(user), Some(token)) = (&mut shown, view.fact("token")) {
        let credential = object([("uid", out.take(token)), ("type", fixed("API token"))]);
        user.insert("programmatic_credentials".into(), Value::Array(vec![credential]));
    }
    let mut actor = ObjectMap::from([("user".into(), shown)]);
    if let Some(app) = view.entity("app") {
        out.move_into(&mut actor, "app_uid", app.uid.as_ref());
        out.move_into(&mut actor, "app_name", app.name.as_ref());
    }
    Some(Value::Object(actor))
}

/// `group`: uid, name, and the source's word as type.
pub(crate) fn group(out: &mut Out, entity: &Entity<'_>) -> Option<Value> {
    thing(out, entity).map(Value::Object)
}

/// `web_resources[]` and `resources[]`: uid, name, and the source's word as type.
pub(crate) fn thing(out: &mut Out, entity: &Entity<'_>) -> Option<ObjectMap> {
    let name = entity.name.as_ref();
    if entity.uid.is_none() && name.is_none() {
        return None;
    }
    let mut thing = ObjectMap::new();
    out.move_into(&mut thing, "uid", entity.uid.as_ref());
    out.move_into(&mut thing, "name", name);
    out.move_into(&mut thing, "type", entity.kind.as_ref());
    Some(thing)
}

/// `entity` of Entity Management. A user, a group, an organization or a policy is shown as such, too.
pub(crate) fn managed_entity(out: &mut Out, table: &'static Provider, entity: &Entity<'_>) -> Option<Value> {
    let mut managed = thing(out, entity)?;
    let (id, caption) = match &entity.kind {
        Some(kind) => typed(&kind.text, &table.entity_types, &SCHEMA.entity_types),
        None => (UNKNOWN, "Unknown"),
    };
    let nested = match caption {
        "Organization" if id != OTHER => Some("org"),
        "User" if id != OTHER => Some("user"),
        "Group" if id != OTHER => Some("group"),
        "Policy" if id != OTHER => Some("policy"),
        _ => None,
    };
    if let Some(nested) = nested {
        let same = managed.iter().filter(|(name, _)| matches!(name.as_str(), "uid" | "name"));
        let same: ObjectMap = same.map(|(name, value)| (name.clone(), value.clone())).collect();
        managed.insert(nested.into(), Value::Object(same));
    }
    put_type(&mut managed, id, caption);
    Some(Value::Object(managed))
}

/// `src_endpoint` from an address or a comma list of them, nearest to the client first. What is no address is its name.
pub(crate) fn src_endpoint(out: &mut Out, leaf: Option<&Leaf<'_>>) -> Option<Value> {
    let leaf = leaf?;
    let parts = leaf.text.split(',').map(str::trim_ascii).filter(|part| !part.is_empty());
    let (mut ips, names): (Vec<&str>, Vec<&str>) = parts.partition(|part| is_ip(part));
    if ips.is_empty() && names.is_empty() {
        return None;
    }
    let mut endpoint = ObjectMap::new();
    if !ips.is_empty() {
        endpoint.insert("ip".into(), Value::from(ips.remove(0)));
    }
    if !ips.is_empty() {
        let others = ips.into_iter().map(Value::from).collect();
        endpoint.insert("intermediate_ips".into(), Value::Array(others));
    }
    match names.as_slice() {
        [] => {
            out.take(leaf);
        }
        [name] => {
            out.take(leaf);
            endpoint.insert("name".into(), Value::from(*name));
        }
        // There is one place for names: the leaf stays among the unmapped, where all of them are.
        [name, ..] => {
            endpoint.insert("name".into(), Value::from(*name));
        }
    }
    Some(Value::Object(endpoint))
}

/// The `src_endpoint` of a class that must have one and whose source does not tell.
pub(crate) fn unknown_endpoint() -> Value {
    object([("name", fixed("unknown")), ("type_id", Value::from(0)), ("type", fixed("Unknown"))])
}

/// `http_request`; `None` if the source tells nothing of it.
pub(crate) fn http_request(out: &mut Out, view: &View<'_>) -> Option<Value> {
    let mut request = ObjectMap::new();
    if let Some(method) = view.fact("method").filter(|method| is_http_method(&method.text)) {
        request.insert("http_method".into(), out.take(method));
    }
    // The schema wants a path in every URL: a query alone stays among the unmapped.
    if let Some(path) = view.fact("path") {
        let mut url = ObjectMap::new();
        url.insert("path".into(), out.take(path));
        out.move_into(&mut url, "query_string", view.fact("query"));
        request.insert("url".into(), Value::Object(url));
    }
    out.move_into(&mut request, "user_agent", view.fact("user_agent"));
    out.move_into(&mut request, "referrer", view.fact("referrer"));
    (!request.is_empty()).then_some(Value::Object(request))
}

fn is_http_method(text: &str) -> bool {
    matches!(text, "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" | "TRACE" | "CONNECT")
}

fn is_ip(text: &str) -> bool {
    // The schema's limit; an IPv4 address written inside an IPv6 one can be longer.
    text.len() <= 40 && text.parse::<IpAddr>().is_ok()
}

/// The schema's pattern of `email_addr`: it lets through what a mail server would not, but no blanks and no names.
pub(crate) fn is_email(text: &str) -> bool {
    let local = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+,-./=?^_`{|}~".contains(c);
    let label = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let Some((before, domain)) = text.split_once('@') else { return false };
    let Some((first, rest)) = domain.split_once('.') else { return false };
    !before.is_empty()
        && before.chars().all(local)
        && !first.is_empty()
        && first.chars().all(label)
        && !rest.is_empty()
        && rest.chars().all(|c| label(c) || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> (Option<String>, usize) {
        let mut out = Out::default();
        let path: &'static [String] = Vec::leak(vec!["ip".to_owned()]);
        let value = src_endpoint(&mut out, Some(&Leaf { path: Some(path), ..Leaf::derived(text) }));
        (value.map(|value| serde_json::to_string(&value).unwrap()), out.used.len())
    }

    #[test]
    fn addresses_names_and_lists_find_their_places() {
        let check =
            |text: &str, json: &str, used: usize| assert_eq!(endpoint(text), (Some(json.to_owned()), used), "{text}");
        check("203.0.113.7", r#"{"ip":"203.0.113.7"}"#, 1);
        check(
            "2001:db8::1, 10.0.0.1,10.0.0.2",
            r#"{"intermediate_ips":["10.0.0.1","10.0.0.2"],"ip":"2001:db8::1"}"#,
            1,
        );
        check("gateway", r#"{"name":"gateway"}"#, 1);
        check("a, b", r#"{"name":"a"}"#, 0);
        assert_eq!(endpoint(" , "), (None, 0));
    }

    #[test]
    fn only_what_the_schema_takes_is_an_address() {
        for good in ["a@b.c", "first.last+tag@sub.example.com"] {
            assert!(is_email(good), "{good}");
        }
        for bad in
            ["[email protected]", "a@b", "a b@c.d", "@b.c", "a@.c", "a@b.", "a@b@c.d", "é@b.c", "a@b.c\n", "a@b.c>"]
        {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
