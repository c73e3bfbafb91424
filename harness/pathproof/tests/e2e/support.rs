//! Running the program under test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// An id that owns nothing on a usual machine.
pub const NOBODY: u32 = 65534;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned()
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Where a program is on the PATH.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The program; the operator stands beside it. `cargo test` in the whole workspace has built both.
pub fn pathproof() -> &'static Path {
    static BUILT: OnceLock<()> = OnceLock::new();
    let program = Path::new(env!("CARGO_BIN_EXE_pathproof"));
    BUILT.get_or_init(|| {
        if !program.with_file_name("sdwan-operator").exists() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut build = Command::new(cargo);
            build
                .current_dir(root())
                .args(["build", "--package", "sdwan-operator", "--bins"]);
            assert!(build.status().unwrap().success(), "the operator does not build");
        }
    });
    program
}

/// A run of the program with a folder of its own.
pub struct Run {
    pub out: TempDir,
    pub command: Command,
}

impl Run {
    pub fn new(words: &[&str]) -> Self {
        let out = tempfile::tempdir().unwrap();
        // The ordinary user of some tests has to get in.
        std::fs::set_permissions(out.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let mut command = Command::new(pathproof());
        command
            .current_dir(root())
            .args(words)
            .arg("--out")
            .arg(out.path());
        command.stdin(Stdio::null());
        Self { out, command }
    }

    pub fn demo(more: &[&str]) -> Self {
        Self::new(&[&["run", "scenarios/core/demo.yaml"], more].concat())
    }

    pub fn finish(mut self) -> Finished {
        let output = self.command.output().unwrap();
        Finished {
            output,
            folders: folders(self.out.path()),
            _out: self.out,
        }
    }
}

/// Runs a scenario of the repository as a user who owns nothing; only root can.
pub fn run_as_nobody(scenario: &str) -> Finished {
    // The build folder and the repository may be closed to others; copies are not.
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["pathproof", "sdwan-operator"] {
        fs::copy(pathproof().with_file_name(name), home.path().join(name)).unwrap();
    }
    for folder in ["core", "extended", "topologies", "manifests"] {
        let to = home.path().join("scenarios").join(folder);
        fs::create_dir_all(&to).unwrap();
        for file in folders(&root().join("scenarios").join(folder)) {
            fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
    }
    let run = Run::new(&["run", &format!("scenarios/{scenario}")]);
    let mut command = Command::new(home.path().join("pathproof"));
    command
        .current_dir(home.path())
        .args(run.command.get_args())
        .stdin(Stdio::null())
        .uid(NOBODY)
        .gid(NOBODY);
    Run { command, ..run }.finish()
}

pub struct Finished {
    pub output: Output,
    /// The run folders left.
    pub folders: Vec<PathBuf>,
    /// Held for what is in it.
    _out: TempDir,
}

impl Finished {
    pub fn code(&self) -> i32 {
        self.output.status.code().unwrap()
    }

    pub fn stdout(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    /// The record of the one run that there was.
    pub fn record(&self) -> Value {
        let [folder] = self.folders.as_slice() else {
            panic!("run folders: {:?}\n{}", self.folders, self.stderr())
        };
        serde_json::from_str(&std::fs::read_to_string(folder.join("verdict.json")).unwrap()).unwrap()
    }

    pub fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code(),
            code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout(),
            self.stderr()
        );
        self
    }
}

/// The lines of `events.jsonl` of a run.
pub fn event_lines(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("events.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The names of the assertions that failed.
pub fn failed(record: &Value) -> Vec<&str> {
    let assertions = record["verdicts"]["assertions"].as_array().unwrap();
    let failed = assertions.iter().filter(|one| one["outcome"]["result"] == "fail");
    failed.map(|one| one["name"].as_str().unwrap()).collect()
}

pub fn folders(out: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(out)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}
