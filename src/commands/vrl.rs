//! `headwater vrl`.

use crate::{
    Failure,
    assemble::{Purpose, assemble, compiler},
    terminal,
};
use headwater_config::{Diagnostics, SourceFile, VrlText};
use headwater_contracts::{Clock, files::read_text};
use headwater_runtime::SystemClock;
use headwater_vrl::{Compiler, Metas, Tables, render, run_program};
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};
use tracing::Level;

/// Runs a program on raw events, NDJSON to stdout; drops and failures to stderr.
pub(crate) fn vrl(program: &str, input: &str, metadata: Option<&Path>, config: &[PathBuf]) -> Result<(), Failure> {
    let text = match program.strip_prefix("builtin:") {
        Some(name) => headwater_library::builtin(name).map(str::to_owned).ok_or_else(|| {
            let names: Vec<&str> = headwater_library::builtins().iter().map(|(name, _)| *name).collect();
            Failure::usage(format!("there is no `{program}` (there is: builtin:{})", names.join(", builtin:")))
        })?,
        None => read(program)?,
    };
    let compiler = if config.is_empty() {
        Compiler::new(headwater_library::functions(headwater_contracts::OcsfVersion::default()), Tables::default())
    } else {
        compiler(&assemble(config, Purpose::Inspect)?.pipeline, &mut Diagnostics::default())
    };
    let compiled = compiler.compile(&text).map_err(|problems| Failure::program(render(program, &text, &problems)))?;
    if !compiled.warnings().is_empty() {
        terminal::tell(Level::WARN, render(program, &text, compiled.warnings()).trim_end());
    }
    let metas = match metadata {
        Some(path) => Metas::parse(read(&path.display().to_string())?.as_bytes()),
        None => Metas::parse(b"{}"),
    };
    let metas = metas.map_err(|problem| Failure::usage(format!("--metadata: {problem}")))?;
    let events = read(input)?;
    let events: Vec<&str> = events.lines().filter(|line| !line.trim().is_empty()).collect();
    if metadata.is_none() && text.contains("%headwater") {
        super::remark("without --metadata, `%headwater` is empty: say at least `{\"provider\": \"pactflow\"}`");
    }
    let events = events.into_iter().map(|line| bytes::Bytes::from(line.to_owned()));
    let whole = VrlText::whole(SourceFile::new(program, "", text.as_str()));
    let run =
        run_program(program, &compiled, crate::assemble::locate(&whole), events.collect(), &metas, SystemClock.now())
            .map_err(Failure::usage)?;
    super::print_json(&run.output)?;
    for number in &run.dropped {
        super::remark(format_args!("event {number}: dropped"));
    }
    for failure in &run.failed {
        super::complain(format_args!("event {}: {}", failure.event, failure.reason));
    }
    if run.failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::run(format!("the program failed on {} events", run.failed.len())))
    }
}

fn read(path: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let done = if path == "-" {
        io::stdin().read_to_string(&mut text).map(|_| ())
    } else {
        read_text(Path::new(path)).map(|all| text = all)
    };
    done.map_err(|e| Failure::usage(format!("cannot read `{path}`: {e}")))?;
    Ok(text)
}
