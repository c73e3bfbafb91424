//! The stand-in's logins: by form for a cookie, and for tokens if it is told to have that.

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{login_page, refuse, reply};

/// The one session that there is.
pub struct Sessions {
    /// It has the login for tokens.
    pub jwt: bool,
    pub password: String,
    /// How long tokens last by their answer, in seconds; they are good for as long as their session.
    pub token_life: u64,
    pub logins: usize,
    pub refreshes: usize,
    current: Option<String>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            jwt: false,
            password: "secret".to_owned(),
            token_life: 1800,
            logins: 0,
            refreshes: 0,
            current: None,
        }
    }
}

impl Sessions {
    pub fn expire(&mut self) {
        self.current = None;
    }

    /// What answers in place of the API: a login, or whatever a request without a session gets.
    pub fn answer(
        &mut self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Option<Response> {
        match path {
            "/j_security_check" => return Some(self.log_in(body)),
            "/jwt/login" if self.jwt => return Some(self.log_in_for_tokens(body)),
            "/jwt/refresh" if self.jwt => return Some(self.refresh(body)),
            "/jwt/login" => return Some(StatusCode::NOT_FOUND.into_response()),
            _ => {}
        }
        let value = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let current = self.current.as_deref().unwrap_or("none");
        let bearer = value(header::AUTHORIZATION);
        let cookie = value(header::COOKIE).unwrap_or_default();
        let known = match bearer {
            Some(bearer) => bearer.starts_with(&format!("Bearer bearer-{current}-")),
            None => cookie.contains(&format!("JSESSIONID={current}")),
        };
        if !known {
            return Some(match bearer {
                Some(_) => refuse(401, "token expired"),
                None => login_page(),
            });
        }
        let token = format!("xsrf-{current}");
        if path == "/dataservice/client/token" {
            return Some(token.into_response());
        }
        let given = headers.get("X-XSRF-TOKEN");
        let missing = method != Method::GET && given.is_none_or(|given| given != token.as_str());
        missing.then(|| refuse(403, "SessionTokenFilter: token mismatch"))
    }

    fn log_in(&mut self, body: &Bytes) -> Response {
        if body[..] != *format!("j_username=admin&j_password={}", self.password).as_bytes() {
            return login_page();
        }
        let cookie = format!("JSESSIONID={}; Path=/; HttpOnly", self.begin());
        ([(header::SET_COOKIE, cookie)], ()).into_response()
    }

    fn log_in_for_tokens(&mut self, body: &Bytes) -> Response {
        let body: Value = serde_json::from_slice(body).unwrap();
        if body != json!({ "username": "admin", "password": self.password }) {
            return refuse(401, "user name or password");
        }
        self.begin();
        self.tokens()
    }

    fn refresh(&mut self, body: &Bytes) -> Response {
        let body: Value = serde_json::from_slice(body).unwrap();
        let current = self.current.as_deref().unwrap_or("none");
        if body["refresh"] != format!("refresh-{current}-{}", self.refreshes) {
            return refuse(401, "refresh token");
        }
        self.refreshes += 1;
        self.tokens()
    }

    fn begin(&mut self) -> String {
        self.logins += 1;
        let session = format!("session-{}", self.logins);
        self.current = Some(session.clone());
        session
    }

    fn tokens(&self) -> Response {
        let session = self.current.as_deref().unwrap_or_default();
        let turn = self.refreshes;
        reply(json!({
            "token": format!("bearer-{session}-{turn}"), "refresh": format!("refresh-{session}-{turn}"),
            "csrf": format!("xsrf-{session}"), "sub": "admin", "duration": self.token_life, "exp": 0,
        }))
    }
}
