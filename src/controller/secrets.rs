//! Credentials from the Secrets that objects refer to. They are read by name and cached for a minute.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tracing::debug;

use super::kept_secrets::KeptSecrets;
use crate::{
    rules::{ObjectKey, PollError, Reason, Service},
    task_api::{
        credentials::{Credentials, Role, Roles, SharedCredentials},
        no_credentials,
    },
};

/// How long a Secret's credentials are cached.
const CACHED_FOR: Duration = Duration::from_mins(1);
/// Refused credentials are read again unless they were read less than this ago.
const FRESH: Duration = Duration::from_secs(1);
/// How many Secrets are read at the same time. Each may have a megabyte of other values.
const CONCURRENCY: usize = 8;
/// The longest key ID that is accepted. The vendor's are shorter.
const KEY_ID_MAX: usize = 128;
/// The longest ARN of a role: it is part of the account's name.
const ARN_MAX: usize = 256;
/// The longest value that is accepted of any other key, in bytes.
const VALUE_MAX: usize = 4096;
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// A role's credentials are kept this long after they were last used.
const ROLE_KEPT_FOR: Duration = Duration::from_mins(10);

type ReadResult = Result<Arc<Content>, PollError>;
/// What is known of one Secret. The lock is held during a read.
type Slot = Arc<tokio::sync::Mutex<State>>;

/// Credentials that came from a Secret.
#[derive(Clone, Debug)]
pub struct SecretCredentials {
    /// Whose they are: the ID of the Secret's access key, and the role that is assumed with it.
    pub account: String,
    /// What signs calls.
    pub credentials: Arc<Credentials>,
}

/// What is in a Secret: an access key, and perhaps a role to assume with it.
#[derive(Debug)]
struct Content {
    key: Arc<Credentials>,
    role: Option<Arc<Role>>,
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

#[derive(Default)]
struct State {
    /// The last read.
    read: Option<Read>,
    /// The credentials of the Secret's role, and the content that they are for. They outlive reads: a role is
    /// assumed once for as long as its session lasts.
    role: Option<(Arc<Content>, SharedCredentials)>,
}

impl State {
    /// Somebody refused that key, or a session of the role. A refusal of what the Secret held before says
    /// nothing of what it holds now.
    fn note_refused(&mut self, refused: &Arc<Credentials>) {
        if let Some(read) = &mut self.read
            && let Ok(content) = &read.result
        {
            read.refused |= content.role.is_some() || content.key.is_same_as(refused);
        }
    }

    /// Forgets the credentials of a role that the Secret no longer names, or that are to be asked for again
    /// since they were refused.
    fn drop_old_role(&mut self, read: &ReadResult, was_refused: bool) {
        let is_gone = match read {
            Ok(content) => content.role.is_none(),
            Err(error) => error.is_missing_secret,
        };
        let has_none = |(_, shared): &(_, SharedCredentials)| !shared.has_credentials();
        if is_gone || was_refused && self.role.as_ref().is_some_and(has_none) {
            self.role = None;
        }
    }
}

struct Read {
    at: Instant,
    result: ReadResult,
    /// Whether the API refused these credentials.
    refused: bool,
}

impl Read {
    fn is_valid(&self) -> bool {
        let valid_for = if self.refused { FRESH } else { CACHED_FOR };
        self.result.is_ok() && self.at.elapsed() < valid_for
    }
}

/// A cache of Secrets by name. Clones share it.
#[derive(Clone)]
pub struct Secrets {
    client: Client,
    roles: Option<Roles>,
    slots: Arc<Mutex<KeptSecrets<Slot>>>,
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

    /// The credentials in that Secret, or of its role, cached or read now.
    ///
    /// # Errors
    /// If there are none. The object shows the error.
    pub async fn get(&self, secret: &ObjectKey) -> Result<SecretCredentials, PollError> {
        let called_at = Instant::now();
        let slot = self.slot(secret);
        let mut state = slot.lock().await;
        // Callers that waited for a read share its error. Later callers try again.
        let usable = |read: &&Read| read.is_valid() || read.at >= called_at;
        let content = if let Some(read) = state.read.as_ref().filter(usable) {
            read.result.clone()
        } else {
            let was_refused = state.read.as_ref().is_some_and(|read| read.refused);
            let result = self.read(secret).await.map(Arc::new);
            state.drop_old_role(&result, was_refused);
            state.read = Some(Read {
                at: Instant::now(),
                result: result.clone(),
                refused: false,
            });
            result
        }?;
        let account = content.account();
        let Some(shared) = self.role(&mut state, &content) else {
            let credentials = content.key.clone();
            return Ok(SecretCredentials {
                account,
                credentials,
            });
        };
        // The others needn't wait for STS.
        drop(state);
        match shared.get().await {
            Ok(credentials) => Ok(SecretCredentials {
                account,
                credentials,
            }),
            Err(error) => {
                if !error.is_transient() {
                    // It may be mended in the Secret: the next caller reads that again.
                    slot.lock().await.note_refused(&content.key);
                }
                let error = no_credentials(&error);
                let name = &secret.name;
                let of_secret =
                    |detail| format!("Secret {name} of spec.credentialsSecretRef: {detail}");
                Err(PollError {
                    detail: error.detail.clone().map(of_secret),
                    ..error
                })
            }
        }
    }

    /// The credentials of the role in that content, if it names one: the same as before, if it is the same.
    fn role(&self, state: &mut State, content: &Arc<Content>) -> Option<SharedCredentials> {
        let (role, roles) = content.role.as_ref().zip(self.roles.as_ref())?;
        if let Some((of, shared)) = &state.role
            && of.is_same_as(content)
        {
            return Some(shared.clone());
        }
        let shared = roles.assume(role.clone(), content.key.clone());
        state.role = Some((content.clone(), shared.clone()));
        Some(shared)
    }

    /// Reports that the API refused these credentials. Returns others if the Secret holds them by now.
    pub async fn refused(
        &self,
        secret: &ObjectKey,
        refused: &Arc<Credentials>,
    ) -> Option<Arc<Credentials>> {
        let slot = self.slot(secret);
        slot.lock().await.note_refused(refused);
        let now = self.get(secret).await.ok()?.credentials;
        if !now.is_same_as(refused) {
            return Some(now);
        }
        let role = slot.lock().await.role.clone();
        role?.1.refused(refused).await
    }

    fn slot(&self, secret: &ObjectKey) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.use_now(secret, |slot| {
            let has_role = slot.try_lock().is_ok_and(|state| state.role.is_some());
            if has_role { ROLE_KEPT_FOR } else { CACHED_FOR }
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
        let wrong = |what: &str| {
            Err(invalid(format!(
                "{key} in Secret {name} of spec.credentialsSecretRef {what}: check that it is what its \
                 name says"
            )))
        };
        let Ok(text) = str::from_utf8(&data.0) else {
            return wrong("isn't UTF-8 text");
        };
        // A value that was typed into a file often ends in a line break.
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.len() > max {
            return wrong(&format!("is longer than {max} bytes"));
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
    let arn = value("roleArn", ARN_MAX)?;
    if arn.is_none() && (external_id.is_some() || session_name.is_some()) {
        return Err(missing(format!(
            "Secret {name} of spec.credentialsSecretRef has externalId or roleSessionName and no roleArn: \
             add the role, or take them out"
        )));
    }
    let role = arn.map(|arn| {
        Arc::new(Role {
            arn,
            session_name,
            duration: None,
            policy: None,
            external_id,
        })
    });
    let key = Arc::new(key);
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
        let rows: [(Entries, &str); 6] = [
            (&[], "no accessKeyId"),
            (&[("accessKeyId", b"id")], "no accessKeySecret"),
            (
                &[
                    ("accessKeyId", b"id"),
                    ("accessKeySecret", b"x"),
                    ("roleArn", b"\xff\xfe"),
                ],
                "roleArn in Secret mine of spec.credentialsSecretRef isn't UTF-8 text",
            ),
            (
                &[
                    ("accessKeyId", b"id"),
                    ("accessKeySecret", b"x"),
                    ("externalId", b"e"),
                ],
                "no roleArn",
            ),
            (
                &[("accessKeyId", b"id"), ("accessKeySecret", b" \n")],
                "no accessKeySecret",
            ),
            (
                &[("accessKeyId", b"\xff"), ("accessKeySecret", b"x")],
                "accessKeyId in Secret mine of spec.credentialsSecretRef isn't UTF-8 text",
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
