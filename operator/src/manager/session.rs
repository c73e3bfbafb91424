//! Sessions: login, XSRF token, logout.
//!
//! Owns the one session that all requests of a client share. Invariant: one login at a time, so parallel requests that
//! find the session gone log in once.

use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use tracing::info;

use super::error::{Call, ManagerError};
use super::transport::{ManagerClient, Reply};

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
        self.exchange(&Call::new(Method::POST, "logout"), None, Some(&session))
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
        let call = Call::new(Method::POST, "j_security_check");
        let form = [
            ("j_username", self.credentials.username.as_str()),
            ("j_password", self.credentials.password.expose_secret()),
        ];
        let ask = || self.reply(&call, self.http.post(self.url(&call)).form(&form));
        let refused = || ManagerError::LoginRefused {
            username: self.credentials.username.clone(),
        };
        match self.patiently(&call, ask).await? {
            Reply::Done(_) => {}
            Reply::NoSession(_) => return Err(refused()),
            reply => return Err(reply.into_error(call)),
        }
        let call = Call::service(Method::GET, "client/token");
        let ask = || self.exchange(&call, None, None);
        let token = match self.patiently(&call, ask).await? {
            Reply::Done(bytes) => Some(String::from_utf8_lossy(&bytes).trim().to_owned()),
            Reply::NoSession(_) => return Err(refused()),
            // Managers before 19.2 have no tokens.
            Reply::Refused {
                status: StatusCode::NOT_FOUND,
                ..
            } => None,
            reply => return Err(reply.into_error(call)),
        };
        info!(username = self.credentials.username, url = %self.base, "logged in to the Manager");
        Ok(token)
    }
}
