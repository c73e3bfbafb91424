//! Debian's cloud kernel: its image, and the modules that the tests need.
//!
//! Owns fetching the package (only when asked to), taking it apart and finding what a module stands on, by
//! modules.dep(5). Nothing of it is installed on this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::{run_tool, tool};

/// The package that stands for the newest cloud kernel.
const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// Modules loaded at boot; the kernel asks for others itself.
pub(super) const WANTED: [&str; 14] = [
    "veth",
    "vxlan",
    "wireguard",
    "ip_gre",
    "ip6_gre",
    "esp4",
    "esp6",
    "xfrm_user",
    "gcm",
    "seqiv",
    "nf_tables",
    "nfnetlink_queue",
    "xt_NFQUEUE",
    "sch_netem",
];
/// Modules that are taken along in case that the kernel asks for them, by the start of their paths.
const AVAILABLE: [&str; 7] = [
    "kernel/crypto/",
    "kernel/arch/x86/crypto/",
    "kernel/lib/",
    "kernel/net/netfilter/",
    "kernel/net/ipv4/",
    "kernel/net/ipv6/",
    "kernel/net/sched/",
];
/// The lists that modprobe(8) reads.
const LISTS: [&str; 3] = ["modules.dep", "modules.alias", "modules.builtin"];

/// A kernel that can be booted.
pub(super) struct Kernel {
    pub(super) version: String,
    pub(super) image: PathBuf,
    /// Files for the initramfs: their path there, and where they are now.
    pub(super) files: BTreeMap<String, PathBuf>,
}

fn folder(home: &Path) -> PathBuf {
    home.join("kernel")
}

pub(super) fn is_there(home: &Path) -> bool {
    version(home).is_ok()
}

/// Fetches the newest cloud kernel and takes its package apart.
pub(super) fn fetch(home: &Path) -> anyhow::Result<()> {
    let depends = Command::new("apt-cache")
        .args(["depends", "--important", META_PACKAGE])
        .output()
        .context("run `apt-cache`")?;
    let depends = String::from_utf8_lossy(&depends.stdout).into_owned();
    let package = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .with_context(|| format!("find package `{META_PACKAGE}` (Debian has it; `apt-get update` first)"))?;
    let scratch = tempfile::tempdir_in(home).context("make a folder for the package")?;
    run_tool(
        Command::new("apt-get")
            .args(["download", package])
            .current_dir(scratch.path()),
    )?;
    let archive = fs::read_dir(scratch.path())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("find what apt-get fetched of `{package}`"))?;
    let apart = scratch.path().join("apart");
    run_tool(Command::new("dpkg-deb").arg("-x").args([&archive, &apart]))?;
    let folder = folder(home);
    fs::remove_dir_all(&folder).ok();
    fs::rename(&apart, &folder).with_context(|| format!("keep the kernel in `{}`", folder.display()))
}

fn version(home: &Path) -> anyhow::Result<String> {
    let modules = folder(home).join("lib/modules");
    let mut versions =
        fs::read_dir(&modules).with_context(|| format!("read folder `{}`", modules.display()))?;
    let found = versions.next().context("find a kernel version")??;
    Ok(found.file_name().to_string_lossy().into_owned())
}

/// Finds image and modules.
pub(super) fn prepare(home: &Path) -> anyhow::Result<Kernel> {
    let version = version(home)?;
    let folder = folder(home);
    let modules = folder.join("lib/modules").join(&version);
    if !modules.join("modules.dep").is_file() {
        // The package leaves this to its installation.
        let busybox = tool("busybox").context("find `busybox`")?;
        run_tool(
            Command::new(busybox)
                .args(["depmod", "-b"])
                .arg(&folder)
                .arg(&version),
        )?;
    }
    let list = modules.join("modules.dep");
    let list = fs::read_to_string(&list).with_context(|| format!("read `{}`", list.display()))?;
    let builtin = fs::read_to_string(modules.join("modules.builtin")).unwrap_or_default();
    let mut files = BTreeMap::new();
    for path in needed(&list, &builtin)? {
        files.insert(format!("lib/modules/{version}/{path}"), modules.join(path));
    }
    for list in LISTS {
        files.insert(format!("lib/modules/{version}/{list}"), modules.join(list));
    }
    let image = folder.join(format!("boot/vmlinuz-{version}"));
    ensure!(image.is_file(), "find the kernel image `{}`", image.display());
    Ok(Kernel {
        version,
        image,
        files,
    })
}

/// The paths of all modules that are wanted or taken along, and of what they stand on.
fn needed<'a>(dependencies: &'a str, builtin: &str) -> anyhow::Result<BTreeSet<&'a str>> {
    let lines: BTreeMap<&str, Vec<&str>> = dependencies
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(path, others)| (path.trim(), others.split_whitespace().collect()))
        .collect();
    for wanted in WANTED {
        let is_module = lines.keys().any(|path| name(path) == wanted);
        let is_there = is_module || builtin.lines().any(|path| name(path) == wanted);
        ensure!(is_there, "find module `{wanted}` in the kernel");
    }
    let mut needed = BTreeSet::new();
    let is_chosen = |path: &str| {
        WANTED.contains(&name(path).as_str()) || AVAILABLE.iter().any(|start| path.starts_with(start))
    };
    let mut open: Vec<&str> = lines.keys().copied().filter(|path| is_chosen(path)).collect();
    while let Some(path) = open.pop() {
        if needed.insert(path) {
            open.extend(lines.get(path).into_iter().flatten());
        }
    }
    Ok(needed)
}

/// The name that modprobe(8) takes for the module at that path.
fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = file.split(".ko").next().unwrap_or(file);
    // Both spellings mean the same, and these two are spelled with underscores in our list.
    name.replace('-', "_")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_with_what_they_stand_on() {
        let mut list: String = WANTED
            .iter()
            .map(|name| format!("kernel/net/{name}.ko:\n"))
            .collect();
        list += "kernel/crypto/gf128mul.ko: kernel/deep/a.ko\nkernel/deep/a.ko: kernel/deep/b.ko\n";
        list += "kernel/deep/b.ko:\nkernel/fs/ext4.ko: kernel/fs/jbd2.ko\nkernel/fs/jbd2.ko:\n";
        let needed = needed(&list, "").unwrap();
        assert!(needed.contains("kernel/deep/b.ko") && needed.contains("kernel/net/veth.ko"));
        assert!(!needed.contains("kernel/fs/jbd2.ko"));
    }

    #[test]
    fn a_kernel_without_a_module_is_refused_by_name() {
        let error = super::needed("kernel/net/veth.ko:\n", "kernel/net/vxlan.ko\n").unwrap_err();
        assert_eq!(error.to_string(), "find module `wireguard` in the kernel");
    }
}
