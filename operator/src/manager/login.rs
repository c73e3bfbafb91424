//! The two logins, and the refresh of tokens.
//!
//! Owns the requests that begin a session. Invariant: what they answer is never part of an error or of the log.

use std::time::Duration;

use reqwest::header::{HeaderMap, SET_COOKIE};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::credentials::LoginKind;
use super::error::{Call, ManagerError};
use super::session::Proof;
use super::transport::{ManagerClient, Reply};

/// The path of the login for a session.
pub(super) const SESSION: &str = "j_security_check";
/// The path of the login for tokens.
pub(super) const JWT: &str = "jwt/login";
const REFRESH: &str = "jwt/refresh";
/// Used if an answer does not say how long its token is good for; the product's default.
const TOKEN_LIFE: Duration = Duration::from_secs(1800);

/// Tokens of a session.
pub(super) struct Tokens {
    pub(super) proof: Proof,
    pub(super) refresh: Option<SecretString>,
    pub(super) life: Duration,
}

/// What a login gives.
pub(super) enum Admission {
    Cookie(Proof),
    Tokens(Tokens),
}

impl ManagerClient {
    pub(super) async fn log_in(&self, password: &SecretString) -> Result<Admission, ManagerError> {
        match self.credentials.login {
            LoginKind::Session => self.log_in_for_cookie(password).await.map(Admission::Cookie),
            LoginKind::Jwt => match self.log_in_for_tokens(password).await? {
                Some(tokens) => Ok(Admission::Tokens(tokens)),
                None => Err(ManagerError::NoTokens),
            },
            LoginKind::Auto => match self.log_in_for_tokens(password).await? {
                Some(tokens) => Ok(Admission::Tokens(tokens)),
                None => self.log_in_for_cookie(password).await.map(Admission::Cookie),
            },
        }
    }

    async fn log_in_for_cookie(&self, password: &SecretString) -> Result<Proof, ManagerError> {
        let call = Call::new(Method::POST, SESSION);
        let form = [
            ("j_username", self.credentials.username.as_str()),
            ("j_password", password.expose_secret()),
        ];
        let request = self.http.post(self.url(&call)).form(&form);
        let Reply::Done(reception) = self.settle(&call, request).await? else {
            return Err(self.not_accepted());
        };
        let mut proof = Proof {
            cookie: cookies(&reception.headers),
            ..Proof::default()
        };
        proof.xsrf = self.xsrf_token(&proof).await?;
        Ok(proof)
    }

    /// `None` if this Manager has no such login.
    async fn log_in_for_tokens(&self, password: &SecretString) -> Result<Option<Tokens>, ManagerError> {
        let call = Call::new(Method::POST, JWT);
        let body = json!({
            "username": self.credentials.username, "password": password.expose_secret(),
        });
        let request = self.http.post(self.url(&call)).json(&body);
        match self.settle(&call, request).await {
            Ok(Reply::Done(answer)) => self.tokens(call, &answer.body).await.map(Some),
            Ok(Reply::NoSession(StatusCode::UNAUTHORIZED)) => Err(self.not_accepted()),
            // Older Managers do not know the path, or send whoever has no session to the login page.
            Ok(Reply::NoSession(_))
            | Err(ManagerError::Refused {
                status: StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED,
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// New tokens for a refresh token, which can be used once.
    pub(super) async fn refresh(&self, refresh: &SecretString) -> Result<Tokens, ManagerError> {
        let call = Call::new(Method::POST, REFRESH);
        let body = json!({ "refresh": refresh.expose_secret() });
        match self
            .settle(&call, self.http.post(self.url(&call)).json(&body))
            .await?
        {
            Reply::Done(answer) => self.tokens(call, &answer.body).await,
            Reply::NoSession(status) => Err(ManagerError::SessionRefused { call, status }),
        }
    }

    async fn tokens(&self, call: Call, answer: &[u8]) -> Result<Tokens, ManagerError> {
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        let text = |key: &str| answer.get(key).and_then(Value::as_str).map(SecretString::from);
        let Some(bearer) = text("token") else {
            return Err(ManagerError::NoTokenInAnswer { call });
        };
        let mut proof = Proof {
            bearer: Some(bearer),
            xsrf: text("csrf"),
            ..Proof::default()
        };
        if proof.xsrf.is_none() {
            proof.xsrf = self.xsrf_token(&proof).await?;
        }
        let seconds = answer.get("duration").and_then(Value::as_u64);
        Ok(Tokens {
            proof,
            refresh: text("refresh"),
            life: seconds.map_or(TOKEN_LIFE, Duration::from_secs),
        })
    }

    /// The token that writes need; Managers before 19.2 have none.
    async fn xsrf_token(&self, proof: &Proof) -> Result<Option<SecretString>, ManagerError> {
        let call = Call::service(Method::GET, "client/token");
        match self.settle(&call, self.request_to(&call, None, proof)).await {
            Ok(Reply::Done(token)) => {
                let token = String::from_utf8_lossy(&token.body);
                Ok(Some(SecretString::from(token.trim())))
            }
            Ok(Reply::NoSession(_)) => Err(self.not_accepted()),
            Err(ManagerError::Refused {
                status: StatusCode::NOT_FOUND,
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn not_accepted(&self) -> ManagerError {
        ManagerError::LoginRefused {
            username: self.credentials.username.clone(),
        }
    }
}

/// The cookies that an answer sets, as a request brings them back.
fn cookies(headers: &HeaderMap) -> Option<SecretString> {
    let set = headers.get_all(SET_COOKIE).iter();
    let pairs: Vec<&str> = set
        .filter_map(|cookie| cookie.to_str().ok()?.split(';').next())
        .collect();
    (!pairs.is_empty()).then(|| SecretString::from(pairs.join("; ")))
}
