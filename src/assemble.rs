//! From a configuration to something that runs: loads, compiles every VRL text, reports all problems at once.

use crate::{
    Failure, consumers,
    diagnosis::diagnosis,
    environment::{Environment, Needed},
    imports, one_place, plugins, warnings,
};
use headwater_config::{
    DeadLetter, Diagnostic, Diagnostics, LoadOptions, Loaded, OnError, Pipeline, State, Table, TestEvent,
    Transform as Spec, UnitTest, VrlText,
};
use headwater_contracts::{Clock, Transform, files::must_be_folder};
use headwater_runtime::{
    DeadLetterTarget, DeadLetters, HttpClient, OVERSIZED, OnRefusal, Oversized, SinkSpec, SourceSpec, SystemClock,
    Topology, TransformSpec, clear_parts,
};
use headwater_sink_file::{DeadLetterFile, Elsewhere};
use headwater_vrl::{
    Compiler, Condition, Filter, Locate, Program, ProgramError, Remap, RemapOptions, Route, RouteRule, TableError,
    TableSpec, Tables, TestCase, TestCondition, TestInput, TestOutput,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How a configuration is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To run it.
    Run,
    /// To run it on simulators: what is missing from the environment does not matter.
    Simulate,
    /// To look at it: secrets are not read.
    Inspect,
    /// The same, with the files that are to be imported.
    Validate,
}

/// A checked pipeline with its programs compiled.
pub(crate) struct Assembled {
    /// The pipeline as written.
    pub(crate) pipeline: Pipeline,
    /// The transforms, compiled, in topological order.
    pub(crate) transforms: Vec<TransformSpec>,
    /// Its unit tests, compiled.
    pub(crate) tests: Vec<TestCase>,
    /// Variables and files that are not there, and that running it needs.
    pub(crate) needed: Needed,
    /// What is right, and probably not what was meant.
    pub(crate) warnings: Diagnostics,
}

impl Assembled {
    /// Says in the log what is odd about the configuration.
    pub(crate) fn log_warnings(&self) {
        for warning in self.warnings.sorted() {
            tracing::warn!("{warning}");
        }
    }
}

/// Loads and compiles; on any problem, all of them.
pub(crate) fn assemble(paths: &[PathBuf], purpose: Purpose) -> Result<Assembled, Failure> {
    let registry = plugins::registry();
    let environment = Environment::default();
    let options = LoadOptions {
        environment: &environment,
        // Whoever only looks needs no credentials.
        lenient: purpose != Purpose::Run,
        resolve_secrets: purpose == Purpose::Run,
    };
    let Loaded { mut pipeline, mut diagnostics } = headwater_config::read(paths, &registry, options);
    let (compiler, broken) = compiler_without(&pipeline, &mut diagnostics);
    let mut compilation = Compilation { compiler, broken, diagnostics: &mut diagnostics };
    let mut transforms = compilation.transforms(&pipeline);
    let tests = compilation.tests(&pipeline.tests);
    for source in &pipeline.sources {
        if let Err(problem) = HttpClient::new(&source.built.endpoint, &source.built.auth, &source.options) {
            let field = if problem.field.is_empty() { String::new() } else { format!(", `{}`", problem.field) };
            diagnostics.push(Diagnostic::at(&source.span, format!("source `{}`{field}: {problem}", source.name)));
        }
    }
    if purpose == Purpose::Simulate {
        consumers::refuse_simulation(&pipeline, &mut diagnostics);
    } else {
        if let Some(Err(problem)) = pipeline.telemetry.as_ref().map(headwater_telemetry::check) {
            diagnostics.push(Diagnostic::new(format!("`{}` of `telemetry`: {problem}", problem.field)));
        }
        consumers::check_clients(&pipeline, &mut diagnostics);
        consumers::refuse_circles(&pipeline, &mut diagnostics);
        // Where a source could not be read, what a sink lacks is not known.
        if !diagnostics.has_errors() {
            consumers::join_sinks(&mut pipeline, &mut diagnostics);
        }
    }
    // Whoever looks at what was done needs no files any more.
    if purpose != Purpose::Inspect {
        imports::look(&pipeline, &mut diagnostics);
        one_place::refuse(&pipeline, &mut diagnostics);
    }
    // What a stand-in cannot be, the value of the variable may.
    let needed = environment.needed(&mut diagnostics, purpose == Purpose::Validate);
    if diagnostics.has_errors() {
        return Err(Failure::problems(diagnostics, needed.note(purpose == Purpose::Validate)));
    }
    warnings::warn(&pipeline, &mut diagnostics);
    let order: HashMap<&str, usize> = pipeline.order.iter().enumerate().map(|(n, name)| (name.as_str(), n)).collect();
    transforms.sort_by_key(|transform| order.get(transform.name.as_str()).copied());
    Ok(Assembled { pipeline, transforms, tests, needed, warnings: diagnostics })
}

/// A compiler that knows the shipped functions and the pipeline's tables.
pub(crate) fn compiler(pipeline: &Pipeline, diagnostics: &mut Diagnostics) -> Compiler {
    compiler_without(pipeline, diagnostics).0
}

/// The same, and the tables that cannot be loaded, which is reported.
fn compiler_without(pipeline: &Pipeline, diagnostics: &mut Diagnostics) -> (Compiler, BTreeSet<String>) {
    let mut specs = BTreeMap::new();
    for table in &pipeline.enrichment_tables {
        let spec = match &table.table {
            Table::Csv { path, delimiter, include_headers } => TableSpec::Csv {
                path: path.clone(),
                delimiter: *delimiter,
                headers: *include_headers,
                schema: BTreeMap::new(),
            },
            Table::Mmdb { path } => TableSpec::Mmdb { path: path.clone() },
        };
        specs.insert(table.name.clone(), spec);
    }
    let mut broken = BTreeSet::new();
    let tables = Tables::load(specs.clone()).or_else(|errors| {
        for error in errors {
            let table = pipeline.enrichment_tables.iter().find(|table| table.name == error.table);
            let problem =
                table.map_or_else(|| Diagnostic::new(error.to_string()), |table| table_problem(table, &error));
            diagnostics.push(problem);
            broken.insert(error.table);
        }
        // The others are looked into.
        Tables::load(specs.into_iter().filter(|(name, _)| !broken.contains(name)).collect())
    });
    let tables = tables.unwrap_or_default();
    (Compiler::new(headwater_library::functions(pipeline.ocsf_version), tables), broken)
}

fn table_problem(table: &headwater_config::TableSpec, error: &TableError) -> Diagnostic {
    let problem = Diagnostic::at(&table.span, error.to_string());
    if error.path.exists() {
        return problem;
    }
    problem.hint("check the path: a relative one begins in the folder of this file")
}

/// Where the bytes of a program were written, for errors at run time.
pub(crate) fn locate(text: &VrlText) -> Locate {
    let text = text.clone();
    Arc::new(move |offset| text.locate(offset).to_string())
}

struct Compilation<'a> {
    compiler: Compiler,
    /// Tables that cannot be loaded: that a program looks into one is no second problem.
    broken: BTreeSet<String>,
    diagnostics: &'a mut Diagnostics,
}

impl Compilation<'_> {
    fn program(&mut self, text: &VrlText) -> Option<Program> {
        let program = self.compiler.compile(text.text()).map_err(|errors| self.report(text, &errors)).ok()?;
        self.report(text, program.warnings());
        Some(program)
    }

    fn condition(&mut self, text: &VrlText) -> Option<Condition> {
        let condition =
            self.compiler.compile_condition(text.text()).map_err(|errors| self.report(text, &errors)).ok()?;
        self.report(text, condition.warnings());
        Some(condition)
    }

    fn report(&mut self, text: &VrlText, problems: &[ProgramError]) {
        let looks_into = |problem: &ProgramError, table: &String| {
            problem.message.contains(&format!("there is no enrichment table `{table}`"))
        };
        for problem in problems {
            if !self.broken.iter().any(|table| looks_into(problem, table)) {
                self.diagnostics.push(diagnosis(text, problem));
            }
        }
    }

    fn transforms(&mut self, pipeline: &Pipeline) -> Vec<TransformSpec> {
        let mut compiled = Vec::new();
        for spec in &pipeline.transforms {
            let name = &spec.name;
            let transform: Option<Arc<dyn Transform>> = match &spec.transform {
                Spec::Remap { program, drop_on_abort } => {
                    let options = RemapOptions { drop_on_abort: *drop_on_abort };
                    self.program(program).map(|done| Arc::new(Remap::new(name, done, locate(program), options)) as _)
                }
                Spec::Filter { condition } => {
                    self.condition(condition).map(|done| Arc::new(Filter::new(name, done, locate(condition))) as _)
                }
                Spec::Route { routes, reroute_unmatched } => {
                    let rules: Vec<_> = routes.iter().map(|(route, text)| self.rule(route, text)).collect();
                    let rules: Option<Vec<RouteRule>> = rules.into_iter().collect();
                    rules.map(|rules| Arc::new(Route::new(name, rules, *reroute_unmatched)) as _)
                }
            };
            if let Some(transform) = transform {
                let inputs = spec.inputs.iter().map(ToString::to_string).collect();
                let on_refusal = match spec.on_error {
                    None => OnRefusal::Judge,
                    Some(OnError::DeadLetter) => OnRefusal::DeadLetter,
                    Some(OnError::Block) => OnRefusal::Stop,
                };
                compiled.push(TransformSpec { name: name.clone(), inputs, transform, on_refusal });
            }
        }
        compiled
    }

    fn rule(&mut self, name: &str, text: &VrlText) -> Option<RouteRule> {
        let condition = self.condition(text)?;
        Some(RouteRule { name: name.to_owned(), condition, locate: locate(text) })
    }

    fn tests(&mut self, tests: &[UnitTest]) -> Vec<TestCase> {
        tests.iter().filter_map(|test| self.test(test)).collect()
    }

    fn test(&mut self, test: &UnitTest) -> Option<TestCase> {
        let mut inputs = Vec::new();
        for input in &test.inputs {
            let raw = match &input.event {
                TestEvent::Log(value) => value.to_string().into(),
                TestEvent::Raw(text) => text.clone().into(),
                TestEvent::Vrl(text) => self.made(text)?,
            };
            let metadata = serde_json::Value::Object(input.metadata.clone());
            inputs.extend(input.insert_at.iter().map(|insert_at| TestInput {
                insert_at: insert_at.clone(),
                raw: bytes::Bytes::clone(&raw),
                metadata: metadata.clone(),
            }));
        }
        let mut outputs = Vec::new();
        for output in &test.outputs {
            let mut conditions = Vec::new();
            for text in &output.conditions {
                conditions.push(TestCondition { condition: self.condition(text)?, locate: locate(text) });
            }
            outputs.extend(
                output
                    .extract_from
                    .iter()
                    .map(|from| TestOutput { extract_from: from.to_string(), conditions: conditions.clone() }),
            );
        }
        let no_outputs_from = test.no_outputs_from.iter().map(ToString::to_string).collect();
        Some(TestCase { name: test.name.clone(), inputs, outputs, no_outputs_from })
    }

    /// The event that a test input's program makes.
    fn made(&mut self, text: &VrlText) -> Option<bytes::Bytes> {
        let program = self.program(text)?;
        let none = headwater_vrl::Metas::parse(b"{}").ok()?;
        let empty = bytes::Bytes::from_static(b"{}");
        let run = headwater_vrl::run_program("input", &program, locate(text), vec![empty], &none, SystemClock.now());
        let problem = match run {
            Ok(run) if run.failed.is_empty() && !run.output.is_empty() => {
                return Some(run.output.trim_ascii().to_vec().into());
            }
            Ok(run) => run.failed.first().map_or_else(|| "it makes no event".into(), |failure| failure.reason.clone()),
            Err(problem) => problem,
        };
        self.diagnostics.push(text.problem(0..0, format!("this program should make the test's event: {problem}")));
        None
    }
}

/// The runtime's topology. `state` replaces the folder of dead letters, if given.
pub(crate) fn topology(assembled: Assembled, letters: Option<&Path>) -> Result<Topology, Failure> {
    let Assembled { pipeline, mut transforms, .. } = assembled;
    let delivering = pipeline.graph().delivering();
    transforms.retain(|spec| delivering.contains(spec.name.as_str()));
    let oversized = match (&pipeline.dead_letter, letters) {
        (_, Some(path)) => Some(path.to_owned()),
        (DeadLetter::Path(path), None) => Some(path.clone()),
        // A sink takes what can be held of them; the rest of them is kept where dead letters usually are.
        (DeadLetter::Sink(_), None) => match &pipeline.state {
            State::File { path } => Some(path.join("dead-letter")),
            State::Kafka(_) => None,
        },
    };
    let oversized = oversized.map(|folder| folder.join(OVERSIZED));
    if let Some(folder) = &oversized {
        must_be_folder(folder).map_err(|e| Failure::run(format!("the dead letters in `{}`: {e}", folder.display())))?;
        clear_parts(folder).map_err(|e| Failure::run(format!("cannot look into `{}`: {e}", folder.display())))?;
    }
    let dead_letters = match (pipeline.dead_letter, letters) {
        (DeadLetter::Sink(name), _) => DeadLetterTarget::Sink(name),
        (DeadLetter::Path(_), Some(path)) => DeadLetterTarget::Store(Box::new(letter_file(path)?)),
        (DeadLetter::Path(path), None) => DeadLetterTarget::Store(Box::new(letter_file(&path)?)),
    };
    let sources = pipeline
        .sources
        .into_iter()
        .map(|source| SourceSpec { name: source.name, built: source.built, options: source.options, simulated: false })
        .collect();
    let imports = pipeline.imports.into_iter().map(imports::spec).collect::<Result<_, _>>()?;
    let sinks = pipeline
        .sinks
        .into_iter()
        .map(|sink| SinkSpec {
            name: sink.name,
            inputs: sink.inputs.iter().map(ToString::to_string).collect(),
            sink: sink.sink,
            options: sink.options,
        })
        .collect();
    // Which of the topics are read here shows when the group has shared them.
    let consumers = Vec::new();
    Ok(Topology { sources, imports, consumers, transforms, sinks, dead_letters, oversized })
}

struct LetterFile {
    file: DeadLetterFile,
    place: String,
}

fn letter_file(path: &Path) -> Result<LetterFile, Failure> {
    DeadLetterFile::open(path)
        .map(|file| LetterFile { file, place: path.join("dead-letter.ndjson").display().to_string() })
        .map_err(|e| Failure::run(format!("cannot open the dead letters in `{}`: {e}", path.display())))
}

impl DeadLetters for LetterFile {
    fn append(&mut self, letters: &[headwater_runtime::DeadLetter]) -> io::Result<()> {
        let now = SystemClock.now();
        let letters: Vec<_> = letters
            .iter()
            .map(|letter| {
                let written =
                    headwater_sink_file::DeadLetter::new(&letter.event, &letter.component, &letter.reason, now);
                match letter.oversized.clone() {
                    Some(Oversized { sha256, bytes, file, .. }) => written.elsewhere(Elsewhere { sha256, bytes, file }),
                    None => written,
                }
            })
            .collect();
        self.file.append(&letters)
    }

    fn place(&self) -> String {
        format!("`{}`", self.place)
    }
}
