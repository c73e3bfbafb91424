//! Which scenario files a command line means.

use std::io;
use std::path::{Path, PathBuf};

use crate::run::host;

/// A path on the command line leads nowhere.
#[derive(Debug, thiserror::Error)]
#[error("look for scenarios in `{}`", path.display())]
pub struct SelectError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Folders below a folder of scenarios that hold other things, or scenarios that fail on purpose.
const NOT_SCENARIOS: [&str; 5] = ["failing", "manifests", "negative", "profiles", "topologies"];

/// The files named, and the `.yaml` files in the folders named and below them, in order of name.
///
/// # Errors
/// [`SelectError`] when a path does not exist or a folder cannot be read.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, SelectError> {
    let mut files = Vec::new();
    for path in paths {
        let failed = |source| SelectError {
            path: path.clone(),
            source,
        };
        if std::fs::metadata(path).map_err(failed)?.is_dir() {
            below(path, &mut files).map_err(failed)?;
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn below(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            if !NOT_SCENARIOS.iter().any(|name| entry.ends_with(name)) {
                below(&entry, files)?;
            }
        } else if entry.extension().is_some_and(|extension| extension == "yaml") {
            files.push(entry);
        }
    }
    Ok(())
}

/// Of these files those whose scenario is of the profile, and those that cannot be read: they must not go unseen.
#[must_use]
pub fn of_profile(files: Vec<PathBuf>, profile: &str) -> Vec<PathBuf> {
    let selected = |file: &PathBuf| host::read(file).map_or(true, |scenario| scenario.profile == profile);
    files.into_iter().filter(selected).collect()
}
