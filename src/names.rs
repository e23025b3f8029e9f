//! What a log can be asked for: the names that its provider lists, those that headwater knows, and how the names in a
//! configuration compare with them.

mod doubts;
mod inquiry;
mod known;

pub(crate) use doubts::doubts;
pub(crate) use inquiry::{Heard, inquiry, is_inquiry, of};
pub(crate) use known::Known;

use headwater_config::{Diagnostic, Diagnostics, Pipeline, Span};
use headwater_contracts::{Asked, Question};
use headwater_runtime::{SourceSpec, StreamStatus};

/// A source whose settings ask for names, and where these were written.
pub(crate) struct Wanted {
    source: String,
    provider: &'static str,
    asked: Vec<(Asked, Span)>,
    /// Those whose answers hold such names.
    questions: Vec<Question>,
    heard: Heard,
}

/// The sources whose names can be compared with something.
pub(crate) fn wanted(pipeline: &Pipeline) -> Vec<Wanted> {
    let wanted = pipeline.sources.iter().map(|spec| {
        let vocabulary = spec.built.source.vocabulary();
        let placed = |asked: Asked| {
            let span = spec.place(&asked.option).clone();
            (asked, span)
        };
        let asked: Vec<(Asked, Span)> = vocabulary.asked.into_iter().map(placed).collect();
        let mut questions = vocabulary.questions;
        questions.retain(|question| asked.iter().any(|(asked, _)| question.kinds.contains(&asked.kind)));
        Wanted { source: spec.name.clone(), provider: spec.built.provider, asked, questions, heard: Heard::default() }
    });
    wanted.filter(|wanted| !wanted.asked.is_empty()).collect()
}

/// The components that ask the providers of these sources.
pub(crate) fn inquiries(wanted: &[Wanted], sources: &[SourceSpec]) -> Vec<SourceSpec> {
    let of = |wanted: &Wanted| {
        let source = sources.iter().find(|source| source.name == wanted.source)?;
        (!wanted.questions.is_empty()).then(|| inquiry(source, &wanted.questions, &wanted.heard))
    };
    wanted.iter().filter_map(of).collect()
}

/// How many names were looked at, and of which sources.
pub(crate) fn sentence(wanted: &[Wanted]) -> String {
    if wanted.is_empty() {
        return "no source filters by a name that its provider could list".to_owned();
    }
    let of = |wanted: &Wanted| format!("{} of `{}`", wanted.asked.len(), wanted.source);
    format!("names that sources filter by: {}", wanted.iter().map(of).collect::<Vec<_>>().join(", "))
}

/// What is odd about the names that the settings ask for, each where it was written. `streams` are those of the run that asked. Where the
/// log itself cannot be read, that is said already.
pub(crate) fn compare(wanted: &[Wanted], streams: &[StreamStatus], is_readable: impl Fn(&str) -> bool) -> Diagnostics {
    let mut diagnostics = Diagnostics::default();
    for Wanted { source, provider, asked, questions, heard } in wanted {
        let known = Known::new(provider, questions, heard, streams.iter().find(|status| of(source, &status.source)));
        let names: Vec<&Asked> = asked.iter().map(|(asked, _)| asked).collect();
        for doubt in doubts(source, &names, &known) {
            let Some((_, span)) = asked.iter().find(|(asked, _)| asked.option == doubt.option) else { continue };
            diagnostics.push(Diagnostic::at(span, doubt.problem).maybe_hint(doubt.hint).warning());
        }
        let Some((_, span)) = asked.first() else { continue };
        for unanswered in known.unanswered.iter().filter(|_| is_readable(source)) {
            let (what, reason) = (unanswered.what(), &unanswered.reason);
            let problem = format!("the names that source `{source}` filters by are not compared with {what}: {reason}");
            diagnostics.push(Diagnostic::at(span, problem).warning());
        }
    }
    diagnostics
}
