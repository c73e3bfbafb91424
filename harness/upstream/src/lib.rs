//! Kubernetes' own API server, to hold another one against: `etcd` and `kube-apiserver`, on loopback.
//!
//! Owns their processes and the folder with their files. No controller of Kubernetes' runs beside them.
//!
//! Invariant: the programs do not outlive the thread that started them, not even after SIGKILL, and a folder that a
//! killed process left is removed by the next start.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod folder;
mod program;

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use reqwest::{Certificate, Client, RequestBuilder};
use serde_json::json;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use folder::Folder;
use program::Program;

/// The variable that names a folder with `kube-apiserver` and `etcd`, as the tests of controller-runtime have it.
pub const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// It takes some 5 s on one core.
const START_DEADLINE: Duration = Duration::from_secs(120);
/// Where kube-apiserver leaves its own, below the folder that it runs in.
const CERTIFICATES: &str = "certificates";
const PAUSE: Duration = Duration::from_millis(50);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder has no such program.
    #[error("find `{}`", .0.display())]
    Missing(PathBuf),
    /// A program could not be run; `setpriv` of util-linux starts the other two.
    #[error("run `{program}`")]
    Run {
        /// Its name.
        program: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A file of the server could not be written or read.
    #[error("use the folder of the server, `{}`", folder.display())]
    Folder {
        /// Where it is.
        folder: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// No port of the loopback interface was to be had.
    #[error("find a free port")]
    Port(#[source] io::Error),
    /// No key for the tokens of ServiceAccounts could be made.
    #[error("make a key")]
    Key(#[source] rcgen::Error),
    /// The certificate of the server is of no use.
    #[error("speak TLS with kube-apiserver")]
    Tls(#[source] reqwest::Error),
    /// A program ended.
    #[error("keep `{program}` running: {log}")]
    Ended {
        /// Its name.
        program: &'static str,
        /// The end of what it said.
        log: String,
    },
    /// A program was not ready in time.
    #[error("see etcd and kube-apiserver ready within {} s: {log}", START_DEADLINE.as_secs())]
    NotReady {
        /// The end of what it said.
        log: String,
    },
}

/// A running server, which ends when this is dropped.
#[derive(Debug)]
pub struct Upstream {
    /// Where it listens.
    pub url: String,
    /// Who signed its certificate, as PEM.
    pub authority: Vec<u8>,
    /// The bearer token of its administrator.
    pub token: String,
    // Dropped in this order: the programs write into the folder.
    _programs: [Program; 2],
    folder: Folder,
}

impl Upstream {
    /// Starts the programs of the folder `assets`, with their files in a new folder below `home`, until
    /// kube-apiserver is ready.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(assets: &Path, home: &Path) -> Result<Self, StartError> {
        let folder = Folder::create(home).map_err(|source| StartError::Folder {
            folder: home.to_owned(),
            source,
        })?;
        let [client_port, peer_port, secure_port] = free_ports().map_err(StartError::Port)?;
        let etcd = format!("http://127.0.0.1:{client_port}");
        let token = Uuid::new_v4().simple().to_string();
        // Only the first call has an effect.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let end = Instant::now() + START_DEADLINE;
        let mut etcd_program = start_etcd(&folder, assets, &etcd, peer_port)?;
        compact(&mut etcd_program, &etcd, end).await?;
        let mut programs = [
            etcd_program,
            start_kube_apiserver(&folder, assets, &etcd, secure_port, &token)?,
        ];
        let url = format!("https://127.0.0.1:{secure_port}");
        let authority = ready(&mut programs, &folder, &url, &token, end).await?;
        Ok(Self {
            url,
            authority,
            token,
            _programs: programs,
            folder,
        })
    }

    /// A kubeconfig of its administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        let (url, token, authority) = (&self.url, &self.token, STANDARD.encode(&self.authority));
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: upstream\n\
             clusters: [{{name: upstream, cluster: {{server: \"{url}\", certificate-authority-data: {authority}}}}}]\n\
             users: [{{name: admin, user: {{token: \"{token}\"}}}}]\n\
             contexts: [{{name: upstream, context: {{cluster: upstream, user: admin}}}}]\n"
        )
    }

    /// Octets of memory that both programs hold (`VmRSS` of proc(5)).
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn resident(&self) -> io::Result<u64> {
        program::resident_in(self.folder.path())
    }
}

/// Gives etcd a past that it has forgotten, by its JSON gateway: no object is of its first versions.
async fn compact(program: &mut Program, etcd: &str, end: Instant) -> Result<(), StartError> {
    let client = Client::new();
    let put = || {
        client
            .post(format!("{etcd}/v3/kv/put"))
            .json(&json!({"key": "AA=="}))
    };
    let mut written = 0;
    while written < 3 {
        if succeeds(put()).await {
            written += 1;
        } else {
            program.assert_runs()?;
            if Instant::now() > end {
                let log = program.log();
                return Err(StartError::NotReady { log });
            }
            sleep(PAUSE).await;
        }
    }
    // The first version of an empty etcd is 1.
    let compaction = client.post(format!("{etcd}/v3/kv/compaction"));
    if succeeds(compaction.json(&json!({"revision": written + 1}))).await {
        return Ok(());
    }
    let log = program.log();
    Err(StartError::NotReady { log })
}

async fn succeeds(request: RequestBuilder) -> bool {
    let answer = request.send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

/// Waits until the server says that it is ready, and gives the authority of its certificate.
async fn ready(
    programs: &mut [Program; 2],
    folder: &Folder,
    url: &str,
    token: &str,
    end: Instant,
) -> Result<Vec<u8>, StartError> {
    loop {
        if let Ok(authority) = fs::read(folder.path().join(CERTIFICATES).join("apiserver.crt")) {
            let certificates = Certificate::from_pem_bundle(&authority).map_err(StartError::Tls)?;
            let client = Client::builder().tls_certs_only(certificates).build();
            let asked = client.map_err(StartError::Tls)?.get(format!("{url}/readyz"));
            let answer = asked.bearer_auth(token).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(authority);
            }
        }
        for program in &mut *programs {
            program.assert_runs()?;
        }
        if Instant::now() > end {
            let log = programs[1].log();
            return Err(StartError::NotReady { log });
        }
        sleep(PAUSE).await;
    }
}

fn start_etcd(folder: &Folder, assets: &Path, url: &str, peer_port: u16) -> Result<Program, StartError> {
    let peer = format!("http://127.0.0.1:{peer_port}");
    let words = [
        format!("--data-dir={}", folder.path().join("etcd").display()),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".to_owned(),
    ];
    Program::start(folder, assets, "etcd", &words)
}

fn start_kube_apiserver(
    folder: &Folder,
    assets: &Path,
    etcd: &str,
    port: u16,
    token: &str,
) -> Result<Program, StartError> {
    let key = KeyPair::generate().map_err(StartError::Key)?;
    let tokens = folder.write("tokens.csv", &format!("{token},admin,admin,system:masters\n"))?;
    let signing_key = folder.write("service-accounts.key", &key.serialize_pem())?;
    let public_key = folder.write("service-accounts.pub", &key.public_key_pem())?;
    let words = [
        format!("--etcd-servers={etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        // Nobody connects to it; the Service `kubernetes` has no endpoints.
        "--advertise-address=192.0.2.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--secure-port={port}"),
        format!("--cert-dir={CERTIFICATES}"),
        format!("--token-auth-file={}", tokens.display()),
        "--anonymous-auth=false".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", public_key.display()),
        format!("--service-account-signing-key-file={}", signing_key.display()),
        // No controller makes the ServiceAccounts that it asks for.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
    ];
    Program::start(folder, assets, "kube-apiserver", &words)
}

/// Ports that nobody listens on now.
fn free_ports() -> io::Result<[u16; 3]> {
    let listen = || TcpListener::bind("127.0.0.1:0");
    // All of them are held until the last is known, so that they differ.
    let listeners = [listen()?, listen()?, listen()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs::DirBuilder;
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    use std::process::Command;

    use super::*;

    /// Where the process that is killed has its home.
    const HOME: &str = "UPSTREAM_TEST_HOME";

    /// Programs that run until they are killed, below `home`.
    fn sleeping_programs(home: &Path) -> PathBuf {
        let assets = home.join("assets");
        DirBuilder::new().mode(0o700).create(&assets).unwrap();
        for name in ["etcd", "kube-apiserver"] {
            let path = assets.join(name);
            fs::write(&path, "#!/bin/sh\nexec sleep 600\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        assets
    }

    /// The folders of servers below `home`, with whether something holds memory there.
    fn servers(home: &Path) -> Vec<bool> {
        let folders = fs::read_dir(home).into_iter().flatten();
        let folders = folders.map(|folder| folder.unwrap().path().canonicalize().unwrap());
        folders
            .map(|folder| program::resident_in(&folder).unwrap() > 0)
            .collect()
    }

    async fn until(what: &str, condition: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !condition() {
            assert!(Instant::now() < end, "{what}: not before the deadline");
            sleep(PAUSE).await;
        }
    }

    #[tokio::test]
    #[ignore = "runs in a process of its own, which `what_is_killed_leaves_no_program` kills"]
    async fn what_is_killed() {
        let home = PathBuf::from(env::var_os(HOME).unwrap());
        Upstream::start(&home.join("assets"), &home.join("servers"))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn what_is_killed_leaves_no_program() {
        let scratch = tempfile::tempdir().unwrap();
        let assets = sleeping_programs(scratch.path());
        let home = scratch.path().join("servers");
        let mut owner = Command::new(env::current_exe().unwrap())
            .args(["--exact", "tests::what_is_killed", "--ignored"])
            .env(HOME, scratch.path())
            .spawn()
            .unwrap();
        until("the programs run", || servers(&home) == [true]).await;
        // SIGKILL.
        owner.kill().unwrap();
        owner.wait().unwrap();
        until("the programs are gone", || servers(&home) == [false]).await;
        // The next start removes the folder that was left; it fails, as these programs are none.
        fs::write(assets.join("etcd"), "#!/bin/sh\necho no space left >&2; exit 1\n").unwrap();
        let refused = Upstream::start(&assets, &home).await.unwrap_err();
        assert_eq!(refused.to_string(), "keep `etcd` running: no space left");
        assert_eq!(servers(&home), [] as [bool; 0]);
    }
}
