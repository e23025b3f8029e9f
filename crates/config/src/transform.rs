//! Transforms, and where their VRL texts come from.

use crate::{
    Content, Diagnostic, Diagnostics, Entry, Node, Registry, SourceFile, Transform, TransformSpec, UNMATCHED, VrlText,
    component::{Workshop, kind, unknown_keys},
    decode::Subject,
    document::open,
    keys::{FilterKeys, RemapKeys, RouteKeys},
    registry::shape,
    suggest,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::path::Path;

/// The values of `type`.
pub(crate) const TYPES: &[&str] = &["remap", "filter", "route"];

impl Workshop<'_> {
    /// Reads a transform, or reports everything that is wrong with it. Its inputs are for the wiring to fill in.
    pub(crate) fn transform(&self, entry: &Entry, diagnostics: &mut Diagnostics) -> Option<TransformSpec> {
        let (transform, on_error) = match kind(entry, "transform", TYPES, diagnostics)? {
            "remap" => {
                let keys: Option<RemapKeys> = self.keys(entry, diagnostics);
                // The program is looked for even if other keys are wrong, to report everything at once.
                let program = self.program(entry, diagnostics);
                let (keys, program) = (keys?, program?);
                (Transform::Remap { program, drop_on_abort: keys.drop_on_abort }, keys.on_error)
            }
            "filter" => {
                let keys: FilterKeys = self.keys(entry, diagnostics)?;
                (Transform::Filter { condition: VrlText::inline(entry.value.get("condition")?)? }, keys.on_error)
            }
            _ => {
                let keys: Option<RouteKeys> = self.keys(entry, diagnostics);
                let routes = routes(entry, diagnostics);
                let (keys, routes) = (keys?, routes?);
                (Transform::Route { routes, reroute_unmatched: keys.reroute_unmatched }, keys.on_error)
            }
        };
        let (name, span) = (entry.key.clone(), entry.span.clone());
        Some(TransformSpec { name, inputs: Vec::new(), transform, on_error, span })
    }

    fn keys<T: DeserializeOwned + JsonSchema>(&self, entry: &Entry, diagnostics: &mut Diagnostics) -> Option<T> {
        let name = format!("transform `{}`", entry.key);
        let shape = shape::<T>();
        let known: Vec<&str> = shape.keys.iter().map(String::as_str).chain(["type", "inputs"]).collect();
        let misspelt = unknown_keys(&entry.value, &name, &known, diagnostics);
        let own = entry.value.subset(|key| shape.keys.iter().any(|own| own == key));
        let subject = Subject { required: &shape.required, misspelt: &misspelt, ..Subject::new(&name, &entry.span) };
        self.decoder.decode_all(&own, subject, diagnostics)
    }

    /// The program of a remap transform: inline, from a file, or shipped.
    fn program(&self, entry: &Entry, diagnostics: &mut Diagnostics) -> Option<VrlText> {
        let name = &entry.key;
        match (entry.value.entry("source"), entry.value.entry("file")) {
            (Some(source), None) if source.value.is_null() => {
                diagnostics.push(Diagnostic::at(&source.span, format!("the program of transform `{name}` is empty")));
                None
            }
            (Some(source), None) => VrlText::inline(&source.value),
            (None, Some(file)) if file.value.is_null() => {
                diagnostics.push(Diagnostic::at(&file.span, format!("`file` of transform `{name}` names no file")));
                None
            }
            (None, Some(file)) => match self.file(&file.value) {
                Ok(text) => text,
                Err(problem) => {
                    diagnostics.push(problem);
                    None
                }
            },
            (Some(source), Some(file)) => {
                let problem = format!("transform `{name}` has both `source` and `file`");
                diagnostics
                    .push(Diagnostic::at(&file.span, problem).hint("keep one of them").note("the other", &source.span));
                None
            }
            // A misspelt `source` has been reported as such.
            (None, None)
                if entry.value.entries().iter().any(|key| suggest::closest(&key.key, ["source", "file"]).is_some()) =>
            {
                None
            }
            (None, None) => {
                let problem =
                    Diagnostic::at(&entry.span, format!("missing key `source` or `file` in transform `{name}`"));
                diagnostics.push(problem.hint("write the program below `source: |`, or name its file"));
                None
            }
        }
    }

    fn file(&self, node: &Node) -> Result<Option<VrlText>, Diagnostic> {
        let Some(scalar) = node.scalar().filter(|scalar| !scalar.unset) else { return Ok(None) };
        if let Some(name) = scalar.text.strip_prefix("builtin:") {
            return shipped(self.registry, name, node).map(Some);
        }
        let path = node.span.file.resolve(Path::new(&scalar.text));
        let file =
            open(&path, scalar.shown()).map_err(|problem| Diagnostic { span: Some(node.span.clone()), ..problem })?;
        Ok(Some(VrlText::whole(file)))
    }
}

fn shipped(registry: &Registry, name: &str, node: &Node) -> Result<VrlText, Diagnostic> {
    match registry.programs.get(name) {
        Some(text) => Ok(VrlText::whole(SourceFile::new(format!("builtin:{name}"), "", text))),
        None => {
            let known: Vec<&str> = registry.programs.keys().copied().collect();
            let problem = Diagnostic::at(&node.span, format!("there is no shipped program {}", node.describe()));
            Err(problem.maybe_hint(suggest::hint(name, "programs", &known)))
        }
    }
}

/// The ports of a route transform with their conditions, in the order written.
fn routes(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Vec<(String, VrlText)>> {
    let route = entry.value.entry("route")?;
    if route.value.entries().is_empty() && (route.value.is_null() || matches!(route.value.content, Content::Mapping(_)))
    {
        let problem = format!("transform `{}` has no routes", entry.key);
        diagnostics.push(Diagnostic::at(&route.span, problem).hint("write `route: { name: condition }`"));
        return None;
    }
    let before = diagnostics.len();
    for port in route.value.entries() {
        if port.key == UNMATCHED || !is_name(&port.key) {
            let problem = format!("`{}` cannot be the name of a route in transform `{}`", port.key, entry.key);
            let hint = format!("use letters, digits, `_` and `-`; `{UNMATCHED}` is taken");
            diagnostics.push(Diagnostic::at(&port.span, problem).hint(hint));
        }
    }
    let texts = route.value.entries().iter().map(|port| Some((port.key.clone(), VrlText::inline(&port.value)?)));
    texts.collect::<Option<_>>().filter(|_| diagnostics.len() == before)
}

/// Whether a component or a port can be called so.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}
