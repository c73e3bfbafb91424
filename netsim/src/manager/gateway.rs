//! What stands between the socket and the resources, and is one for all tenants.
//!
//! Owns who the user is, the sessions, the limits and the names of the tenants. Invariant: nothing is known here of what
//! a request asks for.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use secrecy::{ExposeSecret, SecretString};

use super::Config;
use super::activity::{Event, Log};
use super::caller::Caller;
use super::faults::{ExpiryShape, Faults};
use super::limits::{Limiter, Place};
use super::session::{Full, Session, SessionId, Sessions, TokenError, Tokens};
use super::tenants::Tenant;

/// What stands between the socket and the resources.
pub(super) struct Gateway {
    pub(super) activity: Arc<Log>,
    pub(super) faults: Faults,
    /// None: a Manager of a single tenant.
    pub(super) tenants: Vec<Tenant>,
    username: String,
    password: SecretString,
    sessions: Arc<Mutex<Sessions>>,
    limiter: Limiter,
    ready_at: Instant,
}

/// Why a login was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginError {
    /// The name, or the password.
    #[error("user name or password is wrong")]
    Credentials,
    /// There are too many sessions.
    #[error(transparent)]
    Full(#[from] Full),
}

/// What a request shows to prove its session.
pub(super) enum Proof<'a> {
    /// A JSESSIONID.
    Cookie(SessionId),
    /// An access token.
    Token(&'a str),
}

/// Why a proof is not accepted.
#[derive(Debug)]
pub(super) enum Refused {
    /// The session of a cookie has ended, and this is how it shows.
    Cookie(ExpiryShape),
    /// The token is not good.
    Token(TokenError),
}

impl Gateway {
    /// Nobody is logged in.
    pub(super) fn new(config: &Config) -> Self {
        let now = Instant::now();
        let limits = &config.limits;
        let sessions = Sessions::new(limits.sessions, config.expiry, now, unix_ms() / 1000);
        let sessions = Arc::new(Mutex::new(sessions));
        let activity = Arc::new(Log::default());
        Self {
            faults: Faults::reaching(activity.clone(), sessions.clone()),
            activity,
            tenants: config.tenants.clone(),
            username: config.username.clone(),
            password: config.password.clone(),
            sessions,
            limiter: Limiter::new(limits, now),
            ready_at: now + config.ready_after,
        }
    }

    /// Whether this is how the user proves to be who they are.
    pub(super) fn knows(&self, user: &str, password: &str) -> bool {
        user == self.username && password == self.password.expose_secret()
    }

    /// Opens a session of the classic login.
    pub(super) fn log_in(&self, user: &str, password: &str) -> Result<SessionId, LoginError> {
        self.check(user, password)?;
        let id = self.sessions().open(user, Instant::now())?;
        self.note_login(user);
        Ok(id)
    }

    /// Opens a session of tokens.
    pub(super) fn log_in_for_tokens(
        &self,
        user: &str,
        password: &str,
        duration: Duration,
    ) -> Result<Tokens, LoginError> {
        self.check(user, password)?;
        let tokens = self.sessions().open_tokens(user, duration, Instant::now())?;
        self.note_login(user);
        Ok(tokens)
    }

    /// New tokens for a refresh token.
    pub(super) fn refresh(&self, token: &str, duration: Duration) -> Result<Tokens, TokenError> {
        let mut sessions = self.sessions();
        let refreshed = sessions.refresh(token, duration, Instant::now());
        self.note_felt(&mut sessions);
        refreshed
    }

    /// The session behind a request, and its caller.
    pub(super) fn resume(&self, proof: Proof<'_>, address: IpAddr) -> Result<(Session, Caller), Refused> {
        let now = Instant::now();
        let mut sessions = self.sessions();
        let resumed = match proof {
            Proof::Cookie(id) => {
                let session = sessions.resume(&id, now).map_err(Refused::Cookie);
                session.map(|session| (id, session))
            }
            Proof::Token(token) => sessions.resume_token(token, now).map_err(Refused::Token),
        };
        self.note_felt(&mut sessions);
        let (id, session) = resumed?;
        let caller = Caller {
            session: id,
            user: session.user.clone(),
            address,
            at_ms: unix_ms(),
        };
        Ok((session, caller))
    }

    /// Ends the session that a request proves, if there is one.
    pub(super) fn log_out(&self, proof: Proof<'_>) {
        let mut sessions = self.sessions();
        let now = Instant::now();
        let id = match proof {
            Proof::Cookie(id) => sessions.resume(&id, now).ok().map(|_| id),
            Proof::Token(token) => sessions.resume_token(token, now).ok().map(|(id, _)| id),
        };
        self.note_felt(&mut sessions);
        if let Some(id) = id {
            sessions.close(&id);
        }
    }

    /// What goes into `VSessionId` so that requests of a session speak for a tenant.
    pub(super) fn speak_for(&self, session: &SessionId, tenant: &str) -> Option<String> {
        let tenant = self.tenants.iter().find(|known| known.id == tenant)?;
        self.sessions().speak_for(session, &tenant.id)
    }

    /// Takes one request; otherwise after how long it is worth asking again.
    pub(super) fn take(&self, path: &str) -> Result<Option<Place>, Duration> {
        self.limiter.take(path, Instant::now())
    }

    /// Whether the Manager says that it is ready.
    pub(super) fn is_ready(&self) -> bool {
        Instant::now() >= self.ready_at
    }

    fn check(&self, user: &str, password: &str) -> Result<(), LoginError> {
        if self.knows(user, password) {
            return Ok(());
        }
        let user = user.to_owned();
        self.activity.record(Event::LoginRefused { user });
        Err(LoginError::Credentials)
    }

    /// Tells of the faults that requests of expired sessions have felt.
    fn note_felt(&self, sessions: &mut Sessions) {
        for id in sessions.take_felt() {
            self.activity.record(Event::FaultFelt { id });
        }
    }

    fn note_login(&self, user: &str) {
        let user = user.to_owned();
        self.activity.record(Event::LoggedIn { user });
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time, as the product's timestamps are: milliseconds since the Unix epoch.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
