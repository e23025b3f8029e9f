use crate::support::{compiler, program};
use headwater_vrl::Severity;

/// The warnings on a program: what each is about, and its first note.
fn warned(text: &str) -> Vec<(String, String)> {
    let of = |warning: &headwater_vrl::ProgramError| {
        assert_eq!(warning.severity, Severity::Warning);
        (text[warning.offset.clone()].to_owned(), warning.notes.first().cloned().unwrap_or_default())
    };
    program(text).warnings().iter().map(of).collect()
}

#[test]
fn metadata_that_no_event_has_are_warned_of_wherever_they_are_asked_for() {
    let source = "hint: did you mean `%headwater.source`?";
    for text in [
        ".a = %headwater.sorce",
        "if %headwater.sorce == \"a\" { .b = 1 }",
        ".a = exists(%headwater.sorce)",
        ".a = upcase(string(%headwater.sorce) ?? \"\")",
        "# %headwater.sorce\n.a = [1, {\"b\": %headwater.sorce}]",
        ".a = map_values({\"a\": 1}) -> |v| { [v, %headwater.sorce] }",
    ] {
        assert_eq!(warned(text), [("%headwater.sorce".to_owned(), source.to_owned())], "{text}");
    }
    let twice = warned(".a = %headwater.sorce\n.b = %headwater.sorce\n.c = %headwater.sources");
    assert_eq!(twice.len(), 3, "{twice:?}");
    assert!(
        warned(".a = %headwater.nothing_like_it")[0].1.starts_with("metadata below `%headwater`: `source`, `provider`")
    );
    assert_eq!(warned(".a = %headwater.\"sorce\"")[0].1, source);
    assert_eq!(warned(".a = %headwater.id.x")[0].1, "hint: `%headwater.id` is one value, with nothing inside");
    assert_eq!(warned(".a = %headwatr.id")[0].1, "hint: did you mean `%headwater`?");
    let condition = compiler().compile_condition("%headwater.own_qery == true").unwrap();
    assert_eq!(condition.warnings()[0].notes[0], "hint: did you mean `%headwater.own_query`?");
}

#[test]
fn metadata_that_there_are_or_that_a_program_sets_are_not() {
    for text in [
        ".a = %headwater",
        ".a = %headwater.raw",
        "%mine.a = 1\n.b = %mine.a",
        ".a = %other.x",
        "%headwatr = 1\n.a = %headwatr",
        ".headwater.sorce = 1\n.a = .headwater.sorce",
        ".a = \"%headwater.sorce\"",
    ] {
        assert_eq!(warned(text), [], "{text}");
    }
}
