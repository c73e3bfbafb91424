//! The flags about the Manager.
//!
//! Invariant: the password comes from a file or the environment, never from an argument that other users of the host could
//! see.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;
use sdwan_operator::manager::{Credentials, LoginKind, ManagerClient, Password, Patience, Trust, Url};
use secrecy::SecretString;
use tracing::warn;

use super::read_failure;

const PASSWORD_ENV: &str = "SDWAN_MANAGER_PASSWORD";

#[derive(Debug, Args)]
pub(super) struct ManagerArgs {
    /// URL of the Manager
    #[arg(long, env = "SDWAN_MANAGER_URL", value_name = "URL", required = true)]
    manager_url: Option<Url>,

    /// User on the Manager
    #[arg(
        long,
        env = "SDWAN_MANAGER_USERNAME",
        value_name = "NAME",
        default_value = "admin"
    )]
    manager_username: String,

    /// File with the user's password, read again at every login
    #[arg(long, env = "SDWAN_MANAGER_PASSWORD_FILE", value_name = "PATH")]
    manager_password_file: Option<PathBuf>,

    /// Kind of login
    #[arg(long, env = "SDWAN_MANAGER_LOGIN", value_enum, default_value_t = LoginKind::Auto)]
    manager_login: LoginKind,

    /// PEM file of the CA that signed the Manager's certificate [default: the system's CAs]
    #[arg(long, env = "SDWAN_MANAGER_CA", value_name = "PATH")]
    manager_ca: Option<PathBuf>,

    /// Accept any certificate of the Manager
    #[arg(long, env = "SDWAN_MANAGER_INSECURE", conflicts_with = "manager_ca")]
    manager_insecure: bool,
}

impl ManagerArgs {
    /// A client for the Manager that the flags name.
    pub(super) fn client(self) -> anyhow::Result<ManagerClient> {
        let url = self
            .manager_url
            .ok_or_else(|| anyhow!("find the Manager: give --manager-url"))?;
        match url.scheme() {
            "https" => {}
            "http" => warn!(%url, "the password goes over the network in clear text"),
            scheme => {
                return Err(anyhow!(
                    "use Manager URL `{url}`: scheme `{scheme}`; accepted: https, http"
                ));
            }
        }
        let trust = match &self.manager_ca {
            _ if self.manager_insecure => {
                warn!("any certificate of the Manager is accepted");
                Trust::Anything
            }
            Some(path) => Trust::Ca(std::fs::read(path).with_context(|| read_failure("Manager CA", path))?),
            None => Trust::System,
        };
        let password = match self.manager_password_file {
            Some(path) => {
                // Read here only so that a wrong path is found at once.
                std::fs::read_to_string(&path).with_context(|| read_failure("password file", &path))?;
                Password::File(path)
            }
            None => Password::Given(SecretString::from(std::env::var(PASSWORD_ENV).map_err(|_| {
                anyhow!("find the Manager's password: give --manager-password-file or set {PASSWORD_ENV}")
            })?)),
        };
        let credentials = Credentials {
            username: self.manager_username,
            password,
            login: self.manager_login,
        };
        Ok(ManagerClient::new(
            &url,
            credentials,
            &trust,
            Patience::default(),
        )?)
    }
}
