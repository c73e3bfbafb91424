//! `pathproof manager`: a Manager by itself, as a client of the REST API meets it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::kill::{HostState, processes_of, wait_until};
use super::support::{folders, pathproof, root};

const TWO_SITES: &str = "scenarios/topologies/two-sites.yaml";
const SCENARIO: &str = "scenarios/extended/hub-and-spoke.yaml";
const DEADLINE: Duration = Duration::from_secs(10);

/// A Manager that is up.
struct Served {
    child: Child,
    /// What it printed.
    line: Value,
}

impl Served {
    fn start(words: &[&str], out: &Path) -> Self {
        let mut child = command(words, out)
            .arg("--json")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let line = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: `{line}`"));
        Self { child, line }
    }

    fn text(&self, key: &str) -> &str {
        self.line[key].as_str().unwrap()
    }

    /// A client that trusts the Manager's authority alone.
    fn client(&self) -> reqwest::Client {
        // Only the first call has an effect; tests share the process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = std::fs::read(self.text("ca")).unwrap();
        reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&ca).unwrap()])
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(DEADLINE)
            .build()
            .unwrap()
    }

    /// Logs in with a password and asks for a resource.
    fn get(&self, password: &str, path: &str) -> String {
        let client = self.client();
        let url = self.text("url");
        let form = [("j_username", self.text("username")), ("j_password", password)];
        in_runtime(async {
            let login = client.post(format!("{url}/j_security_check")).form(&form).send();
            login.await.unwrap().error_for_status().unwrap();
            let answer = client.get(format!("{url}/dataservice{path}")).send();
            answer.await.unwrap().text().await.unwrap()
        })
    }

    /// The status of an answer to somebody whose cookie is no session's.
    fn status(&self, path: &str) -> u16 {
        let request = self.client().get(format!("{}{path}", self.text("url")));
        let request = request.header("cookie", "JSESSIONID=gone");
        in_runtime(async { request.send().await.unwrap().status().as_u16() })
    }

    fn rows(&self, path: &str) -> Vec<Value> {
        let answer: Value = serde_json::from_str(&self.get(self.text("password"), path)).unwrap();
        answer["data"].as_array().unwrap().clone()
    }

    fn sites(&self) -> Vec<String> {
        let rows = self.rows("/device");
        let edges = rows.iter().filter(|row| row["personality"] == "vedge");
        edges
            .map(|row| row["site-id"].as_str().unwrap().to_owned())
            .collect()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn in_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(work)
}

fn command(words: &[&str], out: &Path) -> Command {
    let mut command = Command::new(pathproof());
    command
        .current_dir(root())
        .arg("manager")
        .args(words)
        .arg("--out")
        .arg(out);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

fn out() -> TempDir {
    tempfile::tempdir().unwrap()
}

pub fn of_edges_in_memory() {
    let out = out();
    let served = Served::start(&["--dry", "--sites", "3"], out.path());
    assert_eq!(served.text("edges"), "dry");
    assert_eq!(served.sites(), ["100", "200", "300"]);
    let sessions = served.rows("/device/bfd/sessions?deviceId=10.255.0.1");
    assert_eq!(sessions.len(), 4, "two colors to two others");
    assert!(sessions.iter().all(|row| row["state"] == "up"));
}

pub fn of_a_topology() {
    let out = out();
    let mut served = Served::start(&["--topology", TWO_SITES], out.path());
    assert_eq!(served.text("edges"), "fabric");
    assert_eq!(served.sites(), ["100", "200"]);
    let edge = served.rows("/device").remove(2);
    let path = format!(
        "/device/app-route/statistics?deviceId={}",
        edge["deviceId"].as_str().unwrap()
    );
    let hellos = |rows: &[Value]| {
        rows.iter()
            .map(|row| row["total-packets"].as_u64().unwrap())
            .sum::<u64>()
    };
    wait_until("its sessions send no hellos", || hellos(&served.rows(&path)) > 2);
    served.signal(Signal::SIGTERM);
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
    assert!(folders(out.path()).is_empty(), "a run folder is left");
}

pub fn of_the_topology_of_a_scenario() {
    let out = out();
    let served = Served::start(&["--topology", SCENARIO], out.path());
    let topology = scenario::read(
        &pathproof::run::host::Files,
        &root().join(SCENARIO).to_string_lossy(),
    );
    let mut expected: Vec<u32> = topology
        .unwrap()
        .topology
        .sites
        .iter()
        .map(|site| site.id)
        .collect();
    let mut found: Vec<u32> = served.sites().iter().map(|site| site.parse().unwrap()).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}

/// The password is that of the file, and it is not printed.
pub fn with_a_password_file() {
    let out = out();
    let file = out.path().join("password");
    std::fs::write(&file, "it's a \"secret\" $HOME\nnot this\n").unwrap();
    let runs = out.path().join("runs");
    let served = Served::start(
        &[
            "--dry",
            "--username",
            "ops",
            "--password-file",
            file.to_str().unwrap(),
        ],
        &runs,
    );
    assert_eq!(served.text("username"), "ops");
    assert_eq!(served.line["password"], Value::Null);
    assert!(served.get("it's a \"secret\" $HOME", "/device").starts_with('{'));
    assert!(served.get("not this", "/device").contains("<html>"));
}

pub fn with_controllers_and_tenants_and_slow_statistics() {
    let out = out();
    let words = [
        "--dry",
        "--controllers=3",
        "--tenant=red=10",
        "--tenant=blue=20",
        "--statistics-interval=2s",
        "--rate-limit=none",
    ];
    let served = Served::start(&words, out.path());
    assert_eq!(served.line["tenants"], serde_json::json!(["red", "blue"]));
    let rows = served.rows("/device");
    let controllers = rows.iter().filter(|row| row["personality"] == "vsmart");
    let controllers: Vec<&str> = controllers
        .map(|row| row["host-name"].as_str().unwrap())
        .collect();
    assert_eq!(controllers, ["vsmart1", "vsmart2", "vsmart3"]);
    let tenants = served.rows("/tenant");
    assert_eq!(
        tenants.iter().map(|row| &row["tenantId"]).collect::<Vec<_>>(),
        ["red", "blue"]
    );
    let mut times = BTreeSet::new();
    wait_until("statistics are not made every 2 s", || {
        let rows = served.rows("/statistics/approute");
        times = rows
            .iter()
            .map(|row| row["statcycletime"].as_u64().unwrap())
            .collect();
        times.len() > 1
    });
    let apart = times.last().unwrap() - times.first().unwrap();
    assert!(apart > 1500, "rounds are {apart} ms apart");
}

/// Clients of the product meet its limit of requests, unless they ask for none.
pub fn limits_requests() {
    let out = out();
    let statuses = |words: &[&str]| -> Vec<u16> {
        let served = Served::start(words, out.path());
        (0..8)
            .map(|_| served.status("/dataservice/client/server/ready"))
            .collect()
    };
    assert!(statuses(&["--dry", "--rate-limit=1"]).contains(&429));
    assert_eq!(statuses(&["--dry", "--rate-limit=none"]), [200; 8]);
}

/// A session that is not there shows as one that has expired.
pub fn shows_expiry_in_the_shape_asked_for() {
    let out = out();
    for (words, status) in [
        (["--dry", "--expiry=login-page"], 200),
        (["--dry", "--expiry=forbidden"], 403),
    ] {
        let served = Served::start(&words, out.path());
        assert_eq!(served.status("/dataservice/device"), status, "{words:?}");
    }
}

/// Clients ask before they log in; what they ask for afterwards is answered all the same.
pub fn is_ready_and_has_its_template_as_asked_for() {
    let out = out();
    for (words, ready, kind) in [
        (&["--dry", "--edge-patience=1s"][..], true, "template"),
        (
            &["--dry", "--ready-after=10m", "--controller-template=cli"][..],
            false,
            "file",
        ),
    ] {
        let served = Served::start(words, out.path());
        let said: Value =
            serde_json::from_str(&served.get(served.text("password"), "/client/server/ready")).unwrap();
        assert_eq!(said["isServerReady"], ready, "{words:?}");
        let templates = served.rows("/template/device");
        assert_eq!(templates[0]["configType"], kind, "{words:?}");
    }
}

/// What it prints for people has a line for the shell, which works.
pub fn prints_a_command_that_works() {
    let out = out();
    let mut child = command(&["--dry"], out.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    let line = lines.find(|line| line.trim_start().starts_with("curl ")).unwrap();
    let asked = Command::new("sh").arg("-c").arg(&line).output().unwrap();
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let answer: Value = serde_json::from_slice(&asked.stdout).unwrap_or_else(|_| panic!("{asked:?}"));
    assert_eq!(answer["data"].as_array().unwrap().len(), 4, "{answer}");
}

pub fn refuses_what_it_cannot_serve() {
    let out = out();
    let folder = out.path().to_str().unwrap().to_owned();
    let runs = out.path().join("runs");
    let cases: [(&[&str], i32, &str); 26] = [
        (&[], 2, "--topology"),
        (&["--dry", "--topology", TWO_SITES], 2, "cannot be used with"),
        (
            &["--topology", TWO_SITES, "--sites", "3"],
            2,
            "cannot be used with",
        ),
        (&["--dry", "--sites", "0"], 2, "1..=1000"),
        (
            &["--dry", "--listen", "0.0.0.0:0"],
            2,
            "one address of this machine",
        ),
        (&["--dry", "--listen", "localhost"], 2, "127.0.0.1:8443"),
        (&["--dry", "--listen", "192.0.2.1:0"], 4, "listen on 192.0.2.1:0"),
        (&["--dry", "--push-delay", "soon"], 2, "soon"),
        (&["--dry", "--push-delay", "3s..1s"], 2, "1s..3s"),
        (&["--dry", "--controllers", "0"], 2, "1..=12"),
        (&["--dry", "--tenant", "red"], 2, "red=10,20"),
        (&["--dry", "--tenant", "r/d=10"], 2, "name a tenant `r/d`"),
        (
            &["--dry", "--tenant", "red=30"],
            2,
            "tenant `red`: the edges have 10, 20",
        ),
        (
            &["--topology", TWO_SITES, "--tenant", "red=4000"],
            2,
            "service VPN 4000 to tenant `red`",
        ),
        (
            &["--dry", "--tenant", "red=10", "--tenant", "blue=20,10"],
            2,
            "tenant `red` has it",
        ),
        (&["--dry", "--rate-limit", "0"], 2, "a number from 1, or none"),
        (&["--dry", "--statistics-interval", "0s"], 2, "above zero"),
        (&["--dry", "--expiry", "never"], 2, "login-page, redirect"),
        (&["--dry", "--username", ""], 2, "neither a colon"),
        (&["--dry", "--username", "ad:min"], 2, "neither a colon"),
        (&["--dry", "--ready-after", "soon"], 2, "soon"),
        (&["--dry", "--edge-patience", "0s"], 2, "above zero"),
        (&["--dry", "--controller-template", "text"], 2, "feature, cli"),
        (
            &["--dry", "--password-file", &folder],
            2,
            "read the password file",
        ),
        (&["--topology", "no-such.yaml"], 2, "no-such.yaml"),
        (&["--topology", "scenarios/negative/unknown-key.yaml"], 2, "hint"),
    ];
    for (words, code, said) in cases {
        let output = command(words, &runs).stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {stderr}");
        assert!(stderr.contains(said), "{words:?}: `{said}` is not in {stderr}");
        assert!(!runs.exists(), "{words:?} made a folder");
    }
}

pub fn killed_leaves_nothing() {
    let before = HostState::read();
    let out = out();
    for words in [["--topology", TWO_SITES], ["--dry", "--sites=2"]] {
        let mut served = Served::start(&words, out.path());
        assert_eq!(
            folders(out.path()).len(),
            1,
            "the next Manager removes what a killed one left"
        );
        served.signal(Signal::SIGKILL);
        served.child.wait().unwrap();
        wait_until("processes outlive their killed Manager", || {
            processes_of(out.path()).is_empty() && is_unlocked(&folders(out.path())[0])
        });
    }
    assert_eq!(HostState::read(), before);
}

/// Whether no process has the folder open as its own any more: a dying one loses its command line before its files.
fn is_unlocked(folder: &Path) -> bool {
    let file = File::open(folder.join("running")).unwrap();
    Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok()
}
