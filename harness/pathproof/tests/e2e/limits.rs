//! Limits of the machine that a lab meets: named, with how to raise them.
//!
//! They are set so low only for a child, or in a user namespace of its own ([`exhaust`]).

use std::process::{Command, ExitCode};

use netsim::netns::{Netns, private};
use nix::sched::{CloneFlags, unshare};

use super::support::{pathproof, root};

/// The word that makes this program exhaust the network namespaces of a user namespace.
const EXHAUST: &str = "--exhaust-network-namespaces";
const DEMO: &str = "scenarios/core/demo.yaml";

pub fn is_exhausting() -> bool {
    std::env::args().any(|word| word == EXHAUST)
}

/// In a user namespace that may have few network namespaces: says what pathproof says, and what the making of one too
/// many says.
pub fn exhaust() -> ExitCode {
    let code = private::run(|_| {
        unshare(CloneFlags::CLONE_NEWUSER).unwrap();
        std::fs::write("/proc/sys/user/max_net_namespaces", "3").unwrap();
        let mut held = Vec::new();
        let refused = loop {
            match Netns::create(&held.len().to_string()) {
                Ok(netns) => held.push(netns),
                Err(error) => break error,
            }
        };
        eprintln!("{refused}");
        let mut demo = Command::new(pathproof());
        let status = demo.current_dir(root()).args(["run", DEMO]).status().unwrap();
        u8::try_from(status.code().unwrap()).unwrap()
    });
    ExitCode::from(code.unwrap())
}

pub fn too_few_network_namespaces() {
    let output = Command::new(std::env::current_exe().unwrap())
        .arg(EXHAUST)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{text}");
    let [while_building, before] = text.lines().collect::<Vec<_>>().try_into().unwrap();
    assert!(
        while_building.contains("create netns `3` (limit on network namespaces"),
        "{text}"
    );
    assert!(
        before.contains("it needs 11 network namespaces, the limit is 3"),
        "{text}"
    );
    for line in [while_building, before] {
        assert!(line.contains("sysctl -w user.max_net_namespaces=N"), "{text}");
    }
}

pub fn too_few_open_files() {
    let limited = |limit: &str| {
        let line = format!("ulimit {limit}; exec \"$0\" run {DEMO} --out \"$1\"");
        let out = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh");
        shell
            .current_dir(root())
            .args(["-c", &line])
            .arg(pathproof())
            .arg(out.path());
        shell.output().unwrap()
    };
    let refused = limited("-n 100");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{text}");
    assert!(
        text.contains("open files, the limit is 100; to raise it: ulimit -n N"),
        "{text}"
    );
    // A soft limit is raised.
    let raised = limited("-S -n 50");
    let text = String::from_utf8_lossy(&raised.stderr);
    assert_eq!(raised.status.code(), Some(0), "{text}");
}
