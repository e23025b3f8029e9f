//! Who reads from whom: names, `inputs`, cycles, and what nobody reads.
//!
//! Works on the tree, not on built components, so that wiring mistakes are found beside all others.

use crate::{
    Content, DeadLetter, Diagnostic, Diagnostics, Entry, Graph, GraphEdge, GraphNode, OutputRef, Role, Span, UNMATCHED,
    decode::missing_key, document::Document, suggest, transform::is_name,
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The outputs of a component.
#[derive(Debug, PartialEq)]
enum Ports {
    None,
    Named(Vec<String>),
    /// Not known, because the component is wrong in itself: any is taken.
    Any,
}

struct Wire {
    name: String,
    kind: String,
    role: Role,
    span: Span,
    ports: Ports,
    inputs: Vec<(OutputRef, Span)>,
}

/// The components, wired.
#[derive(Default)]
pub(crate) struct Wiring {
    wires: Vec<Wire>,
    index: HashMap<String, usize>,
    /// Components that a dangling input probably meant: that nobody reads them follows from it.
    meant: HashSet<String>,
    /// Whether a circle reads nothing from outside: one of its inputs was to be a source that nobody reads now.
    closed: bool,
}

impl Wiring {
    /// Reads names and inputs, and reports what is wrong with the graph they make.
    pub(crate) fn new(document: &Document, dead_letter: &DeadLetter, diagnostics: &mut Diagnostics) -> Self {
        let mut wiring = Self::default();
        let sections =
            [(Role::Source, &document.sources), (Role::Transform, &document.transforms), (Role::Sink, &document.sinks)];
        for (role, entries) in sections {
            for entry in entries {
                wiring.component(role, entry, diagnostics);
            }
        }
        let dead_letter = if let DeadLetter::Sink(name) = dead_letter { Some(name.as_str()) } else { None };
        for (_, entries) in &sections[1..] {
            for entry in *entries {
                wiring.connect(entry, dead_letter, diagnostics);
            }
        }
        wiring.cycles(diagnostics);
        wiring.unused(diagnostics);
        wiring.dead_letter(dead_letter, document, diagnostics);
        wiring
    }

    fn component(&mut self, role: Role, entry: &Entry, diagnostics: &mut Diagnostics) {
        let name = &entry.key;
        if !is_name(name) {
            let problem = Diagnostic::at(&entry.span, format!("`{name}` cannot be the name of a component"));
            diagnostics.push(problem.hint("use letters, digits, `_` and `-`"));
        }
        if let Some(first) = self.index.get(name).and_then(|index| self.wires.get(*index)) {
            let problem = format!("two components are called `{name}`");
            diagnostics.push(
                Diagnostic::at(&entry.span, problem).hint("rename one of them").note("the first one", &first.span),
            );
            return;
        }
        let kind =
            entry.value.get("type").and_then(|kind| kind.scalar()).map_or("", |scalar| scalar.shown()).to_owned();
        let ports = match (role, kind.as_str()) {
            (Role::Sink, _) => Ports::None,
            (Role::Source, _) | (Role::Transform, "remap" | "filter") => Ports::Named(vec![String::new()]),
            (Role::Transform, "route") => route_ports(entry),
            (Role::Transform, _) => Ports::Any,
        };
        self.index.insert(name.clone(), self.wires.len());
        self.wires.push(Wire { name: name.clone(), kind, role, span: entry.span.clone(), ports, inputs: Vec::new() });
    }

    fn connect(&mut self, entry: &Entry, dead_letter: Option<&str>, diagnostics: &mut Diagnostics) {
        let Some(own) = self.index.get(&entry.key).copied().filter(|own| self.wires[*own].span == entry.span) else {
            return;
        };
        let what = format!("{} `{}`", self.wires[own].role.word(), entry.key);
        // A misspelt `inputs` is reported elsewhere, and meant all the same.
        let misspelt = || entry.value.entries().iter().find(|key| suggest::closest(&key.key, ["inputs"]).is_some());
        let Some(inputs) = entry.value.entry("inputs").or_else(misspelt) else {
            if dead_letter != Some(entry.key.as_str()) && matches!(entry.value.content, Content::Mapping(_)) {
                let problem = missing_key("inputs", &what, &entry.span);
                diagnostics.push(problem.hint("name the components it reads: `inputs: [..]`"));
            }
            return;
        };
        let value = &inputs.value;
        let items = if value.scalar().is_some() { std::slice::from_ref(value) } else { value.items() };
        if items.is_empty() || value.is_null() {
            let problem = format!(
                "`inputs` of {what}: expected component names, found {}",
                empty(value.describe(), value.items().is_empty())
            );
            diagnostics.push(Diagnostic::at(&value.span, problem).hint("name the components it reads: `inputs: [..]`"));
            return;
        }
        for item in items {
            let Some(scalar) = item.scalar().filter(|_| !item.is_null()) else {
                let problem = format!("`inputs` of {what}: expected a component's name, found {}", item.describe());
                let hint = "write the names in one list: `inputs: [one, two]`";
                diagnostics.push(Diagnostic::at(&item.span, problem).hint(hint));
                continue;
            };
            if scalar.unset {
                continue;
            }
            match self.outputs(&scalar.text, scalar.shown(), &entry.key, &item.span) {
                Ok(outputs) => {
                    for output in outputs {
                        let known = self.wires[own].inputs.iter().any(|(known, _)| *known == output);
                        if !known {
                            self.wires[own].inputs.push((output, item.span.clone()));
                        }
                    }
                }
                Err((problem, meant)) => {
                    diagnostics
                        .push(Diagnostic { message: format!("{} in `inputs` of {what}", problem.message), ..problem });
                    self.meant.extend(meant);
                }
            }
        }
    }

    /// The outputs that `text` means: one, or with a `*` at the end all that begin so, but for those of `reader`.
    fn outputs(
        &self,
        text: &str,
        shown: &str,
        reader: &str,
        span: &Span,
    ) -> Result<Vec<OutputRef>, (Diagnostic, Option<String>)> {
        let Some(prefix) = text.strip_suffix('*') else {
            return self.output(text, shown, span).map(|output| vec![output]);
        };
        let all = self.wires.iter().filter(|wire| wire.name != reader).flat_map(Wire::outputs);
        let found: Vec<OutputRef> = all.filter(|output| output.to_string().starts_with(prefix)).collect();
        if found.is_empty() {
            return Err((Diagnostic::at(span, format!("nothing matches `{shown}`")).maybe_hint(self.known()), None));
        }
        Ok(found)
    }

    /// The one output called `text`; else the problem, and the component that was probably meant.
    fn output(&self, text: &str, shown: &str, span: &Span) -> Result<OutputRef, (Diagnostic, Option<String>)> {
        let (component, port) = text.split_once('.').unwrap_or((text, ""));
        let Some(wire) = self.index.get(component).and_then(|index| self.wires.get(*index)) else {
            let names = self.wires.iter().filter(|wire| wire.role != Role::Sink).map(|wire| wire.name.as_str());
            let meant = suggest::closest(component, names).map(ToOwned::to_owned);
            let closest = || meant.as_ref().map(|name| format!("did you mean `{name}`?"));
            let hint = self.written_otherwise(text).or_else(closest).or_else(|| self.known());
            return Err((Diagnostic::at(span, format!("unknown component `{shown}`")).maybe_hint(hint), meant));
        };
        let output = OutputRef { component: component.to_owned(), port: port.to_owned() };
        let problem = match &wire.ports {
            Ports::Any => return Ok(output),
            Ports::Named(ports) if ports.iter().any(|known| known == port) => return Ok(output),
            Ports::None => {
                Diagnostic::at(span, format!("the sink `{shown}` has no output")).hint("read what the sink reads")
            }
            Ports::Named(_) => {
                let outputs: Vec<String> = wire.outputs().map(|output| output.to_string()).collect();
                let names: Vec<&str> = outputs.iter().map(String::as_str).collect();
                Diagnostic::at(span, format!("`{component}` has no output `{shown}`"))
                    .maybe_hint(suggest::hint(text, "outputs", &names))
            }
        };
        Err((problem, Some(component.to_owned())))
    }

    /// How a text that names components in a way of its own is written.
    fn written_otherwise(&self, text: &str) -> Option<String> {
        if text.contains('*') {
            return Some("a `*` stands at the end, for all names that begin so".to_owned());
        }
        let section = |section: &str| ["sources", "transforms", "sinks"].contains(&section);
        let below = text.split_once('.').filter(|(first, name)| section(first) && self.index.contains_key(*name));
        if let Some((_, name)) = below {
            return Some(format!("write `{name}`"));
        }
        let names: Vec<&str> =
            text.split(|c: char| c == ',' || c.is_whitespace()).filter(|name| !name.is_empty()).collect();
        let list = names.len() > 1 && names.iter().any(|name| self.index.contains_key(*name));
        list.then(|| format!("write a list: `[{}]`", names.join(", ")))
    }

    fn known(&self) -> Option<String> {
        let names: Vec<&str> =
            self.wires.iter().filter(|wire| wire.role != Role::Sink).map(|wire| wire.name.as_str()).collect();
        (!names.is_empty()).then(|| format!("components: {}", names.join(", ")))
    }

    /// Positions of the components that the one at `index` reads.
    fn upstream(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        self.wires[index].inputs.iter().filter_map(|(output, _)| self.index.get(&output.component).copied())
    }

    /// Positions so that each follows those it reads; components on or behind a cycle are left out.
    fn sorted(&self) -> Vec<usize> {
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); self.wires.len()];
        let mut waiting: Vec<usize> = vec![0; self.wires.len()];
        for (reader, missing) in waiting.iter_mut().enumerate() {
            for read in self.upstream(reader).collect::<BTreeSet<_>>() {
                readers[read].push(reader);
                *missing += 1;
            }
        }
        let mut ready: BTreeSet<usize> = (0..self.wires.len()).filter(|index| waiting[*index] == 0).collect();
        let mut order = Vec::with_capacity(self.wires.len());
        while let Some(index) = ready.pop_first() {
            order.push(index);
            for reader in &readers[index] {
                waiting[*reader] -= 1;
                if waiting[*reader] == 0 {
                    ready.insert(*reader);
                }
            }
        }
        order
    }

    fn cycles(&mut self, diagnostics: &mut Diagnostics) {
        let sorted: HashSet<usize> = self.sorted().into_iter().collect();
        let mut visited = HashSet::new();
        for start in (0..self.wires.len()).filter(|index| !sorted.contains(index)) {
            // Everything left out reads something left out: following that must come back somewhere.
            let mut way: Vec<usize> = Vec::new();
            let mut at = start;
            while visited.insert(at) {
                way.push(at);
                match self.upstream(at).find(|index| !sorted.contains(index)) {
                    Some(next) => at = next,
                    None => break,
                }
            }
            let Some(first) = way.iter().position(|index| *index == at).filter(|_| !way.is_empty()) else { continue };
            let circle = &way[first..];
            self.closed |= circle.iter().all(|member| self.upstream(*member).all(|read| circle.contains(&read)));
            self.cycle(circle, diagnostics);
        }
    }

    /// Reports a cycle, given against the flow. A single component counts if it reads itself.
    fn cycle(&self, way: &[usize], diagnostics: &mut Diagnostics) {
        let (Some(reader), Some(read)) = (way.first(), way.get(1).or(way.first())) else { return };
        let mut names: Vec<&str> = way.iter().rev().map(|index| self.wires[*index].name.as_str()).collect();
        let reader = &self.wires[*reader];
        let read = &self.wires[*read].name;
        let Some((_, span)) = reader.inputs.iter().find(|(output, _)| output.component == *read) else { return };
        names.insert(0, &reader.name);
        let problem = Diagnostic::at(span, format!("events would go round in a circle: {}", names.join(" -> ")));
        diagnostics.push(problem.hint("remove one of these inputs"));
    }

    /// Reports outputs whose events would be lost, and transforms that nobody reads.
    fn unused(&self, diagnostics: &mut Diagnostics) {
        let reader_of: HashSet<&OutputRef> =
            self.wires.iter().flat_map(|wire| wire.inputs.iter().map(|(output, _)| output)).collect();
        let read: HashSet<&str> = reader_of.iter().map(|output| output.component.as_str()).collect();
        // What is behind an unread transform: that its events are lost is said where they come from.
        let mut blamed = HashSet::new();
        for wire in self.wires.iter().filter(|wire| wire.role != Role::Sink && !self.meant.contains(&wire.name)) {
            let (name, role) = (&wire.name, wire.role.word());
            if wire.role == Role::Source && !read.contains(name.as_str()) {
                if self.closed {
                    continue;
                }
                let problem = Diagnostic::at(&wire.span, format!("nothing reads {role} `{name}`"));
                diagnostics
                    .push(problem.hint(format!("add `{name}` to the `inputs` of a sink or transform, or remove it")));
                continue;
            }
            let loses = wire.role == Role::Source || wire.kind == "route" && wire.ports != Ports::Any;
            for output in wire.outputs().filter(|output| loses && read.contains(output.component.as_str())) {
                if !reader_of.contains(&output) {
                    let advice = if output.port == UNMATCHED {
                        ", or set `reroute_unmatched: false` to drop them by rule"
                    } else {
                        ""
                    };
                    let problem =
                        Diagnostic::at(&wire.span, format!("nothing reads `{output}`: its events would be lost"));
                    diagnostics
                        .push(problem.hint(format!("add `{output}` to the `inputs` of a sink or transform{advice}")));
                } else if let Some(end) = self.dead_end(&output) {
                    blamed.insert(end.name.clone());
                    let message =
                        format!("the events of `{output}` would be lost: nothing reads transform `{}`", end.name);
                    let problem = Diagnostic::at(&wire.span, message).note("they end here", &end.span);
                    let other =
                        if output.port.is_empty() { format!("take `{name}` out") } else { "remove the route".into() };
                    let hint = format!("add `{}` to the `inputs` of a sink, or {other} as well", end.name);
                    diagnostics.push(problem.hint(hint));
                }
            }
        }
        for wire in self.wires.iter().filter(|wire| wire.role == Role::Transform && !self.meant.contains(&wire.name)) {
            let name = &wire.name;
            if !read.contains(name.as_str()) && !blamed.contains(name) {
                let problem = Diagnostic::at(&wire.span, format!("nothing reads transform `{name}`: it is not run"));
                let hint = format!("add `{name}` to the `inputs` of a sink or transform, or remove it");
                diagnostics.push(problem.hint(hint).warning());
            }
        }
    }

    /// A transform that nobody reads, if all who read `output` lead to one, and none to a sink or to what is wrong in itself.
    fn dead_end(&self, output: &OutputRef) -> Option<&Wire> {
        let mut end = None;
        let (mut seen, mut left) = (HashSet::new(), vec![output.clone()]);
        while let Some(output) = left.pop() {
            for wire in self.wires.iter().filter(|wire| wire.inputs.iter().any(|(input, _)| *input == output)) {
                if wire.role == Role::Sink || self.meant.contains(&wire.name) {
                    return None;
                }
                if !seen.insert(&wire.name) {
                    continue;
                }
                let any = |input: &&(OutputRef, Span)| input.0.component == wire.name;
                let readers: Vec<OutputRef> = self
                    .wires
                    .iter()
                    .flat_map(|reader| reader.inputs.iter().filter(any).map(|(output, _)| output.clone()))
                    .collect();
                if readers.is_empty() {
                    end = Some(wire);
                }
                left.extend(readers);
            }
        }
        end
    }

    fn dead_letter(&self, name: Option<&str>, document: &Document, diagnostics: &mut Diagnostics) {
        let (Some(name), Some(entry)) = (name, &document.dead_letter) else { return };
        let sinks: Vec<&str> =
            self.wires.iter().filter(|wire| wire.role == Role::Sink).map(|wire| wire.name.as_str()).collect();
        if !sinks.contains(&name) && !entry.value.scalar().is_some_and(|scalar| scalar.unset) {
            let problem = format!("`dead_letter`: there is no sink {}", entry.value.describe());
            diagnostics
                .push(Diagnostic::at(&entry.value.span, problem).maybe_hint(suggest::hint(name, "sinks", &sinks)));
        }
    }

    /// What the component called `name` reads.
    pub(crate) fn inputs(&self, name: &str) -> Vec<OutputRef> {
        let wire = self.index.get(name).and_then(|index| self.wires.get(*index));
        wire.map(|wire| wire.inputs.iter().map(|(output, _)| output.clone()).collect()).unwrap_or_default()
    }

    /// The output of a transform that a unit test names, or what is wrong with the name.
    pub(crate) fn tested(&self, text: &str, span: &Span) -> Result<OutputRef, Diagnostic> {
        let output = self.output(text, text, span).map_err(|(problem, _)| problem)?;
        self.transform(&output.component, span)?;
        Ok(output)
    }

    /// Whether `name` is a transform; else what is wrong.
    pub(crate) fn transform(&self, name: &str, span: &Span) -> Result<(), Diagnostic> {
        let transforms =
            || self.wires.iter().filter(|wire| wire.role == Role::Transform).map(|wire| wire.name.as_str());
        if transforms().any(|known| known == name) {
            return Ok(());
        }
        let names: Vec<&str> = transforms().collect();
        Err(Diagnostic::at(span, format!("`{name}` is no transform")).maybe_hint(suggest::hint(
            name,
            "transforms",
            &names,
        )))
    }

    /// Names of all components, each after those it reads.
    pub(crate) fn order(&self) -> Vec<String> {
        self.sorted().into_iter().map(|index| self.wires[index].name.clone()).collect()
    }

    /// The same as a graph to draw.
    pub(crate) fn graph(&self, dead_letter: Option<String>) -> Graph {
        let node = |wire: &Wire| GraphNode { name: wire.name.clone(), kind: wire.kind.clone(), role: wire.role };
        let edges = self.wires.iter().flat_map(|wire| {
            wire.inputs.iter().map(|(output, _)| GraphEdge { from: output.clone(), to: wire.name.clone() })
        });
        Graph { nodes: self.wires.iter().map(node).collect(), edges: edges.collect(), dead_letter }
    }
}

impl Wire {
    fn outputs(&self) -> impl Iterator<Item = OutputRef> + '_ {
        let ports = match &self.ports {
            Ports::Named(ports) => ports.clone(),
            Ports::Any => vec![String::new()],
            Ports::None => Vec::new(),
        };
        ports.into_iter().map(|port| OutputRef { component: self.name.clone(), port })
    }
}

fn empty(found: String, empty: bool) -> String {
    if empty && found == "a list" { "an empty list".to_owned() } else { found }
}

fn route_ports(entry: &Entry) -> Ports {
    let Some(route) = entry.value.get("route").filter(|route| !route.entries().is_empty()) else { return Ports::Any };
    let mut ports: Vec<String> = route.entries().iter().map(|port| port.key.clone()).collect();
    let rerouted = entry.value.get("reroute_unmatched").and_then(|value| value.text()) != Some("false");
    if rerouted && !ports.iter().any(|port| port == UNMATCHED) {
        ports.push(UNMATCHED.to_owned());
    }
    Ports::Named(ports)
}
