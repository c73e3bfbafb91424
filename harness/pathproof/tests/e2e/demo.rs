//! The demo passes where it should, and fails where it must.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::support::{self, Run};

pub fn passes() {
    let finished = Run::demo(&[]).finish().expect(0);
    let record = finished.record();
    assert_eq!(record["outcome"]["result"], "pass");
    assert_eq!(record["verdicts"]["assertions"].as_array().unwrap().len(), 4);
    let points = record["points"].as_array().unwrap();
    assert_eq!(points.len(), 10);
    for point in points {
        assert_eq!(point["armed"], true);
        assert_eq!(point["kernel_drops"], 0);
        assert_eq!(point["captured_packets"], point["interface_packets"], "{point}");
    }
    for total in record["verdicts"]["totals"].as_array().unwrap() {
        assert!(total["sent"].as_u64().unwrap() > 300, "{total}");
        assert_eq!(total["sent"], total["delivered"], "{total}");
    }
    let [folder] = finished.folders.as_slice() else {
        panic!("{:?}", finished.folders)
    };
    for file in [
        "scenario.yaml",
        "plan.yaml",
        "events.jsonl",
        "evidence.json",
        "junit.xml",
        "operator.log",
        "kubeconfig",
    ] {
        assert!(folder.join(file).is_file(), "{file}");
    }
    let captures: Vec<_> = fs::read_dir(folder.join("capture")).unwrap().collect();
    assert_eq!(captures.len(), 10);
}

pub fn needs_no_tools() {
    let empty = tempfile::tempdir().unwrap();
    let mut run = Run::demo(&[]);
    run.command.env("PATH", empty.path());
    run.finish().expect(0);
}

pub fn passes_as_ordinary_user() {
    let record = support::run_as_nobody("core/demo.yaml").expect(0).record();
    assert_eq!(record["run"]["environment"]["user"], "uid 65534");
}

pub fn fails_with(sabotage: &str, wrong_point: &str) {
    let finished = Run::demo(&["--sabotage", sabotage]).finish().expect(1);
    let record = finished.record();
    let steered = &record["verdicts"]["assertions"][0];
    assert_eq!(steered["name"], "steered");
    assert_eq!(steered["outcome"]["result"], "fail");
    // The first wrong packet is named by flow and sequence, with the place that it should not have been at.
    let first_bad = &steered["first_bad"];
    assert_eq!(first_bad["probe"]["stream"]["flow"], "biz");
    assert!(first_bad["probe"]["sequence"].is_u64(), "{first_bad}");
    assert!(
        first_bad["observed"].as_str().unwrap().contains(wrong_point),
        "{first_bad}"
    );
    let text = finished.stdout();
    let sequence = first_bad["probe"]["sequence"].as_u64().unwrap();
    assert!(text.contains("FAIL steered"), "{text}");
    assert!(text.contains(&format!("#{sequence}")), "{text}");
    assert!(text.contains(&format!("--sabotage {sabotage}")), "{text}");
}

pub fn inconclusive_with_a_tiny_ring() {
    let record = Run::demo(&["--capture-ring", "4096"]).finish().expect(3).record();
    for assertion in record["verdicts"]["assertions"].as_array().unwrap() {
        assert_eq!(assertion["outcome"]["result"], "inconclusive", "{assertion}");
    }
    let drops: u64 = record["points"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|point| point["kernel_drops"].as_u64())
        .sum();
    assert!(drops > 0);
}

pub fn dead_operator_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("operator");
    fs::write(&script, "#!/bin/sh\necho no fabric today\nexit 7\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let record = Run::demo(&["--operator", script.to_str().unwrap()])
        .finish()
        .expect(4)
        .record();
    assert_eq!(record["outcome"]["result"], "error");
    assert_eq!(record["verdicts"], Value::Null);
    let message = record["outcome"]["message"].as_str().unwrap();
    assert!(
        message.contains("exit status: 7") && message.contains("no fabric today"),
        "{message}"
    );
}

pub fn sabotage_that_does_not_bite_is_an_error() {
    let record = Run::demo(&["--sabotage", "leak=1/100000000"])
        .finish()
        .expect(4)
        .record();
    let message = record["outcome"]["message"].as_str().unwrap();
    assert!(message.contains("leak=1/100000000"), "{message}");
}
