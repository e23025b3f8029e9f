//! The attributes that all classes share.

use crate::attributes::{Out, fixed, http_request, object, src_endpoint, unknown_endpoint, user};
use crate::meta::Meta;
use crate::ocsf::{API_ACTIVITY, ActorPlace, BASE_EVENT, Code, OTHER, SCHEMA};
use crate::table::{Outcome, Provider, Tenant};
use crate::time::{self, Instant};
use crate::view::{self, View};
use vrl::value::{KeyString, ObjectMap, Value};

/// Class, category, activity, type, with their captions. An activity 99 bears the source's own word, if there is one.
pub(crate) fn put_code(out: &mut Out, code: Code, operation: Option<&str>) {
    let class = SCHEMA.classes.get(&code.class);
    let class_name = class.map_or("", |class| class.name.as_str());
    let category = class.map_or(0, |class| class.category);
    let caption = class.and_then(|class| class.activity(code.activity)).unwrap_or("Other");
    let activity_name = operation.filter(|_| code.activity == OTHER);
    out.put("activity_id", code.activity);
    out.put("activity_name", activity_name.map_or_else(|| fixed(caption), Value::from));
    out.put("category_uid", category);
    out.put("category_name", fixed(SCHEMA.categories.get(&category).map_or("", String::as_str)));
    out.put("class_uid", code.class);
    out.put("class_name", fixed(class_name));
    out.put("type_uid", code.type_uid());
    out.put("type_name", [class_name, ": ", caption].concat());
}

/// Outcome and severity. The sources rank nothing, so a failure is Low and anything else Informational.
pub(crate) fn put_status(out: &mut Out, status: (i64, &'static str)) {
    let severity = if status.0 == 2 { (2, "Low") } else { (1, "Informational") };
    out.put("status_id", status.0);
    out.put("status", fixed(status.1));
    out.put("severity_id", severity.0);
    out.put("severity", fixed(severity.1));
}

/// The event's time: the source's, else when headwater read it.
pub(crate) fn put_time(out: &mut Out, written: Option<&str>, meta: &Meta, remarks: &mut Vec<String>) {
    if let Some(Instant { ms, offset_minutes }) = written.and_then(time::parse) {
        out.put("time", ms);
        if let Some(minutes) = offset_minutes {
            out.put("timezone_offset", minutes);
        }
        return;
    }
    let what = if written.is_some() { "cannot be read" } else { "is missing" };
    let (ms, instead) = match (meta.observed_ms, meta.time_ms) {
        (Some(ms), _) => (ms, "the time of observation"),
        (None, Some(ms)) => (ms, "`%headwater.time`"),
        (None, None) => (0, "the epoch"),
    };
    out.put("time", ms);
    remarks.push(format!("the time of the event {what}: {instead} stands for it"));
}

/// `metadata`, all but what the table says.
pub(crate) fn base_metadata(meta: &Meta, provider: &str, profiles: &[&'static str], remarks: Vec<String>) -> ObjectMap {
    let mut map = ObjectMap::new();
    let mut put = |name: &str, value: Value| map.insert(name.into(), value);
    put("version", fixed(&SCHEMA.version));
    put("log_name", Value::from([provider, ".audit"].concat()));
    if let Some(id) = &meta.id {
        put("uid", Value::from(id.as_str()));
    }
    if let Some(ms) = meta.observed_ms {
        put("logged_time", Value::from(ms));
    }
    let labels = [(meta.late, "late_arrival"), (meta.own_query, "own_query")];
    let labels: Vec<Value> = labels.iter().filter(|(set, _)| *set).map(|(_, label)| fixed(label)).collect();
    if !labels.is_empty() {
        put("labels", Value::Array(labels));
    }
    if !profiles.is_empty() {
        put("profiles", Value::Array(profiles.iter().map(|profile| fixed(profile)).collect()));
    }
    if !remarks.is_empty() {
        put("debug", Value::Array(remarks.into_iter().map(Value::from).collect()));
    }
    map
}

/// Adds to `out`, which holds the attributes of the class already, those that all classes share.
pub(crate) fn finish(
    out: &mut Out,
    (table, raw): (&'static Provider, &ObjectMap),
    view: &View<'_>,
    (code, status_detail): (Code, Option<&str>),
    meta: &Meta,
    mut remarks: Vec<String>,
) {
    let class = SCHEMA.classes.get(&code.class);
    let operation = view.lookup("operation");
    put_code(out, code, view.lookup("operation_text").or(operation));
    let outcome = status(out, table, raw, view, operation);
    put_status(out, outcome);
    let told = view.fact("status_detail");
    let detail = status_detail.map(Value::from).or_else(|| told.map(|detail| out.take(detail)));
    if let Some(detail) = &detail {
        out.put("status_detail", detail.clone());
    }
    out.used.extend(view.same.iter().map(|path| (*path, None)));
    let time = view.fact("time");
    put_time(out, time.map(|leaf| leaf.text.as_ref()), meta, &mut remarks);
    let tenant = meta.stream.as_deref().filter(|_| table.tenant == Tenant::Stream);
    let own_tenant = view.fact("tenant");
    let tenant = own_tenant.map(|tenant| tenant.text.as_ref()).or(tenant);
    if let Some(own_tenant) = own_tenant {
        out.take(own_tenant);
    }

    let mut profiles = Vec::with_capacity(2);
    if let Some(provider) = &table.cloud {
        profiles.push("cloud");
        put_cloud(out, provider, tenant);
    }
    if let Some(operation) = view.fact("operation").filter(|_| table.cloud.is_some() || code.class == API_ACTIVITY) {
        let operation = out.take(operation);
        let service = table.service.as_ref().and_then(|fact| view.fact(fact)).map(|service| out.take(service));
        let service = object([("name", service.unwrap_or_else(|| fixed(&table.product.name)))]);
        let mut api = ObjectMap::from([("operation".into(), operation), ("service".into(), service)]);
        if let Some(detail) = detail.filter(|_| outcome.0 == 2 && told.is_some()) {
            api.insert("response".into(), object([("error_message", detail)]));
        }
        out.put("api", Value::Object(api));
    }
    if let Some(actor) = view.entity("actor").and_then(|actor| user(out, table, actor)) {
        let mut whole = ObjectMap::from([("user".into(), actor)]);
        if let Some(app) = &view.app {
            out.move_into(&mut whole, "app_uid", app.uid.as_ref());
            out.move_into(&mut whole, "app_name", app.name.as_ref());
        }
        out.put("actor", Value::Object(whole));
        if class.is_some_and(|class| class.actor == ActorPlace::Host) {
            profiles.push("host");
        }
    }
    if class.is_some_and(|class| class.network) {
        if let Some(request) = http_request(out, view) {
            out.put("http_request", request);
        }
        match src_endpoint(out, view.fact("ip")) {
            Some(endpoint) => out.put("src_endpoint", endpoint),
            None if code.class == API_ACTIVITY => out.put("src_endpoint", unknown_endpoint()),
            None => {}
        }
    }
    let mut parts = table.message.iter();
    let mut message = String::with_capacity(80);
    if parts.next().is_some_and(|first| first.fill(&mut message, |name| view.lookup(name))) {
        for part in parts {
            part.fill(&mut message, |name| view.lookup(name));
        }
        out.put("message", message);
    }

    let mut metadata = base_metadata(meta, &table.id, &profiles, remarks);
    let mut put = |name: &str, value: Value| metadata.insert(KeyString::from(name), value);
    put("log_provider", fixed(&table.log));
    if let Some(version) = &table.log_version {
        put("log_version", fixed(version));
    }
    let mut product = ObjectMap::from([
        ("vendor_name".into(), fixed(&table.product.vendor_name)),
        ("name".into(), fixed(&table.product.name)),
    ]);
    if let Some(feature) = view.lookup("feature") {
        product.insert("feature".into(), object([("name", Value::from(feature))]));
    }
    put("product", Value::Object(product));
    if let Some(event_code) = view.fact("event_code") {
        put("event_code", out.take(event_code));
    }
    if let Some(time) = time {
        put("original_time", out.take(time));
    }
    if let Some(tenant) = tenant {
        put("tenant_uid", Value::from(tenant));
    }
    if let Some(correlation) = view.fact("correlation") {
        put("correlation_uid", out.take(correlation));
    }
    let tags: Vec<Value> = view
        .entities()
        .flat_map(|entity| &entity.tags)
        .map(|(tag, leaf)| object([("name", fixed(tag)), ("value", out.take(leaf))]))
        .collect();
    if !tags.is_empty() {
        put("tags", Value::Array(tags));
    }
    if let Some(uid) = view.fact("uid") {
        match &meta.id {
            // The record's own id is not the one it goes by here: it stays among the unmapped.
            Some(id) if *id != uid.text => {}
            _ => {
                put("uid", out.take(uid));
            }
        }
    }
    out.put("metadata", Value::Object(metadata));
    if code.class == BASE_EVENT && !out.event.contains_key("actor") {
        // Nobody to hold it against: keep the whole record together.
        out.used.clear();
    }
}

fn put_cloud(out: &mut Out, provider: &'static str, tenant: Option<&str>) {
    let mut cloud = ObjectMap::from([("provider".into(), fixed(provider))]);
    if let Some(tenant) = tenant {
        cloud.insert("org".into(), object([("uid", Value::from(tenant))]));
    }
    out.put("cloud", Value::Object(cloud));
}

fn status(
    out: &mut Out,
    table: &'static Provider,
    raw: &ObjectMap,
    view: &View<'_>,
    operation: Option<&str>,
) -> (i64, &'static str) {
    let spec = &table.status;
    let failed = spec.failed.as_ref().and_then(|path| Some((path, view::at(raw, &path.0)?.as_boolean()?)));
    if let Some((path, _)) = failed {
        out.used.push((&path.0, None));
    }
    let failed = failed.map(|(_, failed)| failed);
    let says_so = |fact: &String| {
        let text = view.lookup(fact).unwrap_or_default().to_ascii_lowercase();
        spec.failure_words.iter().any(|word| text.contains(word.as_str()))
    };
    if failed == Some(true) || spec.failure_in.iter().any(says_so) {
        return (2, "Failure");
    }
    if failed == Some(false) {
        return (1, "Success");
    }
    if spec.failure_facts.iter().any(|fact| view.fact(fact).is_some()) {
        return (2, "Failure");
    }
    let Some(operation) = operation else {
        return (0, "Unknown");
    };
    let ends = |suffix: &String| {
        let at = operation.len().checked_sub(suffix.len());
        at.and_then(|at| operation.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    if table.status.failure_suffixes.iter().any(ends) {
        return (2, "Failure");
    }
    match table.status.otherwise {
        Outcome::Success => (1, "Success"),
        Outcome::Unknown => (0, "Unknown"),
    }
}
