//! The host function `normalize_ocsf`.

use crate::meta::Meta;
use crate::normalize::normalize;
use crate::version::rewrite;
use headwater_contracts::OcsfVersion;
use std::sync::LazyLock;
use vrl::compiler::function::{ArgumentList, Compiled, Example, FunctionCompileContext, Parameter};
use vrl::compiler::prelude::{Category, function, kind};
use vrl::compiler::state::{ExternalEnv, TypeInfo, TypeState};
use vrl::compiler::{Context, Expression, Function, Resolved, TypeDef};
use vrl::path::{OwnedTargetPath, OwnedValuePath};
use vrl::value::kind::Collection;
use vrl::value::{Kind, Value};

static REDACT: Value = Value::Boolean(true);

static EVENT: LazyLock<OwnedTargetPath> = LazyLock::new(OwnedTargetPath::event_root);

/// `%headwater`.
static METADATA: LazyLock<OwnedTargetPath> =
    LazyLock::new(|| OwnedTargetPath::metadata(OwnedValuePath::single_field("headwater")));

const PARAMETERS: &[Parameter] = &[
    Parameter::required("provider", kind::ANY, "The provider's id. One without a mapping table gives a Base Event."),
    Parameter::optional("redact", kind::BOOLEAN, "Whether secrets become `[REDACTED]`.").default(&REDACT),
];

/// `normalize_ocsf(provider, redact: true)`: turns `.` into an OCSF event, in place, and returns its `type_uid`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NormalizeOcsf {
    /// The release of OCSF to write.
    pub(crate) version: OcsfVersion,
}

impl Function for NormalizeOcsf {
    fn identifier(&self) -> &'static str {
        "normalize_ocsf"
    }

    fn summary(&self) -> &'static str {
        "turn the event into OCSF"
    }

    fn usage(&self) -> &'static str {
        "Turns `.` into an OCSF event of the pipeline's `ocsf_version`, in place, with the mapping table of `provider` and what `%headwater` says. \
         Never fails: what no attribute represents is under `.unmapped`. Returns the event's `type_uid`."
    }

    fn category(&self) -> &'static str {
        Category::Object.as_ref()
    }

    fn return_kind(&self) -> u16 {
        kind::INTEGER
    }

    fn pure(&self) -> bool {
        false
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn compile(&self, _: &TypeState, ctx: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        if ctx.is_read_only_path(&EVENT) {
            let context = "`.` is read-only, and cannot be normalized".to_owned();
            return Err(function::Error::ReadOnlyMutation { context }.into());
        }
        let (provider, redact) = (arguments.required("provider"), arguments.optional("redact"));
        Ok(Box::new(NormalizeOcsfFn { provider, redact, version: self.version }))
    }
}

#[derive(Debug, Clone)]
struct NormalizeOcsfFn {
    provider: Box<dyn Expression>,
    redact: Option<Box<dyn Expression>>,
    version: OcsfVersion,
}

impl Expression for NormalizeOcsfFn {
    fn resolve(&self, ctx: &mut Context) -> Resolved {
        let provider = match self.provider.resolve(ctx)? {
            text @ (Value::Bytes(_) | Value::String(_)) => text.to_string_lossy().into_owned(),
            _ => String::new(),
        };
        let redact = match &self.redact {
            Some(redact) => redact.resolve(ctx)? != Value::Boolean(false),
            None => true,
        };
        let meta = Meta::read(ctx.target().target_get(&METADATA).ok().flatten());
        let event = ctx.target_mut().target_get_mut(&EVENT)?.map(|event| {
            let raw = std::mem::replace(event, Value::Null);
            let (mut normalized, type_uid) = normalize(raw, &provider, &meta, redact);
            if let Value::Object(event) = &mut normalized {
                rewrite(self.version, event);
            }
            *event = normalized;
            type_uid
        });
        Ok(event.map_or(Value::Null, Value::from))
    }

    fn type_info(&self, state: &TypeState) -> TypeInfo {
        let mut state = state.clone();
        // Whatever was known of `.` is known no more.
        let event = Kind::object(Collection::any());
        state.external = ExternalEnv::new_with_kind(event, state.external.metadata_kind().clone());
        TypeInfo::new(state, TypeDef::integer().infallible().impure())
    }
}
