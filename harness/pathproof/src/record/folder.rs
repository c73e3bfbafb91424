//! The folder of one run, and the sweeping of folders that a killed run left behind.
//!
//! Owns `<root>/<scenario>-<time>-<pid>`. While a run is under way its folder holds a locked file `running`; the
//! kernel drops the lock when the process ends, however it ends. A folder with an unlocked `running` is what is
//! left of a killed run, and the next run removes it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// The file whose lock says that the process of a run folder lives.
pub const RUNNING: &str = "running";

/// The folder of a run under way.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Held for its lock.
    _running: Flock<File>,
}

/// Why a run has no folder.
#[derive(Debug, thiserror::Error)]
#[error("create run folder `{}`", path.display())]
pub struct FolderError {
    /// The folder.
    path: PathBuf,
    /// The file system's answer.
    #[source]
    source: io::Error,
}

impl RunFolder {
    /// Removes what killed runs left below `root` and makes a folder for this run.
    ///
    /// # Errors
    /// [`FolderError`] when it cannot be created or locked.
    pub fn create(root: &Path, scenario: &str) -> Result<Self, FolderError> {
        let failed_root = |source| FolderError {
            path: root.to_owned(),
            source,
        };
        fs::create_dir_all(root).map_err(failed_root)?;
        let _turn = turn(root).map_err(failed_root)?;
        sweep(root);
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%3fZ");
        let path = root.join(format!("{scenario}-{time}-{}", std::process::id()));
        let failed = |source| FolderError {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(&path).map_err(failed)?;
        let file = File::create(path.join(RUNNING)).map_err(failed)?;
        let running =
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| failed(errno.into()))?;
        Ok(Self {
            path,
            _running: running,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or folder in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn turn(&self) -> Result<Flock<File>, FolderError> {
        let root = self.path.parent().unwrap_or(&self.path);
        turn(root).map_err(|source| FolderError {
            path: self.path.clone(),
            source,
        })
    }

    /// Marks the run as finished: its folder stays.
    ///
    /// # Errors
    /// When the mark cannot be removed.
    pub fn finish(self) -> Result<PathBuf, FolderError> {
        let _turn = self.turn()?;
        let removed = fs::remove_file(self.path.join(RUNNING));
        removed.map_err(|source| FolderError {
            path: self.path.clone(),
            source,
        })?;
        Ok(self.path)
    }

    /// Removes the folder and all that is in it.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub fn discard(self) -> Result<(), FolderError> {
        let _turn = self.turn()?;
        let removed = fs::remove_dir_all(&self.path);
        removed.map_err(|source| FolderError {
            path: self.path.clone(),
            source,
        })
    }
}

/// Waits for the lock on the folder of all runs: one process at a time sweeps, or changes what sweeping looks at.
fn turn(root: &Path) -> io::Result<Flock<File>> {
    let root = File::open(root)?;
    Flock::lock(root, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

/// Removes the folders of killed runs. What cannot be removed now is left to the next run.
fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for folder in entries.flatten().map(|entry| entry.path()) {
        let Ok(file) = File::open(folder.join(RUNNING)) else {
            continue;
        };
        // Only the lock tells: a process id may have been used again.
        if Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok()
            && let Err(error) = fs::remove_dir_all(&folder)
        {
            tracing::warn!(folder = %folder.display(), %error, "cannot remove what a killed run left");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_run_removes_killed_runs_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let alive = RunFolder::create(root.path(), "alive").unwrap();
        let finished = RunFolder::create(root.path(), "finished")
            .unwrap()
            .finish()
            .unwrap();
        let killed = root.path().join("killed-1");
        fs::create_dir(&killed).unwrap();
        File::create(killed.join(RUNNING)).unwrap();
        let foreign = root.path().join("notes");
        fs::create_dir(&foreign).unwrap();

        RunFolder::create(root.path(), "next").unwrap();

        assert!(alive.path().exists());
        assert!(finished.exists());
        assert!(foreign.exists());
        assert!(!killed.exists());
    }
}
