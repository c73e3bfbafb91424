//! `lab show`: what a lab that is held up looks like now.
//!
//! Owns finding the lab and asking it. It reaches the lab as anybody would, through the Manager's REST API on
//! loopback; what the product has no resource for comes from the lab's own `/pathproof/v1/state`. Nothing is
//! changed in the lab.

mod tables;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use netsim::manager::state::{LabState, SiteState};
use nix::fcntl::{Flock, FlockArg};
use reqwest::Client;
use serde::{Deserialize, Serialize};

use crate::lab::embedded::{ACCESS_FILE, ManagerAccess};
use crate::record::folder::RUNNING;

pub use tables::tables;

/// A lab answers in milliseconds, unless the machine stands still.
const DEADLINE: Duration = Duration::from_secs(5);

/// There is no lab to show.
#[derive(Debug, thiserror::Error)]
pub enum NoLab {
    /// In the folder of a run.
    #[error("show the lab of `{}`: no lab is up there; `pathproof lab up FILE` brings one up", .0.display())]
    There(PathBuf),
    /// In any folder of runs.
    #[error("show a lab of `{}`: none is up; `pathproof lab up FILE` brings one up", .0.display())]
    Anywhere(PathBuf),
}

/// A lab at one moment.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Its run folder.
    pub folder: PathBuf,
    /// The Manager's inventory.
    pub devices: Vec<Device>,
    /// Its edges, their tunnels and policies.
    pub sites: Vec<SiteState>,
}

/// A row of `/dataservice/device`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Device {
    /// Its name.
    pub host_name: String,
    /// Its system IP.
    pub system_ip: String,
    /// Its site, as text.
    pub site_id: String,
    /// `vedge`, `vsmart` or `vmanage`.
    pub personality: String,
    /// `reachable`, as far as the Manager knows.
    pub reachability: String,
    /// Only WAN edges have sessions.
    #[serde(rename = "bfdSessionsUp")]
    pub sessions_up: Option<usize>,
}

#[derive(Deserialize)]
struct Inventory {
    data: Vec<Device>,
}

/// Asks the lab of a run folder, or the one brought up last below `root`.
///
/// # Errors
/// [`NoLab`], or what kept the lab from answering.
pub fn show(folder: Option<&Path>, root: &Path) -> anyhow::Result<Shown> {
    let folder = match folder {
        Some(folder) if is_up(folder) => folder.to_owned(),
        Some(folder) => return Err(NoLab::There(folder.to_owned()).into()),
        None => newest(root).ok_or_else(|| NoLab::Anywhere(root.to_owned()))?,
    };
    let path = folder.join(ACCESS_FILE);
    let text = std::fs::read(&path).with_context(|| format!("read `{}`", path.display()))?;
    let access: ManagerAccess =
        serde_json::from_slice(&text).with_context(|| format!("read `{}`", path.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let (inventory, state) = runtime
        .block_on(ask(&access))
        .with_context(|| format!("ask the Manager at {}", access.url))?;
    Ok(Shown {
        folder,
        devices: inventory.data,
        sites: state.sites,
    })
}

async fn ask(access: &ManagerAccess) -> anyhow::Result<(Inventory, LabState)> {
    // Another provider may have been installed before; one is as good as the other.
    rustls::crypto::ring::default_provider().install_default().ok();
    let ca = std::fs::read(&access.ca).with_context(|| format!("read `{}`", access.ca.display()))?;
    let client = Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&ca)?])
        .cookie_store(true)
        .no_proxy()
        .timeout(DEADLINE)
        .build()?;
    let form = [("j_username", &access.username), ("j_password", &access.password)];
    let login = client
        .post(format!("{}/j_security_check", access.url))
        .form(&form)
        .send()
        .await?
        .error_for_status()?;
    // The product answers a refused login with status 200 and its login page.
    anyhow::ensure!(login.text().await?.is_empty(), "the login was refused");
    let get = |path: &str| client.get(format!("{}{path}", access.url)).send();
    let inventory = get("/dataservice/device").await?.error_for_status()?;
    let state = get("/pathproof/v1/state").await?.error_for_status()?;
    let answers = (inventory.json().await?, state.json().await?);
    // The session ends with this; a lab that has just gone needs no log-out.
    get("/logout").await.ok();
    Ok(answers)
}

/// The lab below `root` that was brought up last.
fn newest(root: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(root).ok()?.flatten().map(|entry| entry.path());
    let up = folders.filter(|folder| is_up(folder));
    up.max_by_key(|folder| since(folder))
}

fn since(folder: &Path) -> Option<SystemTime> {
    std::fs::metadata(folder.join(ACCESS_FILE)).ok()?.modified().ok()
}

/// Whether a lab is held in that folder: it lets others in, and its process lives and holds its lock.
fn is_up(folder: &Path) -> bool {
    // Asked for first: while a folder is being made its lock must not be touched.
    if !folder.join(ACCESS_FILE).exists() {
        return false;
    }
    let Ok(running) = File::open(folder.join(RUNNING)) else {
        return false;
    };
    Flock::lock(running, FlockArg::LockSharedNonblock).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::folder::RunFolder;

    fn lab(root: &Path, name: &str, seconds: u64) -> RunFolder {
        let folder = RunFolder::create(root, name).unwrap();
        let file = File::create(folder.join(ACCESS_FILE)).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_modified(time).unwrap();
        folder
    }

    #[test]
    fn the_lab_brought_up_last_is_the_newest_and_runs_are_none() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(newest(root.path()), None);
        let old = lab(root.path(), "b-old", 1);
        let new = lab(root.path(), "a-new", 2);
        let _run = RunFolder::create(root.path(), "run").unwrap();
        let finished = lab(root.path(), "finished", 3).finish().unwrap();
        assert!(finished.join(ACCESS_FILE).exists());
        assert_eq!(newest(root.path()).as_deref(), Some(new.path()));
        assert!(is_up(old.path()));
        new.discard().unwrap();
        assert_eq!(newest(root.path()).as_deref(), Some(old.path()));
    }

    #[test]
    fn a_folder_without_a_lab_is_named() {
        let root = tempfile::tempdir().unwrap();
        let missing = root.path().join("gone");
        let error = show(Some(&missing), root.path()).unwrap_err();
        assert!(error.to_string().contains("gone`: no lab is up there"), "{error}");
        let error = show(None, root.path()).unwrap_err();
        assert!(
            error.is::<NoLab>() && error.to_string().contains("none is up"),
            "{error}"
        );
    }
}
