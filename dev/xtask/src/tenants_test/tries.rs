//! What tenants try in each set-up, or in two of them.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::user::User;
use crate::cluster::{Error, NAME};

/// How long poll requests are made, one after the other.
const STORM: Duration = Duration::from_secs(12);
/// How often one of them counts.
const REQUEST_PERIOD: u64 = 5;

impl User<'_> {
    /// The own task, beside all that is tried, comes to its end.
    pub fn sees_own_task_end(&self) -> Result<(), Error> {
        let status = self.until("good", "TaskSucceeded")?;
        self.say("sees the own task end", &status["progress"].to_string());
        Ok(())
    }

    /// What is the controller's is none of their business.
    pub fn sees_nothing_of(&self, system: &str) -> Result<(), Error> {
        let log = format!("/api/v1/namespaces/{system}/pods/{NAME}-0/log");
        for arguments in [
            &["get", "secret", "task-api"][..],
            &["get", "configmaps"],
            &["get", "lease", NAME],
            &["get", "--raw", &log],
            &["create", "token", NAME],
        ] {
            let what = format!("{} in {system}", arguments.join(" "));
            self.refused(&what, self.kubectl_in(system, arguments), "forbidden")?;
        }
        Ok(())
    }

    /// Another's namespace isn't theirs, nor is a status.
    pub fn stays_in_own_namespace(&self, other: &str) -> Result<(), Error> {
        let spec = json!({ "taskId": "T-1" });
        let made = self.make_in(other, &json!({ "name": "mine" }), &spec);
        self.refused("an object in another namespace", made, "forbidden")?;
        let read = self.kubectl_in(other, &["get", "scaleouttasks"]);
        self.refused("another namespace's objects", read, "forbidden")?;
        let status = r#"--patch={"status":{"state":"success"}}"#;
        let patch = ["patch", "sot", "good", "--type=merge", status];
        let patched = self.kubectl(&[&patch[..], &["--subresource=status"]].concat());
        self.refused("a status written by hand", patched, "forbidden")
    }

    /// A region is no way to another host.
    pub fn chooses_no_host(&self) -> Result<(), Error> {
        let spec = json!({ "taskId": "T-1", "region": "evil.example.com" });
        let made = self.make("host", &spec);
        self.refused("a host as region", made, "region must be 1 to 32")
    }

    /// The release uses no Secret of theirs, although it is there.
    pub fn brings_no_credentials(&self, secret: &str) -> Result<(), Error> {
        let spec = json!({ "taskId": "T-a-good", "credentialsSecretRef": { "name": secret } });
        self.told(
            "credentials of a Secret",
            "secret",
            &spec,
            "CredentialsInvalid",
        )
    }

    /// One poll request after the other: each is seen, but only one in some seconds counts.
    pub fn storms(&self) -> Result<(), Error> {
        let begin = Instant::now();
        let mut requests = 0;
        let mut handled = BTreeSet::new();
        while begin.elapsed() < STORM {
            requests += 1;
            let request = format!("scaleout.dev/poll-requested-at={requests}");
            self.kubectl(&["annotate", "--overwrite", "sot", "good", &request])?;
            let status = self.status("good")?;
            handled.extend(status["lastHandledPollRequest"].as_str().map(str::to_owned));
        }
        let most = begin.elapsed().as_secs() / REQUEST_PERIOD + 1;
        let what = format!(
            "{requests} poll requests in {} s",
            begin.elapsed().as_secs()
        );
        let seen = handled.len() as u64;
        if seen == 0 || seen > most {
            return Err(self.not_kept(&what, &format!("{seen} were acted on, not 1 to {most}")));
        }
        self.say(&what, &format!("{seen} were acted on"));
        Ok(())
    }

    /// Metadata that is larger than the policy lets it be.
    pub fn hoards_no_metadata(&self) -> Result<(), Error> {
        let spec = json!({ "taskId": "T-1" });
        let many = |prefix: &str, value: Value| -> Value {
            let entry = |number: u32| (format!("{prefix}{number}"), value.clone());
            (0..2000)
                .map(entry)
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let manager = json!([{
            "manager": "m", "operation": "Update", "apiVersion": "scaleout.dev/v1alpha1",
            "fieldsType": "FieldsV1", "time": "2026-01-15T08:02:01Z",
            "fieldsV1": { "f:spec": many(&format!("f:{}", "x".repeat(100)), json!({})) },
        }]);
        for (what, metadata, text) in [
            (
                "an annotation of 200 KB",
                json!({ "name": "large", "annotations": { "a": "a".repeat(200_000) } }),
                "must have at most 8192 characters",
            ),
            (
                "2000 labels",
                json!({ "name": "large", "labels": many("l", json!("")) }),
                "metadata.labels must be at most 32",
            ),
            (
                "200 KB in managedFields",
                json!({ "name": "large", "managedFields": manager }),
                "metadata.managedFields must have at most",
            ),
        ] {
            let made = self.make_in(self.namespace, &metadata, &spec);
            self.refused(what, made, text)?;
        }
        let often = self.make("often", &json!({ "taskId": "T-1", "pollInterval": "1s" }));
        self.refused(
            "a poll interval of 1 s",
            often,
            "spec.pollInterval must be at least 5s",
        )
    }
}
