//! The command line without labs.

use super::support::{Run, root};

pub fn broken_scenario_creates_nothing() {
    let run = Run::new(&["run", "scenarios/negative/unknown-key.yaml"]);
    let finished = run.finish().expect(2);
    let golden = std::fs::read_to_string(root().join("scenarios/negative/unknown-key.txt")).unwrap();
    let said = finished.stderr();
    // The golden was made beside the file; the place is the same, the path is longer.
    for line in golden
        .lines()
        .filter(|line| line.contains('^') || line.contains("hint"))
    {
        assert!(said.contains(line.trim()), "{line}\nis not in\n{said}");
    }
    assert!(said.contains("scenarios/negative/unknown-key.yaml:"), "{said}");
    assert!(finished.folders.is_empty());
}

pub fn check_accepts_the_repository() {
    let mut run = Run::new(&["check", "scenarios"]);
    run.command = std::process::Command::new(super::support::pathproof());
    run.command.current_dir(root()).args(["check", "scenarios"]);
    let finished = run.finish().expect(0);
    assert!(
        finished.stdout().contains("demo, 4 assertions, no problems"),
        "{}",
        finished.stdout()
    );
}

pub fn empty_profile() {
    let finished = Run::new(&["conformance", "--profile", "no-such"])
        .finish()
        .expect(5);
    assert!(
        finished.stderr().contains("no scenario selected"),
        "{}",
        finished.stderr()
    );
}

/// Asked-for netem is either there and in the record, or refused before anything is created.
pub fn impairments_are_by_whom_they_are_asked_for() {
    let by = |who: &str| {
        let words = ["run", "scenarios/core/brown-out-delay.yaml", "--impairments", who];
        Run::new(&words).finish()
    };
    let userspace = by("userspace").expect(0).record();
    assert_eq!(userspace["run"]["environment"]["impairments"], "userspace");
    let repeat = userspace["run"]["repeat"].as_str().unwrap();
    assert!(repeat.contains(" --impairments userspace "), "{repeat}");
    let netem = by("netem");
    if netem.code() == 0 {
        assert_eq!(netem.record()["run"]["environment"]["impairments"], "netem");
    } else {
        let netem = netem.expect(2);
        assert!(
            netem.stderr().contains("the kernel has no netem"),
            "{}",
            netem.stderr()
        );
        assert!(netem.folders.is_empty());
    }
    by("tc").expect(2);
}

pub fn same_seed_same_plan() {
    let plan = |seed: &str| {
        let mut command = std::process::Command::new(super::support::pathproof());
        command
            .current_dir(root())
            .args(["plan", "scenarios/core/demo.yaml", "--seed", seed]);
        let output = command.output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(plan("7"), plan("7"));
    assert_ne!(plan("7"), plan("8"));
}

/// These tests run where labs can, so the doctor must say so.
pub fn doctor_finds_what_labs_need() {
    let doctor = |words: &[&str]| {
        let mut command = std::process::Command::new(super::support::pathproof());
        let output = command.arg("doctor").args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let findings: serde_json::Value = serde_json::from_str(&doctor(&["--json"])).unwrap();
    assert_eq!(findings["core"], true);
    let items = findings["capabilities"]["items"].as_array().unwrap();
    for item in items {
        let is_there = item["ability"] == "available";
        let reason = item["ability"]["missing"].as_str();
        assert!(is_there || item["need"] == "optional", "{item}");
        assert!(
            is_there || reason.is_some_and(|reason| !reason.is_empty()),
            "{item}"
        );
    }
    let tables = doctor(&[]);
    for name in items.iter().map(|item| item["name"].as_str().unwrap()) {
        assert!(tables.contains(name), "`{name}` is not in\n{tables}");
    }
    assert!(tables.ends_with("the core profile can run on the embedded lab\n"));
}
