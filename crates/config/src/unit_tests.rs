//! `tests`: unit tests of transforms, in Vector's shape.

use crate::{
    Diagnostic, Diagnostics, Node, OutputRef, TestEvent, TestInput, TestOutput, UnitTest, VrlText,
    component::Workshop,
    decode::{Subject, missing_key},
    keys::{ConditionKeys, TestEventKind, TestInputKeys, TestKeys},
    wiring::Wiring,
};
use serde_json::{Map, Value};

impl Workshop<'_> {
    /// Reads a test, or reports everything that is wrong with it.
    pub(crate) fn unit_test(&self, node: &Node, wiring: &Wiring, diagnostics: &mut Diagnostics) -> Option<UnitTest> {
        let shown = node.get("name").and_then(Node::scalar).map(|scalar| format!("test `{}`", scalar.shown()));
        let name = shown.unwrap_or_else(|| "this test".to_owned());
        let before = diagnostics.len();
        check_names(node, wiring, diagnostics);
        let keys: TestKeys = self.decoder.decode_all(node, Subject::new(&name, &node.span), diagnostics)?;
        let inputs: Vec<TestInput> = keys
            .inputs
            .iter()
            .zip(node.get("inputs")?.items())
            .filter_map(|(keys, node)| input(keys, node, &name, diagnostics))
            .collect();
        if inputs.is_empty() && diagnostics.len() == before {
            let span = &node.get("inputs")?.span;
            diagnostics.push(
                Diagnostic::at(span, format!("{name} has no inputs")).hint("write `- { insert_at: .., value: .. }`"),
            );
        }
        let outputs = node.get("outputs").map(Node::items).unwrap_or_default();
        if keys.outputs.is_empty() && keys.no_outputs_from.0.is_empty() {
            let problem = Diagnostic::at(&node.span, format!("{name} expects nothing"));
            diagnostics.push(problem.hint("add `outputs` or `no_outputs_from`"));
        }
        let outputs: Vec<TestOutput> = keys
            .outputs
            .iter()
            .zip(outputs)
            .filter_map(|(_, node)| {
                let extract_from = outputs_named(node.get("extract_from"), wiring);
                let conditions = self.conditions(node, &name, diagnostics)?;
                Some(TestOutput { extract_from, conditions, span: node.span.clone() })
            })
            .collect();
        let no_outputs_from = outputs_named(node.get("no_outputs_from"), wiring);
        let test = UnitTest { name: keys.name, inputs, outputs, no_outputs_from, span: node.span.clone() };
        (diagnostics.len() == before).then_some(test)
    }

    fn conditions(&self, output: &Node, name: &str, diagnostics: &mut Diagnostics) -> Option<Vec<VrlText>> {
        let Some(list) = output.get("conditions").filter(|node| !node.is_null()) else { return Some(Vec::new()) };
        let items = if list.scalar().is_some() { std::slice::from_ref(list) } else { list.items() };
        if !list.entries().is_empty() {
            let problem =
                Diagnostic::at(&list.span, format!("`conditions` of {name}: expected a list, found a mapping"));
            diagnostics.push(problem.hint("write `- condition`"));
            return None;
        }
        let texts = items.iter().map(|item| {
            if item.scalar().is_some() {
                return VrlText::inline(item).or_else(|| {
                    diagnostics.push(Diagnostic::at(&item.span, format!("a condition of {name} is empty")));
                    None
                });
            }
            let place = format!("a condition of {name}");
            let _: ConditionKeys = self.decoder.decode_all(item, Subject::new(&place, &item.span), diagnostics)?;
            VrlText::inline(item.get("source")?)
        });
        // All of them are looked at, so that all problems are reported.
        texts.collect::<Vec<_>>().into_iter().collect()
    }
}

/// The names at `node`, which is a name itself or a list of them, with their places.
fn names(node: Option<&Node>) -> impl Iterator<Item = (&str, &Node)> {
    let nodes = node
        .map_or(&[] as &[Node], |node| if node.scalar().is_some() { std::slice::from_ref(node) } else { node.items() });
    nodes.iter().filter_map(|node| Some((node.text()?, node)))
}

/// Reports the components and outputs that a test names and that do not exist.
fn check_names(test: &Node, wiring: &Wiring, diagnostics: &mut Diagnostics) {
    let items = |key: &str| test.get(key).map(Node::items).unwrap_or_default();
    let inputs = items("inputs").iter().flat_map(|input| names(input.get("insert_at")));
    for problem in inputs.filter_map(|(name, node)| wiring.transform(name, &node.span).err()) {
        diagnostics.push(problem);
    }
    let outputs = items("outputs").iter().flat_map(|output| names(output.get("extract_from")));
    let outputs = outputs.chain(names(test.get("no_outputs_from")));
    for problem in outputs.filter_map(|(name, node)| wiring.tested(name, &node.span).err()) {
        diagnostics.push(problem);
    }
}

/// The outputs named at `node`; wrong ones have been reported.
fn outputs_named(node: Option<&Node>, wiring: &Wiring) -> Vec<OutputRef> {
    names(node).filter_map(|(name, node)| wiring.tested(name, &node.span).ok()).collect()
}

fn input(keys: &TestInputKeys, node: &Node, test: &str, diagnostics: &mut Diagnostics) -> Option<TestInput> {
    let place = format!("an input of {test}");
    let event = match keys.kind {
        TestEventKind::Raw => keys.value.clone().map(TestEvent::Raw).ok_or("value"),
        TestEventKind::Log => {
            let fields = keys.log_fields.as_ref().and_then(|_| node.get("log_fields"));
            fields.map(|fields| TestEvent::Log(fields.to_json())).ok_or("log_fields")
        }
        TestEventKind::Vrl => {
            let text = keys.source.as_ref().and_then(|_| VrlText::inline(node.get("source")?));
            text.map(TestEvent::Vrl).ok_or("source")
        }
    };
    let event = match event {
        Ok(event) => event,
        Err(key) => {
            diagnostics.push(missing_key(key, &place, &node.span));
            return None;
        }
    };
    let metadata = match keys.metadata.as_ref().and_then(|_| node.get("metadata")).map(Node::to_json) {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    Some(TestInput { insert_at: keys.insert_at.0.clone(), event, metadata, span: node.span.clone() })
}
