//! Frames put on a wire as they are, many in one system call.
//!
//! Owns a sending packet socket. It is what measures captures and forwarding; probes are sent by ordinary sockets.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::CaptureError;
use super::ring::{Sender, link_address, socklen};
use crate::fabric::Host;

/// Frames in one system call.
const BURST: usize = 64;

/// A packet socket that sends out of one interface.
pub struct Injector {
    socket: OwnedFd,
    interface_index: u32,
}

impl Injector {
    /// Opens a socket on an interface of a host.
    ///
    /// # Errors
    /// [`CaptureError`].
    pub fn open(host: &Host, interface: &str) -> Result<Self, CaptureError> {
        let interface_index = host.interface(interface)?.index;
        let opened = host.netns().run(|| Sender::open(interface_index))?;
        let sender = opened.map_err(|source| CaptureError::Socket {
            host: host.name().to_owned(),
            interface: interface.to_owned(),
            source,
        })?;
        Ok(Self {
            socket: sender.into_socket(),
            interface_index,
        })
    }

    /// Sends the same frame 64 times, and returns how many of them the kernel took.
    ///
    /// # Errors
    /// The kernel's answer when it took none.
    pub fn burst(&self, frame: &[u8]) -> io::Result<usize> {
        let mut address = link_address(self.interface_index, 0);
        let mut part = libc::iovec {
            iov_base: frame.as_ptr().cast_mut().cast(),
            iov_len: frame.len(),
        };
        // SAFETY: the structure is numbers and pointers, for which zero is a value.
        let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
        message.msg_hdr.msg_name = (&raw mut address).cast();
        message.msg_hdr.msg_namelen = socklen(&address);
        message.msg_hdr.msg_iov = &raw mut part;
        message.msg_hdr.msg_iovlen = 1;
        let mut messages = [message; BURST];
        let count = libc::c_uint::try_from(BURST).expect("a small number");
        // SAFETY: the messages point to an address, a part and a frame that outlive the call; sendmmsg(2) writes
        // only their lengths.
        let sent = unsafe { libc::sendmmsg(self.socket.as_raw_fd(), messages.as_mut_ptr(), count, 0) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}
