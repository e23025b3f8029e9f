//! OCSF's severity in the words of others.

/// A severity as each protocol counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Severity {
    /// OpenTelemetry's `SeverityNumber`; `None` leaves it unset.
    pub otlp: Option<i32>,
    /// RFC 5424 section 6.2.1. Never 0, which receivers broadcast to consoles.
    pub syslog: u8,
    /// CEF 0 to 10; LEEF's is never below 1.
    pub cef: u8,
}

/// The severity for an OCSF `severity_id`; unknown ones count as "other".
pub fn severity(id: i64) -> Severity {
    let (otlp, syslog, cef) = match id {
        1 => (Some(9), 6, 1),
        2 => (Some(10), 5, 3),
        3 => (Some(13), 4, 5),
        4 => (Some(17), 3, 7),
        5 => (Some(18), 2, 9),
        6 => (Some(21), 1, 10),
        _ => (None, 6, 0),
    };
    Severity { otlp, syslog, cef }
}
