//! Questions about names, as a component of their own: the runtime asks them as it asks for a page, within the budget, after a login
//! where there is one, and writes each down before it is sent.

use chrono::TimeDelta;
use headwater_contracts::{
    BuiltSource, Next, OwnRequests, PageEnd, Plan, Question, ReadError, Record, Rejection, Request, Scan, Source, Span,
    StreamView, Term, Timestamp, Unreadable, excerpt, shown,
};
use headwater_runtime::SourceSpec;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The stream of an inquiry.
const STREAM: &str = "names";
/// The longest of a provider's name that is kept: it is no text.
const NAME_MAX: usize = 300;

/// The names in an answer, or why there are none.
pub(crate) type Said = Result<Vec<Term>, String>;

/// Answers, by the number of the question; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<BTreeMap<usize, Said>>>);

impl Heard {
    /// What was answered to question `number`.
    pub(crate) fn to(&self, number: usize) -> Option<Said> {
        self.all().get(&number).cloned()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<usize, Said>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the name of a component that asks begins; no source may be in the way of it.
const PREFIX: &str = "names of ";

/// Whether `component` asks for `source`.
pub(crate) fn of(source: &str, component: &str) -> bool {
    component.strip_prefix(PREFIX) == Some(source)
}

/// Whether `component` asks for some source.
pub(crate) fn is_inquiry(component: &str) -> bool {
    component.starts_with(PREFIX)
}

/// A component that asks these questions at the endpoint of `source`, and with its credential.
pub(crate) fn inquiry(source: &SourceSpec, questions: &[Question], heard: &Heard) -> SourceSpec {
    let built = &source.built;
    let inquiry = Inquiry {
        questions: questions.to_vec(),
        heard: heard.clone(),
        leaves_echoes: built.source.leaves_echoes(),
        shares_endpoint: built.source.shares_endpoint(),
    };
    SourceSpec {
        name: format!("{PREFIX}{}", source.name),
        built: BuiltSource {
            source: Box::new(inquiry),
            provider: built.provider,
            endpoint: built.endpoint.clone(),
            auth: built.auth.clone(),
            own_query_policy: built.own_query_policy,
            rate_limit: built.rate_limit,
            min_interval: built.question_interval,
            question_interval: built.question_interval,
        },
        options: source.options.clone(),
        simulated: source.simulated,
    }
}

/// A source without a log: its only stream is over once everything has been asked.
struct Inquiry {
    questions: Vec<Question>,
    heard: Heard,
    leaves_echoes: bool,
    shares_endpoint: bool,
}

impl Source for Inquiry {
    fn streams(&self) -> Vec<String> {
        vec![STREAM.to_owned()]
    }

    fn plan(&self, view: &StreamView<'_>) -> Plan {
        let heard = self.heard.all();
        let left = self.questions.iter().cloned().enumerate().filter(|(number, _)| !heard.contains_key(number));
        let left: Vec<_> = left.collect();
        if left.is_empty() {
            return Plan::default();
        }
        let scan = Ask { left, at: 0, heard: self.heard.clone(), planned: view.now };
        Plan { scans: vec![Box::new(scan)], ..Plan::default() }
    }

    fn horizon(&self, now: Timestamp) -> Timestamp {
        now
    }

    fn requests_per_day(&self) -> u64 {
        0
    }

    fn retention(&self) -> TimeDelta {
        TimeDelta::days(1)
    }

    fn leaves_echoes(&self) -> bool {
        self.leaves_echoes
    }

    fn shares_endpoint(&self) -> bool {
        self.shares_endpoint
    }
}

/// Asks one question after the other. One that is refused for good is no reason not to ask the others.
struct Ask {
    left: Vec<(usize, Question)>,
    at: usize,
    heard: Heard,
    planned: Timestamp,
}

impl Ask {
    fn hear(&mut self, said: Said) -> Next {
        if let Some((number, _)) = self.left.get(self.at) {
            self.heard.all().insert(*number, said);
        }
        self.at += 1;
        if self.at < self.left.len() { Next::More } else { Next::Complete }
    }

    fn question(&self) -> Option<&Question> {
        self.left.get(self.at).map(|(_, question)| question)
    }
}

impl Scan for Ask {
    fn span(&self) -> Span {
        Span::new(self.planned, self.planned)
    }

    fn elements(&self) -> &'static [&'static str] {
        &[]
    }

    fn whole(&self) -> bool {
        true
    }

    fn request(&mut self) -> Request {
        // It is asked for while questions are left.
        self.question().map_or_else(|| Request::get("/"), |question| question.request.clone())
    }

    fn record(&mut self, _: &[u8], _: &OwnRequests) -> Result<Record, Unreadable> {
        Err(Unreadable { reason: "no record was asked for".to_owned() })
    }

    fn page(&mut self, end: &PageEnd<'_>) -> Result<Next, ReadError> {
        let read = self.question().and_then(|question| (question.read)(end.envelope));
        let said = read.map(|terms| terms.into_iter().filter(|term| is_name(&term.name)).collect());
        Ok(self.hear(said.ok_or_else(|| {
            let body = end.envelope.to_vec();
            let answer = Rejection { status: 200, retry_after: None, content_type: String::new(), body };
            let said = answer.message().unwrap_or_else(|| excerpt(end.envelope));
            format!("the answer is no list of names: {}", shown(&said, NAME_MAX))
        })))
    }

    fn rejected(&mut self, rejection: &Rejection) -> Result<Next, ReadError> {
        let denied = self.question().map_or("", |question| question.denied);
        match rejection.classify(denied) {
            ReadError::Denied(reason) | ReadError::Malformed(reason) => Ok(self.hear(Err(reason))),
            error => Err(error),
        }
    }

    fn unusable(&mut self, error: ReadError) -> Result<Next, ReadError> {
        Ok(self.hear(Err(error.to_string())))
    }

    fn state(&self) -> Option<Value> {
        None
    }

    fn describe(&self) -> String {
        self.question().map_or_else(|| STREAM.to_owned(), |question| question.what.clone())
    }

    #[allow(clippy::cast_precision_loss)] // a share
    fn progress(&self) -> Option<f64> {
        Some(self.at as f64 / self.left.len().max(1) as f64)
    }
}

fn is_name(text: &str) -> bool {
    text.chars().nth(NAME_MAX).is_none()
}
