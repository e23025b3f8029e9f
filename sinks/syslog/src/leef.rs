//! QRadar's Log Event Extended Format, version 2.0, with tabs between the fields.

use crate::{
    message::is_control,
    pairs::{self, Pairs},
};
use headwater_sink_kit::{Facts, severity};

/// The event as LEEF in at most `room` bytes: fields that do not fit are left out, whole. `None` if not even the header fits.
pub(crate) fn leef(facts: &Facts<'_>, room: usize) -> Option<String> {
    let product = pairs::product(facts);
    let header =
        [&*product.vendor, &*product.name, &*product.version, facts.text(&["type_uid"]).as_deref().unwrap_or("0")]
            .map(|field| field.replace(|c| matches!(c, '|' | '\t') || is_control(c), " "))
            .join("|");
    let mut out = Pairs::new(format!("LEEF:2.0|{header}|x09|"), '\t', room, plain)?;
    out.put("devTime", Some(&facts.time().format("%b %d %Y %H:%M:%S%.3f UTC").to_string()));
    // As Java's SimpleDateFormat reads `devTime`.
    out.put("devTimeFormat", Some("MMM dd yyyy HH:mm:ss.SSS z"));
    out.put("sev", Some(&severity(facts.severity_id()).cef.max(1).to_string()));
    out.put("cat", facts.text(&["class_name"]).as_deref());
    out.put("src", facts.text(&["src_endpoint", "ip"]).as_deref());
    let uid = facts.text(&["actor", "user", "uid"]);
    out.put("usrName", facts.text(&["actor", "user", "name"]).as_deref().or(uid.as_deref()));
    out.put("identityId", uid.as_deref());
    out.put("action", facts.operation().as_deref());
    out.put("outcome", facts.outcome());
    out.put("reason", facts.text(&["status_detail"]).as_deref());
    out.put("eventUid", Some(&facts.uid()));
    out.put("tenant", facts.tenant().as_deref());
    let target = facts.target();
    let target = target.as_ref();
    out.put("targetType", target.and_then(headwater_sink_kit::Target::kind).as_deref());
    out.put("targetId", target.and_then(headwater_sink_kit::Target::uid).as_deref());
    out.put("targetName", target.and_then(headwater_sink_kit::Target::name).as_deref());
    out.put("url", pairs::url(facts).as_deref());
    out.put("httpMethod", facts.text(&["http_request", "http_method"]).as_deref());
    out.put("userAgent", facts.text(&["http_request", "user_agent"]).as_deref());
    out.put("correlationId", facts.text(&["metadata", "correlation_uid"]).as_deref());
    out.put("msg", facts.text(&["message"]).as_deref());
    Some(out.end())
}

/// LEEF escapes nothing: what separates becomes a blank.
fn plain(value: &str, out: &mut String) {
    out.extend(value.chars().map(|c| if c == '\t' || is_control(c) { ' ' } else { c }));
}
