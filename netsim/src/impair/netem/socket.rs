//! A route netlink socket (rtnetlink(7)) that waits for the answer to each request.
//!
//! Owns the exchange of one request for one answer, and the question which interface leads to an address.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use netlink_bindings::traits::{NetlinkRequest, Protocol};
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

/// Octets of struct nlmsghdr, and of struct rtmsg.
const HEADER_LEN: usize = 16;
const ROUTE_LEN: usize = 12;

/// A socket of the namespace that it was opened in.
pub(super) struct RouteSocket {
    socket: netlink_sys::Socket,
    sequence: u32,
}

impl RouteSocket {
    /// Opens one in the calling thread's namespace.
    pub(super) fn open() -> io::Result<Self> {
        let socket = netlink_sys::Socket::new(NETLINK_ROUTE)?;
        socket.set_cap_ack(true)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Has the kernel do something.
    pub(super) fn ask(&mut self, request: &impl NetlinkRequest) -> io::Result<()> {
        let Protocol::Raw { request_type, .. } = request.protocol() else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let asks = u16::try_from(libc::NLM_F_REQUEST | libc::NLM_F_ACK).expect("flags are 16 bits");
        let answer = self.exchange(request_type, request.flags() | asks, request.payload())?;
        match error_of(&answer) {
            Some(0) => Ok(()),
            Some(code) => Err(Errno::from_raw(-code).into()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The index of the interface that packets to an address leave by; `None` where no route leads there.
    pub(super) fn interface_to(&mut self, address: IpAddr) -> io::Result<Option<u32>> {
        let asks = u16::try_from(libc::NLM_F_REQUEST).expect("flags are 16 bits");
        let answer = self.exchange(libc::RTM_GETROUTE, asks, &route_to(address))?;
        match error_of(&answer) {
            // "Network is unreachable", and the types of routes that lead nowhere.
            Some(code) if NOWHERE.contains(&Errno::from_raw(-code)) => Ok(None),
            Some(code) => Err(Errno::from_raw(-code).into()),
            None => Ok(interface_of(&answer)),
        }
    }

    fn exchange(&mut self, kind: u16, flags: u16, payload: &[u8]) -> io::Result<Vec<u8>> {
        self.sequence += 1;
        let len = u32::try_from(HEADER_LEN + payload.len()).map_err(io::Error::other)?;
        let mut message = len.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(payload);
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty())?;
        // The kernel answers before `send` returns.
        let mut answer = vec![0; 4096];
        let read = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
        answer.truncate(read);
        Ok(answer)
    }
}

/// How the kernel says that no route leads to an address.
const NOWHERE: [Errno; 4] = [
    Errno::ENETUNREACH,
    Errno::EHOSTUNREACH,
    Errno::EACCES,
    Errno::EINVAL,
];

/// The error of an answer: struct nlmsgerr begins with it. `None` where the answer is none of that kind.
fn error_of(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    if i32::from(kind) != libc::NLMSG_ERROR {
        return None;
    }
    let code = answer.get(HEADER_LEN..HEADER_LEN + 4)?;
    Some(i32::from_ne_bytes(code.try_into().ok()?))
}

/// struct rtmsg and an RTA_DST: the question for the route to an address.
fn route_to(address: IpAddr) -> Vec<u8> {
    let (family, octets) = match address {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    };
    let octet = |number: usize| u8::try_from(number).expect("an address has at most 128 bits");
    let mut message = vec![0; ROUTE_LEN];
    message[0] = u8::try_from(family).expect("families are below 256");
    message[1] = octet(8 * octets.len());
    message.extend(u16::from(octet(4 + octets.len())).to_ne_bytes());
    message.extend(libc::RTA_DST.to_ne_bytes());
    message.extend(octets);
    message
}

/// The RTA_OIF of a route.
fn interface_of(answer: &[u8]) -> Option<u32> {
    let mut attributes = answer.get(HEADER_LEN + ROUTE_LEN..)?;
    loop {
        let half = |at: usize| Some(u16::from_ne_bytes(attributes.get(at..at + 2)?.try_into().ok()?));
        let (len, kind) = (usize::from(half(0)?), half(2)?);
        if kind == libc::RTA_OIF {
            return Some(u32::from_ne_bytes(attributes.get(4..8)?.try_into().ok()?));
        }
        attributes = attributes.get(len.max(4).next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_addresses_are_led_to_by_the_loopback_interface() {
        let mut socket = RouteSocket::open().unwrap();
        let index = nix::net::if_::if_nametoindex("lo").unwrap();
        let mut found = |address: &str| socket.interface_to(address.parse().unwrap());
        assert_eq!(found("127.0.0.1").unwrap(), Some(index));
        // A machine may have no IPv6.
        if let Ok(Some(found)) = found("::1") {
            assert_eq!(found, index);
        }
    }

    #[test]
    fn an_interface_is_found_behind_other_attributes_and_nowhere_else() {
        let mut answer = vec![0; HEADER_LEN + ROUTE_LEN];
        let attribute = |kind: u16, value: &[u8]| {
            let len = u16::try_from(4 + value.len()).unwrap();
            let mut attribute = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
            attribute.extend(value);
            attribute.resize(attribute.len().next_multiple_of(4), 0);
            attribute
        };
        answer.extend(attribute(libc::RTA_DST, &[10, 0, 0, 1]));
        answer.extend(attribute(libc::RTA_PREF, &[0]));
        assert_eq!(interface_of(&answer), None);
        answer.extend(attribute(libc::RTA_OIF, &7_u32.to_ne_bytes()));
        assert_eq!(interface_of(&answer), Some(7));
        assert_eq!(interface_of(&answer[..answer.len() - 3]), None);
    }
}
