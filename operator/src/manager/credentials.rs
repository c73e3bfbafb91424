//! Who logs in, and how.
//!
//! Owns where the password comes from. Invariant: a password in a file is read at every login, so a new one is taken
//! up without a restart.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::error::ManagerError;

/// Who logs in.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The password; never printed.
    pub password: Password,
    /// The kind of session to ask for.
    pub login: LoginKind,
}

/// Where the password is.
#[derive(Debug, Clone)]
pub enum Password {
    /// Here.
    Given(SecretString),
    /// In this file, whose last line break does not count.
    File(PathBuf),
}

/// The kinds of login that a Manager has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LoginKind {
    /// Tokens if the Manager has that login (20.18.1 and later), else a session.
    #[default]
    Auto,
    /// A session cookie, with an XSRF token for writes.
    Session,
    /// JSON web tokens, refreshed before they expire.
    Jwt,
}

impl Password {
    /// The password as it is now.
    ///
    /// # Errors
    /// [`ManagerError::PasswordFile`] if there is no file, or no text in it.
    pub async fn read(&self) -> Result<SecretString, ManagerError> {
        let path = match self {
            Self::Given(password) => return Ok(password.clone()),
            Self::File(path) => path,
        };
        let text = tokio::fs::read_to_string(path)
            .await
            .map_err(|source| ManagerError::PasswordFile {
                path: path.clone(),
                source,
            })?;
        Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
    }
}

/// Whether two secrets are the same.
pub(super) fn same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}
