//! The twins of scenarios that pass: each has to fail, at the assertions named and at no other.

use libtest_mimic::Trial;

use super::support::{Run, failed, root};

/// Files of `scenarios/failing`, and the assertions that must fail there.
const MUST_FAIL: [(&str, &[&str]); 3] = [
    (
        "budgets",
        &["not-excused", "lost", "gap", "dup", "reorder", "misrouted", "p99"],
    ),
    ("phases-and-paths", &["moved", "too-early", "too-late"]),
    (
        "ways-and-marks",
        &["way", "interface", "carried", "mark", "lost", "lost-there"],
    ),
];

pub fn trials() -> Vec<Trial> {
    let twins = MUST_FAIL.into_iter().map(|(name, expected)| {
        super::trial(&format!("{name}_fails_where_it_must"), move || {
            fails(name, expected)
        })
    });
    let all = super::trial("every_failing_scenario_is_run", every_one_is_listed);
    twins.chain([all]).collect()
}

fn fails(name: &str, expected: &[&str]) {
    let record = Run::new(&["run", &format!("scenarios/failing/{name}.yaml")])
        .finish()
        .expect(1)
        .record();
    assert_eq!(failed(&record), expected);
    for assertion in record["verdicts"]["assertions"].as_array().unwrap() {
        assert_ne!(assertion["outcome"]["result"], "inconclusive", "{assertion}");
    }
}

fn every_one_is_listed() {
    let mut files: Vec<String> = std::fs::read_dir(root().join("scenarios/failing"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    files.sort();
    assert_eq!(files, MUST_FAIL.map(|(name, _)| name));
}
