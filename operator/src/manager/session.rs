//! Sessions: login, XSRF token, logout.
//!
//! Owns the one session that all requests of a client share. Invariant: one login at a time, so parallel requests that
//! find the session gone log in once.

use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use tracing::info;

use super::error::{Call, ManagerError};
use super::transport::{ManagerClient, Reply};

/// The path of the login.
pub(super) const LOGIN: &str = "j_security_check";

/// The session, or none; the generation tells a renewed session from the one that a request failed with.
#[derive(Debug, Default)]
pub(super) struct SessionSlot {
    generation: u64,
    current: Option<Session>,
}

/// A session whose cookie is in the HTTP client.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) generation: u64,
    pub(super) xsrf: Option<String>,
}

impl ManagerClient {
    /// Ends the session on the Manager, which has only a few; without a session it does nothing.
    ///
    /// # Errors
    /// [`ManagerError::Transport`] if the Manager does not answer.
    pub async fn logout(&self) -> Result<(), ManagerError> {
        let Some(session) = self.slot.lock().await.current.take() else {
            return Ok(());
        };
        let call = Call::new(Method::POST, "logout");
        self.settle(&call, self.request_to(&call, None, &session))
            .await
            .map(|_| ())
    }

    pub(super) async fn session(&self) -> Result<Session, ManagerError> {
        // Held while logging in, so that parallel requests share one login.
        let mut slot = self.slot.lock().await;
        if let Some(session) = &slot.current {
            return Ok(session.clone());
        }
        let xsrf = self.login().await?;
        slot.generation += 1;
        let session = Session {
            generation: slot.generation,
            xsrf,
        };
        slot.current = Some(session.clone());
        Ok(session)
    }

    pub(super) async fn forget(&self, generation: u64) {
        let mut slot = self.slot.lock().await;
        slot.current.take_if(|session| session.generation == generation);
    }

    async fn login(&self) -> Result<Option<String>, ManagerError> {
        let call = Call::new(Method::POST, LOGIN);
        let form = [
            ("j_username", self.credentials.username.as_str()),
            ("j_password", self.credentials.password.expose_secret()),
        ];
        let request = self.http.post(self.url(&call)).form(&form);
        let not_accepted = || ManagerError::LoginRefused {
            username: self.credentials.username.clone(),
        };
        if let Reply::NoSession(_) = self.settle(&call, request).await? {
            return Err(not_accepted());
        }
        let call = Call::service(Method::GET, "client/token");
        let token = match self.settle(&call, self.http.get(self.url(&call))).await {
            Ok(Reply::Done(bytes)) => Some(String::from_utf8_lossy(&bytes).trim().to_owned()),
            Ok(Reply::NoSession(_)) => return Err(not_accepted()),
            // Managers before 19.2 have no tokens.
            Err(ManagerError::Refused {
                status: StatusCode::NOT_FOUND,
                ..
            }) => None,
            Err(error) => return Err(error),
        };
        info!(username = self.credentials.username, url = %self.base, "logged in to the Manager");
        Ok(token)
    }
}
