//! `lab show` beside a lab that is held up.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::support::{Run, folders, pathproof, root};

const DEADLINE: Duration = Duration::from_secs(10);

fn show(words: &[&str], out: &Path) -> Output {
    let mut command = Command::new(pathproof());
    command.args(["lab", "show"]).args(words).arg("--out").arg(out);
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{problems}");
    text
}

/// The demo, with the annotation set from the beginning.
fn annotated_demo(folder: &Path) {
    for file in [
        "core/demo.yaml",
        "topologies/two-sites.yaml",
        "manifests/business-and-best-effort.yaml",
    ] {
        let to = folder.join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let text = fs::read_to_string(root().join("scenarios").join(file)).unwrap();
        let annotated =
            "metadata:\n  name: business\n  annotations: { policy.sdwan.cisco.com/tunnel: biz-internet }\n";
        fs::write(to, text.replacen("metadata:\n  name: business\n", annotated, 1)).unwrap();
    }
}

/// The lab and its stdout, which has to stay open: a line more on a closed pipe would end the lab.
fn up(run: &mut Run) -> (Child, BufReader<ChildStdout>) {
    let command = run.command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut lines = stdout.by_ref().lines();
    assert!(
        lines.any(|line| line.unwrap().contains("pathproof lab show")),
        "the lab does not come up"
    );
    (child, stdout)
}

/// What the sessions of all edges say, once each has some hellos behind it.
fn tunnels(out: &Path) -> Vec<Value> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let text = stdout(&show(&["--json"], out));
        let shown: Value = serde_json::from_str(&text).unwrap();
        let sites = shown["sites"].as_array().unwrap();
        let tunnels: Vec<Value> = sites
            .iter()
            .flat_map(|site| site["tunnels"].as_array().unwrap().clone())
            .collect();
        if tunnels.iter().all(|tunnel| tunnel["total"].as_u64() > Some(5)) {
            return tunnels;
        }
        assert!(Instant::now() < deadline, "{text}");
    }
}

pub fn shows_sites_tunnels_and_policies() {
    let scenarios = tempfile::tempdir().unwrap();
    annotated_demo(scenarios.path());
    let scenario = scenarios.path().join("core/demo.yaml");
    let mut run = Run::new(&["lab", "up", scenario.to_str().unwrap()]);
    let (mut child, _stdout) = up(&mut run);
    let out = run.out.path();

    let tunnels = tunnels(out);
    assert_eq!(tunnels.len(), 4);
    for tunnel in &tunnels {
        assert_eq!(
            (&tunnel["state"], &tunnel["transitions"]),
            (&"up".into(), &0.into())
        );
        assert_eq!(tunnel["lost"], 0, "{tunnel}");
        assert!(tunnel["latencyP50Ms"].as_f64().unwrap() > 0.0, "{tunnel}");
        assert!(tunnel["sentPackets"].as_u64().unwrap() > 5, "{tunnel}");
    }

    let [folder] = folders(out).try_into().unwrap();
    let mode = fs::metadata(folder.join("lab.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = stdout(&show(&[folder.to_str().unwrap()], out));
    assert_eq!(text, text.replace("down", ""), "no tunnel is down");
    for expected in [
        "edge-near",
        "edge-far",
        "10.255.0.2",
        "2 of 2",
        "accept: biz-internet (restrict)",
        "from-service",
        "8080",
        "default   anything",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }

    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let gone = show(&[], out);
    assert_eq!(gone.status.code(), Some(5));
    let problem = String::from_utf8(gone.stderr).unwrap();
    assert!(problem.contains("none is up"), "{problem}");
    assert!(folders(out).is_empty());
}
