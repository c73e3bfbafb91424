//! Switching offloads off, so that a packet on a wire stays one packet in every tap.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// ETHTOOL_SGRO of linux/ethtool.h.
const ETHTOOL_SGRO: u32 = 0x2c;
/// ETHTOOL_STXCSUM.
const ETHTOOL_STXCSUM: u32 = 0x17;
/// ETHTOOL_STSO.
const ETHTOOL_STSO: u32 = 0x1f;
/// ETHTOOL_SGSO.
const ETHTOOL_SGSO: u32 = 0x24;
/// SIOCETHTOOL of linux/sockios.h.
const SIOCETHTOOL: libc::Ioctl = 0x8946;

/// struct ethtool_value of linux/ethtool.h.
#[repr(C)]
struct EthtoolValue {
    cmd: u32,
    data: u32,
}

/// Switches generic receive offload off for an interface of the calling thread's network namespace: otherwise
/// the kernel may join segments that arrived together before a tap sees them.
///
/// # Errors
/// The kernel's answer; an interface name of 16 bytes or more is refused.
pub(crate) fn disable_gro(interface: &str) -> io::Result<()> {
    switch_off(interface, ETHTOOL_SGRO)
}

/// Switches everything off that is left to a network card on sending, for an interface of the calling thread's
/// network namespace: each packet leaves it whole, no longer than its MTU and with its checksums, however large the
/// segment that it is from.
///
/// # Errors
/// As [`disable_gro`].
pub(crate) fn disable_transmit_offload(interface: &str) -> io::Result<()> {
    // Scatter-gather and hardware segmentation need checksums and end with them on some kernels, not on all.
    for command in [ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_STXCSUM] {
        switch_off(interface, command)?;
    }
    Ok(())
}

fn switch_off(interface: &str, command: u32) -> io::Result<()> {
    // SAFETY: plain system call; the result is checked.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was opened above and has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: the structure is plain numbers and a pointer, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (slot, byte) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *slot = byte.cast_signed();
    }
    let mut value = EthtoolValue {
        cmd: command,
        data: 0,
    };
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the request holds a terminated name and a pointer to a value that outlives the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
