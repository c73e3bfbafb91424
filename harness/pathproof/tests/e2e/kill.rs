//! What is left of a run that does not end by itself: nothing.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::support::{Run, folders};

/// A run takes about this long; kills are spread over it.
const RUN_MS: u64 = 2600;
const KILLS: u64 = 20;
const INTERRUPTS: u64 = 20;
const DEADLINE: Duration = Duration::from_secs(5);

/// What a lab could leave on the host.
#[derive(Debug, PartialEq, Eq)]
pub struct HostState {
    links: BTreeSet<PathBuf>,
    named_namespaces: BTreeSet<PathBuf>,
    mounts: usize,
}

impl HostState {
    pub fn read() -> Self {
        let list = |folder: &str| {
            fs::read_dir(folder)
                .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
                .unwrap_or_default()
        };
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        Self {
            links: list("/sys/class/net"),
            named_namespaces: list("/run/netns"),
            mounts: mounts.lines().count(),
        }
    }
}

/// Processes that have the folder in their command line: the program, its inner processes, and the operator.
pub fn processes_of(out: &Path) -> Vec<Pid> {
    let needle = out.to_str().unwrap().as_bytes();
    let of_out = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.windows(needle.len()).any(|window| window == needle)
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(of_out)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw))
        .collect()
}

pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A number below `bound` that differs from call to call; printed, so that a failure can be understood.
fn random_below(bound: u64) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) % bound
}

pub fn kill_leaves_nothing() {
    let before = HostState::read();
    let run = Run::demo(&[]);
    for number in 0..KILLS {
        let mut command = Run::demo(&[]).command;
        // One folder for all, as a user would have it: each run finds what the killed one before it left.
        let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let words = &words[..words.len() - 1];
        let program = command.get_program().to_owned();
        command = std::process::Command::new(program);
        command
            .current_dir(super::support::root())
            .args(words)
            .arg(run.out.path());
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let after = Duration::from_millis(RUN_MS * number / KILLS + random_below(RUN_MS / KILLS));
        std::thread::sleep(after);
        let processes = processes_of(run.out.path());
        let victim = if processes.is_empty() {
            Pid::from_raw(child.id().cast_signed())
        } else {
            processes[usize::try_from(random_below(processes.len() as u64)).unwrap()]
        };
        eprintln!("kill {number}: {victim} of {processes:?} after {after:?}");
        // It may have ended by itself.
        kill(victim, Signal::SIGKILL).ok();
        child.wait().unwrap();
        wait_until("processes outlive their killed run", || {
            processes_of(run.out.path()).is_empty()
        });
    }
    assert_eq!(HostState::read(), before);
    // What the last killed run left in the folder, the next run removes.
    let mut last = Run::demo(&[]);
    let words: Vec<_> = last.command.get_args().map(ToOwned::to_owned).collect();
    let program = last.command.get_program().to_owned();
    last.command = std::process::Command::new(program);
    last.command
        .current_dir(super::support::root())
        .args(&words[..words.len() - 1])
        .arg(run.out.path());
    last.finish().expect(0);
    for folder in folders(run.out.path()) {
        assert!(
            folder.join("verdict.json").exists(),
            "{} is left of a killed run",
            folder.display()
        );
    }
}

/// Ctrl-C reaches every process of the terminal's foreground group, at any time.
pub fn interrupt_leaves_nothing() {
    let before = HostState::read();
    for number in 0..INTERRUPTS {
        let mut run = Run::demo(&[]);
        let program = run
            .command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let mut child = program.spawn().unwrap();
        let group = Pid::from_raw(child.id().cast_signed());
        // Mostly while the lab comes up. Before the program has taken the signals over, they simply end it.
        let after = Duration::from_millis(10 + 20 * number + random_below(20));
        std::thread::sleep(after);
        killpg(group, Signal::SIGINT).unwrap();
        let status = child.wait().unwrap();
        eprintln!("interrupt {number} after {after:?}: {status}");
        let ended = status.code() == Some(130) || status.signal() == Some(Signal::SIGINT as i32);
        assert!(ended, "it went on after Ctrl-C");
        wait_until("processes outlive their interrupted run", || {
            processes_of(run.out.path()).is_empty()
        });
        if status.code() == Some(130) {
            assert!(folders(run.out.path()).is_empty());
        }
    }
    assert_eq!(HostState::read(), before);
}
