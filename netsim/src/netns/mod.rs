//! Network namespaces held by file descriptor, never by name.
//!
//! Owns creating, entering and leaving namespaces, the private namespaces of a whole run ([`private`]), and what the
//! kernel counts in one ([`counters`]).
//! It does not configure links (see [`crate::fabric`]). Invariant: no thread that outlives a call here has
//! changed its namespace; a namespace ends when its last descriptor and socket are closed.

pub mod counters;
pub(crate) mod offload;
pub mod private;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use nix::sched::{CloneFlags, setns, unshare};
use rtnetlink::Handle;

/// A network namespace, alive for as long as a clone of it (or a socket in it) is.
#[derive(Debug, Clone)]
pub struct Netns {
    name: Arc<str>,
    fd: Arc<OwnedFd>,
}

/// Why a namespace could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// unshare(2) refused.
    #[error("create netns `{name}`{}", limit_hint(source))]
    Create {
        /// Its name.
        name: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// setns(2) refused, or no thread could be started.
    #[error("enter netns `{name}`{}", limit_hint(source))]
    Enter {
        /// Its name.
        name: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A sysctl of the namespace could not be written.
    #[error("write sysctl `{key}` in netns `{name}`")]
    Sysctl {
        /// The namespace.
        name: String,
        /// Path below `/proc/sys`.
        key: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

fn limit_hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSPC) => {
            " (limit on network namespaces reached; `sysctl -w user.max_net_namespaces=N` raises it)"
        }
        Some(libc::EMFILE) => " (limit on open files reached; `ulimit -n N` raises it)",
        Some(libc::EAGAIN) => {
            " (limit on threads reached; `ulimit -u N` and `sysctl -w kernel.threads-max=N` raise it)"
        }
        Some(libc::ENOMEM) => " (out of memory)",
        Some(libc::EPERM) => " (needs root or an own user namespace)",
        _ => "",
    }
}

impl Netns {
    /// Makes a namespace with its loopback interface down and IPv6 off on every interface to come.
    ///
    /// IPv6 is switched off before any link exists, so that no router solicitation or MLD report ever mixes
    /// with the probes.
    ///
    /// # Errors
    /// [`NetnsError::Create`] without CAP_SYS_ADMIN or at a limit, [`NetnsError::Sysctl`] when /proc is read-only.
    pub fn create(name: &str) -> Result<Self, NetnsError> {
        Self::create_with(name, &[], || Ok(())).map(|(netns, ())| netns)
    }

    /// As [`Netns::create`], and on the same visit writes sysctls below `net/` and opens what `open` opens: one
    /// thread for everything, where each [`Netns::run`] takes one of its own.
    ///
    /// # Errors
    /// As [`Netns::create`], and [`NetnsError::Enter`] when `open` fails.
    pub fn create_with<T: Send>(
        name: &str,
        sysctls: &[(&str, &str)],
        open: impl FnOnce() -> io::Result<T> + Send,
    ) -> Result<(Self, T), NetnsError> {
        let create = |source| NetnsError::Create {
            name: name.to_owned(),
            source,
        };
        let made = on_fresh_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| create(errno.into()))?;
            let fd = File::open("/proc/thread-self/ns/net").map_err(create)?;
            // A kernel without IPv6 has nothing to switch off.
            if Path::new("/proc/sys/net/ipv6").exists() {
                write_sysctl(name, "net/ipv6/conf/all/disable_ipv6", "1")?;
                write_sysctl(name, "net/ipv6/conf/default/disable_ipv6", "1")?;
            }
            for (key, value) in sysctls {
                write_sysctl(name, key, value)?;
            }
            let opened = open().map_err(|source| NetnsError::Enter {
                name: name.to_owned(),
                source,
            })?;
            Ok((OwnedFd::from(fd), opened))
        });
        let (fd, opened) = made.map_err(create)??;
        let netns = Self {
            name: name.into(),
            fd: Arc::new(fd),
        };
        Ok((netns, opened))
    }

    /// The namespace that the calling thread is in.
    ///
    /// # Errors
    /// [`NetnsError::Enter`] when /proc is not mounted.
    pub fn current() -> Result<Self, NetnsError> {
        let name = "current";
        let fd = File::open("/proc/thread-self/ns/net").map_err(|source| NetnsError::Enter {
            name: name.to_owned(),
            source,
        })?;
        Ok(Self {
            name: name.into(),
            fd: Arc::new(fd.into()),
        })
    }

    /// The name given at creation; only for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` on a short-lived thread inside the namespace; sockets it opens stay in there.
    ///
    /// # Errors
    /// [`NetnsError::Enter`].
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        let enter = |source| NetnsError::Enter {
            name: self.name.to_string(),
            source,
        };
        let result = on_fresh_thread(|| {
            setns(self.fd.as_fd(), CloneFlags::CLONE_NEWNET)?;
            Ok::<_, io::Error>(work())
        });
        result.and_then(|inner| inner).map_err(enter)
    }

    /// Writes a sysctl below `net/`, as this namespace sees it.
    ///
    /// # Errors
    /// [`NetnsError::Sysctl`].
    pub fn sysctl(&self, key: &str, value: &str) -> Result<(), NetnsError> {
        self.run(|| write_sysctl(&self.name, key, value))?
    }

    /// A route netlink connection into the namespace; its task runs on the current tokio runtime.
    ///
    /// # Errors
    /// [`NetnsError::Enter`] when the socket cannot be opened.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn netlink(&self) -> Result<Handle, NetnsError> {
        let runtime = tokio::runtime::Handle::current();
        self.run(|| open_netlink(&runtime))?
            .map_err(|source| NetnsError::Enter {
                name: self.name.to_string(),
                source,
            })
    }
}

/// Opens a route netlink connection into the calling thread's namespace; its task runs on `runtime`.
pub(crate) fn open_netlink(runtime: &tokio::runtime::Handle) -> io::Result<Handle> {
    let _entered = runtime.enter();
    let (connection, handle, _) = rtnetlink::new_connection()?;
    runtime.spawn(connection);
    Ok(handle)
}

/// Writes a sysctl of the calling thread's namespace, which is the one that /proc/sys/net shows.
fn write_sysctl(netns: &str, key: &str, value: &str) -> Result<(), NetnsError> {
    std::fs::write(Path::new("/proc/sys").join(key), value).map_err(|source| NetnsError::Sysctl {
        name: netns.to_owned(),
        key: key.to_owned(),
        source,
    })
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Netns {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

fn on_fresh_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, work)?;
        thread
            .join()
            .map_err(|_| io::Error::other("the thread inside the namespace panicked"))
    })
}
