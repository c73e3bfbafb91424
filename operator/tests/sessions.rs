//! Logins, renewal and logout, against a stand-in that has one login or both.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::io::Write;
use std::sync::{Arc, Mutex};

use rstest::rstest;
use sdwan_operator::manager::{Identity, LoginKind, ManagerClient, ManagerError, Password};
use secrecy::SecretString;
use tracing_subscriber::fmt::MakeWriter;

use self::support::{FakeManager, Fault};

async fn manager(jwt: bool) -> FakeManager {
    let manager = FakeManager::start().await;
    manager.shelf().sessions.jwt = jwt;
    manager
}

fn given(password: &str) -> Password {
    Password::Given(SecretString::from(password))
}

async fn look(client: &ManagerClient) -> Result<(), ManagerError> {
    client.observe(&Identity::default()).await.map(|_| ())
}

/// Paths of the logins that the stand-in was asked for.
fn logged_in_by(manager: &FakeManager) -> usize {
    manager.shelf().sessions.logins
}

#[rstest]
#[case::both_have_sessions(LoginKind::Session, true)]
#[case::old_has_sessions(LoginKind::Session, false)]
#[case::new_has_tokens(LoginKind::Jwt, true)]
#[case::auto_new(LoginKind::Auto, true)]
#[case::auto_old(LoginKind::Auto, false)]
#[tokio::test]
async fn parallel_requests_share_one_login_of_the_kind_asked_for(
    #[case] login: LoginKind,
    #[case] jwt: bool,
) {
    let manager = manager(jwt).await;
    let client = manager.client_of(given("secret"), login);
    tokio::try_join!(look(&client), look(&client)).unwrap();
    assert_eq!(logged_in_by(&manager), 1);
    client.logout().await.unwrap();
    let calls = manager.take_writes();
    assert_eq!(calls, ["POST /logout"]);
}

#[tokio::test]
async fn tokens_that_were_asked_for_are_not_replaced_by_a_session() {
    let manager = manager(false).await;
    let error = look(&manager.client_of(given("secret"), LoginKind::Jwt))
        .await
        .unwrap_err();
    assert!(matches!(error, ManagerError::NoTokens), "{error}");
    assert_eq!(logged_in_by(&manager), 0);
}

#[rstest]
#[case::page(200, "<html><form action=\"/j_security_check\"></form></html>")]
#[case::redirect(302, "")]
#[case::forbidden(403, "")]
#[case::method(405, "")]
#[tokio::test]
async fn what_an_old_manager_says_to_the_new_login_leads_to_the_old_one(
    #[case] status: u16,
    #[case] body: &str,
) {
    let manager = manager(true).await;
    manager
        .shelf()
        .faults
        .push_back(Fault::new("POST /jwt/login", status, body));
    look(&manager.client_of(given("secret"), LoginKind::Auto))
        .await
        .unwrap();
    assert_eq!(manager.shelf().sessions.refreshes, 0);
    assert_eq!(logged_in_by(&manager), 1);
}

#[tokio::test]
async fn tokens_are_refreshed_before_they_expire() {
    let manager = manager(true).await;
    manager.shelf().sessions.token_life = 0;
    let client = manager.client();
    look(&client).await.unwrap();
    look(&client).await.unwrap();
    assert_eq!(logged_in_by(&manager), 1);
    assert!(manager.shelf().sessions.refreshes > 0);
}

#[tokio::test]
async fn a_refresh_that_is_refused_becomes_a_login() {
    let manager = manager(true).await;
    manager.shelf().sessions.token_life = 0;
    let client = manager.client();
    look(&client).await.unwrap();
    manager.expire_session();
    look(&client).await.unwrap();
    assert_eq!(logged_in_by(&manager), 2);
}

#[rstest]
#[case::session(false)]
#[case::tokens(true)]
#[tokio::test]
async fn a_session_that_ended_early_is_renewed(#[case] jwt: bool) {
    let manager = manager(jwt).await;
    let client = manager.client();
    look(&client).await.unwrap();
    manager.expire_session();
    look(&client).await.unwrap();
    assert_eq!(logged_in_by(&manager), 2);
}

#[rstest]
#[case::session(false)]
#[case::tokens(true)]
#[tokio::test]
async fn a_refused_password_is_sent_once_until_its_file_has_another(#[case] jwt: bool) {
    let manager = manager(jwt).await;
    let login = if jwt {
        "POST /jwt/login"
    } else {
        "POST /j_security_check"
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    fs::write(&path, "of yesterday\n").unwrap();
    let client = manager.client_of(Password::File(path.clone()), LoginKind::Auto);
    for _ in 0..3 {
        let error = look(&client).await.unwrap_err();
        assert!(matches!(error, ManagerError::LoginRefused { .. }), "{error}");
    }
    let attempts = manager.shelf().attempts.clone();
    assert_eq!(
        attempts.iter().filter(|call| *call == login).count(),
        1,
        "{attempts:?}"
    );

    fs::write(&path, "secret\n").unwrap();
    look(&client).await.unwrap();
}

#[tokio::test]
async fn a_password_that_changed_is_read_when_the_session_has_ended() {
    let manager = manager(true).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    fs::write(&path, "secret").unwrap();
    let client = manager.client_of(Password::File(path.clone()), LoginKind::Auto);
    look(&client).await.unwrap();
    fs::write(&path, "rotated").unwrap();
    manager.shelf().sessions.password = "rotated".to_owned();
    manager.expire_session();
    look(&client).await.unwrap();

    fs::remove_file(&path).unwrap();
    manager.expire_session();
    let error = look(&client).await.unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The whole life of both kinds of session, with refusals, at the most talkative level that any library has.
#[test]
fn no_log_shows_a_password_or_a_token() {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .init();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for jwt in [false, true] {
            let manager = manager(jwt).await;
            manager.shelf().sessions.password = "hunter2".to_owned();
            manager.shelf().sessions.token_life = 0;
            let client = manager.client_with_password("hunter2");
            look(&client).await.unwrap();
            manager.expire_session();
            look(&client).await.unwrap();
            client.logout().await.unwrap();
            let wrong = manager.client_with_password("hunter3");
            let error = look(&wrong).await.unwrap_err();
            tracing::error!(
                error = &error as &dyn std::error::Error,
                ?wrong,
                "as the loop would log it"
            );
        }
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("logged in to the Manager"), "{log}");
    for secret in ["hunter", "session-", "bearer-", "refresh-", "xsrf-"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}
