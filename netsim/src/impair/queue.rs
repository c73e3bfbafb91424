//! The kernel's packet queues, linux/netfilter/nfnetlink_queue.h: packets wait in the kernel for a verdict.
//!
//! Owns the messages. It does not know when a packet should go on. Invariant: only what was asked for is copied
//! out of the kernel; a packet without a flipped bit never is.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, setsockopt,
    socket, sockopt,
};

/// Subsystem of the messages, NFNL_SUBSYS_QUEUE.
const SUBSYSTEM: u16 = 3;
const MSG_PACKET: u16 = 0;
const MSG_VERDICT: u16 = 1;
const MSG_CONFIG: u16 = 2;
const MSG_VERDICT_BATCH: u16 = 3;
/// Length of struct nlmsghdr and struct nfgenmsg, which every message begins with.
const HEADER_LEN: usize = 16 + 4;
/// Packets that may wait in one queue.
const WAITING_MAX: u32 = 1 << 17;
/// What a netlink socket may hold for us, as far as the kernel lets us.
const RECEIVE_BUFFER: usize = 64 << 20;
/// How long the kernel may take to answer a request.
const DEADLINE: Duration = Duration::from_secs(2);

/// How much of each packet comes with the news of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copy {
    /// Nothing, not even its length; segments that the sender left to the network card stay together.
    Nothing,
    /// Its length; segments come one by one.
    Length,
    /// All of it; segments come one by one.
    Everything,
}

/// News from the kernel.
#[derive(Debug)]
pub(super) enum News {
    /// A packet waits.
    Packet {
        /// In this queue.
        queue: u16,
        /// Under this number; they count up.
        id: u32,
        /// With so many octets from the IP header on; 0 with [`Copy::Nothing`].
        octets: u32,
    },
    /// The answer to the request of that number: 0 or an error.
    Answer {
        /// The request.
        sequence: u32,
        /// The kernel's answer.
        errno: i32,
    },
    /// The socket was full, so packets were dropped.
    Overrun,
}

/// The socket through which one thread has its queues.
pub(super) struct QueueSocket {
    fd: OwnedFd,
    sequence: u32,
    verdicts: Vec<u8>,
    received: Vec<u8>,
    /// Where the payload of the last packet is in `received`.
    payload: std::ops::Range<usize>,
}

impl QueueSocket {
    /// Opens a socket in the calling thread's namespace.
    pub(super) fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            flags,
            SockProtocol::NetlinkNetFilter,
        )?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        // Beyond net.core.rmem_max only as the host's root.
        if setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
        }
        Ok(Self {
            fd,
            sequence: 0,
            verdicts: Vec::new(),
            received: vec![0; 1 << 17],
            payload: 0..0,
        })
    }

    /// Binds a queue, or changes what comes with its packets. News that arrive meanwhile go to `news`.
    pub(super) fn configure(
        &mut self,
        queue: u16,
        is_new: bool,
        copy: Copy,
        news: &mut dyn FnMut(News, &[u8]),
    ) -> io::Result<()> {
        if is_new {
            // NFQNL_CFG_CMD_BIND.
            self.request(queue, &[attribute(libc::NFQA_CFG_CMD, &[1, 0, 0, 0])], news)?;
        }
        let (mode, range, gso) = match copy {
            Copy::Nothing => (libc::NFQNL_COPY_META, 0_u32, libc::NFQA_CFG_F_GSO),
            // The length comes only with a part of the packet.
            Copy::Length => (libc::NFQNL_COPY_PACKET, 1, 0),
            Copy::Everything => (libc::NFQNL_COPY_PACKET, 0xffff, 0),
        };
        let mut parameters = range.to_be_bytes().to_vec();
        parameters.push(u8::try_from(mode).expect("modes are 0 to 2"));
        let flags = u32::try_from(gso).expect("flags are bits");
        let mask = u32::try_from(libc::NFQA_CFG_F_GSO).expect("flags are bits");
        let attributes = [
            attribute(libc::NFQA_CFG_PARAMS, &parameters),
            attribute(libc::NFQA_CFG_QUEUE_MAXLEN, &WAITING_MAX.to_be_bytes()),
            attribute(libc::NFQA_CFG_MASK, &mask.to_be_bytes()),
            attribute(libc::NFQA_CFG_FLAGS, &flags.to_be_bytes()),
        ];
        self.request(queue, &attributes, news)
    }

    /// Gives a queue back; packets that wait in it are dropped.
    pub(super) fn unbind(&mut self, queue: u16, news: &mut dyn FnMut(News, &[u8])) -> io::Result<()> {
        // NFQNL_CFG_CMD_UNBIND.
        self.request(queue, &[attribute(libc::NFQA_CFG_CMD, &[2, 0, 0, 0])], news)
    }

    fn request(
        &mut self,
        queue: u16,
        attributes: &[Vec<u8>],
        news: &mut dyn FnMut(News, &[u8]),
    ) -> io::Result<()> {
        self.sequence += 1;
        let flags = u16::try_from(libc::NLM_F_REQUEST | libc::NLM_F_ACK).expect("flags are 16 bits");
        let mut message = Vec::new();
        push_message(&mut message, MSG_CONFIG, flags, self.sequence, queue, attributes);
        sendto(
            self.fd.as_raw_fd(),
            &message,
            &NetlinkAddr::new(0, 0),
            MsgFlags::empty(),
        )?;
        let deadline = Instant::now() + DEADLINE;
        loop {
            while let Some(item) = self.receive()? {
                match item {
                    News::Answer { sequence, errno } if sequence == self.sequence => {
                        return match errno {
                            0 => Ok(()),
                            errno => Err(io::Error::from_raw_os_error(errno)),
                        };
                    }
                    other => news(other, &self.received[self.payload.clone()]),
                }
            }
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::from(10_u8))?;
        }
    }

    /// The next news, if there are any.
    pub(super) fn receive(&mut self) -> io::Result<Option<News>> {
        loop {
            let len = match recv(self.fd.as_raw_fd(), &mut self.received, MsgFlags::MSG_DONTWAIT) {
                Ok(len) => len,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::ENOBUFS) => return Ok(Some(News::Overrun)),
                Err(errno) => return Err(errno.into()),
            };
            // The kernel sends each packet and each answer as a datagram of its own.
            self.payload = 0..0;
            if let Some(news) = self.parse(len) {
                return Ok(Some(news));
            }
        }
    }

    /// What the last packet's news brought of it.
    pub(super) fn payload(&self) -> &[u8] {
        &self.received[self.payload.clone()]
    }

    fn parse(&mut self, len: usize) -> Option<News> {
        let message = self.received.get(..len)?;
        let half = |at: usize| Some(u16::from_ne_bytes(message.get(at..at + 2)?.try_into().ok()?));
        let word = |at: usize| Some(u32::from_ne_bytes(message.get(at..at + 4)?.try_into().ok()?));
        let kind = half(4)?;
        if i32::from(kind) == libc::NLMSG_ERROR {
            let errno = i32::from_ne_bytes(word(16)?.to_ne_bytes()).wrapping_neg();
            let sequence = word(8)?;
            return Some(News::Answer { sequence, errno });
        }
        if kind != SUBSYSTEM << 8 | MSG_PACKET {
            return None;
        }
        let queue = u16::from_be_bytes(message.get(18..20)?.try_into().ok()?);
        let (mut id, mut whole, mut payload) = (None, 0, 0..0);
        let mut at = HEADER_LEN;
        while let (Some(attribute_len), Some(attribute)) = (half(at), half(at + 2)) {
            let value = at + 4..(at + usize::from(attribute_len)).min(len);
            let number = |value: &std::ops::Range<usize>| {
                let bytes = message.get(value.start..value.start + 4)?;
                Some(u32::from_be_bytes(bytes.try_into().ok()?))
            };
            match i32::from(attribute) {
                // struct nfqnl_msg_packet_hdr begins with the number of the packet.
                libc::NFQA_PACKET_HDR => id = number(&value),
                libc::NFQA_CAP_LEN => whole = number(&value)?,
                libc::NFQA_PAYLOAD => payload = value,
                _ => {}
            }
            if attribute_len < 4 {
                break;
            }
            at += usize::from(attribute_len).next_multiple_of(4);
        }
        // The whole length is told only where it is not that of the payload.
        let octets = whole.max(u32::try_from(payload.len()).ok()?);
        self.payload = payload;
        Some(News::Packet {
            queue,
            id: id?,
            octets,
        })
    }

    /// Notes a verdict on one packet: it goes on, changed if there is a payload, or is dropped.
    pub(super) fn verdict(&mut self, queue: u16, id: u32, verdict: Verdict<'_>) {
        let code = match verdict {
            Verdict::Drop => libc::NF_DROP,
            Verdict::Accept | Verdict::Replace(_) => libc::NF_ACCEPT,
        };
        let mut attributes = vec![verdict_attribute(code, id)];
        if let Verdict::Replace(payload) = verdict {
            attributes.push(attribute(libc::NFQA_PAYLOAD, payload));
        }
        self.push_verdict(MSG_VERDICT, queue, &attributes);
    }

    /// Notes that all packets of a queue up to this number go on.
    pub(super) fn accept_up_to(&mut self, queue: u16, id: u32) {
        self.push_verdict(
            MSG_VERDICT_BATCH,
            queue,
            &[verdict_attribute(libc::NF_ACCEPT, id)],
        );
    }

    fn push_verdict(&mut self, kind: u16, queue: u16, attributes: &[Vec<u8>]) {
        let flags = u16::try_from(libc::NLM_F_REQUEST).expect("flags are 16 bits");
        push_message(&mut self.verdicts, kind, flags, 0, queue, attributes);
    }

    /// Tells the kernel the verdicts noted, in their order.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.verdicts.is_empty() {
            return Ok(());
        }
        let sent = sendto(
            self.fd.as_raw_fd(),
            &self.verdicts,
            &NetlinkAddr::new(0, 0),
            MsgFlags::empty(),
        );
        self.verdicts.clear();
        sent.map(drop).map_err(io::Error::from)
    }

    /// Octets of the verdicts noted.
    pub(super) fn noted(&self) -> usize {
        self.verdicts.len()
    }
}

/// What is to become of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verdict<'a> {
    /// It goes on.
    Accept,
    /// It goes on with these octets in the place of its own.
    Replace(&'a [u8]),
    /// It is dropped.
    Drop,
}

impl AsFd for QueueSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// struct nfqnl_msg_verdict_hdr.
fn verdict_attribute(code: i32, id: u32) -> Vec<u8> {
    let [a, b, c, d] = code.to_be_bytes();
    let [e, f, g, h] = id.to_be_bytes();
    attribute(libc::NFQA_VERDICT_HDR, &[a, b, c, d, e, f, g, h])
}

fn attribute(kind: i32, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(4 + value.len()).expect("a packet has at most 65535 octets less its headers");
    let kind = u16::try_from(kind).expect("kinds of attributes are 16 bits");
    let mut attribute = Vec::with_capacity(usize::from(len).next_multiple_of(4));
    attribute.extend(len.to_ne_bytes());
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(usize::from(len).next_multiple_of(4), 0);
    attribute
}

fn push_message(
    buffer: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    queue: u16,
    attributes: &[Vec<u8>],
) {
    let body: usize = attributes.iter().map(Vec::len).sum();
    let len = u32::try_from(HEADER_LEN + body).expect("a message is a packet long at most");
    buffer.extend(len.to_ne_bytes());
    buffer.extend((SUBSYSTEM << 8 | kind).to_ne_bytes());
    buffer.extend(flags.to_ne_bytes());
    buffer.extend(sequence.to_ne_bytes());
    buffer.extend(0_u32.to_ne_bytes());
    // struct nfgenmsg: family, version, queue.
    buffer.extend([0, 0]);
    buffer.extend(queue.to_be_bytes());
    attributes.iter().for_each(|attribute| buffer.extend(attribute));
}
