use super::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn sessions(per_user: usize, in_all: usize) -> (Sessions, Instant) {
    let now = Instant::now();
    let limits = SessionLimits { per_user, in_all };
    (
        Sessions::new(limits, ExpiryShape::Redirect, now, 1_700_000_000),
        now,
    )
}

#[test]
fn an_idle_session_ends() {
    let (mut sessions, start) = sessions(9, 9);
    let id = sessions.open("admin", start).unwrap();
    let last = start + IDLE_LIMIT - SECOND;
    assert!(sessions.resume(&id, last).is_ok());
    assert_eq!(
        sessions.resume(&id, last + IDLE_LIMIT).err(),
        Some(ExpiryShape::Redirect)
    );
}

#[test]
fn a_busy_session_ends_after_a_day() {
    let (mut sessions, start) = sessions(9, 9);
    let id = sessions.open("admin", start).unwrap();
    let mut now = start;
    while now + IDLE_LIMIT / 2 < start + AGE_LIMIT {
        now += IDLE_LIMIT / 2;
        assert!(sessions.resume(&id, now).is_ok());
    }
    assert!(sessions.resume(&id, start + AGE_LIMIT).is_err());
}

#[test]
fn sessions_and_tokens_are_distinct() {
    let (mut sessions, now) = sessions(9, 9);
    let ids = ["admin", "admin"].map(|user| sessions.open(user, now).unwrap());
    assert_ne!(ids[0], ids[1]);
    let tokens = ids.map(|id| sessions.resume(&id, now).ok().unwrap().token);
    assert_ne!(tokens[0], tokens[1]);
}

#[test]
fn a_closed_session_is_gone() {
    let (mut sessions, now) = sessions(9, 9);
    let id = sessions.open("admin", now).unwrap();
    sessions.close(&id);
    assert!(sessions.resume(&id, now).is_err());
}

#[test]
fn ended_sessions_do_not_pile_up() {
    let (mut sessions, now) = sessions(9, 9);
    for _ in 0..5 {
        sessions.open("admin", now).unwrap();
    }
    sessions.expire_all(Some(ExpiryShape::Forbidden), 1);
    for _ in 0..5 {
        sessions.open_tokens("admin", SECOND, now).unwrap();
    }
    sessions.open("admin", now + IDLE_LIMIT).unwrap();
    assert_eq!(sessions.by_id.len(), 1);
}

#[test]
fn one_session_too_many_of_a_user_ends_the_one_used_least_recently() {
    let (mut sessions, now) = sessions(3, 9);
    let other = sessions.open("other", now).unwrap();
    let ids = [0, 1, 2].map(|second| sessions.open("admin", now + second * SECOND).unwrap());
    sessions.resume(&ids[0], now + 3 * SECOND).ok().unwrap();
    let now = now + 4 * SECOND;
    let fourth = sessions.open("admin", now).unwrap();
    let is_there = |id: &SessionId| sessions.by_id.contains_key(id);
    assert!([&ids[0], &ids[2], &fourth, &other].into_iter().all(is_there));
    assert!(!is_there(&ids[1]));
}

#[test]
fn a_full_manager_takes_no_more_sessions_until_one_ends() {
    let (mut sessions, now) = sessions(2, 3);
    sessions.open("a", now).unwrap();
    let first = sessions.open("b", now).unwrap();
    sessions.open_tokens("c", HOUR, now).unwrap();
    assert_eq!(sessions.open("c", now), Err(Full(3)));
    assert!(sessions.open_tokens("c", HOUR, now).is_err());
    sessions.close(&first);
    assert!(sessions.open("c", now).is_ok());
}

#[test]
fn a_refresh_feels_that_the_session_has_expired() {
    let (mut sessions, now) = sessions(1, 1);
    let tokens = sessions.open_tokens("admin", HOUR, now).unwrap();
    sessions.expire_all(Some(ExpiryShape::LoginPage), 7);
    let refused = sessions.refresh(&tokens.refresh, HOUR, now);
    assert!(matches!(refused, Err(TokenError::Ended)));
    assert_eq!(sessions.take_felt(), [7]);
}

#[test]
fn expired_on_purpose_is_told_by_the_shape_and_frees_the_place() {
    let (mut sessions, now) = sessions(1, 1);
    let id = sessions.open("admin", now).unwrap();
    sessions.expire_all(Some(ExpiryShape::Cookie), 2);
    sessions.expire_all(Some(ExpiryShape::LoginPage), 3);
    assert_eq!(sessions.resume(&id, now).err(), Some(ExpiryShape::Cookie));
    assert_eq!(sessions.take_felt(), [2]);
    let next = sessions.open("other", now).unwrap();
    assert!(sessions.resume(&next, now).is_ok(), "only sessions of then");
    assert!(sessions.take_felt().is_empty());
}

#[test]
fn a_token_is_good_for_its_duration_however_busy() {
    let (mut sessions, start) = sessions(9, 9);
    // In the middle of a second of the wall clock.
    let start = start + SECOND / 2;
    let tokens = sessions.open_tokens("admin", HOUR, start).unwrap();
    let (_, session) = sessions.resume_token(&tokens.token, start).unwrap();
    assert_eq!(session.token, tokens.csrf);
    assert_eq!(session.user, "admin");
    assert!(
        sessions
            .resume_token(&tokens.token, start + HOUR - SECOND / 10)
            .is_ok()
    );
    assert_eq!(
        sessions.resume_token(&tokens.token, start + HOUR + SECOND).err(),
        Some(TokenError::Expired)
    );
}

#[test]
fn a_token_says_its_times() {
    let (mut sessions, start) = sessions(9, 9);
    let claims = sessions
        .open_tokens("admin", HOUR, start + 7 * SECOND)
        .unwrap()
        .claims;
    assert_eq!((claims.iat, claims.exp), (1_700_000_007, 1_700_003_607));
}

#[test]
fn a_refresh_token_works_once_and_leaves_the_access_token() {
    let (mut sessions, start) = sessions(9, 9);
    let first = sessions.open_tokens("admin", HOUR, start).unwrap();
    let now = start + HOUR / 2;
    let second = sessions.refresh(&first.refresh, HOUR, now).unwrap();
    assert_ne!(first.token, second.token);
    let [before, after] =
        [&first, &second].map(|tokens| sessions.resume_token(&tokens.token, now).unwrap().0);
    assert_eq!(before, after, "one session, whose lock stays its own");
    assert_eq!(
        sessions.refresh(&first.refresh, HOUR, now).err(),
        Some(TokenError::Used)
    );
    assert!(sessions.refresh(&second.refresh, HOUR, now).is_ok());
}

#[test]
fn a_refresh_token_outlives_its_access_token_by_as_long_again() {
    let (mut sessions, start) = sessions(9, 9);
    let tokens = sessions.open_tokens("admin", HOUR, start).unwrap();
    let late = start + 2 * HOUR;
    assert!(sessions.refresh(&tokens.refresh, SECOND, late - SECOND).is_ok());
    let tokens = sessions.open_tokens("admin", HOUR, start).unwrap();
    assert_eq!(
        sessions.refresh(&tokens.refresh, SECOND, late + SECOND).err(),
        Some(TokenError::Expired)
    );
}

#[test]
fn tokens_stand_only_for_what_they_are() {
    let (mut sessions, now) = sessions(9, 9);
    let tokens = sessions.open_tokens("admin", HOUR, now).unwrap();
    let refused = |result: Result<(SessionId, Session), TokenError>| result.err();
    assert_eq!(
        refused(sessions.resume_token(&tokens.refresh, now)),
        Some(TokenError::Purpose)
    );
    assert_eq!(
        refused(sessions.resume_token("x.y.z", now)),
        Some(TokenError::Foreign)
    );
    assert_eq!(
        sessions.refresh(&tokens.token, HOUR, now).err(),
        Some(TokenError::Purpose)
    );
    let id = SessionId(tokens.claims.sid.clone());
    assert!(sessions.resume(&id, now).is_err(), "no cookie");
}

#[test]
fn an_ended_session_takes_its_tokens_along() {
    let (mut sessions, now) = sessions(9, 9);
    let closed = sessions.open_tokens("admin", HOUR, now).unwrap();
    sessions.close(&SessionId(closed.claims.sid.clone()));
    let expired = sessions.open_tokens("admin", HOUR, now).unwrap();
    sessions.expire_all(Some(ExpiryShape::LoginPage), 4);
    for tokens in [closed, expired] {
        let resumed = sessions.resume_token(&tokens.token, now);
        assert_eq!(resumed.err(), Some(TokenError::Ended));
        let refreshed = sessions.refresh(&tokens.refresh, HOUR, now);
        assert_eq!(refreshed.err(), Some(TokenError::Ended));
    }
}

#[test]
fn a_session_speaks_for_a_tenant_by_one_value() {
    let (mut sessions, now) = sessions(9, 9);
    let id = sessions.open("admin", now).unwrap();
    let value = sessions.speak_for(&id, "blue").unwrap();
    assert_ne!(sessions.speak_for(&id, "red").unwrap(), value);
    assert_eq!(sessions.speak_for(&id, "blue").unwrap(), value);
    let tenants = sessions.resume(&id, now).ok().unwrap().tenants;
    assert_eq!(tenants[&value], "blue");
    assert_eq!(sessions.speak_for(&SessionId::from("none"), "blue"), None);
}

#[test]
fn a_fault_without_a_shape_shows_as_sessions_expire_by_themselves() {
    let now = Instant::now();
    let mut sessions = Sessions::new(SessionLimits::PRODUCT, ExpiryShape::Cookie, now, 0);
    let id = sessions.open("admin", now).unwrap();
    sessions.expire_all(None, 1);
    assert!(matches!(sessions.resume(&id, now), Err(ExpiryShape::Cookie)));
}
