//! The architecture as a test: which crate may use which, and that no test file is left out.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

fn metadata() -> Metadata {
    MetadataCommand::new().no_deps().exec().unwrap()
}

/// Every arrow between crates of this workspace that is allowed; a crate that is not here has none.
fn allowed() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    BTreeMap::from([
        (
            "pathproof",
            BTreeSet::from(["scenario", "verdict", "kubeapi", "netsim", "reports"]),
        ),
        (
            "pathproof-bench",
            BTreeSet::from(["netsim", "kubeapi", "upstream"]),
        ),
        // Its tests have both sides of the operator in one process; nothing depends on it.
        (
            "pathproof-trials",
            BTreeSet::from(["netsim", "kubeapi", "sdwan-operator"]),
        ),
        // For tests only, which the next test holds.
        ("kubeapi", BTreeSet::from(["upstream"])),
        ("reports", BTreeSet::from(["verdict"])),
        ("verdict", BTreeSet::from(["scenario"])),
    ])
}

fn arrows(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let ours: BTreeSet<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let inner = |package: &cargo_metadata::Package| {
        let names = package
            .dependencies
            .iter()
            .map(|dependency| dependency.name.clone());
        names.filter(|name| ours.contains(name.as_str())).collect()
    };
    metadata
        .packages
        .iter()
        .map(|package| (package.name.to_string(), inner(package)))
        .collect()
}

#[test]
fn crates_depend_on_each_other_only_along_the_allowed_arrows() {
    let allowed = allowed();
    for (from, targets) in arrows(&metadata()) {
        for to in targets {
            let fine = allowed
                .get(from.as_str())
                .is_some_and(|targets| targets.contains(to.as_str()));
            assert!(fine, "`{from}` must not depend on `{to}`");
        }
    }
}

#[test]
fn kubeapi_stands_on_its_own_but_for_its_tests() {
    let metadata = metadata();
    let ours = arrows(&metadata);
    let packages = metadata.packages.iter();
    let kubeapi = packages.filter(|package| package.name.as_str() == "kubeapi");
    for dependency in kubeapi.flat_map(|package| &package.dependencies) {
        assert!(
            dependency.kind == DependencyKind::Development || !ours.contains_key(&dependency.name),
            "kubeapi depends on `{}`",
            dependency.name
        );
    }
}

#[test]
fn the_operator_shares_no_code_with_what_grades_it() {
    for (from, targets) in arrows(&metadata()) {
        assert!(
            from != "sdwan-operator" || targets.is_empty(),
            "the operator depends on {targets:?}"
        );
        assert!(
            from == "pathproof-trials" || !targets.contains("sdwan-operator"),
            "`{from}` depends on the operator"
        );
        assert!(
            !targets.contains("pathproof-trials"),
            "`{from}` depends on what knows the operator"
        );
    }
}

#[test]
fn pure_crates_have_no_runtime_no_clock_and_no_randomness() {
    let impure = ["tokio", "nix", "libc", "rand", "uuid", "tempfile", "socket2"];
    for package in metadata()
        .packages
        .iter()
        .filter(|package| ["scenario", "verdict"].contains(&package.name.as_str()))
    {
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal)
        {
            assert!(
                !impure.contains(&dependency.name.as_str()),
                "{} uses {}",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn every_source_file_is_reached_from_a_target() {
    for package in &metadata().packages {
        let folder = package.manifest_path.parent().unwrap().as_std_path();
        let mut reached = BTreeSet::new();
        for target in &package.targets {
            reach(target.src_path.as_std_path(), true, &mut reached);
        }
        for file in rust_files(folder) {
            assert!(reached.contains(&file), "no `mod` leads to {}", file.display());
        }
    }
}

/// Adds a file and the files of the modules that it declares.
fn reach(file: &Path, is_root: bool, reached: &mut BTreeSet<PathBuf>) {
    let text = std::fs::read_to_string(file).unwrap();
    reached.insert(file.to_owned());
    let folder = file.parent().unwrap();
    let of_modules = match file.file_stem().unwrap().to_str().unwrap() {
        _ if is_root => folder.to_owned(),
        "mod" => folder.to_owned(),
        stem => folder.join(stem),
    };
    let mut named_file = None;
    for line in text.lines().map(str::trim) {
        if let Some(path) = line
            .strip_prefix("#[path = \"")
            .and_then(|rest| rest.strip_suffix("\"]"))
        {
            named_file = Some(folder.join(path));
            continue;
        }
        let words = line
            .strip_suffix(';')
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let Some([.., "mod", name]) = words.as_deref() else {
            continue;
        };
        let usual = [
            of_modules.join(format!("{name}.rs")),
            of_modules.join(name).join("mod.rs"),
        ];
        for candidate in named_file
            .take()
            .into_iter()
            .chain(usual)
            .filter(|candidate| candidate.is_file())
        {
            reach(&candidate, false, reached);
        }
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
