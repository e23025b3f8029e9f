//! The attributes that all classes share.

use crate::attributes::{Out, actor, fixed, http_request, object, src_endpoint, unknown_endpoint};
use crate::meta::Meta;
use crate::ocsf::{API_ACTIVITY, ActorPlace, BASE_EVENT, Code, OTHER, SCHEMA};
use crate::outcome::outcome;
use crate::pattern::Template;
use crate::table::{Provider, Tenant};
use crate::time::{self, Instant};
use crate::view::{View, text};
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
pub(crate) fn put_status(out: &mut Out, status: (i64, Value)) {
    let severity = if status.0 == 2 { (2, "Low") } else { (1, "Informational") };
    out.put("status_id", status.0);
    out.put("status", status.1);
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
    let labels = [(meta.late, "late_arrival"), (meta.own_query, "own_query"), (meta.simulated, "simulated")];
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
    table: &'static Provider,
    view: &View<'_>,
    (code, status_detail): (Code, Option<&str>),
    meta: &Meta,
    mut remarks: Vec<String>,
) {
    let class = SCHEMA.classes.get(&code.class);
    let operation = view.lookup("operation");
    put_code(out, code, view.lookup("operation_text").or(operation));
    let status = outcome(out, table, view);
    let failed = status.0 == 2;
    put_status(out, status);
    let error = view.fact("error");
    if let Some(detail) = status_detail {
        out.put("status_detail", detail);
    } else if let Some(detail) = view.fact("status_detail").or(error) {
        let detail = out.take(detail);
        out.put("status_detail", detail);
    }
    let error = error.filter(|_| failed);
    put_times(out, view);
    let response_code = put_status_code(out, view);
    let time = view.fact("time");
    put_time(out, time.map(|leaf| leaf.text.as_ref()), meta, &mut remarks);
    let told = view.fact("tenant");
    if let Some(leaf) = told {
        out.take(leaf);
    }
    let tenant =
        told.map(|leaf| leaf.text.as_ref()).or(meta.stream.as_deref().filter(|_| table.tenant == Tenant::Stream));

    let mut profiles = Vec::with_capacity(2);
    if let Some(provider) = &table.cloud {
        profiles.push("cloud");
        put_cloud(out, provider, tenant);
    }
    if let Some(operation) = view.fact("operation").filter(|_| table.cloud.is_some() || code.class == API_ACTIVITY) {
        let operation = out.take(operation);
        let service = match view.fact("service") {
            Some(service) => out.take(service),
            None => fixed(&table.product.name),
        };
        let service = object([("name", service)]);
        let mut api = ObjectMap::from([("operation".into(), operation), ("service".into(), service)]);
        let mut response = ObjectMap::new();
        if let Some(code) = response_code {
            response.insert("code".into(), Value::from(code));
        }
        out.move_into(&mut response, "error_message", error);
        if !response.is_empty() {
            api.insert("response".into(), Value::Object(response));
        }
        out.put("api", Value::Object(api));
    }
    if let Some(code) = response_code.filter(|_| matches!(code.class, 3001..=3006 | API_ACTIVITY)) {
        out.put("http_response", object([("code", Value::from(code))]));
    }
    if let Some(actor) = actor(out, table, view) {
        out.put("actor", actor);
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
    put_message(out, table, view);

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
    if let Some(feature) = view.fact("feature") {
        out.take(feature);
    }
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
    let tags = view.entities().flat_map(|entity| &entity.tags);
    let tags: Vec<Value> = tags.map(|(tag, leaf)| object([("name", fixed(tag)), ("value", out.take(leaf))])).collect();
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

/// `message`: the source's sentence, else one made of the table's parts.
fn put_message(out: &mut Out, table: &'static Provider, view: &View<'_>) {
    if let Some(sentence) = view.fact("message") {
        let sentence = out.take(sentence);
        out.put("message", sentence);
        return;
    }
    // The user that the class shows, whoever that is.
    let shown = out.event.get("user").and_then(Value::as_object);
    let shown = |attribute: &str| shown?.get(attribute).and_then(text);
    let (name, uid) = (shown("name"), shown("uid"));
    let lookup = |place: &str| match place {
        "user.name" => name.as_deref(),
        "user.uid" => uid.as_deref(),
        other => view.lookup(other),
    };
    if let Some(message) = Template::join(&table.message, lookup) {
        out.put("message", message);
    }
}

/// When the action began and ended, and how long it took: as far as that can be read.
fn put_times(out: &mut Out, view: &View<'_>) {
    for name in ["start_time", "end_time"] {
        if let Some((leaf, instant)) = view.fact(name).and_then(|leaf| Some((leaf, time::parse(&leaf.text)?))) {
            out.take(leaf);
            out.put(name, instant.ms);
        }
    }
    // Only what comes out as it went in: `-0` and `007` stay in `unmapped`.
    let whole = |text: &str| text.parse().ok().filter(|number: &i64| number.to_string() == text);
    if let Some((leaf, ms)) = view.fact("duration").and_then(|leaf| Some((leaf, whole(&leaf.text)?))) {
        out.take(leaf);
        out.put("duration", ms);
    }
}

/// `status_code`; the answer is the same as a number, if it is a status of HTTP.
fn put_status_code(out: &mut Out, view: &View<'_>) -> Option<i64> {
    let leaf = view.fact("status_code")?;
    let code = out.take(leaf);
    out.put("status_code", code);
    leaf.text.parse().ok().filter(|code| (100..600).contains(code))
}
