//! Credentials from the Secrets that objects refer to. They are read by name and cached for a minute.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{api::core::v1::Secret, jiff::Timestamp};
use kube::{Api, Client};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tracing::debug;

use crate::{
    rules::{ObjectKey, PollError, Reason, Service},
    task_api::{
        credentials::{Credentials, Role, Roles},
        no_credentials,
    },
};

/// How long a Secret's credentials are cached.
const CACHED_FOR: Duration = Duration::from_mins(1);
/// Refused credentials are read again unless they were read less than this ago.
const FRESH: Duration = Duration::from_secs(5);
/// How many Secrets are read at the same time.
const CONCURRENCY: usize = 64;
/// The longest key ID that is accepted. The vendor's are shorter.
const KEY_ID_MAX: usize = 128;
/// The longest value that is accepted of any other key, in bytes.
const VALUE_MAX: usize = 4096;
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// A role is assumed anew this long before its credentials expire.
const EXPIRY_MARGIN: Duration = Duration::from_mins(2);

type ReadResult = Result<SecretCredentials, PollError>;
/// The result of the last read. The lock is held during a read.
type Slot = Arc<tokio::sync::Mutex<Option<Read>>>;

/// Credentials that came from a Secret.
#[derive(Clone, Debug)]
pub struct SecretCredentials {
    /// Whose they are: the ID of the Secret's access key, and the role that is assumed with it.
    pub account: String,
    /// What signs calls.
    pub credentials: Arc<Credentials>,
}

/// What is in a Secret: an access key, and perhaps a role to assume with it.
#[derive(Clone)]
struct Content {
    key: Credentials,
    role: Option<Role>,
}

impl Content {
    fn is_same_as(&self, other: &Self) -> bool {
        self.role == other.role && self.key.is_same_as(&other.key)
    }

    fn account(&self) -> String {
        let id = &self.key.access_key_id;
        match &self.role {
            Some(role) => format!("{id} as {}", role.arn),
            None => id.clone(),
        }
    }
}

struct Read {
    at: Instant,
    content: Option<Content>,
    result: ReadResult,
    /// Whether the API refused these credentials.
    refused: bool,
}

impl Read {
    fn is_valid(&self) -> bool {
        let valid_for = if self.refused { FRESH } else { CACHED_FOR };
        let read = self.result.as_ref();
        self.at.elapsed() < valid_for && read.is_ok_and(|read| has_time(&read.credentials))
    }

    /// The role's credentials, if they are for the same Secret and still good.
    fn assumed(&self, content: &Content) -> Option<&SecretCredentials> {
        let is_same = |before: &Content| before.is_same_as(content);
        let is_same = self.content.as_ref().is_some_and(is_same);
        let read = self
            .result
            .as_ref()
            .ok()
            .filter(|_| is_same && !self.refused);
        read.filter(|read| has_time(&read.credentials))
    }
}

/// Whether they don't expire soon.
fn has_time(credentials: &Credentials) -> bool {
    let soon = Timestamp::now().saturating_add(EXPIRY_MARGIN);
    let expires_at = credentials.expires_at;
    expires_at.is_none_or(|at| soon.is_ok_and(|soon| soon < at))
}

/// The Secrets that were used, and when.
#[derive(Default)]
struct Slots {
    by_name: HashMap<ObjectKey, (Instant, Slot)>,
    evicted_at: Option<Instant>,
}

/// A cache of Secrets by name. Clones share it.
#[derive(Clone)]
pub struct Secrets {
    client: Client,
    roles: Option<Roles>,
    slots: Arc<Mutex<Slots>>,
    /// Limits how many are read at the same time.
    readers: Arc<Semaphore>,
}

impl Secrets {
    /// An empty cache. Without `roles`, none is assumed.
    pub fn new(client: Client, roles: Option<Roles>) -> Self {
        Self {
            client,
            roles,
            slots: Arc::default(),
            readers: Arc::new(Semaphore::new(CONCURRENCY)),
        }
    }

    /// The credentials in that Secret, cached or read now.
    ///
    /// # Errors
    /// If there are none. The object shows the error.
    pub async fn get(&self, secret: &ObjectKey) -> ReadResult {
        let called_at = Instant::now();
        let slot = self.slot(secret);
        let mut last = slot.lock().await;
        // Callers that waited for a read share its error. Later callers try again.
        let usable = |read: &&Read| read.is_valid() || read.at >= called_at;
        if let Some(read) = last.as_ref().filter(usable) {
            return read.result.clone();
        }
        let content = self.read(secret).await;
        let result = match &content {
            Ok(content) => self.credentials(secret, content, last.as_ref()).await,
            Err(error) => Err(error.clone()),
        };
        *last = Some(Read {
            at: Instant::now(),
            content: content.ok(),
            result: result.clone(),
            refused: false,
        });
        result
    }

    /// Reports that the API refused these credentials. Returns others if the Secret holds them by now.
    pub async fn refused(
        &self,
        secret: &ObjectKey,
        refused: &Arc<Credentials>,
    ) -> Option<Arc<Credentials>> {
        let slot = self.slot(secret);
        if let Some(read) = &mut *slot.lock().await {
            let known = read.result.as_ref();
            read.refused |= known.is_ok_and(|known| Arc::ptr_eq(&known.credentials, refused));
        }
        let now = self.get(secret).await.ok()?.credentials;
        (!now.is_same_as(refused)).then_some(now)
    }

    fn slot(&self, secret: &ObjectKey) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // Evict the Secrets that were not used for a while.
        if slots
            .evicted_at
            .is_none_or(|at| now.duration_since(at) >= CACHED_FOR)
        {
            slots.evicted_at = Some(now);
            let by_name = &mut slots.by_name;
            by_name.retain(|_, (used_at, _)| now.duration_since(*used_at) < CACHED_FOR);
        }
        let by_name = &mut slots.by_name;
        let (used_at, slot) = by_name
            .entry(secret.clone())
            .or_insert_with(|| (now, Slot::default()));
        *used_at = now;
        slot.clone()
    }

    /// What the Secret's content is good for: its key, or credentials of its role, kept from `last` while
    /// they last.
    async fn credentials(
        &self,
        secret: &ObjectKey,
        content: &Content,
        last: Option<&Read>,
    ) -> ReadResult {
        let account = content.account();
        let (Some(role), Some(roles)) = (&content.role, &self.roles) else {
            let credentials = Arc::new(content.key.clone());
            return Ok(SecretCredentials {
                account,
                credentials,
            });
        };
        if let Some(assumed) = last.and_then(|last| last.assumed(content)) {
            return Ok(assumed.clone());
        }
        let assumed = roles.assume(role, &content.key).await.map_err(|error| {
            let error = no_credentials(&error);
            let name = &secret.name;
            let of_secret =
                |detail| format!("Secret {name} of spec.credentialsSecretRef: {detail}");
            PollError {
                detail: error.detail.clone().map(of_secret),
                ..error
            }
        })?;
        let credentials = Arc::new(assumed);
        Ok(SecretCredentials {
            account,
            credentials,
        })
    }

    async fn read(&self, key: &ObjectKey) -> Result<Content, PollError> {
        let ObjectKey { namespace, name } = key;
        // The semaphore is never closed, so a permit is always there in the end.
        let _permit = self.readers.acquire().await.ok();
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        match timeout(READ_TIMEOUT, api.get(name)).await {
            Ok(Ok(secret)) => content_of(name, &secret),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(missing(format!(
                "Secret {name} of spec.credentialsSecretRef doesn't exist in this namespace: \
                 create it with accessKeyId and accessKeySecret"
            ))),
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(invalid(format!(
                "The controller may not read Secret {name} of spec.credentialsSecretRef: grant its \
                 service account get on it by a Role in this namespace"
            ))),
            failed => {
                let error = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "no answer in time".to_owned(),
                };
                debug!(secret = %name, error, "can't read the Secret");
                Err(PollError {
                    service: Service::ApiServer,
                    cause: Some("the API server didn't give the Secret"),
                    ..PollError::new(Reason::TaskApiUnavailable)
                })
            }
        }
    }
}

fn content_of(name: &str, secret: &Secret) -> Result<Content, PollError> {
    let value = |key: &str, max: usize| {
        let Some(data) = secret.data.as_ref().and_then(|data| data.get(key)) else {
            return Ok(None);
        };
        // A value that was typed into a file often ends in a line break.
        let text = str::from_utf8(&data.0).unwrap_or_default().trim();
        if text.len() > max {
            return Err(invalid(format!(
                "{key} in Secret {name} of spec.credentialsSecretRef is longer than {max} bytes: check \
                 that it is what its name says"
            )));
        }
        Ok((!text.is_empty()).then(|| text.to_owned()))
    };
    let required = |key: &str, max: usize| {
        value(key, max)?.ok_or_else(|| {
            missing(format!(
                "Secret {name} of spec.credentialsSecretRef has no {key}: it needs accessKeyId \
                 and accessKeySecret, for temporary credentials securityToken, and to assume a RAM \
                 role roleArn"
            ))
        })
    };
    let key = Credentials {
        access_key_id: required("accessKeyId", KEY_ID_MAX)?,
        access_key_secret: required("accessKeySecret", VALUE_MAX)?.into(),
        security_token: value("securityToken", VALUE_MAX)?.map(Into::into),
        expires_at: None,
    };
    let external_id = value("externalId", VALUE_MAX)?;
    let session_name = value("roleSessionName", VALUE_MAX)?;
    let role = value("roleArn", VALUE_MAX)?.map(|arn| Role {
        arn,
        session_name,
        duration: None,
        policy: None,
        external_id,
    });
    Ok(Content { key, role })
}

/// It may come, or be completed, a moment later.
fn missing(detail: String) -> PollError {
    PollError {
        is_missing_secret: true,
        ..invalid(detail)
    }
}

fn invalid(detail: String) -> PollError {
    PollError {
        detail: Some(detail),
        ..PollError::new(Reason::CredentialsInvalid)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use secrecy::ExposeSecret;

    use super::*;

    fn secret(entries: &[(&str, &[u8])]) -> Secret {
        let data = entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec())));
        Secret {
            data: Some(data.collect()),
            ..Secret::default()
        }
    }

    #[test]
    fn line_breaks_around_values_are_removed() {
        let secret = secret(&[
            ("accessKeyId", b" id\n"),
            ("accessKeySecret", b"secret\r\n"),
        ]);
        let read = content_of("s", &secret).unwrap().key;
        assert_eq!(read.access_key_id, "id");
        assert_eq!(read.access_key_secret.expose_secret(), "secret");
        assert!(read.security_token.is_none());
    }

    #[test]
    fn an_incomplete_secret_is_reported_with_the_missing_key() {
        type Entries = &'static [(&'static str, &'static [u8])];
        let rows: [(Entries, &str); 4] = [
            (&[], "no accessKeyId"),
            (&[("accessKeyId", b"id")], "no accessKeySecret"),
            (
                &[("accessKeyId", b"id"), ("accessKeySecret", b" \n")],
                "no accessKeySecret",
            ),
            (
                &[("accessKeyId", b"\xff"), ("accessKeySecret", b"x")],
                "no accessKeyId",
            ),
        ];
        for (entries, expected) in rows {
            let error = content_of("mine", &secret(entries)).err().unwrap();
            assert_eq!(error.reason, Reason::CredentialsInvalid);
            let detail = error.detail.unwrap();
            assert!(
                detail.contains(expected) && detail.contains("mine"),
                "{detail}"
            );
        }
    }

    #[test]
    fn a_role_comes_with_its_name_and_external_id_and_is_part_of_the_account() {
        let secret = secret(&[
            ("accessKeyId", b"id"),
            ("accessKeySecret", b"x"),
            ("roleArn", b"acs:ram::1:role/r\n"),
            ("externalId", b"e"),
        ]);
        let content = content_of("s", &secret).unwrap();
        let role = content.role.clone().unwrap();
        assert_eq!(role.arn, "acs:ram::1:role/r");
        assert_eq!(role.external_id.as_deref(), Some("e"));
        assert_eq!(role.session_name, None);
        assert_eq!(content.account(), "id as acs:ram::1:role/r");
    }

    #[test]
    fn long_values_are_refused_by_their_names() {
        let long = vec![b'a'; 4097];
        for key in ["accessKeyId", "accessKeySecret", "securityToken", "roleArn"] {
            let entries = ["accessKeyId", "accessKeySecret"].map(|name| (name, &b"x"[..]));
            let mut entries = entries.to_vec();
            entries.retain(|(name, _)| *name != key);
            entries.push((key, &long));
            let error = content_of("mine", &secret(&entries)).err().unwrap();
            let detail = error.detail.unwrap();
            assert!(
                detail.starts_with(&format!("{key} in Secret mine")),
                "{detail}"
            );
        }
    }
}
