//! One set of credentials for all callers. All who wait share one read. Credentials are refreshed
//! before they expire, and with growing pauses while reads fail.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::acceptance::Acceptance;
use super::provider::Provider;
use super::source::Environment;
use super::{CredentialSource, Credentials, CredentialsError, Surroundings};

/// At most this long before they expire, credentials are refreshed.
const REFRESH_MARGIN: SignedDuration = SignedDuration::from_mins(15);
/// A key in a file is read again when it is used and this old. It may have been replaced.
const FILE_PERIOD: Duration = Duration::from_secs(10);
/// The pause after the first failure. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// The limit for one read, which may take several calls.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// Credentials that were read less than this ago are not read again when the API refuses them.
const FRESH: Duration = Duration::from_mins(1);
/// Reads come no closer than this, however short-lived what they bring is.
const READ_PERIOD: Duration = Duration::from_secs(1);

type ReadResult = Result<Arc<Credentials>, CredentialsError>;
type SharedRead = Shared<BoxFuture<'static, ReadResult>>;
type Fetch =
    Box<dyn Fn() -> BoxFuture<'static, Result<Credentials, CredentialsError>> + Send + Sync>;
type Calendar = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// Credentials from one source, shared by all callers and clones.
#[derive(Clone)]
pub struct SharedCredentials(Arc<Inner>);

struct Inner {
    fetch: Fetch,
    clock: Calendar,
    source: Option<CredentialSource>,
    state: Mutex<State>,
    acceptance: Mutex<Acceptance>,
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    /// The read in progress. It continues even if nobody waits for it any more.
    read: Option<SharedRead>,
    pause: Option<Pause>,
    /// Failed reads in a row.
    failures: u32,
    /// Why the last read failed, if it did.
    failed: Option<CredentialsError>,
}

struct Current {
    credentials: Arc<Credentials>,
    refresh_at: Option<Timestamp>,
    read_at: Instant,
}

/// No read before `until`. Callers get `error` meanwhile if there are no valid credentials.
struct Pause {
    until: Instant,
    error: CredentialsError,
}

impl fmt::Debug for SharedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedCredentials")
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl SharedCredentials {
    /// Credentials from the source that is configured: by the files in `directory` if given, else by the
    /// process's environment. No service is asked yet: if no source is configured, [`get`](Self::get) reports it.
    ///
    /// # Errors
    /// If the source has a file that can't be used. Blocks while it reads the file.
    pub fn configured(
        directory: Option<PathBuf>,
        surroundings: &Surroundings,
    ) -> Result<Self, CredentialsError> {
        let environment = Environment::of_process(directory, surroundings.allow_insecure);
        let provider = Provider::new(environment).within(surroundings);
        provider.check()?;
        let clock = surroundings.clock.clone();
        Ok(Self::from_provider(provider, move || clock.now().wall))
    }

    pub(super) fn from_provider(
        provider: Provider,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        let source = provider.source();
        let provider = Arc::new(provider);
        let fetch = move || {
            let provider = Arc::clone(&provider);
            async move { provider.provide().await }
        };
        Self::new(source, fetch, clock)
    }

    pub(super) fn new<F>(
        source: Option<CredentialSource>,
        fetch: impl Fn() -> F + Send + Sync + 'static,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Credentials, CredentialsError>> + Send + 'static,
    {
        Self(Arc::new(Inner {
            fetch: Box::new(move || fetch().boxed()),
            clock: Box::new(clock),
            source,
            state: Mutex::default(),
            acceptance: Mutex::default(),
        }))
    }

    /// The source that was chosen, or `None` if none is configured.
    #[must_use]
    pub fn source(&self) -> Option<CredentialSource> {
        self.0.source
    }

    /// Returns the cached credentials while they are valid, else waits for a read that all callers
    /// share. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// If the read fails. During the pause after a failure, it returns that failure again.
    pub async fn get(&self) -> Result<Arc<Credentials>, CredentialsError> {
        let read = {
            let mut state = self.state();
            let now = (self.0.clock)();
            if let Some(current) = state.valid(now) {
                let credentials = Arc::clone(&current.credentials);
                // The machine's clock may be set back: a file is read again all the same.
                let is_old = self.has_file()
                    && credentials.expires_at.is_none()
                    && current.read_at.elapsed() >= FILE_PERIOD;
                let due = is_old || current.refresh_at.is_some_and(|at| at <= now);
                if due && state.read.is_none() && state.pausing().is_none() {
                    let _in_background = self.start(&mut state);
                }
                return Ok(credentials);
            }
            match (&state.read, state.pausing()) {
                (Some(read), _) => read.clone(),
                (None, Some(error)) => return Err(error.clone()),
                (None, None) => self.start(&mut state),
            }
        };
        read.await
    }

    /// Reports that the API refused these credentials. Returns others if the source has them by now.
    ///
    /// They stay until it has: they may be valid elsewhere, and what one region or object is refused costs no
    /// other. Fresh ones aren't read again, as that would bring the same.
    pub async fn refused(&self, refused: &Arc<Credentials>) -> Option<Arc<Credentials>> {
        let read = {
            let mut state = self.state();
            let current = state.current.as_ref()?;
            if !current.credentials.is_same_as(refused) {
                return Some(Arc::clone(&current.credentials));
            }
            // A key in a file costs nothing to read.
            let is_in_file = self.has_file() && refused.expires_at.is_none();
            let is_fresh = current.read_at.elapsed() < FRESH && !is_in_file;
            match &state.read {
                Some(read) => read.clone(),
                None if is_fresh || state.pausing().is_some() => return None,
                None => self.start(&mut state),
            }
        };
        let now = read.await.ok()?;
        (!now.is_same_as(refused)).then_some(now)
    }

    /// Whether there are credentials that are valid now.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        let now = (self.0.clock)();
        self.state().valid(now).is_some()
    }

    /// Notes whether a region took the credentials.
    pub fn note_answer(&self, region: &str, accepted: bool) {
        self.acceptance().note(region, accepted);
    }

    /// Whether there are any, and no region that answered lately refuses them but for one that takes them. None where
    /// that isn't known, or where none are configured.
    #[must_use]
    pub fn are_up(&self) -> Option<bool> {
        let state = self.state();
        if state.valid((self.0.clock)()).is_some() {
            return Some(!self.acceptance().is_refused());
        }
        // Old ones serve while new ones can't be read.
        match &state.failed {
            None | Some(CredentialsError::NotConfigured) => None,
            Some(_) => Some(false),
        }
    }

    fn has_file(&self) -> bool {
        self.0.source.is_some_and(CredentialSource::is_file)
    }

    /// Starts a read in its own task, so that it continues when callers stop waiting.
    fn start(&self, state: &mut State) -> SharedRead {
        let shared = self.clone();
        let task = tokio::spawn(async move {
            let read = AssertUnwindSafe(async { (shared.0.fetch)().await }).catch_unwind();
            let fetched = match tokio::time::timeout(FETCH_TIMEOUT, read).await {
                Ok(Ok(fetched)) => fetched,
                Ok(Err(_panic)) => Err(CredentialsError::Internal),
                Err(_elapsed) => Err(shared.timed_out()),
            };
            shared.store(fetched)
        });
        let read = async { task.await.unwrap_or(Err(CredentialsError::Internal)) }
            .boxed()
            .shared();
        state.read = Some(read.clone());
        read
    }

    fn timed_out(&self) -> CredentialsError {
        let source = self.0.source;
        source.map_or(CredentialsError::Internal, CredentialsError::TimedOut)
    }

    /// Stores the result of a read.
    fn store(&self, fetched: Result<Credentials, CredentialsError>) -> ReadResult {
        let now = (self.0.clock)();
        let fetched = fetched.and_then(|credentials| self.check_expiry(credentials, now));
        let mut state = self.state();
        state.read = None;
        match fetched {
            Ok(credentials) => {
                let credentials = self.replacing(&state, credentials);
                state.failures = 0;
                state.failed = None;
                state.pause = self.rest(&credentials, now);
                state.current = Some(Current {
                    refresh_at: refresh_at(&credentials, now),
                    credentials: Arc::clone(&credentials),
                    read_at: Instant::now(),
                });
                Ok(credentials)
            }
            Err(error) => {
                // That of a Secret is its object's trouble, which shows it.
                if self.0.source == Some(CredentialSource::SecretRole) {
                    tracing::debug!(%error, "can't assume the role of a Secret");
                } else {
                    tracing::warn!(%error, "can't read credentials");
                }
                state.failures = state.failures.saturating_add(1);
                state.failed = Some(error.clone());
                let wait = error.wait().unwrap_or_default();
                state.pause = Some(Pause {
                    until: Instant::now() + pause(state.failures).max(wait),
                    error: error.clone(),
                });
                Err(error)
            }
        }
    }

    /// What is kept: the same as before, where a file was only read again.
    fn replacing(&self, state: &State, read: Credentials) -> Arc<Credentials> {
        let before = state.current.as_ref().map(|current| &current.credentials);
        if let Some(before) = before.filter(|_| self.has_file()) {
            if before.is_same_as(&read) && before.expires_at == read.expires_at {
                return Arc::clone(before);
            }
            if read.expires_at.is_none() {
                let access_key_id = &read.access_key_id;
                tracing::info!(access_key_id, "the access key has changed");
            }
        }
        tracing::debug!(expires_at = ?read.expires_at, "read credentials");
        Arc::new(read)
    }

    fn check_expiry(
        &self,
        credentials: Credentials,
        now: Timestamp,
    ) -> Result<Credentials, CredentialsError> {
        match self.0.source {
            Some(source) if credentials.expires_at.is_some_and(|at| at <= now) => {
                Err(CredentialsError::Expired(source))
            }
            _ => Ok(credentials),
        }
    }

    /// The pause after a read that brought credentials which expire before the next may come.
    fn rest(&self, credentials: &Credentials, now: Timestamp) -> Option<Pause> {
        let source = self.0.source?;
        let is_short = credentials.expires_at? <= now + READ_PERIOD;
        is_short.then(|| Pause {
            until: Instant::now() + READ_PERIOD,
            error: CredentialsError::Expired(source),
        })
    }

    fn acceptance(&self) -> MutexGuard<'_, Acceptance> {
        let acceptance = &self.0.acceptance;
        acceptance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn valid(&self, now: Timestamp) -> Option<&Current> {
        let current = self.current.as_ref()?;
        let expires_at = current.credentials.expires_at;
        expires_at.is_none_or(|at| now < at).then_some(current)
    }

    fn pausing(&self) -> Option<&CredentialsError> {
        let pause = self.pause.as_ref()?;
        (Instant::now() < pause.until).then_some(&pause.error)
    }
}

/// When to refresh credentials that were read at `now`: a quarter of their remaining life before
/// they expire, but at most [`REFRESH_MARGIN`] before.
fn refresh_at(credentials: &Credentials, now: Timestamp) -> Option<Timestamp> {
    let expires_at = credentials.expires_at?;
    let margin = (expires_at.duration_since(now) / 4).min(REFRESH_MARGIN);
    expires_at.checked_sub(margin).ok()
}

/// The pause after the `n`th failure in a row. It is exponential with jitter over its upper half, so
/// that replicas don't retry at the same moment.
fn pause(n: u32) -> Duration {
    let doublings = n.saturating_sub(1).min(16);
    let longest = FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE);
    let random = RandomState::new().hash_one(n) % 1000;
    longest.mul_f64(0.5 + f64::from(u16::try_from(random).unwrap_or_default()) / 2000.0)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::{advance, sleep};

    use super::super::Issuer;
    use super::*;
    use crate::task_api::connection_error::ConnectionError;

    const ERROR: CredentialsError = CredentialsError::Unreachable {
        by: Issuer::AssumeRoleWithOidc,
        cause: ConnectionError::Refused,
    };
    /// Longer than any pause.
    const LONG: Duration = Duration::from_secs(61);
    const HOUR: Duration = Duration::from_hours(1);

    /// What the source returns at its `n`th read, counted from 0: how long the credentials are valid.
    type Script = fn(usize) -> Result<Option<Duration>, CredentialsError>;

    /// Credentials from a source that takes a second, on a wall clock that follows Tokio's. The key
    /// ID is the number of the read.
    fn scripted(script: Script) -> (SharedCredentials, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let start = Instant::now();
        let clock = move || Timestamp::UNIX_EPOCH + start.elapsed();
        let counter = Arc::clone(&calls);
        let fetch = move || {
            let n = counter.fetch_add(1, Ordering::SeqCst);
            async move {
                sleep(Duration::from_secs(1)).await;
                Ok(Credentials {
                    access_key_id: n.to_string(),
                    access_key_secret: "secret".into(),
                    security_token: None,
                    expires_at: script(n)?.map(|life| clock() + life),
                })
            }
        };
        let shared = SharedCredentials::new(Some(CredentialSource::Oidc), fetch, clock);
        (shared, calls)
    }

    fn count(calls: &AtomicUsize) -> usize {
        calls.load(Ordering::SeqCst)
    }

    async fn id(shared: &SharedCredentials) -> Result<String, CredentialsError> {
        Ok(shared.get().await?.access_key_id.clone())
    }

    /// Waits for the read in progress, if any.
    async fn finish_read(shared: &SharedCredentials) {
        let read = shared.state().read.clone();
        if let Some(read) = read {
            let _ = read.await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_callers_share_one_read() {
        let (shared, calls) = scripted(|_| Ok(None));
        let waiters = (0..100).map(|_| shared.get());
        let got = futures::future::try_join_all(waiters).await.unwrap();
        assert!(
            got.iter()
                .all(|credentials| Arc::ptr_eq(credentials, &got[0]))
        );
        assert_eq!(count(&calls), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn failure_is_shared_and_not_retried_at_once() {
        let (shared, calls) = scripted(|_| Err(ERROR));
        let waiters = (0..100).map(|_| shared.get());
        for got in futures::future::join_all(waiters).await {
            assert_eq!(got.unwrap_err(), ERROR);
        }
        assert_eq!(id(&shared).await, Err(ERROR));
        assert_eq!(count(&calls), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_while_reads_fail_and_end_with_success() {
        let (shared, calls) = scripted(|n| if n == 8 { Ok(None) } else { Err(ERROR) });
        let start = Instant::now();
        while id(&shared).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
        // Nine reads of a second, and pauses of 1, 2, 4 … 60, 60 s, half of which is jitter.
        assert_eq!(count(&calls), 9);
        let total = start.elapsed().as_secs();
        assert!((9 + 91..=9 + 183 + 2).contains(&total), "{total}");
        let got = shared.get().await.unwrap();
        advance(FRESH).await;
        assert!(shared.refused(&got).await.is_none());
        // The next failure starts again with the first pause.
        sleep(Duration::from_secs(1)).await;
        assert!(shared.refused(&got).await.is_none());
        assert_eq!(count(&calls), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_are_refreshed_before_they_expire_and_used_meanwhile() {
        let (shared, calls) = scripted(|_| Ok(Some(HOUR)));
        assert_eq!(id(&shared).await.unwrap(), "0");
        advance(Duration::from_mins(45) - Duration::from_secs(1)).await;
        assert_eq!(id(&shared).await.unwrap(), "0");
        assert_eq!(count(&calls), 1);
        advance(Duration::from_secs(1)).await;
        for _ in 0..10 {
            assert_eq!(id(&shared).await.unwrap(), "0");
        }
        finish_read(&shared).await;
        assert_eq!(count(&calls), 2);
        assert_eq!(id(&shared).await.unwrap(), "1");
    }

    #[tokio::test(start_paused = true)]
    async fn short_lived_credentials_are_refreshed_after_three_quarters_of_their_life() {
        let (shared, calls) = scripted(|_| Ok(Some(Duration::from_mins(8))));
        assert_eq!(id(&shared).await.unwrap(), "0");
        advance(Duration::from_secs(6 * 60 - 1)).await;
        assert_eq!(id(&shared).await.unwrap(), "0");
        finish_read(&shared).await;
        assert_eq!(count(&calls), 1);
        advance(Duration::from_secs(1)).await;
        assert_eq!(id(&shared).await.unwrap(), "0");
        finish_read(&shared).await;
        assert_eq!(id(&shared).await.unwrap(), "1");
    }

    #[tokio::test(start_paused = true)]
    async fn old_credentials_are_used_until_they_expire_while_reads_fail() {
        let (shared, calls) = scripted(|n| if n == 0 { Ok(Some(HOUR)) } else { Err(ERROR) });
        assert_eq!(id(&shared).await.unwrap(), "0");
        advance(Duration::from_mins(45)).await;
        for _ in 0..14 {
            assert_eq!(id(&shared).await.unwrap(), "0");
            finish_read(&shared).await;
            sleep(Duration::from_mins(1)).await;
        }
        assert!((14..=15).contains(&count(&calls)), "{}", count(&calls));
        advance(LONG).await;
        assert_eq!(id(&shared).await, Err(ERROR));
    }

    #[tokio::test(start_paused = true)]
    async fn expired_credentials_are_never_used() {
        let (shared, calls) = scripted(|n| Ok(Some(if n < 2 { HOUR } else { Duration::ZERO })));
        assert_eq!(id(&shared).await.unwrap(), "0");
        advance(HOUR).await;
        assert_eq!(id(&shared).await.unwrap(), "1");
        advance(HOUR).await;
        let expired = CredentialsError::Expired(CredentialSource::Oidc);
        assert_eq!(id(&shared).await, Err(expired));
        assert_eq!(count(&calls), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn refused_credentials_that_are_not_fresh_are_replaced_at_once() {
        let (shared, calls) = scripted(|_| Ok(None));
        let old = shared.get().await.unwrap();
        advance(HOUR).await;
        let newer = shared.refused(&old).await.unwrap();
        assert_eq!(newer.access_key_id, "1");
        // A late refusal of the old credentials causes no read: there are newer ones.
        let newer = shared.refused(&old).await.unwrap();
        assert_eq!(newer.access_key_id, "1");
        assert_eq!(id(&shared).await.unwrap(), "1");
        assert_eq!(count(&calls), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn refused_credentials_are_still_used_elsewhere_while_their_source_is_down() {
        let (shared, calls) = scripted(|n| if n == 0 { Ok(Some(HOUR)) } else { Err(ERROR) });
        let key = shared.get().await.unwrap();
        shared.note_answer("cn-hangzhou", true);
        for _ in 0..40 {
            advance(Duration::from_mins(1)).await;
            shared.note_answer("cn-odd", false);
            assert!(shared.refused(&key).await.is_none());
            assert_eq!(id(&shared).await.unwrap(), "0");
        }
        assert_eq!(count(&calls), 41);
        assert_eq!(shared.are_up(), Some(true), "they serve on");
        advance(HOUR).await;
        assert_eq!(id(&shared).await, Err(ERROR));
        assert_eq!(shared.are_up(), Some(false));
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_are_up_unless_they_cannot_be_read_or_no_region_takes_them() {
        let (shared, _) = scripted(|n| if n == 1 { Err(ERROR) } else { Ok(None) });
        assert_eq!(shared.are_up(), None);
        let key = shared.get().await.unwrap();
        assert_eq!(shared.are_up(), Some(true));
        shared.note_answer("cn-hangzhou", true);
        shared.note_answer("cn-odd", false);
        assert_eq!(shared.are_up(), Some(true));
        shared.note_answer("cn-hangzhou", false);
        assert_eq!(shared.are_up(), Some(false));
        shared.note_answer("cn-hangzhou", true);
        advance(FRESH).await;
        assert!(shared.refused(&key).await.is_none());
        assert_eq!(shared.are_up(), Some(true), "the old ones serve");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_up_or_down_where_nothing_is_configured() {
        let (shared, _) = scripted(|_| Err(CredentialsError::NotConfigured));
        assert!(shared.get().await.is_err());
        assert_eq!(shared.are_up(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_that_hardly_live_cause_no_hot_loop() {
        let (shared, calls) = scripted(|_| Ok(Some(Duration::from_millis(200))));
        let start = Instant::now();
        let mut served = 0;
        while start.elapsed() < Duration::from_mins(10) {
            served += u32::from(shared.get().await.is_ok());
            sleep(Duration::from_millis(100)).await;
        }
        // Reads of a second, a second apart.
        assert!((280..=300).contains(&count(&calls)), "{}", count(&calls));
        assert!(served >= 500, "{served}");
    }

    #[tokio::test(start_paused = true)]
    async fn repeated_refusals_cause_no_hot_loop_and_no_error() {
        let (shared, calls) = scripted(|_| Ok(None));
        let start = Instant::now();
        while start.elapsed() < HOUR {
            let refused = shared.get().await.unwrap();
            let _newer = shared.refused(&refused).await;
            sleep(Duration::from_millis(100)).await;
        }
        assert!((50..=60).contains(&count(&calls)), "{}", count(&calls));
    }

    #[tokio::test(start_paused = true)]
    async fn caller_that_gives_up_does_not_stop_the_read() {
        let (shared, calls) = scripted(|_| Ok(None));
        let impatient = tokio::time::timeout(Duration::from_millis(10), shared.get()).await;
        assert!(impatient.is_err());
        assert_eq!(id(&shared).await.unwrap(), "0");
        assert_eq!(count(&calls), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn panic_of_the_source_is_an_error_and_retried() {
        let (shared, _) = scripted(|n| if n == 0 { panic!("poison") } else { Ok(None) });
        assert_eq!(id(&shared).await, Err(CredentialsError::Internal));
        advance(LONG).await;
        assert_eq!(id(&shared).await.unwrap(), "1");
    }

    #[tokio::test(start_paused = true)]
    async fn source_that_hangs_times_out() {
        let shared = SharedCredentials::new(
            Some(CredentialSource::Oidc),
            std::future::pending::<Result<Credentials, CredentialsError>>,
            Timestamp::now,
        );
        let start = Instant::now();
        let timed_out = CredentialsError::TimedOut(CredentialSource::Oidc);
        assert_eq!(id(&shared).await, Err(timed_out));
        assert_eq!(start.elapsed().as_secs(), FETCH_TIMEOUT.as_secs());
    }

    #[test]
    fn pause_doubles_from_one_second_to_a_minute() {
        for (n, seconds) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (u32::MAX, 60)] {
            let longest = Duration::from_secs(seconds);
            for _ in 0..100 {
                let pause = pause(n);
                assert!(pause >= longest / 2 && pause <= longest, "{n}: {pause:?}");
            }
        }
    }
}
