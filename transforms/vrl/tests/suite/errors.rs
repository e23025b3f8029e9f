use crate::support::{Seen, compiler, event, problems, program};
use headwater_vrl::{Compiler, Position, Remap, RemapOptions, Severity, Tables, locate_in, render};
use vrl::compiler::prelude::*;

#[test]
fn errors_point_at_the_bytes_they_are_about() {
    let check = |text: &str, part: &str, line, column| {
        let problem = problems(text).remove(0);
        assert_eq!(&text[problem.offset.clone()], part, "{problem:?}");
        assert_eq!(Position::of(text, problem.offset.start), Position { line, column });
        assert_eq!(problem.severity, Severity::Error);
    };
    check(".a = 1\n.b = nope(.a)\n", "nope", 2, 6);
    check(".\"ä\" = \"€\"\n\n  .b = upcase(.x)", "upcase(.x)", 3, 8);
    check("x = unknown_name\n.a = x", "unknown_name", 1, 5);
    check(".a = 1\n%headwater.id = \"x\"", "%headwater.id =", 2, 1);
}

#[test]
fn all_errors_are_told_in_order_of_place() {
    let text = ".a = nope(1)\n.b = upcase(.x)\n.c = what()\n";
    let lines: Vec<usize> = problems(text).iter().map(|p| Position::of(text, p.offset.start).line).collect();
    assert_eq!(lines, [1, 2, 3]);
}

#[test]
fn an_end_that_comes_too_early_is_within_the_text() {
    for text in [".a = ", ".a = {\n", "if true {", "\"ä", ".a = \"unclosed", "", "ä", "{ .a"] {
        if let Err(problems) = compiler().compile(text) {
            for problem in problems {
                assert!(text.get(problem.offset.clone()).is_some(), "{text:?}: {problem:?}");
                assert!(!render("p.vrl", text, &[problem]).is_empty());
            }
        }
    }
}

#[test]
fn what_the_compiler_only_names_has_a_hint() {
    let check = |text: &str, code: usize, help: &str| {
        let problem = problems(text).remove(0);
        assert_eq!(problem.code, code, "{problem:?}");
        let shown = render("p.vrl", text, &[problem]);
        assert!(shown.contains(help) && !shown.contains("compilation error"), "{shown}");
    };
    check("parse_json(string!(.x))", 100, "hint: handle the error");
    check("log(\"x\", level: \"wrn\")", 401, "expected one of: \"trace\"");
    check("%headwater.id = 1", 315, "cannot be changed");
    check("if .a = 1 { .b = 2 }", 203, "`==` compares");
    check(".x = del(.y\n.z = 1", 203, "that is missing");
}

#[test]
fn the_facts_are_read_only() {
    for text in ["%headwater.id = 1", "%headwater = {}", "% = {}", "del(%headwater.raw)", "%headwater.new.one = 1"] {
        let problem = problems(text).remove(0);
        assert!(problem.message.contains("read-only") || problem.message.contains("mutation"), "{text}: {problem:?}");
    }
}

#[test]
fn conditions_are_boolean_and_change_nothing() {
    let problem = |text: &str| compiler().compile_condition(text).expect_err(text).remove(0);
    assert!(problem(".a").message.starts_with("a condition must be a boolean, this is "), "{:?}", problem(".a"));
    assert!(problem("\n\n  1 + 1").message.contains("integer"));
    assert_eq!(problem("\n\n  1 + 1").offset, 4..9);
    assert!(problem("if .a == 1 { abort }\ntrue").message.contains("abort"));
    problem(".a = 1\ntrue");
    problem("del(.a)\ntrue");
    problem("%x = 1\ntrue");
    for text in [".a == 1", "assert!(.a == 1)", "assert_eq!(.a, 1)\nassert!(exists(.b), \"b\")", "bool!(.a)"] {
        assert!(compiler().compile_condition(text).is_ok(), "{text}");
    }
}

#[test]
fn warnings_are_kept_with_their_place() {
    let text = ".a = 1\nupcase(\"x\")\n.b = 2\n";
    let warnings = program(text).warnings().to_vec();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].severity, Severity::Warning);
    assert_eq!(Position::of(text, warnings[0].offset.start).line, 2);
}

#[test]
fn a_rendered_error_shows_line_caret_and_hint() {
    let text = ".ok = true\n\t.b = upcasee(\"x\")\n";
    let shown = render("rules/a.vrl", text, &problems(text));
    assert!(shown.starts_with("error[E105]: "), "{shown}");
    assert!(shown.contains("  --> rules/a.vrl:2:7\n"), "{shown}");
    assert!(shown.contains("2 | \t.b = upcasee(\"x\")\n  | \t     ^^^^^^^ "), "{shown}");
    assert!(shown.contains("upcase"), "a suggestion: {shown}");
}

/// A function with a bug.
#[derive(Debug, Clone)]
struct Buggy;

impl Function for Buggy {
    fn identifier(&self) -> &'static str {
        "buggy"
    }
    fn usage(&self) -> &'static str {
        "Panics."
    }
    fn category(&self) -> &'static str {
        "Debug"
    }
    fn return_kind(&self) -> u16 {
        kind::BOOLEAN
    }
    fn examples(&self) -> &'static [Example] {
        &[]
    }
    fn compile(&self, _: &TypeState, _: &mut FunctionCompileContext, _: ArgumentList) -> Compiled {
        Ok(Buggy.as_expr())
    }
}

impl FunctionExpression for Buggy {
    fn resolve(&self, context: &mut Context) -> Resolved {
        let path = vrl::path::OwnedTargetPath::event_root();
        let event = context.target().target_get(&path)?.cloned();
        let bad = event.as_ref().and_then(Value::as_object).and_then(|event| event.get("bad"));
        assert_ne!(bad, Some(&Value::Boolean(true)), "cannot cope");
        Ok(true.into())
    }
    fn type_def(&self, _: &TypeState) -> TypeDef {
        TypeDef::boolean().infallible()
    }
}

#[test]
fn a_panic_costs_one_event_not_the_stream() {
    let text = ".touched = true\n.b = buggy()";
    let compiler = Compiler::new(vec![Box::new(Buggy)], Tables::default());
    let remap = Remap::new("risky", compiler.compile(text).unwrap(), locate_in("p.vrl", text), RemapOptions::default());
    let seen = Seen::of(&remap, vec![event(r#"{"bad":true}"#), event(r#"{"bad":false}"#)]);
    assert_eq!(seen.next.len(), 1);
    let (failed, reason) = &seen.failed[0];
    assert!(reason.starts_with("transform `risky` in the program at p.vrl:1:1: a function panicked: "), "{reason}");
    assert!(reason.contains("cannot cope"), "{reason}");
    assert_eq!(failed.value, None);
}
