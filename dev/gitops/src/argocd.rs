//! Argo CD's verdict, from the script in `docs/gitops/argocd`.

use std::time::{Duration, Instant};

use mlua::{HookTriggers, Lua, LuaOptions, StdLib, Table, VmState};
use serde::{
    Deserialize,
    de::value::{Error as Unnamed, StrDeserializer},
};
use serde_json::Value;

use crate::{Error, Health, field::kind};

#[cfg(test)]
mod tests;

/// The scripts that users copy, each for its kind.
const SCRIPTS: [(&str, &str); 2] = [
    (
        "ScaleOutTask",
        include_str!("../../../docs/gitops/argocd/scaleout.dev/ScaleOutTask/health.lua"),
    ),
    (
        "ScaleOutTaskSource",
        include_str!("../../../docs/gitops/argocd/scaleout.dev/ScaleOutTaskSource/health.lua"),
    ),
];
/// The time limit of Argo CD for a script.
const TIME_LIMIT: Duration = Duration::from_secs(1);
/// The time is checked each time after this many instructions.
const CHECK_EVERY: u32 = 10_000;

/// A health status of Argo CD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ArgoCd {
    /// The object is as it should be.
    Healthy,
    /// It will become healthy.
    Progressing,
    /// It won't become healthy by itself.
    Degraded,
    /// It waits because somebody suspended it.
    Suspended,
    /// It doesn't exist.
    Missing,
    /// No verdict.
    Unknown,
}

impl ArgoCd {
    /// The same status in kstatus, which has none for the last two.
    #[must_use]
    pub fn health(self) -> Option<Health> {
        match self {
            Self::Healthy => Some(Health::Current),
            Self::Degraded => Some(Health::Failed),
            Self::Progressing | Self::Suspended => Some(Health::InProgress),
            Self::Missing | Self::Unknown => None,
        }
    }
}

/// The object's health and message, like `VM.ExecuteHealthLua` in `util/lua/lua.go` of
/// github.com/argoproj/argo-cd. For an object with a deletion timestamp, Argo CD doesn't run the
/// script: it is `Progressing`.
///
/// The script gets the global `obj` and has one second. Argo CD opens the libraries base, table,
/// package and two functions of os, and string and math only if the operator sets `useOpenLibs`. Here,
/// only base and table are open, so the script must not need the others.
pub fn argocd(object: &Value) -> Result<(ArgoCd, String), Error> {
    let kind = kind(object)?;
    let script = SCRIPTS.iter().find(|(own, _)| *own == kind);
    let (_, script) = script.ok_or_else(|| Error::UnknownKind(kind.to_owned()))?;
    run(script, object)
}

fn run(script: &str, object: &Value) -> Result<(ArgoCd, String), Error> {
    let lua = Lua::new_with(StdLib::TABLE, LuaOptions::default())?;
    let began = Instant::now();
    let triggers = HookTriggers::new().every_nth_instruction(CHECK_EVERY);
    lua.set_hook(triggers, move |_, _| match began.elapsed() {
        elapsed if elapsed > TIME_LIMIT => Err(mlua::Error::runtime("it takes too long")),
        _ => Ok(VmState::Continue),
    })?;
    lua.globals().set("obj", value_of(&lua, object)?)?;
    let returned: mlua::Value = lua.load(script).eval()?;
    let health = returned
        .as_table()
        .ok_or_else(|| Error::NoTable(returned.type_name()))?;
    verdict(health)
}

fn verdict(health: &Table) -> Result<(ArgoCd, String), Error> {
    let status: Option<String> = health.get("status")?;
    let message: Option<String> = health.get("message")?;
    let name = StrDeserializer::<Unnamed>::new(status.as_deref().unwrap_or_default());
    Ok(match ArgoCd::deserialize(name) {
        Ok(status) => (status, message.unwrap_or_default()),
        Err(_) => (
            ArgoCd::Unknown,
            "Lua returned an invalid health status".to_owned(),
        ),
    })
}

/// Like `decodeValue` in the same file. Null becomes nil, so the field is absent.
fn value_of(lua: &Lua, value: &Value) -> mlua::Result<mlua::Value> {
    Ok(match value {
        Value::Null => mlua::Value::Nil,
        Value::Bool(value) => mlua::Value::Boolean(*value),
        // All numbers in Lua 5.1 are floating-point.
        Value::Number(number) => number
            .as_f64()
            .map_or(mlua::Value::Nil, mlua::Value::Number),
        Value::String(text) => mlua::Value::String(lua.create_string(text)?),
        Value::Array(items) => {
            let items = items.iter().map(|item| value_of(lua, item));
            let items = items.collect::<mlua::Result<Vec<_>>>()?;
            mlua::Value::Table(lua.create_sequence_from(items)?)
        }
        Value::Object(fields) => {
            let table = lua.create_table()?;
            for (name, value) in fields {
                table.raw_set(name.as_str(), value_of(lua, value)?)?;
            }
            mlua::Value::Table(table)
        }
    })
}
