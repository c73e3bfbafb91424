//! The private namespaces of one run: user (unless root), pid and network.
//!
//! Owns the fork that moves a run into them. Everything of a lab lives inside, so the kernel itself cleans up:
//! when the first process of the pid namespace ends, for whatever reason, the kernel kills every other process
//! in it, and with the last process go the descriptors, the network namespaces and their links.
//! There is no mount namespace: a lab mounts nothing.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getgid, getpid, getppid, getuid, pipe2};

/// Why the private namespaces could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// unshare(2) refused.
    #[error("create private namespaces{}", userns_hint())]
    Unshare(#[source] io::Error),
    /// The uid or gid map could not be written.
    #[error("write `{file}` of the private user namespace")]
    Map {
        /// The file in /proc.
        file: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// fork(2), pipe(2) or wait(2) failed.
    #[error("start the first process of the private namespaces")]
    Fork(#[source] io::Error),
    /// It ran, and a signal ended it.
    #[error("finish the run: its process was killed by signal {signal}")]
    Killed {
        /// The signal's number.
        signal: i32,
    },
}

fn userns_hint() -> String {
    let knobs = [
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        (
            "/proc/sys/kernel/unprivileged_userns_clone",
            "0",
            "kernel.unprivileged_userns_clone=1",
        ),
        (
            "/proc/sys/user/max_user_namespaces",
            "0",
            "user.max_user_namespaces=10000",
        ),
    ];
    for (file, bad, fix) in knobs {
        if fs::read_to_string(file).is_ok_and(|value| value.trim() == bad) {
            return format!(
                " (this kernel refuses user namespaces to ordinary users; run as root or `sysctl -w {fix}`)"
            );
        }
    }
    String::new()
}

/// Runs `work` as the first process of new private namespaces, waits for it, and returns its exit code.
///
/// When the caller dies, even by SIGKILL, the kernel kills `work` and all that it started. SIGINT, SIGTERM and
/// SIGHUP are passed on to `work`, which decides what they mean. It begins with them blocked, because the kernel
/// discards a signal that the first process of a pid namespace has no handler for; it calls [`Signals::unblock`]
/// when its handlers stand.
///
/// # Errors
/// [`PrivateError`]; unless it is `Killed`, `work` has not run.
///
/// # Panics
/// When the process has more than one thread: fork(2) would copy only one of them.
pub fn run(work: impl FnOnce(&Signals) -> u8) -> Result<u8, PrivateError> {
    assert_eq!(thread_count(), 1, "fork needs a single-threaded process");
    let guard = Signals::block();
    let (report_read, report_write) = pipe2(OFlag::O_CLOEXEC).map_err(fork_error)?;
    let caller = getpid();
    // unshare(CLONE_NEWPID) works once in a process and moves only its children: an intermediate process does it,
    // so that the caller can run several labs one after the other.
    // SAFETY: the process is single-threaded (asserted above), so the child may run any code.
    match unsafe { fork() }.map_err(fork_error)? {
        ForkResult::Child => {
            drop(report_read);
            die_with_parent();
            if getppid() != caller {
                std::process::exit(1);
            }
            std::process::exit(intermediate(report_write, &guard, work));
        }
        ForkResult::Parent { child } => {
            drop(report_write);
            let refused = read_refusal(report_read);
            let ended = guard.supervise(child)?;
            match (refused, ended) {
                (Some(error), _) => Err(error),
                (None, Ended::Code(code)) => Ok(code),
                (None, Ended::Signal(signal)) => Err(PrivateError::Killed { signal }),
            }
        }
    }
}

enum Ended {
    Code(u8),
    Signal(i32),
}

/// Unshares, forks the first process of the new pid namespace, and stands by until it ends.
fn intermediate(report: OwnedFd, guard: &Signals, work: impl FnOnce(&Signals) -> u8) -> i32 {
    if let Err(error) = enter_namespaces() {
        write_refusal(report, &error);
        return 1;
    }
    // unshare(2) may have cleared the signal along with the credentials.
    die_with_parent();
    let Ok((parent_read, parent_write)) = pipe2(OFlag::O_CLOEXEC) else {
        return 1;
    };
    // SAFETY: this process is a single-threaded copy of a single-threaded one.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            drop(parent_write);
            die_with_parent();
            if hung_up(&parent_read) {
                return 1;
            }
            drop(report);
            i32::from(work(guard))
        }
        Ok(ForkResult::Parent { child }) => {
            drop((report, parent_read));
            match guard.supervise(child) {
                Ok(Ended::Code(code)) => i32::from(code),
                Ok(Ended::Signal(signal)) => end_by(signal),
                Err(_) => 1,
            }
        }
        Err(error) => {
            write_refusal(
                report,
                &Refusal {
                    stage: Stage::Fork,
                    errno: error as i32,
                },
            );
            1
        }
    }
}

/// Why the namespaces were refused, small enough to cross a pipe.
struct Refusal {
    stage: Stage,
    errno: i32,
}

#[derive(Clone, Copy)]
enum Stage {
    Unshare,
    Map(&'static str),
    Fork,
}

/// Every stage with the byte that names it on the pipe: its index.
const STAGES: [Stage; 5] = [
    Stage::Unshare,
    Stage::Map("/proc/self/setgroups"),
    Stage::Map("/proc/self/uid_map"),
    Stage::Map("/proc/self/gid_map"),
    Stage::Fork,
];

fn enter_namespaces() -> Result<(), Refusal> {
    let lab = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNET;
    let (uid, gid) = (getuid(), getgid());
    // Root in a container may lack CAP_SYS_ADMIN; a user namespace then serves it as it serves other users.
    if uid.is_root() && unshare(lab).is_ok() {
        return Ok(());
    }
    unshare(lab | CloneFlags::CLONE_NEWUSER).map_err(|errno| Refusal {
        stage: Stage::Unshare,
        errno: errno as i32,
    })?;
    // user_namespaces(7): an unprivileged process may map only itself, and only after denying setgroups(2).
    let lines = ["deny".to_owned(), format!("0 {uid} 1"), format!("0 {gid} 1")];
    for (stage, line) in STAGES[1..=3].iter().zip(lines) {
        let Stage::Map(file) = *stage else { continue };
        fs::write(file, line).map_err(|error| Refusal {
            stage: *stage,
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        })?;
    }
    Ok(())
}

fn write_refusal(report: OwnedFd, refusal: &Refusal) {
    let index = STAGES.iter().position(|stage| match (stage, refusal.stage) {
        (Stage::Map(a), Stage::Map(b)) => *a == b,
        (a, b) => std::mem::discriminant(a) == std::mem::discriminant(&b),
    });
    let mut message = [0; 5];
    message[0] = index.and_then(|index| u8::try_from(index).ok()).unwrap_or(0);
    message[1..].copy_from_slice(&refusal.errno.to_ne_bytes());
    // The caller sees an exit code of 1 even when the pipe is gone.
    let _ = File::from(report).write_all(&message);
}

fn read_refusal(report: OwnedFd) -> Option<PrivateError> {
    let mut message = [0; 5];
    File::from(report).read_exact(&mut message).ok()?;
    let errno = i32::from_ne_bytes([message[1], message[2], message[3], message[4]]);
    let source = io::Error::from_raw_os_error(errno);
    Some(match STAGES.get(usize::from(message[0]))? {
        Stage::Unshare => PrivateError::Unshare(source),
        Stage::Map(file) => PrivateError::Map { file, source },
        Stage::Fork => PrivateError::Fork(source),
    })
}

/// Has the kernel kill this process when its parent ends (PR_SET_PDEATHSIG, prctl(2)).
fn die_with_parent() {
    prctl::set_pdeathsig(Signal::SIGKILL).expect("SIGKILL is a signal that PR_SET_PDEATHSIG accepts");
}

/// Whether the other end of the pipe is closed. `getppid` does not tell across pid namespaces.
fn hung_up(pipe: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

fn end_by(signal: i32) -> i32 {
    if let Ok(signal) = Signal::try_from(signal) {
        SigSet::all().thread_unblock().ok();
        nix::sys::signal::raise(signal).ok();
    }
    1
}

fn thread_count() -> usize {
    fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

fn fork_error(errno: Errno) -> PrivateError {
    PrivateError::Fork(errno.into())
}

/// SIGINT, SIGTERM, SIGHUP and SIGCHLD, blocked: a waiting process takes them one by one instead of dying of them.
#[derive(Debug)]
pub struct Signals {
    set: SigSet,
    before: SigSet,
}

impl Signals {
    fn block() -> Self {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            set.add(signal);
        }
        let before = set
            .thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)
            .unwrap_or_else(|_| SigSet::empty());
        Self { set, before }
    }

    /// Lets the calling thread have the signals again, with those that came in the meantime.
    ///
    /// # Panics
    /// Never: a mask that was in force can be restored.
    pub fn unblock(&self) {
        self.before
            .thread_set_mask()
            .expect("a mask that was in force can be restored");
    }

    /// Has the process end with code 130 at the first signal, for work that needs no goodbye. The signals are no longer
    /// blocked, so that programs which it starts get theirs.
    ///
    /// # Panics
    /// Never: these signals can have a handler.
    pub fn end_process_at_first(&self) {
        extern "C" fn end(_: libc::c_int) {
            // SAFETY: _exit(2) is async-signal-safe.
            unsafe { libc::_exit(130) }
        }
        for ending in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            let action = SigAction::new(SigHandler::Handler(end), SaFlags::empty(), SigSet::empty());
            // SAFETY: the handler does nothing but end the process.
            unsafe { sigaction(ending, &action) }.expect("the signal can have a handler");
        }
        self.unblock();
    }

    /// Waits for `child`, passing signals on to it.
    fn supervise(&self, child: Pid) -> Result<Ended, PrivateError> {
        loop {
            match waitpid(child, Some(WaitPidFlag::WNOHANG)).map_err(fork_error)? {
                WaitStatus::Exited(_, code) => return Ok(Ended::Code(u8::try_from(code).unwrap_or(u8::MAX))),
                WaitStatus::Signaled(_, signal, _) => return Ok(Ended::Signal(signal as i32)),
                _ => {}
            }
            match self.set.wait().map_err(fork_error)? {
                Signal::SIGCHLD => {}
                // It may have ended in the meantime; the next turn of the loop sees that.
                signal => drop(kill(child, signal)),
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.unblock();
    }
}
