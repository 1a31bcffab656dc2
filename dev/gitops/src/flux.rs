//! Flux's verdict, by the expressions of `docs/gitops/flux/health-check-exprs.yaml`.

use std::{collections::HashMap, sync::LazyLock};

use cel::{Context, Program};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Error, Health,
    field::{generation, observed_generation},
};

#[cfg(test)]
mod tests;

/// The Kustomization as people copy it.
const KUSTOMIZATION: &str = include_str!("../../../docs/gitops/flux/health-check-exprs.yaml");
const API_VERSION: &str = "scaleout.dev/v1alpha1";
const KIND: &str = "ScaleOutTask";

static EXPRESSIONS: LazyLock<Result<Vec<Expression>, Error>> =
    LazyLock::new(|| expressions(KUSTOMIZATION));

/// The object's status by `StatusEvaluator.Evaluate` of github.com/fluxcd/pkg,
/// `runtime/cel/status_evaluator.go` (RFC 0009): in progress where the status is of another
/// generation; else as the first of `inProgress`, `failed` and `current` says that is true; else in
/// progress. The expressions see each top-level field of the object as a variable. An error stands
/// for what Flux shows as `Unknown`, and waits on.
///
/// Flux adds extensions to CEL (strings, sets, encoders, optional values); none of them is here.
pub fn flux(object: &Value) -> Result<Health, Error> {
    // What isn't an integer is none of its business.
    if let (Ok(Some(observed)), Ok(Some(generation))) =
        (observed_generation(object), generation(object))
        && observed != generation
    {
        return Ok(Health::InProgress);
    }
    first_true(EXPRESSIONS.as_ref().map_err(Clone::clone)?, object)
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

/// What an object is where an expression is true.
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

/// In Flux's order, whatever that of the file is.
fn expressions(kustomization: &str) -> Result<Vec<Expression>, Error> {
    let kustomization: Kustomization = serde_saphyr::from_str(kustomization)
        .map_err(|error| Error::Kustomization(error.to_string()))?;
    let mut checks = kustomization.spec.health_check_exprs.into_iter();
    let check = checks
        .find(|check| check.api_version == API_VERSION && check.kind == KIND)
        .ok_or(Error::NoExpressions(KIND))?;
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

/// By hand, for integers are `int` to Flux, and not `uint` where they aren't negative.
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
