//! Netlink requests that no crate has: octets by hand, and the kernel's answer.
//!
//! Owns the header, attributes and acknowledgement of netlink(7). It does not know what a message says. Invariant:
//! every request is answered before the next is sent.

use std::io;

/// NLM_F_REQUEST and NLM_F_ACK of linux/netlink.h.
const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
/// NLM_F_EXCL and NLM_F_CREATE.
pub(crate) const CREATE: u16 = 0x200 | 0x400;
/// NLMSG_ERROR: an error, or an acknowledgement when its code is 0.
const NLMSG_ERROR: u16 = 2;
/// NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END and NFNL_SUBSYS_NFTABLES of linux/netfilter/nfnetlink.h.
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NF_TABLES: u8 = 10;
/// NFPROTO_IPV4.
const AF_INET: u8 = 2;
/// struct nlmsghdr.
const HEADER_LEN: usize = 16;

/// A netlink socket for requests one by one.
pub(crate) struct Requests {
    socket: netlink_sys::Socket,
    sequence: u32,
}

impl Requests {
    /// Opens a socket of a netlink family in the calling thread's network namespace.
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = netlink_sys::Socket::new(protocol)?;
        socket.bind_auto()?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends a message and waits for its acknowledgement.
    pub(crate) fn send(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        let mut message = Bytes::default();
        self.header(&mut message, kind, ACK | flags, body.len());
        message.octets(body);
        self.socket.send(&message.0, 0)?;
        self.answer()
    }

    /// Sends messages of nf_tables, each its number in the subsystem, its flags and its attributes, as one
    /// transaction.
    pub(crate) fn send_batch(&mut self, messages: &[(u16, u16, Vec<u8>)]) -> io::Result<()> {
        let mut batch = Bytes::default();
        // struct nfgenmsg: family, version, subsystem in network order.
        let (v4, any) = ([AF_INET, 0, 0, 0], [0, 0, 0, NF_TABLES]);
        self.header(&mut batch, BATCH_BEGIN, 0, any.len());
        batch.octets(&any);
        let last = messages.len().saturating_sub(1);
        for (position, (kind, flags, attributes)) in messages.iter().enumerate() {
            // Errors are answered always, success only where asked for.
            let flags = if position == last { ACK | flags } else { *flags };
            let kind = u16::from(NF_TABLES) << 8 | kind;
            self.header(&mut batch, kind, flags, v4.len() + attributes.len());
            batch.octets(&v4);
            batch.octets(attributes);
        }
        self.header(&mut batch, BATCH_END, 0, any.len());
        batch.octets(&any);
        self.socket.send(&batch.0, 0)?;
        self.answer()
    }

    fn header(&mut self, message: &mut Bytes, kind: u16, flags: u16, body: usize) {
        self.sequence += 1;
        message.u32(u32::try_from(HEADER_LEN + body).expect("our messages are short"));
        message.u16(kind);
        message.u16(REQUEST | flags);
        message.u32(self.sequence);
        message.u32(0);
    }

    fn answer(&mut self) -> io::Result<()> {
        let mut answer = Vec::with_capacity(4096);
        self.socket.recv(&mut answer, 0)?;
        errno(&answer)
    }
}

/// The code in an answer.
fn errno(answer: &[u8]) -> io::Result<()> {
    let field = |at: usize| {
        let field = answer.get(at..at + 4)?;
        <[u8; 4]>::try_from(field).ok()
    };
    let kind = answer
        .get(4..6)
        .map(|field| u16::from_ne_bytes([field[0], field[1]]));
    match (kind, field(HEADER_LEN)) {
        (Some(NLMSG_ERROR), Some(code)) => match i32::from_ne_bytes(code) {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(-code)),
        },
        _ => Err(io::Error::other("an answer that is no acknowledgement")),
    }
}

/// A message under construction; numbers are in the machine's order unless they say otherwise.
#[derive(Default)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    pub(crate) fn octets(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    pub(crate) fn u16(&mut self, number: u16) {
        self.octets(&number.to_ne_bytes());
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.octets(&number.to_ne_bytes());
    }

    pub(crate) fn zeros(&mut self, count: usize) {
        self.0.resize(self.0.len() + count, 0);
    }

    pub(crate) fn pad_to(&mut self, boundary: usize) {
        self.0.resize(self.0.len().next_multiple_of(boundary), 0);
    }

    /// Adds an attribute, struct nlattr, with what `value` writes.
    pub(crate) fn attribute(&mut self, kind: u16, value: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.u16(0);
        self.u16(kind);
        value(self);
        let len = u16::try_from(self.0.len() - start).expect("our attributes are short");
        self.0[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        self.pad_to(4);
    }
}
