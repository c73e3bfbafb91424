//! Sessions: login, renewal, logout.
//!
//! Owns the one session that all requests of a client share. Invariants: one login at a time, so parallel requests that
//! find the session gone log in once; a password that was refused is not sent again and again, which would lock the
//! account.

use std::time::Duration;

use reqwest::Method;
use secrecy::SecretString;
use tokio::time::Instant;
use tracing::{debug, info};

use super::credentials::same;
use super::error::{Call, ManagerError};
use super::login::Admission;
use super::transport::ManagerClient;

/// After how long a refused password is tried again; a different one is tried at once.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// The session, or none; the generation tells a renewed session from the one that a request failed with.
#[derive(Debug, Default)]
pub(super) struct SessionSlot {
    generation: u64,
    current: Option<Held>,
    refused: Option<(SecretString, Instant)>,
}

/// What shows that a request belongs to a session.
///
/// The cookie is here and not in a cookie store of the HTTP client, because that logs what it keeps.
#[derive(Debug, Clone, Default)]
pub(super) struct Proof {
    pub(super) cookie: Option<SecretString>,
    pub(super) bearer: Option<SecretString>,
    pub(super) xsrf: Option<SecretString>,
}

/// A session.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) generation: u64,
    pub(super) proof: Proof,
}

/// A session with when and how it is renewed; a cookie's never is.
#[derive(Debug)]
struct Held {
    session: Session,
    renew_at: Option<Instant>,
    /// Without it, renewal is another login.
    refresh: Option<SecretString>,
}

impl ManagerClient {
    /// Ends the session on the Manager, which has only a few; without a session it does nothing.
    ///
    /// # Errors
    /// [`ManagerError::Transport`] if the Manager does not answer.
    pub async fn logout(&self) -> Result<(), ManagerError> {
        let Some(held) = self.slot.lock().await.current.take() else {
            return Ok(());
        };
        let call = Call::new(Method::POST, "logout");
        self.settle(&call, self.request_to(&call, None, &held.session.proof))
            .await
            .map(|_| ())
    }

    pub(super) async fn session(&self) -> Result<Session, ManagerError> {
        // Held while logging in, so that parallel requests share one login.
        let mut slot = self.slot.lock().await;
        let due = slot
            .current
            .take_if(|held| held.renew_at.is_some_and(|at| at <= Instant::now()));
        if let Some(held) = &slot.current {
            return Ok(held.session.clone());
        }
        if let Some(refresh) = due.and_then(|held| held.refresh) {
            match self.refresh(&refresh).await {
                Ok(tokens) => {
                    debug!("tokens of the Manager refreshed");
                    return Ok(slot.take_up(Admission::Tokens(tokens)));
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    info!(error, "tokens not refreshed, logging in again");
                }
            }
        }
        let password = self.credentials.password.read().await?;
        slot.check_refused(&password, || self.not_accepted())?;
        let admission = match self.log_in(&password).await {
            Err(error @ ManagerError::LoginRefused { .. }) => {
                slot.refused = Some((password, Instant::now()));
                return Err(error);
            }
            outcome => outcome?,
        };
        info!(username = self.credentials.username, url = %self.base, "logged in to the Manager");
        Ok(slot.take_up(admission))
    }

    pub(super) async fn forget(&self, generation: u64) {
        let mut slot = self.slot.lock().await;
        slot.current.take_if(|held| held.session.generation == generation);
    }
}

impl SessionSlot {
    fn check_refused(
        &self,
        password: &SecretString,
        refusal: impl FnOnce() -> ManagerError,
    ) -> Result<(), ManagerError> {
        match &self.refused {
            Some((refused, at)) if same(refused, password) && at.elapsed() < REFUSED_PAUSE => Err(refusal()),
            _ => Ok(()),
        }
    }

    fn take_up(&mut self, admission: Admission) -> Session {
        let (proof, refresh, life) = match admission {
            Admission::Cookie(proof) => (proof, None, None),
            Admission::Tokens(tokens) => (tokens.proof, tokens.refresh, Some(tokens.life)),
        };
        self.generation += 1;
        self.refused = None;
        let session = Session {
            generation: self.generation,
            proof,
        };
        self.current = Some(Held {
            session: session.clone(),
            // Early enough that a request on its way does not outlive its token.
            renew_at: life.map(|life| Instant::now() + life * 3 / 4),
            refresh,
        });
        session
    }
}
