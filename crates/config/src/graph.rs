//! The pipeline as a picture: Mermaid and Graphviz.

use crate::OutputRef;
use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

/// What a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It reads an audit log.
    Source,
    /// It changes events.
    Transform,
    /// It writes events.
    Sink,
}

impl Role {
    /// As a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Transform => "transform",
            Self::Sink => "sink",
        }
    }
}

/// A component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphNode {
    /// Its name.
    pub name: String,
    /// Its `type`.
    pub kind: String,
    /// What it is.
    pub role: Role,
}

/// Events go from an output to a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphEdge {
    /// The output.
    pub from: OutputRef,
    /// Name of the component that reads it.
    pub to: String,
}

/// Components and edges: sources, transforms, sinks, each in the order written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// The components.
    pub nodes: Vec<GraphNode>,
    /// The edges, by reader.
    pub edges: Vec<GraphEdge>,
    /// The sink that takes rejected events, whichever component rejects them.
    pub dead_letter: Option<String>,
}

impl Graph {
    /// Names of the components whose events come to a sink, the sinks among them.
    pub fn delivering(&self) -> HashSet<&str> {
        let sinks = self.nodes.iter().filter(|node| node.role == Role::Sink).map(|node| node.name.as_str());
        let mut left: Vec<&str> = sinks.collect();
        let mut found = HashSet::new();
        while let Some(name) = left.pop() {
            if found.insert(name) {
                let read = self.edges.iter().filter(|edge| edge.to == name);
                left.extend(read.map(|edge| edge.from.component.as_str()));
            }
        }
        found
    }

    /// A Mermaid flowchart. Nodes are numbered, because a name such as `end` is a word of Mermaid.
    pub fn to_mermaid(&self) -> String {
        let numbers: HashMap<&str, usize> =
            self.nodes.iter().enumerate().map(|(n, node)| (node.name.as_str(), n)).collect();
        let mut out = String::from("flowchart LR\n");
        for (number, node) in self.nodes.iter().enumerate() {
            let (open, close) = match node.role {
                Role::Source => ("([", "])"),
                Role::Transform => ("[", "]"),
                Role::Sink => ("[(", ")]"),
            };
            let _ = writeln!(out, "  n{number}{open}\"{}<br/>{}\"{close}", plain(&node.name), plain(&node.kind));
        }
        for edge in &self.edges {
            if let (Some(from), Some(to)) = (numbers.get(edge.from.component.as_str()), numbers.get(edge.to.as_str())) {
                let label =
                    if edge.from.port.is_empty() { String::new() } else { format!("|\"{}\"|", plain(&edge.from.port)) };
                let _ = writeln!(out, "  n{from} -->{label} n{to}");
            }
        }
        if let Some(to) = self.dead_letter.as_deref().and_then(|name| numbers.get(name)) {
            let _ = writeln!(out, "  rejected>\"rejected events\"] -.-> n{to}");
        }
        out
    }

    /// A Graphviz digraph.
    pub fn to_dot(&self) -> String {
        let mut out = String::from("digraph headwater {\n  rankdir=LR;\n");
        for node in &self.nodes {
            let shape = match node.role {
                Role::Source => "ellipse",
                Role::Transform => "box",
                Role::Sink => "cylinder",
            };
            let (name, kind) = (plain(&node.name), plain(&node.kind));
            let _ = writeln!(out, "  \"{name}\" [label=\"{name}\\n{kind}\", shape={shape}];");
        }
        for edge in &self.edges {
            let label = if edge.from.port.is_empty() {
                String::new()
            } else {
                format!(" [label=\"{}\"]", plain(&edge.from.port))
            };
            let _ = writeln!(out, "  \"{}\" -> \"{}\"{label};", plain(&edge.from.component), plain(&edge.to));
        }
        if let Some(to) = &self.dead_letter {
            // A component's name has no blank.
            let _ = writeln!(out, "  \"rejected events\" [shape=note];");
            let _ = writeln!(out, "  \"rejected events\" -> \"{}\" [style=dashed];", plain(to));
        }
        out.push_str("}\n");
        out
    }
}

/// Without characters that mean something to either language.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ') { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_pictures_show_components_and_ports() {
        let node = |name: &str, kind: &str, role| GraphNode { name: name.into(), kind: kind.into(), role };
        let edge = |component: &str, port: &str, to: &str| GraphEdge {
            from: OutputRef { component: component.into(), port: port.into() },
            to: to.into(),
        };
        let graph = Graph {
            nodes: vec![
                node("a", "pactflow", Role::Source),
                node("end", "route", Role::Transform),
                node("o", "console", Role::Sink),
            ],
            edges: vec![edge("a", "", "end"), edge("end", "x", "o")],
            dead_letter: Some("o".into()),
        };
        assert_eq!(
            graph.to_mermaid(),
            "flowchart LR\n  n0([\"a<br/>pactflow\"])\n  n1[\"end<br/>route\"]\n  n2[(\"o<br/>console\")]\n  n0 --> n1\n  n1 -->|\"x\"| n2\n  rejected>\"rejected events\"] -.-> n2\n"
        );
        assert_eq!(
            graph.to_dot(),
            "digraph headwater {\n  rankdir=LR;\n  \"a\" [label=\"a\\npactflow\", shape=ellipse];\n  \"end\" [label=\"end\\nroute\", shape=box];\n  \"o\" [label=\"o\\nconsole\", shape=cylinder];\n  \"a\" -> \"end\";\n  \"end\" -> \"o\" [label=\"x\"];\n  \"rejected events\" [shape=note];\n  \"rejected events\" -> \"o\" [style=dashed];\n}\n"
        );
    }
}
