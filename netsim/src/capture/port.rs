//! A packet socket that has one interface to itself, for a program that stands in for the rest of a link.
//!
//! Owns opening it. Invariant: it never hears what it says.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use super::RingSize;
use super::ring::{Ring, bind, check, set_option};

/// PACKET_IGNORE_OUTGOING of linux/if_packet.h, Linux 4.20.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// Opens a packet socket on an interface of the calling thread's namespace: reads give whole frames that others
/// sent, writes send whole frames; neither waits.
///
/// # Errors
/// The kernel's answer.
pub(crate) fn open_port(interface_index: u32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // Protocol 0 receives nothing until bind(2) names protocol and interface.
    // SAFETY: plain system call; the result is checked.
    let fd = check(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    // SAFETY: the descriptor was opened above and has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    set_option(&socket, PACKET_IGNORE_OUTGOING, &1_i32)?;
    bind(&socket, interface_index)?;
    Ok(socket)
}

/// Opens a ring on the loopback interface of the calling thread's namespace, and closes it.
///
/// # Errors
/// The kernel's answer.
pub(crate) fn probe_ring() -> io::Result<()> {
    Ring::open(1, RingSize::of_bytes(4096)).map(drop)
}
