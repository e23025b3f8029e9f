//! From the text of a program to something that runs.

use crate::problem::{self, ProgramError};
use crate::tables::{Tables, functions};
use crate::unknown_facts::unknown_facts;
use std::sync::Arc;
use vrl::compiler::state::ExternalEnv;
use vrl::compiler::{CompilationResult, CompileConfig, Function, compile_with_external};
use vrl::path::{OwnedTargetPath, OwnedValuePath};

/// Compiles programs with VRL's functions, the enrichment functions and those given.
pub struct Compiler {
    functions: Vec<Box<dyn Function>>,
}

/// A compiled program. Cheap to clone; runs on several threads at once.
#[derive(Debug, Clone)]
pub struct Program {
    pub(crate) vrl: Arc<vrl::compiler::Program>,
    warnings: Vec<ProgramError>,
}

/// A compiled program that changes nothing and returns a boolean.
#[derive(Debug, Clone)]
pub struct Condition(pub(crate) Program);

impl Compiler {
    /// A compiler for programs that may also call `extra_functions` and look into `tables`. An extra function hides
    /// one of VRL's with the same name.
    pub fn new(extra_functions: Vec<Box<dyn Function>>, tables: Tables) -> Self {
        let mut own = functions(&tables);
        own.extend(extra_functions);
        let mut functions: Vec<_> = vrl::stdlib::all();
        functions.retain(|function| own.iter().all(|ours| ours.identifier() != function.identifier()));
        functions.extend(own);
        Self { functions }
    }

    /// Compiles a program that may change the event and its metadata, but not `%headwater`.
    ///
    /// # Errors
    /// Everything that is wrong with it, in order of position.
    pub fn compile(&self, program: &str) -> Result<Program, Vec<ProgramError>> {
        let mut config = CompileConfig::default();
        config.set_read_only_path(OwnedTargetPath::metadata(OwnedValuePath::single_field("headwater")), true);
        self.compile_with(program, config)
    }

    /// Compiles a condition: it must return a boolean, and may neither change anything nor `abort`.
    ///
    /// # Errors
    /// Everything that is wrong with it, in order of position.
    pub fn compile_condition(&self, program: &str) -> Result<Condition, Vec<ProgramError>> {
        let mut config = CompileConfig::default();
        config.set_read_only();
        let compiled = self.compile_with(program, config)?;
        let kind = compiled.vrl.final_type_info().result.kind().clone();
        if !kind.is_boolean() {
            return Err(vec![ProgramError::whole(
                program,
                &format!("a condition must be a boolean, this is {kind}"),
                "compare, as in `.action == \"login\"`, or coerce, as in `bool!(.flag)`",
            )]);
        }
        if compiled.vrl.info().abortable {
            return Err(vec![ProgramError::whole(
                program,
                "a condition cannot `abort`",
                "return `false` instead, or use a `remap` transform to drop events",
            )]);
        }
        Ok(Condition(compiled))
    }

    fn compile_with(&self, program: &str, config: CompileConfig) -> Result<Program, Vec<ProgramError>> {
        match compile_with_external(program, &self.functions, &ExternalEnv::default(), config) {
            Ok(CompilationResult { program: vrl, warnings, .. }) => {
                let mut warnings = problem::all(warnings, program);
                warnings.extend(unknown_facts(program, vrl.info()));
                Ok(Program { vrl: Arc::new(vrl), warnings })
            }
            Err(problems) => Err(problem::all(problems, program)),
        }
    }
}

impl Program {
    /// What the compiler noticed: results that nobody uses, deprecated functions.
    pub fn warnings(&self) -> &[ProgramError] {
        &self.warnings
    }
}

impl Condition {
    /// What the compiler noticed.
    pub fn warnings(&self) -> &[ProgramError] {
        self.0.warnings()
    }
}
