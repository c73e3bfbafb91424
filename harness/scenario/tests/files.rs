//! The scenario files of the repository, read through the same door as the binary uses.

use std::fs;
use std::path::{Path, PathBuf};

use scenario::assertion::Formula;
use scenario::document::{SourceError, Sources};
use scenario::resolve::{read, read_topology};

/// The root of the repository, so that diagnostics name files as `scenarios/…`.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

struct Repository;

impl Sources for Repository {
    fn text(&self, path: &str) -> Result<String, SourceError> {
        Ok(fs::read_to_string(root().join(path))?)
    }
}

/// The files with that extension in a folder, sorted by name, without it.
fn stems(folder: &str, extension: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).expect("the folder exists");
    let paths = entries.map(|entry| entry.expect("the folder can be listed").path());
    let mut stems: Vec<String> = paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .filter_map(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .collect();
    stems.sort();
    stems
}

/// Reads a broken file and compares what is reported with the golden file; `BLESS=1` writes it.
fn check(input: &str, golden: &str) {
    let is_topology = input
        .rsplit('/')
        .next()
        .is_some_and(|name| name.starts_with("topology-"));
    let refusal = if is_topology {
        read_topology(&Repository, input).err()
    } else {
        read(&Repository, input).err()
    };
    let diagnostics = refusal.unwrap_or_else(|| panic!("{input} is in order"));
    assert!(!diagnostics.is_empty(), "{input} is refused without a reason");
    check_golden(input, &format!("{diagnostics}\n"), golden);
}

fn check_golden(input: &str, rendered: &str, golden: &str) {
    let path = root().join(golden);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, rendered).expect("the golden file can be written");
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        rendered, expected,
        "{input} differs from {golden}; BLESS=1 rewrites it"
    );
}

#[test]
fn every_broken_file_gets_its_golden_message() {
    let inputs = stems("scenarios/negative", "yaml");
    for stem in &inputs {
        check(
            &format!("scenarios/negative/{stem}.yaml"),
            &format!("scenarios/negative/{stem}.txt"),
        );
    }
    assert_eq!(
        stems("scenarios/negative", "txt"),
        inputs,
        "each golden message has its file"
    );
    assert!(inputs.len() >= 20, "found {} broken files", inputs.len());
}

#[test]
fn every_scenario_is_in_order_and_named_like_its_file_and_profile() {
    for profile in ["core", "extended", "failing"] {
        for stem in stems(&format!("scenarios/{profile}"), "yaml") {
            let path = format!("scenarios/{profile}/{stem}.yaml");
            let scenario = read(&Repository, &path).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
            assert_eq!((scenario.name, scenario.profile), (stem, profile.to_owned()));
        }
    }
}

#[test]
fn every_topology_is_in_order_and_named_like_its_file() {
    for stem in stems("scenarios/topologies", "yaml") {
        let path = format!("scenarios/topologies/{stem}.yaml");
        let topology =
            read_topology(&Repository, &path).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        assert_eq!(topology.name, stem);
    }
}

#[test]
fn the_demo_says_what_the_post_says() {
    let demo =
        read(&Repository, "scenarios/core/demo.yaml").unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    let rendered = serde_json::to_string_pretty(&demo).expect("a scenario is plain data");
    check_golden(
        "the demo",
        &format!("{rendered}\n"),
        "harness/scenario/tests/golden/demo.json",
    );
}

#[test]
fn every_example_of_the_reference_follows_the_grammar() {
    let text = Repository
        .text("scenarios/README.md")
        .expect("the reference exists");
    let (_, rest) = text
        .split_once("```text examples\n")
        .expect("the reference has examples");
    let (examples, _) = rest.split_once("```").expect("the block is closed");
    assert!(examples.lines().count() >= 5);
    for example in examples.lines() {
        Formula::parse(example).unwrap_or_else(|error| panic!("{example}: {error}"));
    }
}

#[test]
fn damage_to_any_line_of_the_demo_is_reported_or_harmless() {
    struct Damaged(String);
    impl Sources for Damaged {
        fn text(&self, path: &str) -> Result<String, SourceError> {
            if path == "scenarios/core/demo.yaml" {
                Ok(self.0.clone())
            } else {
                Repository.text(path)
            }
        }
    }
    let text = Repository
        .text("scenarios/core/demo.yaml")
        .expect("the demo exists");
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let cut: String = line.chars().take(line.chars().count() / 2).collect();
        for replacement in [String::new(), format!("\t{line}"), format!("{line}{line}"), cut] {
            let mut damaged = lines.clone();
            damaged[index] = &replacement;
            match read(&Damaged(damaged.join("\n")), "scenarios/core/demo.yaml") {
                Ok(_) => {}
                Err(diagnostics) => {
                    assert!(!diagnostics.is_empty(), "line {} as {replacement:?}", index + 1);
                    for diagnostic in &diagnostics {
                        let count = if diagnostic.file.ends_with("demo.yaml") {
                            lines.len()
                        } else {
                            usize::MAX
                        };
                        assert!((1..=count).contains(&diagnostic.line), "{diagnostic}");
                        assert!(diagnostic.column >= 1, "{diagnostic}");
                    }
                }
            }
        }
    }
}
