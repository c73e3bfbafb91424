//! `kubectl` on the host, on a lab that is held up.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::{Run, folders, on_path};

pub fn works_on_a_held_lab() {
    let mut run = Run::new(&["lab", "up", "scenarios/core/demo.yaml"]);
    let mut child = run
        .command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap().contains("kubectl --kubeconfig")),
        "the lab does not come up"
    );

    let [folder] = folders(run.out.path()).try_into().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let output = Command::new(on_path("kubectl").unwrap())
        .arg("--kubeconfig")
        .arg(folder.join("kubeconfig"))
        .args(["get", "svc,pods,endpointslices", "-A"])
        .env("KUBECACHEDIR", cache.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for expected in [
        "service/business",
        "service/best-effort",
        "pod/business-server",
        "8081/UDP",
        "Running",
        "10.244.1.",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }

    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(folders(run.out.path()).is_empty());
}
