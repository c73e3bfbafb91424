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
