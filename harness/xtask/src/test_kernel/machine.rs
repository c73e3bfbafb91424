//! The machine: an initramfs with the test programs, and QEMU with its serial line.
//!
//! Owns what the machine does from its first process on. Invariant: it ends, by itself or at its deadline.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::archive::Archive;
use super::kernel::{Kernel, WANTED};
use super::results::{BEGIN, END, SCENARIOS};
use super::{Program, tool};

/// What the machine is to do.
pub(super) struct Plan<'a> {
    pub(super) programs: &'a [Program],
    /// The harness and the operator, where scenarios are to be run.
    pub(super) harness: &'a [Program],
    /// Scenario files, relative to the root of the workspace.
    pub(super) scenarios: &'a [String],
    pub(super) filter: Option<&'a str>,
    pub(super) test_threads: u32,
    /// Names, or parts of them, of tests that are left out.
    pub(super) skipped: &'a [&'a str],
}

/// The programs of busybox that the first process uses, and modprobe(8) for the kernel.
const APPLETS: [&str; 8] = [
    "cat", "sh", "mount", "mkdir", "ifconfig", "modprobe", "poweroff", "echo",
];
const MEMORY_MIB: u32 = 2048;
/// The kernel's own words. A panic ends the machine; the check of the timer takes a busy emulator for broken hardware.
const COMMAND_LINE: &str = "console=ttyS0 panic=-1 quiet no_timer_check";

/// Writes the initramfs: busybox, modules, test programs with their libraries, and the first process.
pub(super) fn write_initramfs(path: &Path, kernel: &Kernel, plan: &Plan<'_>) -> anyhow::Result<()> {
    let out = File::create(path).with_context(|| format!("create `{}`", path.display()))?;
    let mut archive = Archive::new(BufWriter::new(out));
    for folder in ["proc", "sys", "dev", "tmp", "run"] {
        archive.folder(folder)?;
    }
    let busybox = tool("busybox").context("find `busybox`")?;
    archive.file("bin/busybox", &read(&busybox)?)?;
    for applet in APPLETS {
        archive.link(&format!("bin/{applet}"), "/bin/busybox")?;
    }
    // Where the kernel looks for it.
    archive.link("sbin/modprobe", "/bin/busybox")?;
    for (path, from) in &kernel.files {
        archive.file(path, &read(from)?)?;
    }
    let mut libraries = BTreeSet::new();
    if !plan.scenarios.is_empty() {
        add_folder(&mut archive, &crate::root(), "scenarios")?;
    }
    for program in plan.programs.iter().chain(plan.harness) {
        archive.file(&format!("tests/{}", program.name), &read(&program.path)?)?;
        libraries.extend(shared_libraries(&program.path)?);
    }
    for library in libraries {
        archive.file(&library.to_string_lossy(), &read(&library)?)?;
    }
    archive.file("init", first_process(plan).as_bytes())?;
    archive
        .finish()
        .with_context(|| format!("write `{}`", path.display()))
}

/// Adds a folder of the workspace with all that is in it.
fn add_folder(archive: &mut Archive<impl Write>, root: &Path, folder: &str) -> anyhow::Result<()> {
    let entries = fs::read_dir(root.join(folder)).with_context(|| format!("read folder `{folder}`"))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("read folder `{folder}`"))?;
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            add_folder(archive, root, &path)?;
        } else {
            archive.file(&path, &read(&entry.path())?)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read `{}`", path.display()))
}

/// The libraries that a program is linked to, as the dynamic loader finds them (ld.so(8)).
fn shared_libraries(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let traced = Command::new(program)
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .output()
        .with_context(|| format!("trace the libraries of `{}`", program.display()))?;
    let text = String::from_utf8_lossy(&traced.stdout).into_owned();
    // `name => /path (address)`, or `/path (address)` for the loader itself.
    let paths = text.lines().filter_map(|line| {
        let start = line.find('/')?;
        let path = line[start..].split_whitespace().next()?;
        Some(PathBuf::from(path))
    });
    let paths: Vec<PathBuf> = paths.collect();
    ensure!(!paths.is_empty(), "find the libraries of `{}`", program.display());
    Ok(paths)
}

/// The script that the kernel starts.
fn first_process(plan: &Plan<'_>) -> String {
    let mut script = "#!/bin/sh
export PATH=/bin:/sbin HOME=/tmp TMPDIR=/tmp RUST_BACKTRACE=0
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
echo /sbin/modprobe > /proc/sys/kernel/modprobe
ifconfig lo up
"
    .to_owned();
    for module in WANTED {
        writeln!(script, "modprobe {module} || echo module {module} is missing")
            .expect("a String takes everything");
    }
    let skipped = plan
        .skipped
        .iter()
        .map(|name| format!("--skip {} ", quoted(name)));
    let words: String = skipped.chain(plan.filter.map(quoted)).collect();
    for program in plan.programs {
        let (name, threads) = (&program.name, plan.test_threads);
        write!(
            script,
            "echo {BEGIN} {name}
/tests/{name} --color never --test-threads {threads} {words} < /dev/null 2> /tmp/talk
echo {END} {name} $?
cat /tmp/talk
"
        )
        .expect("a String takes everything");
    }
    script + &scenario_runs(plan.scenarios) + "poweroff -f\n"
}

/// The part of the script that runs scenarios, each told as a test of a program.
fn scenario_runs(scenarios: &[String]) -> String {
    if scenarios.is_empty() {
        return String::new();
    }
    let mut script = format!("echo {BEGIN} {SCENARIOS}\nfailed=0\ncd /\n");
    for scenario in scenarios {
        let file = quoted(scenario);
        write!(
            script,
            "/tests/pathproof run {file} --out /tmp/runs < /dev/null > /tmp/result 2> /tmp/talk
case $? in
0) echo test {file} ... ok ;;
5) echo test {file} ... ignored ;;
*) echo test {file} ... FAILED; failed=1 ;;
esac
cat /tmp/talk /tmp/result
"
        )
        .expect("a String takes everything");
    }
    script + &format!("echo {END} {SCENARIOS} $failed\n")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Boots the machine and hands every line of its serial line to `take`, until it is off; whether it was before the
/// deadline.
pub(super) fn boot(
    image: &Path,
    initramfs: &Path,
    log: &Path,
    limit: Duration,
    mut take: impl FnMut(&str),
) -> anyhow::Result<bool> {
    let mut qemu = start(image, initramfs)?;
    let output = qemu.0.stdout.take().context("read the serial line")?;
    let (lines, received) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    let mut log = File::create(log).with_context(|| format!("create `{}`", log.display()))?;
    let deadline = Instant::now() + limit;
    loop {
        match received.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                writeln!(log, "{line}").context("write the log of the serial line")?;
                take(&line);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => return Ok(false),
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(true),
        }
    }
}

/// A running machine, which ends with this.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        // Errors mean that it has ended.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn start(image: &Path, initramfs: &Path) -> anyhow::Result<Qemu> {
    let qemu = tool("qemu-system-x86_64").context("find `qemu-system-x86_64`")?;
    let memory = MEMORY_MIB.to_string();
    let started = Command::new(qemu)
        // Not KVM: nested virtualization hangs on some clouds instead of failing.
        .args([
            "-M",
            "q35",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
        ])
        .args([
            "-m",
            &memory,
            "-nodefaults",
            "-nographic",
            "-no-reboot",
            "-serial",
            "stdio",
        ])
        .arg("-kernel")
        .arg(image)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", COMMAND_LINE])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    started.map(Qemu).context("start `qemu-system-x86_64`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_process_runs_every_program_with_the_filter() {
        let program = |name: &str| Program {
            name: name.to_owned(),
            path: PathBuf::new(),
        };
        let programs = [program("one"), program("two")];
        let script = first_process(&Plan {
            programs: &programs,
            harness: &[],
            scenarios: &["scenarios/one.yaml".to_owned()],
            filter: Some("it's"),
            test_threads: 2,
            skipped: &["slow"],
        });
        for name in ["one", "two"] {
            assert!(
                script.contains(&format!(
                    "/tests/{name} --color never --test-threads 2 --skip 'slow' 'it'\\''s' <"
                )),
                "{script}"
            );
            assert!(script.contains(&format!("echo {END} {name} $?")));
        }
        assert!(script.contains("/tests/pathproof run 'scenarios/one.yaml' --out"));
        assert!(script.contains(&format!("echo {END} {SCENARIOS} $failed")));
        assert!(script.ends_with("poweroff -f\n"));
    }
}
