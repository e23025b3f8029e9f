//! `get_enrichment_table_record` and `find_enrichment_table_records`, under Vector's names and with its arguments.

use super::{Between, Lookup, Question, Table, Tables};
use std::fmt;
use std::sync::Arc;
use vrl::compiler::Function;
use vrl::compiler::expression::{Container, Expr, Variant};
use vrl::compiler::prelude::{
    ArgumentList, Collection, Compiled, ConstOrExpr, Context, DiagnosticMessage, Example, Expression as _,
    ExpressionError, FunctionCompileContext, FunctionExpression, Kind, Note, Parameter, Resolved, Span, TypeDef,
    TypeState, Value, kind,
};
use vrl::diagnostic::Label;

/// Both functions, over `tables`.
pub(crate) fn functions(tables: &Tables) -> Vec<Box<dyn Function>> {
    [Wanted::One, Wanted::All]
        .map(|wanted| Box::new(Enrichment { wanted, tables: tables.clone() }) as Box<dyn Function>)
        .into()
}

/// Which rows a function gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The one row that matches; an error if none or more than one does.
    One,
    /// All rows that match, perhaps none.
    All,
}

#[derive(Debug)]
struct Enrichment {
    wanted: Wanted,
    tables: Tables,
}

const PARAMETERS: &[Parameter] = &[
    Parameter::required("table", kind::BYTES, "The name of the enrichment table."),
    Parameter::required(
        "condition",
        kind::OBJECT,
        "Column names with the value each must have, or `{ \"from\": TIME, \"to\": TIME }`. All must hold.",
    ),
    Parameter::optional("select", kind::ARRAY, "The columns to return. Default: all."),
    Parameter::optional("case_sensitive", kind::BOOLEAN, "Whether the case of text counts. Default: true."),
];

impl Function for Enrichment {
    fn identifier(&self) -> &'static str {
        match self.wanted {
            Wanted::One => "get_enrichment_table_record",
            Wanted::All => "find_enrichment_table_records",
        }
    }

    fn summary(&self) -> &'static str {
        match self.wanted {
            Wanted::One => "the row of an enrichment table that matches",
            Wanted::All => "all rows of an enrichment table that match",
        }
    }

    fn usage(&self) -> &'static str {
        match self.wanted {
            Wanted::One => {
                "Looks into an enrichment table for the one row that meets the condition. Fails if no row does, or more than one."
            }
            Wanted::All => "Looks into an enrichment table for all rows that meet the condition.",
        }
    }

    fn category(&self) -> &'static str {
        "Enrichment"
    }

    fn return_kind(&self) -> u16 {
        match self.wanted {
            Wanted::One => kind::OBJECT,
            Wanted::All => kind::ARRAY,
        }
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn compile(&self, state: &TypeState, context: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        let refuse = |message: String, hint: String| -> Box<dyn DiagnosticMessage> {
            Box::new(Refusal { message, hint, span: context.span() })
        };
        let name = arguments.required_literal("table", state)?.to_string_lossy().into_owned();
        let table = self.tables.get(&name).map_err(|near| {
            let hint = match (near, self.tables.names().as_slice()) {
                (Some(near), _) => format!("did you mean `{near}`?"),
                (None, []) => "the pipeline has no `enrichment_tables`".to_owned(),
                (None, names) => format!("tables: {}", names.join(", ")),
            };
            refuse(format!("there is no enrichment table `{name}`"), hint)
        })?;
        let (equal, between) = conditions(arguments.required_object("condition")?.into_iter());
        let select = ConstOrExpr::optional(arguments.optional("select"), state);
        let constant = match &select {
            Some(ConstOrExpr::Const(value)) => Some(
                columns(value).map_err(|problem| refuse(problem, "for example `select: [\"email\"]`".to_owned()))?,
            ),
            _ => None,
        };
        let case_sensitive = match arguments.optional_literal("case_sensitive", state)? {
            Some(value) => value.as_boolean().unwrap_or(true),
            None => true,
        };
        let prepared = table
            .prepare(Question {
                equal: &equal.iter().map(|(column, _)| column.clone()).collect::<Vec<_>>(),
                between: &between.iter().map(|range| range.column.clone()).collect::<Vec<_>>(),
                select: constant.as_deref(),
                case_sensitive,
            })
            .map_err(|problem| refuse(problem, "the condition names columns of the table".to_owned()))?;
        let select = match (constant, select) {
            (Some(columns), _) => Select::These(columns),
            (None, Some(ConstOrExpr::Expr(expression))) => Select::Asked(expression),
            (None, _) => Select::All,
        };
        let table = Arc::clone(table);
        Ok(Call { wanted: self.wanted, table, prepared, equal, between, select }.as_expr())
    }
}

/// Splits a condition into columns that must equal a value and those that must lie in a range.
fn conditions(object: impl Iterator<Item = (vrl::value::KeyString, Expr)>) -> (Vec<(String, Expr)>, Vec<BetweenExpr>) {
    let mut equal = Vec::new();
    let mut between = Vec::new();
    for (column, value) in object {
        let column = column.to_string();
        match &value {
            Expr::Container(Container { variant: Variant::Object(range) })
                if range.contains_key("from") || range.contains_key("to") =>
            {
                let (from, to) = (range.get("from").cloned(), range.get("to").cloned());
                between.push(BetweenExpr { column, from, to });
            }
            _ => equal.push((column, value)),
        }
    }
    (equal, between)
}

fn columns(value: &Value) -> Result<Vec<String>, String> {
    let wrong = || format!("`select` must be an array of column names, this is {value}");
    let Value::Array(items) = value else { return Err(wrong()) };
    items.iter().map(|item| item.to_str_lossy().map(std::borrow::Cow::into_owned).ok_or_else(wrong)).collect()
}

#[derive(Debug, Clone)]
struct BetweenExpr {
    column: String,
    from: Option<Expr>,
    to: Option<Expr>,
}

#[derive(Debug, Clone)]
enum Select {
    All,
    These(Vec<String>),
    Asked(Box<dyn vrl::compiler::Expression>),
}

/// One call in a program.
#[derive(Debug, Clone)]
struct Call {
    wanted: Wanted,
    table: Arc<Table>,
    prepared: usize,
    equal: Vec<(String, Expr)>,
    between: Vec<BetweenExpr>,
    select: Select,
}

impl FunctionExpression for Call {
    fn resolve(&self, context: &mut Context) -> Resolved {
        let equal = self.equal.iter().map(|(_, value)| value.resolve(context)).collect::<Result<_, _>>()?;
        let mut between = Vec::with_capacity(self.between.len());
        for range in &self.between {
            between.push(Between {
                column: range.column.clone(),
                from: instant(range.from.as_ref(), &range.column, context)?,
                to: instant(range.to.as_ref(), &range.column, context)?,
            });
        }
        let asked;
        let select = match &self.select {
            Select::All => None,
            Select::These(columns) => Some(columns.as_slice()),
            Select::Asked(expression) => {
                asked = columns(&expression.resolve(context)?)?;
                Some(asked.as_slice())
            }
        };
        let limit = match self.wanted {
            // The second shows that there is more than one.
            Wanted::One => 2,
            Wanted::All => usize::MAX,
        };
        let mut rows = self.table.find(self.prepared, &Lookup { equal, between, select, limit })?;
        match (self.wanted, rows.pop()) {
            (Wanted::All, last) => Ok(Value::Array(rows.into_iter().chain(last).map(Value::Object).collect())),
            (Wanted::One, Some(row)) if rows.is_empty() => Ok(Value::Object(row)),
            (Wanted::One, None) => Err(format!("no row of enrichment table `{}` matches", self.table.name).into()),
            (Wanted::One, Some(_)) => {
                Err(format!("more than one row of enrichment table `{}` matches", self.table.name).into())
            }
        }
    }

    fn type_def(&self, _: &TypeState) -> TypeDef {
        match self.wanted {
            Wanted::One => TypeDef::object(Collection::any()).fallible(),
            Wanted::All => TypeDef::array(Collection::from_unknown(Kind::object(Collection::any()))).fallible(),
        }
    }
}

fn instant(
    expression: Option<&Expr>,
    column: &str,
    context: &mut Context,
) -> Result<Option<headwater_contracts::Timestamp>, ExpressionError> {
    match expression.map(|expression| expression.resolve(context)).transpose()? {
        None => Ok(None),
        Some(Value::Timestamp(time)) => Ok(Some(time)),
        Some(other) => {
            Err(format!("the range of column `{column}` must be timestamps, this is {}", other.kind_str()).into())
        }
    }
}

/// A call that cannot work, found while compiling.
#[derive(Debug)]
struct Refusal {
    message: String,
    hint: String,
    span: Span,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl DiagnosticMessage for Refusal {
    fn code(&self) -> usize {
        0
    }

    fn labels(&self) -> Vec<Label> {
        vec![Label::primary(self.message.clone(), self.span)]
    }

    fn notes(&self) -> Vec<Note> {
        vec![Note::Hint(self.hint.clone())]
    }
}
