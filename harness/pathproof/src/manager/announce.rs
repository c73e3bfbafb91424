//! What `pathproof manager` prints when it is up.

use std::io::Write;
use std::path::Path;

use netsim::manager::Tenant;
use serde_json::json;

use super::fabric::Size;
use super::shown;
use super::values::listed;
use crate::cli::{itself, quoted};
use crate::lab::embedded::ManagerAccess;

/// A Manager that is up.
pub(super) struct Announcement<'a> {
    pub(super) access: &'a ManagerAccess,
    /// Where the password is from, if it is the user's; it is not printed then.
    pub(super) password_file: Option<&'a Path>,
    pub(super) folder: &'a Path,
    pub(super) edges: Edges,
    pub(super) tenants: &'a [Tenant],
}

/// What stands behind it.
pub(super) enum Edges {
    /// So many edges in memory.
    Dry(u16),
    /// A WAN.
    Fabric(Size),
}

/// Who reads it.
pub(super) enum Format {
    /// People.
    Text,
    /// Scripts.
    Json,
}

impl Announcement<'_> {
    /// Prints it to stdout. A reader that has read enough and gone ends no Manager.
    pub(super) fn print(&self, format: Format) {
        let text = match format {
            Format::Text => self.text(),
            Format::Json => self.json(),
        };
        let mut stdout = std::io::stdout().lock();
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
            .ok();
    }

    fn text(&self) -> String {
        let ManagerAccess {
            url, ca, username, ..
        } = self.access;
        let ca = shown(ca);
        let (password, field) = match self.password_file {
            Some(file) => {
                let file = shown(file);
                (
                    format!("the first line of {file}"),
                    format!("\"j_password=$(head -n 1 {file})\""),
                )
            }
            None => {
                let password = &self.access.password;
                (password.clone(), format!("j_password={password}"))
            }
        };
        let user = quoted(&format!("j_username={username}"));
        let folder = shown(self.folder);
        let itself = quoted(&itself());
        format!(
            "the Manager is up; Ctrl-C ends it\n\
             \n  {edges}\n{tenants}\
             \n  URL       {url}\
             \n  user      {username}\
             \n  password  {password}\
             \n  CA        {ca}\n\
             \n  curl -sS --cacert {ca} -b '' --data-urlencode {user} --data-urlencode {field} {url}/j_security_check \
             --next -sS --cacert {ca} -b '' {url}/dataservice/device\n\
             \n  {itself} lab show {folder}    # sites, tunnels and policies as they are now\n",
            edges = self.edges.text(),
            tenants = self.tenants_text(),
        )
    }

    /// A paragraph, if there are tenants.
    fn tenants_text(&self) -> String {
        if self.tenants.is_empty() {
            return String::new();
        }
        let tenant = |tenant: &Tenant| format!("{} ({})", tenant.id, listed(&tenant.service_vpns));
        let tenants: Vec<String> = self.tenants.iter().map(tenant).collect();
        format!(
            "\n  tenants by service VPN: {}; the user is their provider, who has the others\n",
            tenants.join(", ")
        )
    }

    fn json(&self) -> String {
        let ManagerAccess {
            url,
            ca,
            username,
            password,
        } = self.access;
        let mut line = json!({
            "url": url,
            "username": username,
            "ca": ca,
            "folder": self.folder,
            "edges": self.edges.name(),
            "sites": self.edges.sites(),
            "tenants": self.tenants.iter().map(|tenant| &tenant.id).collect::<Vec<_>>(),
        });
        match self.password_file {
            Some(file) => line["passwordFile"] = json!(file),
            None => line["password"] = json!(password),
        }
        format!("{line}\n")
    }
}

impl Edges {
    fn name(&self) -> &'static str {
        match self {
            Self::Dry(_) => "dry",
            Self::Fabric(_) => "fabric",
        }
    }

    fn sites(&self) -> usize {
        match self {
            Self::Dry(sites) => usize::from(*sites),
            Self::Fabric(size) => size.edges,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Dry(sites) => format!(
                "{sites} edges in memory: they remember their policy and carry nothing; their tunnels are made up \
                 (up, no loss, 10 ms)"
            ),
            Self::Fabric(Size { edges, up, sessions }) => {
                format!(
                    "{edges} edges in private namespaces, {up} of {sessions} sessions up, all of it measured"
                )
            }
        }
    }
}
