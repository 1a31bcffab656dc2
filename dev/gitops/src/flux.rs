//! Flux's verdict, from the expressions in `docs/gitops/flux/health-check-exprs.yaml`.

use std::{collections::HashMap, sync::LazyLock};

use cel::{Context, Program};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Error, Health,
    field::{generation, kind, observed_generation},
};

#[cfg(test)]
mod tests;

/// The Kustomization that users copy.
const KUSTOMIZATION: &str = include_str!("../../../docs/gitops/flux/health-check-exprs.yaml");
const API_VERSION: &str = "scaleout.dev/v1alpha1";

type Expressions = Result<Vec<Expression>, Error>;

static OF_TASKS: LazyLock<Expressions> =
    LazyLock::new(|| expressions(KUSTOMIZATION, "ScaleOutTask"));
static OF_SOURCES: LazyLock<Expressions> =
    LazyLock::new(|| expressions(KUSTOMIZATION, "ScaleOutTaskSource"));

/// The object's status, like `StatusEvaluator.Evaluate` in `runtime/cel/status_evaluator.go` of
/// github.com/fluxcd/pkg (RFC 0009).
///
/// It is in progress if the status is about another generation. Otherwise, the first of `inProgress`,
/// `failed` and `current` that is true decides. If none is, it is in progress. Each top-level field of
/// the object is a variable. On an error, Flux shows `Unknown` and keeps waiting.
///
/// Flux adds extensions to CEL (strings, sets, encoders, optional values), which are missing here.
pub fn flux(object: &Value) -> Result<Health, Error> {
    // Like Flux, ignores generations that aren't integers.
    if let (Ok(Some(observed)), Ok(Some(generation))) =
        (observed_generation(object), generation(object))
        && observed != generation
    {
        return Ok(Health::InProgress);
    }
    let expressions = match kind(object)? {
        "ScaleOutTask" => &OF_TASKS,
        "ScaleOutTaskSource" => &OF_SOURCES,
        other => return Err(Error::UnknownKind(other.to_owned())),
    };
    first_true(expressions.as_ref().map_err(Clone::clone)?, object)
}

fn first_true(expressions: &[Expression], object: &Value) -> Result<Health, Error> {
    let context = context(object);
    for expression in expressions {
        if expression.is_true(&context)? {
            return Ok(expression.meaning);
        }
    }
    Ok(Health::InProgress)
}

/// An expression, and the status of an object for which it is true.
struct Expression {
    text: String,
    program: Program,
    meaning: Health,
}

impl Expression {
    fn new(text: String, meaning: Health) -> Result<Self, Error> {
        match Program::compile(&text) {
            Ok(program) => Ok(Self {
                text,
                program,
                meaning,
            }),
            Err(error) => Err(Error::Syntax {
                expression: text,
                reason: error.to_string(),
            }),
        }
    }

    fn is_true(&self, context: &Context) -> Result<bool, Error> {
        let reason = match self.program.execute(context) {
            Ok(cel::Value::Bool(value)) => return Ok(value),
            Ok(value) => format!("{value:?} is no bool"),
            Err(error) => error.to_string(),
        };
        Err(Error::Evaluation {
            expression: self.text.clone(),
            reason,
        })
    }
}

#[derive(Deserialize)]
struct Kustomization {
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    health_check_exprs: Vec<HealthCheck>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HealthCheck {
    api_version: String,
    kind: String,
    in_progress: Option<String>,
    failed: Option<String>,
    current: String,
}

/// The expressions in Flux's order, which may differ from the order in the file.
fn expressions(kustomization: &str, kind: &str) -> Expressions {
    let kustomization: Kustomization = serde_saphyr::from_str(kustomization)
        .map_err(|error| Error::Kustomization(error.to_string()))?;
    let mut checks = kustomization.spec.health_check_exprs.into_iter();
    let check = checks
        .find(|check| check.api_version == API_VERSION && check.kind == kind)
        .ok_or_else(|| Error::NoExpressions(kind.to_owned()))?;
    let texts = [
        (check.in_progress, Health::InProgress),
        (check.failed, Health::Failed),
        (Some(check.current), Health::Current),
    ];
    texts
        .into_iter()
        .filter_map(|(text, meaning)| Some(Expression::new(text?, meaning)))
        .collect()
}

fn context(object: &Value) -> Context<'_, '_> {
    let mut context = Context::default();
    for (name, value) in object.as_object().into_iter().flatten() {
        context.add_variable_from_value(name, value_of(value));
    }
    context
}

/// Converted by hand, because in Flux all integers are `int`. The crate's own conversion makes
/// non-negative ones `uint`.
fn value_of(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => cel::Value::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => cel::Value::Int(integer),
            (None, Some(float)) => cel::Value::Float(float),
            (None, None) => cel::Value::Null,
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(value_of).collect::<Vec<_>>().into(),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.as_str(), value_of(value)));
            fields.collect::<HashMap<_, _>>().into()
        }
    }
}
