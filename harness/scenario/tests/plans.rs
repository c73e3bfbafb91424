//! The plan of every scenario and every topology of the repository, as goldens: `BLESS=1 cargo test --package scenario` rewrites them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use scenario::model::Scenario;
use scenario::plan::{Action, Plan, plan};
use scenario::{SourceError, Sources};

struct Repository;

impl Sources for Repository {
    fn text(&self, path: &str) -> Result<String, SourceError> {
        Ok(fs::read_to_string(root().join(path))?)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned()
}

/// The folders of scenarios; names of files are unique among them.
const FOLDERS: [&str; 2] = ["scenarios/core", "scenarios/extended"];

/// Pairs of folder and file.
fn scenarios() -> Vec<(&'static str, String)> {
    let in_folder = |folder: &'static str| {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        entries.map(move |entry| (folder, entry.unwrap().file_name().into_string().unwrap()))
    };
    FOLDERS.into_iter().flat_map(in_folder).collect()
}

#[test]
fn plan_of_every_scenario_is_as_reviewed() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let names = scenarios();
    for (folder, name) in &names {
        let scenario = scenario::read(&Repository, &format!("{folder}/{name}")).unwrap();
        check(&plan(&scenario, 1).unwrap(), &goldens.join(name));
    }
    assert_eq!(
        fs::read_dir(&goldens).unwrap().count(),
        names.len(),
        "a golden without a scenario"
    );
}

#[test]
fn plan_of_every_topology_is_as_reviewed() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/topologies");
    let inputs = fs::read_dir(root().join("scenarios/topologies")).unwrap();
    let names: Vec<_> = inputs.map(|entry| entry.unwrap().file_name()).collect();
    for name in names.iter().map(|name| name.to_str().unwrap()) {
        let path = format!("scenarios/topologies/{name}");
        let topology = scenario::read_topology(&Repository, &path).unwrap();
        check(&plan(&Scenario::idle(topology), 1).unwrap(), &goldens.join(name));
    }
    assert_eq!(
        fs::read_dir(&goldens).unwrap().count(),
        names.len(),
        "a golden without a topology"
    );
}

/// Compares a plan with its golden file; `BLESS=1` writes it.
fn check(plan: &Plan, golden: &Path) {
    let text = serde_saphyr::to_string(plan).unwrap();
    if std::env::var_os("BLESS").is_some() {
        fs::write(golden, &text).unwrap();
    }
    let reviewed = fs::read_to_string(golden).unwrap_or_default();
    assert_eq!(text, reviewed, "{}", golden.display());
}

#[test]
fn plan_depends_on_the_seed_and_on_nothing_else() {
    let scenario = scenario::read(&Repository, "scenarios/core/demo.yaml").unwrap();
    assert_eq!(plan(&scenario, 7).unwrap(), plan(&scenario, 7).unwrap());
    let (a, b) = (plan(&scenario, 7).unwrap(), plan(&scenario, 8).unwrap());
    assert_ne!(a.run_id, b.run_id);
    assert_eq!(a.edges, b.edges);
}

#[test]
fn plan_puts_steps_at_the_sums_of_the_waits_before_them() {
    let scenario = scenario::read(&Repository, "scenarios/core/demo.yaml").unwrap();
    let plan = plan(&scenario, 1).unwrap();
    let steps: Vec<_> = plan.steps.iter().map(|step| (step.at_ms, &step.action)).collect();
    let fire = |name: &str| Action::Fire(name.to_owned());
    let start = Action::Start(vec!["biz".to_owned(), "be".to_owned()]);
    assert_eq!(
        steps,
        [
            (0, &start),
            (500, &fire("annotate")),
            (1500, &fire("remove")),
            (2000, &Action::Stop)
        ]
    );
}
