//! ArcSight's Common Event Format, version 0.

use crate::{
    message::is_control,
    pairs::{self, Pairs},
};
use headwater_sink_kit::{Facts, severity};
use std::net::IpAddr;

/// The event as CEF in at most `room` bytes: fields that do not fit are left out, whole. `None` if not even the header fits.
pub(crate) fn cef(facts: &Facts<'_>, room: usize) -> Option<String> {
    let product = pairs::product(facts);
    let header = [
        &*product.vendor,
        &*product.name,
        &*product.version,
        facts.text(&["type_uid"]).as_deref().unwrap_or("0"),
        facts.text(&["type_name"]).as_deref().unwrap_or("Audit Event"),
    ]
    .map(in_header)
    .join("|");
    let start = format!("CEF:0|{header}|{}|", severity(facts.severity_id()).cef);
    let mut out = Pairs::new(start, ' ', room, in_extension)?;
    out.put("rt", Some(&facts.time().timestamp_millis().to_string()));
    out.put("start", facts.text(&["start_time"]).as_deref());
    out.put("end", facts.text(&["end_time"]).as_deref());
    out.put("externalId", Some(&facts.uid()));
    out.put("cat", facts.text(&["class_name"]).as_deref());
    out.put("act", facts.operation().as_deref());
    out.put("outcome", facts.outcome());
    out.put("reason", facts.text(&["status_detail"]).as_deref());
    out.put("suid", facts.text(&["actor", "user", "uid"]).as_deref());
    out.put("suser", facts.text(&["actor", "user", "name"]).as_deref());
    out.put("duid", facts.text(&["user", "uid"]).as_deref());
    out.put("duser", facts.text(&["user", "name"]).as_deref());
    let ip = facts.text(&["src_endpoint", "ip"]);
    match ip.as_deref().and_then(|ip| ip.parse().ok()) {
        // `src` holds IPv4 only.
        Some(IpAddr::V4(_)) => out.put("src", ip.as_deref()),
        Some(IpAddr::V6(_)) => out.labelled("c6a2", "Source IPv6 Address", ip.as_deref()),
        None => {}
    }
    out.put("request", pairs::url(facts).as_deref());
    out.put("requestMethod", facts.text(&["http_request", "http_method"]).as_deref());
    out.put("requestClientApplication", facts.text(&["http_request", "user_agent"]).as_deref());
    out.labelled("cn1", "httpStatus", facts.text(&["http_response", "code"]).as_deref());
    let target = facts.target();
    let target = target.as_ref();
    out.labelled("cs1", "tenant", facts.tenant().as_deref());
    out.labelled("cs2", "targetType", target.and_then(headwater_sink_kit::Target::kind).as_deref());
    out.labelled("cs3", "targetId", target.and_then(headwater_sink_kit::Target::uid).as_deref());
    out.labelled("cs4", "targetName", target.and_then(headwater_sink_kit::Target::name).as_deref());
    out.labelled("cs5", "correlationId", facts.text(&["metadata", "correlation_uid"]).as_deref());
    out.put("msg", facts.text(&["message"]).as_deref());
    Some(out.end())
}

fn in_header(field: &str) -> String {
    field.chars().fold(String::new(), |mut out, c| {
        match c {
            '\\' | '|' => out.extend(['\\', c]),
            c if is_control(c) => out.push(' '),
            c => out.push(c),
        }
        out
    })
}

fn in_extension(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '\\' | '=' => out.extend(['\\', c]),
            '\r' => out.push_str("\\r"),
            '\n' => out.push_str("\\n"),
            c if is_control(c) => out.push(' '),
            c => out.push(c),
        }
    }
}
