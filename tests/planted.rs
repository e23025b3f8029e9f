//! The source suite is itself put to the test: clients with the mistakes that real ones make must not pass it.

mod support;

use headwater_contracts::{
    BuiltSource, Echo, Identity, Next, OwnRequests, PageEnd, Plan, ReadError, Record, Rejection, Request, Scan, Source,
    SourceOptions, Span, StreamView, Timestamp, Unreadable,
};
use headwater_simulator::Provider;
use headwater_testkit::source_suite::{Case, Verdict};
use serde_json::Value;

/// A mistake, made to an otherwise right client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    /// None: the suite must pass.
    None,
    /// Takes the first page for all there is.
    OnePage,
    /// Moves its position when a page arrives that breaks off.
    ForgetsTheRest,
    /// Drops whatever reads the audit log with our product's name.
    TrustsThePrefix,
    /// Tells events apart by their bytes.
    HashesTheBody,
    /// Never looks back.
    NoOverlap,
    /// Never forgets to deliver, but tells two events with the same instant for one.
    MergesTies,
}

struct Wrong {
    inner: Box<dyn Source>,
    mistake: Mistake,
}

impl Source for Wrong {
    fn streams(&self) -> Vec<String> {
        self.inner.streams()
    }

    fn plan(&self, view: &StreamView<'_>) -> Plan {
        let mut plan = self.inner.plan(view);
        let mistake = self.mistake;
        plan.scans = plan.scans.into_iter().map(|inner| Box::new(WrongScan { inner, mistake }) as _).collect();
        plan
    }

    fn horizon(&self, now: Timestamp) -> Timestamp {
        self.inner.horizon(now)
    }

    fn budget_window(&self) -> chrono::Duration {
        self.inner.budget_window()
    }

    fn echo_window(&self) -> chrono::Duration {
        self.inner.echo_window()
    }
}

struct WrongScan {
    inner: Box<dyn Scan>,
    mistake: Mistake,
}

impl Scan for WrongScan {
    fn span(&self) -> Span {
        self.inner.span()
    }

    fn elements(&self) -> &'static [&'static str] {
        self.inner.elements()
    }

    fn request(&mut self) -> Request {
        self.inner.request()
    }

    fn record(&mut self, raw: &[u8], sent: &OwnRequests) -> Result<Record, Unreadable> {
        let mut record = self.inner.record(raw, sent)?;
        match self.mistake {
            Mistake::TrustsThePrefix if String::from_utf8_lossy(raw).contains("\"headwater/") => {
                record.echo = Echo::Own(String::new());
            }
            Mistake::HashesTheBody => record.identity = Identity::of(&[raw]),
            Mistake::MergesTies => {
                record.identity = Identity::of(&[record.time.unwrap_or_default().to_rfc3339().as_bytes()]);
            }
            _ => {}
        }
        Ok(record)
    }

    fn page(&mut self, end: &PageEnd<'_>) -> Result<Next, ReadError> {
        match self.inner.page(end)? {
            Next::More if self.mistake == Mistake::OnePage => Ok(Next::Complete),
            next => Ok(next),
        }
    }

    fn rejected(&mut self, rejection: &Rejection) -> Result<Next, ReadError> {
        match self.mistake {
            Mistake::ForgetsTheRest => Ok(Next::Complete),
            _ => self.inner.rejected(rejection),
        }
    }

    fn state(&self) -> Option<Value> {
        self.inner.state()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// Runs seeds until the suite objects; `None` if it never does.
fn objection(provider: Provider, mistake: Mistake, seeds: u64) -> Option<Verdict> {
    let build = move |url: &str, credential: &str, options: &SourceOptions| -> BuiltSource {
        let mut options = options.clone();
        if mistake == Mistake::NoOverlap {
            options.overlap = Some(headwater_contracts::Period::seconds(0));
            options.rescan = Some(Vec::new());
        }
        let right = match provider {
            Provider::PactFlow => support::build_pactflow(url, credential, &options),
            _ => support::build_mural(url, credential, &options),
        };
        BuiltSource { source: Box::new(Wrong { inner: right.source, mistake }), ..right }
    };
    let case = match provider {
        Provider::PactFlow => support::pactflow(),
        _ => support::mural(),
    };
    let case = Case { build: &build, ..case };
    let runtime = support::runtime();
    (0..seeds)
        .map(|seed| runtime.block_on(support::in_time(seed, case.seeded(seed))))
        .find(|verdict| !verdict.is_good())
}

fn check(provider: Provider, mistake: Mistake, complaint: impl Fn(&Verdict) -> bool) {
    let verdict =
        objection(provider, mistake, 30).unwrap_or_else(|| panic!("{provider}: {mistake:?} passes the suite"));
    assert!(complaint(&verdict), "{provider}: {mistake:?} is caught for the wrong reason: {verdict}");
}

#[test]
fn a_right_client_behind_the_same_wrapper_passes() {
    assert_eq!(objection(Provider::PactFlow, Mistake::None, 3), None);
    assert_eq!(objection(Provider::Mural, Mistake::None, 3), None);
}

#[test]
fn mistakes_in_reading_pactflow_are_caught() {
    check(Provider::PactFlow, Mistake::ForgetsTheRest, |verdict| !verdict.lost.is_empty());
    check(Provider::PactFlow, Mistake::TrustsThePrefix, |verdict| !verdict.lost.is_empty());
    check(Provider::PactFlow, Mistake::NoOverlap, |verdict| !verdict.lost.is_empty());
    check(Provider::PactFlow, Mistake::MergesTies, |verdict| !verdict.lost.is_empty());
}

#[test]
fn mistakes_in_reading_mural_are_caught() {
    check(Provider::Mural, Mistake::OnePage, |verdict| !verdict.lost.is_empty());
    check(Provider::Mural, Mistake::ForgetsTheRest, |verdict| !verdict.lost.is_empty());
    check(Provider::Mural, Mistake::HashesTheBody, |verdict| verdict.duplicates > 0);
    check(Provider::Mural, Mistake::MergesTies, |verdict| !verdict.lost.is_empty());
}
