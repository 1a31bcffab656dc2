//! The known access keys, and the check of requests.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use hyper::header::HeaderValue;
use jiff::Timestamp;

use crate::{
    acs3::{self, Authorization, Operation, Received, Refusal},
    rpc,
    script::Credentials,
};

/// The access keys from the script and those issued by STS.
#[derive(Default)]
pub(crate) struct Keys {
    /// Whether requests must be signed.
    required: bool,
    by_id: HashMap<String, Key>,
    issued: usize,
    nonces: HashSet<String>,
    nonces_by_age: VecDeque<(Instant, String)>,
}

struct Key {
    secret: String,
    token: Option<String>,
    expires: Option<Instant>,
}

/// Temporary credentials.
pub(crate) struct Issued {
    pub(crate) access_key_id: String,
    pub(crate) access_key_secret: String,
    pub(crate) security_token: String,
    pub(crate) lifetime: Duration,
}

impl Keys {
    pub(crate) fn new(credentials: Vec<Credentials>, required: bool) -> Self {
        let mut keys = Self {
            required,
            ..Self::default()
        };
        for one in credentials {
            keys.add(one);
        }
        keys
    }

    /// Adds or replaces a key. From then on, requests must be signed.
    pub(crate) fn add(&mut self, credentials: Credentials) {
        self.required = true;
        let Credentials {
            access_key_id,
            access_key_secret,
            security_token,
        } = credentials;
        let key = Key {
            secret: access_key_secret,
            token: security_token,
            expires: None,
        };
        self.by_id.insert(access_key_id, key);
    }

    pub(crate) fn remove(&mut self, access_key_id: &str) {
        self.by_id.remove(access_key_id);
    }

    /// Issues temporary credentials.
    pub(crate) fn issue(&mut self, lifetime: Duration, now: Instant) -> Issued {
        self.issued += 1;
        let number = self.issued;
        let issued = Issued {
            access_key_id: format!("STS.Simulated{number}"),
            access_key_secret: format!("SimulatedSecret{number}"),
            security_token: format!("SimulatedToken{number}"),
            lifetime,
        };
        let key = Key {
            secret: issued.access_key_secret.clone(),
            token: Some(issued.security_token.clone()),
            expires: Some(now + lifetime),
        };
        self.by_id.insert(issued.access_key_id.clone(), key);
        issued
    }

    /// Checks the key, token, signature and nonce.
    pub(crate) fn check(
        &mut self,
        received: Received<'_>,
        operation: Operation,
        now: Instant,
    ) -> Result<(), Refusal> {
        if !self.required {
            return Ok(());
        }
        let authorization = Authorization::of(received.headers)?;
        let key = self
            .by_id
            .get(&authorization.access_key_id)
            .ok_or_else(|| {
                Refusal::new(
                    404,
                    "InvalidAccessKeyId.NotFound",
                    "Specified access key is not found.",
                )
            })?;
        let token = received.headers.get("x-acs-security-token");
        key.check_token(token.map(HeaderValue::as_bytes), now)?;
        let clock = Timestamp::now();
        let nonce = acs3::verify(received, &authorization, &key.secret, operation, clock)?;
        self.use_nonce(nonce, now)
    }

    /// Checks the key, token, signature and nonce of a call of STS.
    pub(crate) fn check_rpc(
        &mut self,
        method: &str,
        parameters: &HashMap<String, String>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let sent = |name: &str| parameters.get(name).cloned().unwrap_or_default();
        let key = self.by_id.get(&sent("AccessKeyId")).ok_or_else(|| {
            let message = "Specified access key is not found.";
            Refusal::new(404, "InvalidAccessKeyId.NotFound", message)
        })?;
        let token = parameters.get("SecurityToken");
        key.check_token(token.map(String::as_bytes), now)?;
        rpc::verify(method, parameters, &key.secret)?;
        self.use_nonce(sent("SignatureNonce"), now)
    }

    fn use_nonce(&mut self, nonce: String, now: Instant) -> Result<(), Refusal> {
        // A request is valid for SKEW before and after its date.
        while let Some((_, old)) = self
            .nonces_by_age
            .pop_front_if(|(at, _)| now.duration_since(*at) > 2 * acs3::SKEW)
        {
            self.nonces.remove(&old);
        }
        if !self.nonces.insert(nonce.clone()) {
            let message = "Specified signature nonce was used already.";
            return Err(Refusal::new(400, "SignatureNonceUsed", message));
        }
        self.nonces_by_age.push_back((now, nonce));
        Ok(())
    }
}

impl Key {
    fn check_token(&self, token: Option<&[u8]>, now: Instant) -> Result<(), Refusal> {
        let refused = |code, message: &str| Err(Refusal::new(400, code, message));
        match (token, self.token.as_ref().map(String::as_bytes)) {
            (None, Some(_)) => refused("MissingSecurityToken", "SecurityToken is mandatory."),
            (sent, known) if sent != known => refused(
                "InvalidSecurityToken.Malformed",
                "Specified SecurityToken is not that of the access key.",
            ),
            _ if self.expires.is_some_and(|expires| now >= expires) => refused(
                "InvalidSecurityToken.Expired",
                "Specified SecurityToken is expired.",
            ),
            _ => Ok(()),
        }
    }
}
