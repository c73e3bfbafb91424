//! Sessions of the classic login: a JSESSIONID cookie and an XSRF token.
//!
//! Owns who is logged in and for how long. The clock is passed in. Invariant: a session that [`Sessions::resume`]
//! answers has been used within [`IDLE_LIMIT`] and is younger than [`AGE_LIMIT`].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

/// Unused for this long, a session ends.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(30 * 60);
/// This old, a session ends however busy it is.
pub(super) const AGE_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The value of a JSESSIONID cookie.
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
    began: Instant,
    used: Instant,
}

impl Session {
    fn ended_at(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= IDLE_LIMIT
            || now.saturating_duration_since(self.began) >= AGE_LIMIT
    }
}

/// All sessions.
#[derive(Default)]
pub(super) struct Sessions {
    by_id: HashMap<SessionId, Session>,
}

impl Sessions {
    /// Opens a session for a user whose password was right.
    pub(super) fn open(&mut self, user: &str, now: Instant) -> SessionId {
        self.by_id.retain(|_, session| !session.ended_at(now));
        let id = SessionId(Uuid::new_v4().simple().to_string());
        let token = Uuid::new_v4().simple().to_string().to_uppercase();
        self.by_id.insert(
            id.clone(),
            Session {
                user: user.to_owned(),
                token,
                began: now,
                used: now,
            },
        );
        id
    }

    /// The session with this id, which is thereby used; nothing if it does not exist or has ended.
    pub(super) fn resume(&mut self, id: &SessionId, now: Instant) -> Option<Session> {
        let session = self.by_id.get_mut(id)?;
        if session.ended_at(now) {
            self.by_id.remove(id);
            return None;
        }
        session.used = now;
        Some(session.clone())
    }

    /// Ends a session.
    pub(super) fn close(&mut self, id: &SessionId) {
        self.by_id.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_idle_session_ends() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let id = sessions.open("admin", start);
        assert!(sessions.resume(&id, start + IDLE_LIMIT - SECOND).is_some());
        assert!(
            sessions
                .resume(&id, start + IDLE_LIMIT + IDLE_LIMIT - SECOND)
                .is_none()
        );
    }

    #[test]
    fn a_busy_session_ends_after_a_day() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let id = sessions.open("admin", start);
        let mut now = start;
        while now + IDLE_LIMIT / 2 < start + AGE_LIMIT {
            now += IDLE_LIMIT / 2;
            assert!(sessions.resume(&id, now).is_some());
        }
        assert!(sessions.resume(&id, start + AGE_LIMIT).is_none());
    }

    #[test]
    fn sessions_and_tokens_are_distinct() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let (first, second) = (sessions.open("admin", now), sessions.open("admin", now));
        assert_ne!(first, second);
        let tokens = [&first, &second].map(|id| sessions.resume(id, now).unwrap().token);
        assert_ne!(tokens[0], tokens[1]);
    }

    #[test]
    fn a_closed_session_is_gone() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let id = sessions.open("admin", now);
        sessions.close(&id);
        assert!(sessions.resume(&id, now).is_none());
    }

    #[test]
    fn ended_sessions_do_not_pile_up() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        for _ in 0..10 {
            sessions.open("admin", now);
        }
        sessions.open("admin", now + IDLE_LIMIT);
        assert_eq!(sessions.by_id.len(), 1);
    }
}
