//! Credentials from the Secrets that objects refer to. They are read by name and cached for a minute.

use std::{
    collections::HashMap,
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

use crate::{
    rules::{ObjectKey, PollError, Reason},
    task_api::credentials::Credentials,
};

/// How long a Secret's credentials are cached.
const CACHED_FOR: Duration = Duration::from_mins(1);
/// Refused credentials are read again unless they were read less than this ago.
const FRESH: Duration = Duration::from_secs(5);
/// How many Secrets are read at the same time.
const CONCURRENCY: usize = 64;
/// The longest key ID that is accepted. The vendor's are shorter.
const KEY_ID_MAX: usize = 128;
const READ_TIMEOUT: Duration = Duration::from_secs(10);

type ReadResult = Result<Arc<Credentials>, PollError>;
/// The result of the last read. The lock is held during a read.
type Slot = Arc<tokio::sync::Mutex<Option<Read>>>;

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
    slots: Arc<Mutex<Slots>>,
    /// Limits how many are read at the same time.
    readers: Arc<Semaphore>,
}

impl Secrets {
    /// An empty cache.
    pub fn new(client: Client) -> Self {
        Self {
            client,
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
        let result = self.read(secret).await;
        *last = Some(Read {
            at: Instant::now(),
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
            read.refused |= known.is_ok_and(|known| Arc::ptr_eq(known, refused));
        }
        let now = self.get(secret).await.ok()?;
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

    async fn read(&self, key: &ObjectKey) -> ReadResult {
        let ObjectKey { namespace, name } = key;
        // The semaphore is never closed, so a permit is always there in the end.
        let _permit = self.readers.acquire().await.ok();
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        match timeout(READ_TIMEOUT, api.get(name)).await {
            Ok(Ok(secret)) => credentials_of(name, &secret).map(Arc::new),
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
                Err(PollError::new(Reason::TaskApiUnavailable))
            }
        }
    }
}

fn credentials_of(name: &str, secret: &Secret) -> Result<Credentials, PollError> {
    let value = |key: &str| {
        let data = secret.data.as_ref()?.get(key)?;
        // A value that was typed into a file often ends in a line break.
        let text = str::from_utf8(&data.0).ok()?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let required = |key: &str| {
        value(key).ok_or_else(|| {
            missing(format!(
                "Secret {name} of spec.credentialsSecretRef has no {key}: it needs accessKeyId \
                 and accessKeySecret, and for temporary credentials securityToken"
            ))
        })
    };
    let access_key_id = required("accessKeyId")?;
    if access_key_id.len() > KEY_ID_MAX {
        return Err(invalid(format!(
            "accessKeyId in Secret {name} of spec.credentialsSecretRef is no access key's ID: it is \
             longer than {KEY_ID_MAX} bytes"
        )));
    }
    Ok(Credentials {
        access_key_id,
        access_key_secret: required("accessKeySecret")?.into(),
        security_token: value("securityToken").map(Into::into),
        expires_at: None,
    })
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
        let read = credentials_of("s", &secret).unwrap();
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
            let error = credentials_of("mine", &secret(entries)).unwrap_err();
            assert_eq!(error.reason, Reason::CredentialsInvalid);
            let detail = error.detail.unwrap();
            assert!(
                detail.contains(expected) && detail.contains("mine"),
                "{detail}"
            );
        }
    }
}
