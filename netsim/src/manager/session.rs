//! Sessions: who is logged in, how, and for how long.
//!
//! Owns both kinds: that of the classic login, a cookie, which ends when it is idle or old, and that of `/jwt/login`, a
//! pair of tokens, which ends with the second of them. The clock is passed in. Invariant: a session that is answered has not
//! ended, and no user has more than the limit.

pub(super) mod jwt;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::faults::ExpiryShape;
use super::limits::SessionLimits;
use jwt::{Claims, Purpose, Signer};

/// Unused for this long, a session of the classic login ends.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(30 * 60);
/// This old, a session of the classic login ends however busy it is.
pub(super) const AGE_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Names a session; the value of a JSESSIONID cookie, or a claim of tokens.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct SessionId(String);

impl SessionId {
    /// As it stands in a cookie.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SessionId {
    fn from(cookie: &str) -> Self {
        Self(cookie.to_owned())
    }
}

// A session id is a credential: it must not reach a log.
impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionId(..)")
    }
}

/// What a session may show.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) user: String,
    /// Expected in `X-XSRF-TOKEN` on every write.
    pub(super) token: String,
    /// The tenants that it may speak for, by what goes into `VSessionId`.
    pub(super) tenants: BTreeMap<String, String>,
    kind: Kind,
    began: Instant,
    used: Instant,
    expired: Option<Expiry>,
}

/// What made a session expire before its time.
#[derive(Clone, Copy)]
struct Expiry {
    shape: ExpiryShape,
    fault: u64,
}

#[derive(Clone)]
enum Kind {
    Cookie,
    /// The refresh token that is still good, and until when.
    Tokens {
        refresh: Uuid,
        ends: Instant,
    },
}

impl Session {
    fn has_ended(&self, now: Instant) -> bool {
        match self.kind {
            Kind::Cookie => {
                now.saturating_duration_since(self.used) >= IDLE_LIMIT
                    || now.saturating_duration_since(self.began) >= AGE_LIMIT
            }
            Kind::Tokens { ends, .. } => now >= ends,
        }
    }
}

/// Why nobody more can log in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Manager has its {0} sessions; log out of one")]
pub(super) struct Full(usize);

/// Why a token is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    /// Not signed here, or no token at all.
    #[error("the token was not issued by this Manager")]
    Foreign,
    /// A refresh token in the place of an access token, or the other way round.
    #[error("the token is for another purpose")]
    Purpose,
    /// Too old.
    #[error("the token has expired")]
    Expired,
    /// A refresh token, for the second time.
    #[error("the refresh token has been used")]
    Used,
    /// Its session was ended before its time.
    #[error("the session of the token has ended")]
    Ended,
}

/// What `/jwt/login` and `/jwt/refresh` give out; never logged.
pub(super) struct Tokens {
    pub(super) token: String,
    pub(super) refresh: String,
    pub(super) csrf: String,
    /// How long the access token is good.
    pub(super) duration: Duration,
    /// What it says.
    pub(super) claims: Claims,
}

/// All sessions.
pub(super) struct Sessions {
    by_id: HashMap<SessionId, Session>,
    /// The faults that expired the sessions of requests.
    felt: Vec<u64>,
    limits: SessionLimits,
    expiry: ExpiryShape,
    signer: Signer,
    /// A moment by both clocks: tokens have their times in seconds since the Unix epoch.
    began: (Instant, u64),
}

impl Sessions {
    /// None yet. What expires by itself shows as `expiry`; it is now `now`, that many seconds after the Unix epoch.
    pub(super) fn new(limits: SessionLimits, expiry: ExpiryShape, now: Instant, unix_s: u64) -> Self {
        Self {
            by_id: HashMap::new(),
            felt: Vec::new(),
            limits,
            expiry,
            signer: Signer::new(),
            began: (now, unix_s),
        }
    }

    /// Opens a session of the classic login for a user whose password was right.
    pub(super) fn open(&mut self, user: &str, now: Instant) -> Result<SessionId, Full> {
        self.admit(user, Kind::Cookie, now)
    }

    /// Opens a session whose access token is good for `duration`, and whose refresh token for twice that.
    pub(super) fn open_tokens(
        &mut self,
        user: &str,
        duration: Duration,
        now: Instant,
    ) -> Result<Tokens, Full> {
        let ends = now + 2 * duration;
        let refresh = Uuid::new_v4();
        let id = self.admit(user, Kind::Tokens { refresh, ends }, now)?;
        Ok(self.issue(&id, refresh, duration, now))
    }

    /// Exchanges a refresh token for new tokens of the same session. The access token before is good until it expires,
    /// and the refresh token is no longer.
    pub(super) fn refresh(
        &mut self,
        token: &str,
        duration: Duration,
        now: Instant,
    ) -> Result<Tokens, TokenError> {
        let claims = self.check(token, Purpose::Refresh, now)?;
        let id = SessionId(claims.sid);
        let session = self.by_id.get_mut(&id).ok_or(TokenError::Ended)?;
        if let Some(expiry) = session.expired {
            self.felt.push(expiry.fault);
            return Err(TokenError::Ended);
        }
        let Kind::Tokens { refresh, ends } = &mut session.kind else {
            return Err(TokenError::Ended);
        };
        if *refresh != claims.jti {
            return Err(TokenError::Used);
        }
        let next = Uuid::new_v4();
        *refresh = next;
        *ends = (*ends).max(now + 2 * duration);
        Ok(self.issue(&id, next, duration, now))
    }

    /// The session of a cookie, which is thereby used; otherwise how its client finds out that there is none.
    pub(super) fn resume(&mut self, id: &SessionId, now: Instant) -> Result<Session, ExpiryShape> {
        let session = self.by_id.get_mut(id).ok_or(self.expiry)?;
        if let Some(expiry) = session.expired {
            self.felt.push(expiry.fault);
            return Err(expiry.shape);
        }
        if session.has_ended(now) || !matches!(session.kind, Kind::Cookie) {
            return Err(self.expiry);
        }
        session.used = now;
        Ok(session.clone())
    }

    /// The session of an access token.
    pub(super) fn resume_token(
        &mut self,
        token: &str,
        now: Instant,
    ) -> Result<(SessionId, Session), TokenError> {
        let claims = self.check(token, Purpose::Access, now)?;
        let id = SessionId(claims.sid);
        let session = self.by_id.get_mut(&id).ok_or(TokenError::Ended)?;
        if let Some(expiry) = session.expired {
            self.felt.push(expiry.fault);
            return Err(TokenError::Ended);
        }
        session.used = now;
        Ok((id, session.clone()))
    }

    /// What goes into `VSessionId` so that requests of a session speak for a tenant.
    pub(super) fn speak_for(&mut self, id: &SessionId, tenant: &str) -> Option<String> {
        let session = self.by_id.get_mut(id)?;
        let known = session.tenants.iter().find(|(_, known)| *known == tenant);
        if let Some((value, _)) = known {
            return Some(value.clone());
        }
        let value = Uuid::new_v4().to_string();
        session.tenants.insert(value.clone(), tenant.to_owned());
        Some(value)
    }

    /// Ends a session.
    pub(super) fn close(&mut self, id: &SessionId) {
        self.by_id.remove(id);
    }

    /// Ends every session before its time, as if it had expired, because of a fault; it shows as it does by itself
    /// unless there is a shape.
    pub(super) fn expire_all(&mut self, shape: Option<ExpiryShape>, fault: u64) {
        let shape = shape.unwrap_or(self.expiry);
        for session in self.by_id.values_mut() {
            session.expired.get_or_insert(Expiry { shape, fault });
        }
    }

    /// The faults that requests of expired sessions have felt, once for each request, since this was asked last.
    pub(super) fn take_felt(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.felt)
    }

    fn admit(&mut self, user: &str, kind: Kind, now: Instant) -> Result<SessionId, Full> {
        self.by_id.retain(|_, session| !session.has_ended(now));
        let live = || self.by_id.iter().filter(|(_, session)| session.expired.is_none());
        let of_user: Vec<_> = live().filter(|(_, session)| session.user == user).collect();
        if of_user.len() >= self.limits.per_user {
            // Room is made by the session that was used least recently.
            let oldest = of_user.iter().min_by_key(|(_, session)| session.used);
            let oldest = oldest.map(|(id, _)| (*id).clone());
            self.by_id.retain(|id, _| Some(id) != oldest.as_ref());
        } else if live().count() >= self.limits.in_all {
            return Err(Full(self.limits.in_all));
        }
        let id = SessionId(Uuid::new_v4().simple().to_string());
        let session = Session {
            user: user.to_owned(),
            token: Uuid::new_v4().simple().to_string().to_uppercase(),
            tenants: BTreeMap::new(),
            kind,
            began: now,
            used: now,
            expired: None,
        };
        self.by_id.insert(id.clone(), session);
        Ok(id)
    }

    fn issue(&self, id: &SessionId, refresh: Uuid, duration: Duration, now: Instant) -> Tokens {
        let session = &self.by_id[id];
        let iat = self.unix_s(now);
        let claims = |jti, purpose, duration: Duration| Claims {
            sub: session.user.clone(),
            iss: "vmanage".to_owned(),
            sid: id.0.clone(),
            jti,
            purpose,
            iat,
            // Upwards: a token must not end early.
            exp: self.unix_s(now + duration + Duration::from_nanos(999_999_999)),
        };
        let access = claims(Uuid::new_v4(), Purpose::Access, duration);
        Tokens {
            token: self.signer.sign(&access),
            refresh: (self.signer).sign(&claims(refresh, Purpose::Refresh, 2 * duration)),
            csrf: session.token.clone(),
            duration,
            claims: access,
        }
    }

    fn check(&self, token: &str, purpose: Purpose, now: Instant) -> Result<Claims, TokenError> {
        let claims = self.signer.open(token).ok_or(TokenError::Foreign)?;
        if claims.purpose != purpose {
            return Err(TokenError::Purpose);
        }
        if self.unix_s(now) >= claims.exp {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }

    fn unix_s(&self, at: Instant) -> u64 {
        let (began, unix_s) = self.began;
        unix_s + at.saturating_duration_since(began).as_secs()
    }
}

#[cfg(test)]
impl Default for Sessions {
    fn default() -> Self {
        Self::new(
            SessionLimits::PRODUCT,
            ExpiryShape::LoginPage,
            Instant::now(),
            1_700_000_000,
        )
    }
}

#[cfg(test)]
mod tests;
