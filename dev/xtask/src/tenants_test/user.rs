//! A tenant's user: what they try, and what they see.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::cluster::{Cluster, Error, done};

/// How long an object may take until it shows what it must.
const LIMIT: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(200);

pub struct User<'a> {
    pub cluster: &'a Cluster,
    pub name: &'a str,
    /// The only namespace that they may edit.
    pub namespace: &'a str,
}

impl User<'_> {
    /// kubectl in the own namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, Error> {
        self.kubectl_in(self.namespace, arguments)
    }

    pub fn kubectl_in(&self, namespace: &str, arguments: &[&str]) -> Result<String, Error> {
        let impersonated = ["--as", self.name, "--as-group", "tenants"];
        self.cluster
            .kubectl(namespace, &[&impersonated[..], arguments].concat())
    }

    /// Makes an object.
    pub fn make(&self, name: &str, spec: &Value) -> Result<String, Error> {
        self.make_in(self.namespace, &json!({ "name": name }), spec)
    }

    pub fn make_in(
        &self,
        namespace: &str,
        metadata: &Value,
        spec: &Value,
    ) -> Result<String, Error> {
        let object = json!({
            "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTask",
            "metadata": metadata, "spec": spec,
        });
        let create = ["--as", self.name, "--as-group", "tenants", "create"];
        self.cluster
            .kubectl_with(namespace, &create, &object.to_string())
    }

    /// What they try must fail with that text.
    pub fn refused(
        &self,
        what: &str,
        tried: Result<String, Error>,
        text: &str,
    ) -> Result<(), Error> {
        match tried {
            Err(Error::Failed { output, .. }) => {
                let Some(begin) = output.find(text) else {
                    return Err(self.not_kept(what, &format!("{output:?} has no {text:?}")));
                };
                self.say(what, &output[begin..]);
                Ok(())
            }
            Err(other) => Err(other),
            Ok(output) => Err(self.not_kept(what, &format!("it was done: {output}"))),
        }
    }

    /// An object that they make comes to show that reason, and nothing of a task.
    pub fn told(&self, what: &str, name: &str, spec: &Value, reason: &str) -> Result<(), Error> {
        self.make(name, spec)?;
        let status = self.until(name, reason)?;
        if let Some(shown) = ["state", "clusterId", "taskResult"]
            .iter()
            .find(|field| !status[*field].is_null())
        {
            return Err(self.not_kept(what, &format!("{name} shows {shown}")));
        }
        let message = status["conditions"][0]["message"].as_str();
        self.say(what, &format!("{reason}: {}", message.unwrap_or_default()));
        Ok(())
    }

    /// Waits until an object has that reason. Returns its status.
    pub fn until(&self, name: &str, reason: &str) -> Result<Value, Error> {
        let begin = Instant::now();
        loop {
            let status = self.status(name)?;
            let found = &status["conditions"][0]["reason"];
            if found == reason {
                return Ok(status);
            }
            if begin.elapsed() > LIMIT {
                return Err(Error::Unexpected {
                    name: format!("{}/{name}", self.namespace),
                    expected: reason.to_owned(),
                    found: found.to_string(),
                });
            }
            thread::sleep(LOOK);
        }
    }

    /// The status of an object, without times, which differ for any two of them.
    pub fn status(&self, name: &str) -> Result<Value, Error> {
        let get = ["get", "scaleouttask", name, "--output=jsonpath={.status}"];
        let text = self.kubectl(&get)?;
        let mut status: Value = serde_json::from_str(&text)
            .map_err(|error| Error::NotKept(format!("{text}: {error}")))?;
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            condition["lastTransitionTime"].take();
        }
        Ok(status)
    }

    pub fn say(&self, tried: &str, seen: &str) {
        let seen: String = seen.split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = seen.chars().take(200).collect();
        done(&format!("{}: {tried}: {short}", self.name));
    }

    pub fn not_kept(&self, tried: &str, seen: &str) -> Error {
        Error::NotKept(format!("{}: {tried}: {}", self.name, seen.trim()))
    }
}
