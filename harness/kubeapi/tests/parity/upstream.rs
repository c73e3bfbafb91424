//! Kubernetes' own server: `etcd` and `kube-apiserver`, on loopback, with their files in a folder of this process.
//!
//! Nothing outlives this process: the programs are killed with it (`setpriv --pdeathsig`, where that is there), and a
//! folder that a killed one left is removed by the next.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::player::Endpoint;

/// It takes some 5 s on one core.
const START_DEADLINE: Duration = Duration::from_secs(120);
/// Where kube-apiserver leaves its own, below the folder that it runs in.
const CERTIFICATES: &str = "certificates";
const PAUSE: Duration = Duration::from_millis(50);

pub struct Upstream {
    pub endpoint: Arc<Endpoint>,
    _programs: [Program; 2],
    _folder: Folder,
}

/// Starts the programs of a folder.
pub async fn start(assets: &Path) -> Upstream {
    let folder = Folder::create();
    let [client_port, peer_port, secure_port] = free_ports();
    let etcd = format!("http://127.0.0.1:{client_port}");
    let token = Uuid::new_v4().simple().to_string();
    let end = Instant::now() + START_DEADLINE;
    // Only the first call has an effect.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let etcd_program = start_etcd(&folder, assets, &etcd, peer_port);
    compact(&etcd, end).await;
    let mut programs = [
        etcd_program,
        start_kube_apiserver(&folder, assets, &etcd, secure_port, &token),
    ];
    loop {
        if let Ok(authority) = fs::read(folder.0.join(CERTIFICATES).join("apiserver.crt")) {
            let url = format!("https://127.0.0.1:{secure_port}");
            let endpoint = Endpoint::new(&url, &authority, &token);
            if endpoint.is_ready().await {
                return Upstream {
                    endpoint: Arc::new(endpoint),
                    _programs: programs,
                    _folder: folder,
                };
            }
        }
        for program in &mut programs {
            program.assert_runs();
        }
        assert!(
            Instant::now() < end,
            "kube-apiserver is not ready: {}",
            programs[1].log()
        );
        sleep(PAUSE).await;
    }
}

/// Gives etcd a past that it forgets, by its JSON gateway: the first versions are those of nothing.
async fn compact(etcd: &str, end: Instant) {
    let client = reqwest::Client::new();
    let mut newest = Value::Null;
    let mut written = 0;
    while written < 3 {
        let put = client
            .post(format!("{etcd}/v3/kv/put"))
            .json(&json!({"key": "AA=="}));
        let answer = put.send().await.and_then(reqwest::Response::error_for_status);
        match answer {
            Ok(answer) => {
                let answer: Value = answer.json().await.unwrap();
                newest = answer["header"]["revision"].clone();
                written += 1;
            }
            Err(error) => {
                assert!(Instant::now() < end, "etcd is not ready: {error}");
                sleep(PAUSE).await;
            }
        }
    }
    let compaction = client.post(format!("{etcd}/v3/kv/compaction"));
    let answer = compaction.json(&json!({"revision": newest})).send().await;
    answer.and_then(reqwest::Response::error_for_status).unwrap();
}

fn start_etcd(folder: &Folder, assets: &Path, url: &str, peer_port: u16) -> Program {
    let peer = format!("http://127.0.0.1:{peer_port}");
    let words = [
        format!("--data-dir={}", folder.0.join("etcd").display()),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".to_owned(),
    ];
    Program::start(folder, assets, "etcd", words)
}

fn start_kube_apiserver(folder: &Folder, assets: &Path, etcd: &str, port: u16, token: &str) -> Program {
    let key = KeyPair::generate().unwrap();
    let tokens = folder.write("tokens.csv", &format!("{token},admin,admin,system:masters\n"));
    let signing_key = folder.write("service-accounts.key", &key.serialize_pem());
    let public_key = folder.write("service-accounts.pub", &key.public_key_pem());
    let words = [
        format!("--etcd-servers={etcd}"),
        "--bind-address=127.0.0.1".to_owned(),
        // Nobody connects to it; the Service `kubernetes` has no endpoints.
        "--advertise-address=192.0.2.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--secure-port={port}"),
        format!("--cert-dir={CERTIFICATES}"),
        format!("--token-auth-file={tokens}"),
        "--anonymous-auth=false".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={public_key}"),
        format!("--service-account-signing-key-file={signing_key}"),
        // No controller makes the ServiceAccounts that it asks for.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
    ];
    Program::start(folder, assets, "kube-apiserver", words)
}

/// Ports that nobody listens on now.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// A program that ends with its owner.
struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    fn start(folder: &Folder, assets: &Path, name: &str, words: impl IntoIterator<Item = String>) -> Program {
        let log = folder.0.join(name).with_extension("log");
        let output = File::create(&log).unwrap();
        let path = assets.join(name);
        assert!(path.is_file(), "`{}` is not there", path.display());
        let has_setpriv = Command::new("setpriv").arg("--version").output().is_ok();
        let mut command = match has_setpriv {
            true => Command::new("setpriv"),
            false => Command::new(&path),
        };
        if has_setpriv {
            command.args(["--pdeathsig", "KILL"]).arg(&path);
        }
        command.args(words).current_dir(&folder.0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        let child = command.spawn().unwrap();
        Program { child, log }
    }

    fn assert_runs(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("it ended, {status}: {}", self.log());
        }
    }

    /// The end of what it said.
    fn log(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(10).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A folder that ends with its owner.
struct Folder(PathBuf);

impl Folder {
    fn create() -> Folder {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kube-apiserver");
        fs::create_dir_all(&parent).unwrap();
        for left in fs::read_dir(&parent).unwrap() {
            let left = left.unwrap();
            if !Path::new("/proc").join(left.file_name()).exists() {
                fs::remove_dir_all(left.path()).ok();
            }
        }
        let folder = parent.join(process::id().to_string());
        fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
        Folder(folder)
    }

    /// Writes a file and gives its path.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
