//! One tenant: its log, its clock, everybody who writes into it, and the request that arrives.

use crate::api::{Api, Call, Reply};
use crate::dice::{Dice, halves};
use crate::faults::{Fault, http_date};
use crate::ledger::Seen;
use crate::log::{Body, Entry, Kind, Log, Reading, Who};
use crate::poison::Poison;
use crate::scenario::Scenario;
use crate::stream::Ending;
use crate::time::{DAY, HOUR, days, instant, seconds};
use headwater_contracts::Clock;
use std::sync::Arc;

/// What generated an event: each has numbered events of its own, so that one does not disturb another.
#[derive(Clone, Copy)]
enum Origin {
    History = 1,
    Live = 2,
    Late = 3,
    Drift = 4,
}

/// Somebody who reads the log regularly.
struct Reader {
    who: Who,
    kind: Kind,
    user_agent: &'static str,
    /// Repeats an earlier request of ours instead of its own.
    replays: bool,
    every: i64,
    next: i64,
}

/// How the server answers.
pub(crate) struct Decision {
    /// `None`: never.
    pub(crate) reply: Option<Reply>,
    pub(crate) ending: Ending,
    pub(crate) gzip: bool,
}

/// All values of a header: several lines of it are one list.
fn list(seen: &Seen, name: &str) -> String {
    let values = seen.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
    values.collect::<Vec<_>>().join(", ")
}

/// Everything behind the server's sockets.
pub(crate) struct World {
    pub(crate) api: Box<dyn Api>,
    pub(crate) log: Log,
    pub(crate) requests: Vec<Seen>,
    pub(crate) trapped: Vec<Seen>,
    scenario: Scenario,
    clock: Arc<dyn Clock>,
    start: i64,
    trap_url: String,
    /// The server's clock when it was last looked at.
    last_now: i64,
    audit_requests: u64,
    next_live: Option<i64>,
    live_events: u64,
    drift_events: u64,
    readers: Vec<Reader>,
    /// What our own collector asked for, ascending by time: the thief's choice.
    own_readings: Vec<(i64, Reading)>,
}

impl World {
    pub(crate) fn new(scenario: Scenario, clock: Arc<dyn Clock>, api: Box<dyn Api>, trap_url: String) -> Self {
        let start = clock.now().timestamp_millis() + i64::from(scenario.clock_skew_s) * 1000;
        let others = scenario.others;
        let past = start - days(scenario.history_days);
        let reader = |every: Option<u32>, from: i64, who, kind, user_agent, replays| {
            let every = seconds(every.filter(|every| *every > 0)?);
            Some(Reader { who, kind, user_agent, replays, every, next: from + every })
        };
        let readers = [
            reader(
                others.second_collector_every_s,
                past,
                Who::OtherCollector,
                Kind::SecondCollector,
                "other-collector/2.1",
                false,
            ),
            reader(
                others.human_every_s,
                past,
                Who::Person,
                Kind::Human,
                "Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0",
                false,
            ),
            reader(
                others.spoofed_every_s,
                past,
                Who::UsElsewhere,
                Kind::Spoofed,
                "headwater/9.9.9 (nobody; req deadbeef)",
                false,
            ),
            reader(others.replay_every_s, start, Who::UsElsewhere, Kind::Spoofed, "", true),
        ];
        let mut world = Self {
            log: Log::new(scenario.seed),
            api,
            requests: Vec::new(),
            trapped: Vec::new(),
            clock,
            start,
            trap_url,
            last_now: start,
            audit_requests: 0,
            next_live: (scenario.live_per_hour > 0).then_some(start),
            live_events: 0,
            drift_events: 0,
            readers: readers.into_iter().flatten().collect(),
            own_readings: Vec::new(),
            scenario,
        };
        world.write_history();
        world.advance();
        world
    }

    /// The server's clock, ms.
    pub(crate) fn now(&self) -> i64 {
        let plain = self.clock.now().timestamp_millis() + i64::from(self.scenario.clock_skew_s) * 1000;
        let done = self.scenario.clock_steps.iter().filter(|step| plain - self.start >= seconds(step.after_s));
        plain + done.map(|step| i64::from(step.by_s) * 1000).sum::<i64>()
    }

    /// The server's clock as in `Date`, if the scenario has answers carry one.
    pub(crate) fn date(&self) -> Option<String> {
        let (now, number) = (self.now(), self.requests.len() as u64);
        let odd = (0..).zip(&self.scenario.odd_dates).find(|(rule, odd)| {
            let from = self.start + seconds(odd.after_s);
            (from..from + seconds(odd.for_s)).contains(&now)
                && Dice::new(&[self.scenario.seed, 0xda, *rule, number]).chance(odd.per_mille)
        });
        let shown = odd.map_or(now, |(_, odd)| now + i64::from(odd.by_s) * 1000);
        self.scenario.date_header.then(|| http_date(shown))
    }

    /// Lets everything happen that the clock has passed.
    pub(crate) fn advance(&mut self) {
        let now = self.now();
        if now < self.last_now {
            // Life goes on at what the clock shows now.
            self.log.clock_went_back(self.last_now, now);
            let back = self.last_now - now;
            self.next_live = self.next_live.map(|next| next - back);
            self.readers.iter_mut().for_each(|reader| reader.next -= back);
        }
        self.last_now = now;
        while let Some(time) = self.next_live.filter(|time| *time <= now) {
            let mut gap = Dice::new(&[self.scenario.seed, 0x11, self.live_events]);
            let entry = self.event(Origin::Live, self.live_events, time);
            self.happen(entry);
            self.live_events += 1;
            let mean = (HOUR / i64::from(self.scenario.live_per_hour.max(1))).max(1);
            let tie = gap.chance(self.scenario.ties_per_mille);
            self.next_live = Some(if tie { time } else { time + mean / 2 + 1 + gap.millis(mean) });
        }
        for reader in &mut self.readers {
            while reader.next <= now {
                let time = reader.next;
                reader.next += reader.every;
                let reading = if reader.replays {
                    let latest = time - seconds(self.scenario.others.replay_min_age_s);
                    let choices = self.own_readings.partition_point(|(sent, _)| *sent <= latest);
                    let mut dice = Dice::new(&[self.scenario.seed, 0x12, time.unsigned_abs()]);
                    let Some((_, reading)) = self.own_readings.get(..choices).and_then(|c| c.get(dice.index(c.len())))
                    else {
                        continue;
                    };
                    Reading { who: reader.who, ..reading.clone() }
                } else {
                    Reading {
                        who: reader.who,
                        path: self.api.facts().audit_path.clone(),
                        query: String::new(),
                        user_agent: reader.user_agent.to_owned(),
                    }
                };
                let api = &self.api;
                if !api.records_readings() {
                    continue;
                }
                self.log.record(reading, reader.kind, time, |dice| api.visible_at(time, dice));
            }
        }
    }

    fn write_history(&mut self) {
        let span = i64::from(self.scenario.history_days) * DAY;
        let step = (span / i64::from(self.scenario.history_events.max(1))).max(1);
        let mut previous = self.start - span;
        let mut entries = Vec::new();
        for number in 0..self.scenario.history_events {
            let mut dice = Dice::new(&[self.scenario.seed, 0x13, u64::from(number)]);
            let slot = self.start - span + i64::from(number) * step;
            let tie = dice.chance(self.scenario.ties_per_mille);
            previous = if tie { previous } else { (slot + dice.millis(step)).min(self.start - 1) };
            entries.push(self.event(Origin::History, u64::from(number), previous));
        }
        for (number, late) in (0..).zip(&self.scenario.late) {
            let mut entry = self.event(Origin::Late, number, self.start - seconds(late.age_s));
            entry.visible_at = self.start + seconds(late.appears_after_s);
            entries.push(entry);
        }
        for number in 0..entries.len() {
            let companions = self.api.companions(&entries[number]);
            entries.extend(companions);
        }
        self.log.extend(entries);
    }

    fn happen(&mut self, entry: Entry) {
        let companions = self.api.companions(&entry);
        for entry in std::iter::once(entry).chain(companions) {
            self.log.push(entry);
        }
    }

    fn event(&self, origin: Origin, number: u64, time: i64) -> Entry {
        let scenario = &self.scenario;
        let mut dice = Dice::new(&[scenario.seed, origin as u64, number]);
        let key = dice.wide();
        let (usual, all) = self.api.facts().samples;
        let odd = dice.chance(scenario.odd_per_mille) && all > usual;
        let sample = if odd { usual + dice.index(all - usual) } else { dice.index(usual) };
        let late = dice.chance(scenario.late_per_mille);
        let delay = if late { dice.millis(seconds(scenario.late_max_s)) } else { 0 };
        let visible_at = self.api.visible_at(time, &mut dice) + delay;
        let body = Body::Sample(u16::try_from(sample).unwrap_or_default());
        Entry { key, time, visible_at, kind: Kind::Foreign, body, served: 0 }
    }

    /// Events that appear because a request has come.
    fn drift(&mut self, now: i64) {
        let Some(drift) = self.scenario.drift.filter(|drift| self.audit_requests < u64::from(drift.requests)) else {
            return;
        };
        for _ in 0..drift.events_per_request {
            let mut dice = Dice::new(&[self.scenario.seed, 0x14, self.drift_events]);
            let spread = seconds(drift.max_age_s.saturating_sub(drift.min_age_s));
            let time = now - seconds(drift.min_age_s) - dice.millis(spread + 1);
            let mut entry = self.event(Origin::Drift, self.drift_events, time);
            entry.visible_at = now;
            self.happen(entry);
            self.drift_events += 1;
        }
    }

    /// What makes an event hard to read, if anything does.
    pub(crate) fn poison(&self, entry: &Entry) -> Option<Poison> {
        Poison::of(entry, self.scenario.poison_per_mille)
    }

    /// The time that the event shows, if that is not the one it is listed by.
    pub(crate) fn odd_time(&self, entry: &Entry) -> Option<i64> {
        if entry.kind != Kind::Foreign || !matches!(entry.body, Body::Sample(_)) {
            return None;
        }
        let [high, low] = halves(entry.key);
        let mut dice = Dice::new(&[high, low, 0x0dd7]);
        let off = [-3650 * DAY, -3 * DAY, -6 * HOUR, -HOUR, -HOUR / 12, HOUR / 12, HOUR, 6 * HOUR, DAY];
        dice.chance(self.scenario.odd_times_per_mille).then(|| entry.time + dice.pick(off))
    }

    /// Appends the JSON of an event, as it is shown at `as_of`.
    pub(crate) fn render(&self, entry: &Entry, as_of: i64, out: &mut Vec<u8>) {
        let from = out.len();
        match self.odd_time(entry) {
            Some(time) => self.api.render(&Entry { time, ..entry.clone() }, as_of, out),
            None => self.api.render(entry, as_of, out),
        }
        if let Some(poison) = self.poison(entry) {
            poison.spoil(entry, out, from);
        }
    }

    /// A request on the wrong origin.
    pub(crate) fn trap(&mut self, mut seen: Seen) {
        seen.at = instant(self.now());
        self.trapped.push(seen);
    }

    /// A request.
    pub(crate) fn receive(&mut self, mut seen: Seen, body: Vec<u8>) -> Decision {
        self.advance();
        let now = self.now();
        seen.at = instant(now);
        let header = |name| seen.header(name).unwrap_or_default().to_owned();
        let call = Call {
            now,
            path: seen.path.clone(),
            query: seen.query.clone(),
            parameters: url::form_urlencoded::parse(seen.query.as_bytes()).into_owned().collect(),
            accept: list(&seen, "accept"),
            authorization: header("authorization"),
            api_key: header("x-api-key"),
            cookie: header("cookie"),
            user_agent: header("user-agent"),
            body,
        };
        let gzip = self.scenario.gzip && header("accept-encoding").contains("gzip");
        seen.audit = self.api.is_audit(&seen.method, &seen.path);
        let decision = if seen.method == "POST" && !seen.audit {
            Decision { reply: Some(self.api.post(&mut self.log, &call)), ending: Ending::Whole, gzip: false }
        } else if seen.method != "GET" && !seen.audit {
            Decision { reply: Some(Reply::text(405, "text/plain", Vec::new())), ending: Ending::Whole, gzip: false }
        } else if seen.audit {
            let number = self.audit_requests;
            let fault = self.fault(number, now);
            self.drift(now);
            self.audit_requests += 1;
            self.audit(&call, fault, gzip)
        } else {
            Decision { reply: Some(self.api.other(&mut self.log, &call)), ending: Ending::Whole, gzip }
        };
        seen.status = decision.reply.as_ref().map(|reply| reply.status);
        self.requests.push(seen);
        decision
    }

    fn fault(&self, number: u64, now: i64) -> Option<Fault> {
        let mut rules = (0..).zip(&self.scenario.faults);
        let (_, rule) = rules.find(|(i, rule)| rule.when.applies(self.scenario.seed, *i, number, now - self.start))?;
        Some(rule.fault)
    }

    fn audit(&mut self, call: &Call, fault: Option<Fault>, gzip: bool) -> Decision {
        let refusal = match fault {
            Some(Fault::Status { status, body, retry_after }) => {
                let message = match status {
                    401 => "the credential is invalid, expired or revoked",
                    403 => "insufficient permission for the audit log",
                    429 => "too many requests",
                    _ => "the server could not answer",
                };
                Some(Reply::error(status, body, message, call).retry_after(retry_after, call.now))
            }
            Some(Fault::Redirect { elsewhere }) => {
                let origin = if elsewhere { self.trap_url.clone() } else { String::new() };
                let login = format!("{origin}{}/login", self.api.facts().context_path);
                Some(Reply::text(302, "text/html; charset=utf-8", Vec::new()).header("location", login))
            }
            Some(Fault::Html) => Some(Reply::text(
                200,
                "text/html; charset=utf-8",
                b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in</body></html>".to_vec(),
            )),
            // A page of each provider: arrays of whatever name are empty.
            Some(Fault::Complaint { records: false }) => Some(Reply::text(
                200,
                "application/json",
                br#"{"errors":[{"message":"the log is degraded"}],"data":[],"events":[],"list":[],"total":0}"#.to_vec(),
            )),
            _ => None,
        };
        if let Some(reply) = refusal {
            self.api.refused(&mut self.log, call);
            return Decision { reply: Some(reply), ending: Ending::Whole, gzip: false };
        }
        let mut reply = self.api.audit(&mut self.log, call);
        self.after_reading(call);
        // A fault of the transport shows in what would have been a page; an error stays the error it is.
        let fault = fault.filter(|_| reply.status == 200);
        if fault == Some(Fault::Complaint { records: true }) && reply.suffix.ends_with(b"}") {
            reply.items.truncate(reply.items.len().div_ceil(2));
            reply.suffix.pop();
            reply.suffix.extend_from_slice(br#","errors":["a part of the log did not answer"]}"#);
        }
        let ending = match fault {
            Some(Fault::CutBody) => Ending::Cut,
            Some(Fault::ShortBody) => Ending::Short,
            Some(Fault::Stall { close_after_ms }) => Ending::Stall { close_after_ms },
            Some(Fault::Trickle { pause_ms }) => Ending::Trickle { pause_ms },
            _ => Ending::Whole,
        };
        let reply = (fault != Some(Fault::Hang)).then_some(reply);
        Decision { reply, ending, gzip }
    }

    /// Those who react to a request of our own collector.
    fn after_reading(&mut self, call: &Call) {
        if Kind::of_reader(&call.user_agent) != Kind::OwnCollector {
            return;
        }
        let mut reading = Reading {
            who: Who::UsElsewhere,
            path: call.path.clone(),
            query: call.query.clone(),
            user_agent: call.user_agent.clone(),
        };
        self.own_readings.push((call.now, reading.clone()));
        if self.scenario.others.second_collector_echoes && self.api.records_readings() {
            reading.who = Who::OtherCollector;
            "other-collector/2.1".clone_into(&mut reading.user_agent);
            let api = &self.api;
            self.log.record(reading, Kind::SecondCollector, call.now, |dice| api.visible_at(call.now, dice));
        }
    }
}
