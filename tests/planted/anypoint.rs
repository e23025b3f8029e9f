//! Mistakes in reading Anypoint.

use super::{
    Harm::{Lost, Repeated, Stolen},
    Mistake, Verdict, always, check, item,
};
use chrono::{DateTime, SecondsFormat, TimeDelta};
use headwater_contracts::Request;
use headwater_simulator::{Drift, Fault, Provider, Scenario, When};
use serde_json::Value;

/// Both bounds a millisecond further in.
pub(super) fn narrow(request: &mut Request) {
    for (name, by) in [("startDate", 1), ("endDate", -1)] {
        let Some(Value::String(bound)) = request.body.as_mut().and_then(|body| body.get_mut(name)) else { continue };
        let moved = DateTime::parse_from_rfc3339(bound).unwrap().to_utc() + TimeDelta::milliseconds(by);
        *bound = moved.to_rfc3339_opts(SecondsFormat::Millis, true);
    }
}

/// Makes a request for the page behind a cursor one for the page behind the `seen` records before it; returns how many
/// there have been.
pub(super) fn by_offset(request: &mut Request, seen: u64) -> u64 {
    let Some(body) = request.body.as_mut().and_then(Value::as_object_mut) else { return seen };
    request.query.retain(|(name, _)| name != "cursorPagination");
    let offset = if body.remove("cursor").is_some() { seen } else { 0 };
    body.insert("offset".into(), offset.into());
    offset
}

/// A page as the right client knows it: with a cursor if it has records.
pub(super) fn with_cursor(envelope: &[u8], seen: u64) -> String {
    let mut page: Value = serde_json::from_slice(envelope).unwrap();
    page["cursor"] = seen.to_string().into();
    page.to_string()
}

#[test]
fn mistakes_in_reading_anypoint_late_are_caught() {
    let lost = |verdict: &Verdict| !verdict.lost.is_empty();
    check(Provider::Anypoint, Mistake::Watermark, lost);
    check(Provider::Anypoint, Mistake::NoOverlap, lost);
    check(Provider::Anypoint, Mistake::NoRescan, lost);
}

#[test]
fn mistakes_in_telling_anypoint_records_apart_are_caught() {
    let wrong =
        |verdict: &Verdict| !verdict.lost.is_empty() || !verdict.invented.is_empty() || !verdict.repeated.is_empty();
    check(Provider::Anypoint, Mistake::MergesTies, wrong);
    check(Provider::Anypoint, Mistake::HashesTheBody, wrong);
    check(Provider::Anypoint, Mistake::CountsOn, wrong);
}

#[test]
fn mistakes_in_paging_anypoint_are_caught() {
    check(Provider::Anypoint, Mistake::StopsOnAShortPage, |verdict| !verdict.lost.is_empty());
}

#[test]
fn mistakes_in_trusting_anypoint_names_are_caught() {
    check(Provider::Anypoint, Mistake::TrustsTheName, |verdict| !verdict.stolen.is_empty());
}

#[test]
fn each_behaviour_of_anypoint_catches_a_mistake() {
    const P: Provider = Provider::Anypoint;
    const DAY: u32 = 86_400;
    item(P, 1, Mistake::TrustsTheName, Stolen, |mut s| {
        s.others.spoofed_every_s = Some(DAY);
        s
    });
    item(P, 4, Mistake::EndsOn(503), Lost, |s| s.anypoint(|a| a.per_minute = Some(10)));
    // The newest day is read first; the last window of the history ends where it begins.
    item(P, 5, Mistake::TrustsTheBounds, Lost, |s| s.late(DAY, 0));
    item(P, 7, Mistake::TrustsTheTotal, Lost, |s| s.anypoint(|a| a.total_max = 10));
    item(P, 8, Mistake::EndsOn(400), Lost, |s| s.anypoint(|a| (a.per_minute, a.cursor_ttl_s) = (Some(10), 30)));
    item(P, 9, Mistake::StopsOnAShortPage, Lost, |s| s.anypoint(|a| a.short_pages = true));
    item(P, 10, Mistake::MergesTies, Lost, |s| s.anypoint(|a| a.burst_per_mille = 3));
    item(P, 10, Mistake::HashesTheBody, Lost, |s| s.anypoint(|a| a.identical_per_mille = 100));
    // The newest day is read before the history: that alone is too much for it.
    always(P, 11, Mistake::Watermark, Lost, |s| s.anypoint(|a| a.ahead_per_mille = 300));
    item(P, 11, Mistake::NoOverlap, Lost, |s| Scenario { late_per_mille: 300, late_max_s: 600, ..s });
    item(P, 11, Mistake::NoRescan, Lost, |s| s.late(6 * 3600, 1800));
    item(P, 12, Mistake::HashesTheBody, Repeated, |s| s.anypoint(|a| a.renamed_after_h = vec![1]));
    item(P, 13, Mistake::KnownTypesOnly, Lost, |s| Scenario { odd_per_mille: 300, ..s });
    always(P, 14, Mistake::RootOnly, Lost, |s| s);
    item(P, 15, Mistake::PagesByOffset, Repeated, |s| {
        let drift = Drift { events_per_request: 3, min_age_s: 0, max_age_s: 6 * DAY, requests: 120 };
        Scenario { drift: Some(drift), ..s.history(6, 600) }
    });
}

#[test]
fn a_page_of_anypoint_that_calls_itself_an_error_catches_a_mistake() {
    for records in [false, true] {
        item(Provider::Anypoint, 4, Mistake::TakesErrorsForPages, Lost, |s| {
            s.fault(When::Sometimes { per_mille: 300, within: 60 }, Fault::Complaint { records })
        });
    }
}
