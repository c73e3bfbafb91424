//! Limits of the machine, as the kernel tells them, and whether a lab keeps within them.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::{Capability, Need};
use crate::encap::Ability;

/// The oldest kernel that labs run on: major and minor version.
pub const KERNEL_MIN: (u32, u32) = (5, 10);

/// How the units of amounts of memory begin.
const OCTETS: &str = "octets";

/// How much there may be of something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Its name, such as `open files`.
    pub name: String,
    /// What it bounds.
    pub bounds: String,
    /// Its value; `None` where the kernel does not tell.
    pub value: Option<u64>,
    /// The unit of the value; empty for plain counts.
    pub unit: String,
    /// How to raise it.
    pub raise: String,
}

/// What a lab takes of the machine, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Hosts, each of which is a network namespace, and the lab's own.
    pub network_namespaces: u64,
    /// Descriptors open at a time in the lab's process.
    pub open_files: u64,
    /// Octets.
    pub memory: u64,
}

/// A lab needs more of something than the machine allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "fit the lab on this machine: it needs {}, the limit is {}; to raise it: {}",
    limit.named(*needed),
    limit.amount(*available),
    limit.raise
)]
pub struct Shortage {
    /// What there is too little of.
    pub limit: Box<Limit>,
    /// How much is needed.
    pub needed: u64,
    /// How much there is.
    pub available: u64,
}

impl Limit {
    /// So much of what is limited, for people: octets in binary units.
    #[must_use]
    pub fn amount(&self, value: u64) -> String {
        match self.unit.strip_prefix(OCTETS) {
            Some(which) => binary(value) + which,
            None => format!("{value} {}", self.unit).trim_end().to_owned(),
        }
    }

    /// As [`Self::amount`], with what it is of.
    fn named(&self, value: u64) -> String {
        match self.unit.strip_prefix(OCTETS) {
            Some(_) => format!("{} of {}", binary(value), self.name),
            None => format!("{value} {}", self.name),
        }
    }
}

/// Octets in the largest binary unit that they fill, with one decimal at most.
fn binary(octets: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let Some((unit, size)) = UNITS.into_iter().find(|(_, size)| octets >= *size) else {
        return format!("{octets} {OCTETS}");
    };
    let tenths = (u128::from(octets) * 10 + u128::from(size / 2)) / u128::from(size);
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {unit}"),
        (whole, tenth) => format!("{whole}.{tenth} {unit}"),
    }
}

impl Demand {
    /// Compares with the limits of this process. A limit that the kernel does not tell is not held against anybody,
    /// nor what others use of the same limit, which nobody can know.
    ///
    /// # Errors
    /// [`Shortage`], the first.
    pub fn check(&self) -> Result<(), Shortage> {
        let needed = [
            ("open files", self.open_files),
            ("network namespaces", self.network_namespaces),
            ("memory", self.memory),
        ];
        for limit in all() {
            let needed = needed.iter().find(|(name, _)| *name == limit.name);
            if let (Some((_, needed)), Some(available)) = (needed, limit.value)
                && *needed > available
            {
                return Err(Shortage {
                    needed: *needed,
                    available,
                    limit: Box::new(limit),
                });
            }
        }
        Ok(())
    }
}

/// Lets this process, and what it starts, have as many open files as its hard limit allows. What the kernel refuses
/// stays as it was, and [`Demand::check`] sees it.
pub fn raise_open_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).ok();
    }
}

/// The kernel's version, as uname(2) says.
pub(super) fn kernel() -> String {
    nix::sys::utsname::uname().map_or_else(
        |_| "unknown".to_owned(),
        |names| names.release().to_string_lossy().into_owned(),
    )
}

pub(super) fn new_enough(kernel: &str) -> Capability {
    let mut numbers = kernel
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (major, minor) = KERNEL_MIN;
    Capability {
        name: format!("kernel {major}.{minor} or newer"),
        needed_for: "everything".to_owned(),
        need: Need::Core,
        ability: if version >= KERNEL_MIN {
            Ability::Available
        } else {
            Ability::Missing(format!("this is {kernel}: boot a newer one"))
        },
    }
}

/// A limit in a file of one number.
struct Row {
    name: &'static str,
    bounds: &'static str,
    file: &'static str,
    unit: &'static str,
    raise: &'static str,
}

const FILES: [Row; 6] = [
    Row {
        name: "network namespaces",
        bounds: "hosts of all labs together",
        file: "/proc/sys/user/max_net_namespaces",
        unit: "",
        raise: "sysctl -w user.max_net_namespaces=N",
    },
    Row {
        name: "user namespaces",
        bounds: "labs of an ordinary user at a time",
        file: "/proc/sys/user/max_user_namespaces",
        unit: "",
        raise: "sysctl -w user.max_user_namespaces=N",
    },
    Row {
        name: "inotify instances",
        bounds: "programs that watch files",
        file: "/proc/sys/fs/inotify/max_user_instances",
        unit: "",
        raise: "sysctl -w fs.inotify.max_user_instances=N",
    },
    Row {
        name: "socket send buffer",
        bounds: "one nftables transaction of an ordinary user",
        file: "/proc/sys/net/core/wmem_max",
        unit: "octets",
        raise: "sysctl -w net.core.wmem_max=N",
    },
    Row {
        name: "socket receive buffer",
        bounds: "bursts through WireGuard in user space",
        file: "/proc/sys/net/core/rmem_max",
        unit: "octets",
        raise: "sysctl -w net.core.rmem_max=N",
    },
    Row {
        name: "processes and threads",
        bounds: "nodes and pods of all labs together",
        file: "/proc/sys/kernel/threads-max",
        unit: "",
        raise: "sysctl -w kernel.threads-max=N",
    },
];

pub(super) fn all() -> Vec<Limit> {
    let mut limits = vec![
        limit(
            "open files",
            "hosts and sockets of one lab",
            open_files(),
            ("", "ulimit -n N (beyond `ulimit -Hn`: as root)"),
        ),
        limit(
            "memory",
            "captures and hosts: some 0.3 MiB for a host, 4 MiB for a capture point",
            available_memory(),
            ("octets free", "a larger machine"),
        ),
        limit(
            "processors",
            "how much can be sent without a stall",
            std::thread::available_parallelism()
                .ok()
                .and_then(|count| u64::try_from(count.get()).ok()),
            ("", "a larger machine"),
        ),
    ];
    limits.extend(
        FILES
            .iter()
            .map(|row| limit(row.name, row.bounds, number_in(row.file), (row.unit, row.raise))),
    );
    limits
}

fn limit(name: &str, bounds: &str, value: Option<u64>, (unit, raise): (&str, &str)) -> Limit {
    Limit {
        name: name.to_owned(),
        bounds: bounds.to_owned(),
        value,
        unit: unit.to_owned(),
        raise: raise.to_owned(),
    }
}

fn open_files() -> Option<u64> {
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft)
}

fn number_in(file: &str) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// MemAvailable of proc_meminfo(5), in octets.
fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("5.9.16", false)]
    #[case("5.10.0-28-amd64", true)]
    #[case("6.1.0", true)]
    #[case("4.19.0", false)]
    #[case("unknown", false)]
    fn old_kernels_are_refused(#[case] kernel: &str, #[case] fine: bool) {
        assert_eq!(new_enough(kernel).ability.is_available(), fine);
    }

    #[test]
    fn what_is_too_much_is_named_with_its_limit() {
        let little = Demand {
            network_namespaces: 1,
            open_files: 1,
            memory: 1,
        };
        assert_eq!(little.check(), Ok(()));
        let much = u64::MAX;
        let cases = [
            (
                Demand {
                    open_files: much,
                    ..little
                },
                "18446744073709551615 open files",
                "ulimit -n N",
            ),
            (
                Demand {
                    network_namespaces: much,
                    ..little
                },
                "18446744073709551615 network namespaces",
                "sysctl -w user.max_net_namespaces=N",
            ),
            (
                Demand {
                    memory: much,
                    ..little
                },
                "17179869184 GiB of memory",
                "a larger machine",
            ),
        ];
        for (demand, named, raise) in cases {
            // No limit on open files is as good as any.
            let Err(shortage) = demand.check() else {
                assert_eq!(open_files(), Some(much));
                continue;
            };
            let text = shortage.to_string();
            assert!(text.contains(named) && text.contains(raise), "{text}");
        }
    }

    #[rstest]
    #[case("octets free", 16_424_144_896, "15.3 GiB free")]
    #[case("octets free", 5 << 20, "5 MiB free")]
    #[case("octets", 212_992, "208 KiB")]
    #[case("octets", 1_023, "1023 octets")]
    #[case("", 1 << 20, "1048576")]
    fn amounts_are_told_in_units_for_people(#[case] unit: &str, #[case] value: u64, #[case] told: &str) {
        let limit = limit("something", "", Some(value), (unit, ""));
        assert_eq!(limit.amount(value), told);
    }

    #[test]
    fn every_linux_tells_its_limits() {
        for name in ["open files", "memory", "processors"] {
            let found = all().into_iter().find(|limit| limit.name == name).unwrap();
            assert!(found.value.is_some_and(|value| value > 0), "{found:?}");
        }
    }
}
