//! A program of the server, which the kernel ends with its owner.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::StartError;
use crate::folder::Folder;

/// A program that ends with its owner.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a program of the folder `assets`, in the folder of the server, where its log is, too.
    pub(crate) fn start(
        folder: &Folder,
        assets: &Path,
        name: &'static str,
        words: &[String],
    ) -> Result<Self, StartError> {
        let path = assets.join(name);
        if !path.is_file() {
            return Err(StartError::Missing(path));
        }
        // Another working directory is not to change what a relative path means.
        let path = path.canonicalize().map_err(|source| folder.error(source))?;
        let log = folder.path().join(name).with_extension("log");
        let output = File::create(&log).map_err(|source| folder.error(source))?;
        // PR_SET_PDEATHSIG of prctl(2): SIGKILL once the thread that starts it is gone.
        let started = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(path)
            .args(words)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn();
        let child = started.map_err(|source| StartError::Run {
            program: "setpriv",
            source,
        })?;
        Ok(Self { name, child, log })
    }

    /// Refuses a program that has ended.
    pub(crate) fn assert_runs(&mut self) -> Result<(), StartError> {
        let ended = self.child.try_wait().map_err(|source| StartError::Run {
            program: self.name,
            source,
        })?;
        match ended {
            None => Ok(()),
            Some(_) => Err(StartError::Ended {
                program: self.name,
                log: self.log(),
            }),
        }
    }

    /// The end of what it said.
    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Octets of memory that the processes hold whose working directory is `folder`.
///
/// They are found by it because their ids are of another pid namespace than /proc where the caller has its own.
pub(crate) fn resident_in(folder: &Path) -> io::Result<u64> {
    let mut kibibytes = 0;
    for process in fs::read_dir("/proc")? {
        let process = process?.path();
        // Processes of others do not show theirs, and any can end meanwhile.
        if !fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == folder) {
            continue;
        }
        let status = fs::read_to_string(process.join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let size = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kibibytes += size.ok_or_else(|| io::Error::other("a process without its memory"))?;
    }
    Ok(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_that_of_the_processes_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        assert_eq!(resident_in(&folder).unwrap(), 0);
        let mut sleep = Command::new("sleep")
            .arg("60")
            .current_dir(&folder)
            .spawn()
            .unwrap();
        let held = resident_in(&folder);
        sleep.kill().unwrap();
        sleep.wait().unwrap();
        assert!(held.unwrap() > 0);
    }
}
