//! One nftables transaction on the wire: a batch sent at once, and the kernel's answer to it.
//!
//! Owns the netfilter netlink socket. It does not know what is in a batch. Invariant: every answer to a batch is
//! read before the next batch is sent, so that answers are never taken for those of another.

use std::io;
use std::os::fd::AsRawFd;

use netlink_bindings::nftables::{self, ChainedFinal, Nfgenmsg};
use netlink_bindings::traits::NetlinkChained;
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt};

/// Send buffer to ask for: the kernel takes a transaction only as one message, 16 bytes for each address.
const SEND_BUFFER: usize = 64 << 20;
/// Room for many answers: NETLINK_CAP_ACK keeps them from quoting the request.
const ANSWER_BYTES: usize = 64 * 1024;
/// struct nlmsghdr of linux/netlink.h.
const HEADER_LEN: usize = 16;
/// NLMSG_ERROR: an error, or an acknowledgement when its code is 0.
const NLMSG_ERROR: u16 = 2;
/// NLM_F_ACK.
const ACKNOWLEDGE: u16 = 0x04;
/// NLM_F_ACK_TLVS: attributes follow the error.
const WITH_ATTRIBUTES: u16 = 0x200;
/// NLMSGERR_ATTR_MSG: the kernel's words.
const ATTRIBUTE_MESSAGE: u16 = 1;

/// A netfilter netlink socket.
pub(super) struct Channel {
    socket: netlink_sys::Socket,
    next_sequence: u32,
}

/// Why a transaction was not carried out; nothing of it was.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It does not fit the send buffer that this user may have.
    TooLarge,
    /// The socket failed.
    Io(io::Error),
    /// The kernel found an error in it.
    Kernel(String),
}

impl Channel {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// The kernel's answer, also when it has no nftables.
    pub(super) fn open() -> io::Result<Self> {
        let socket = netlink_sys::Socket::new(NETLINK_NETFILTER)?;
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        // Only root may go beyond net.core.wmem_max; others get as much as that.
        setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER)
            .or_else(|_| setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER))?;
        let mut channel = Self {
            socket,
            next_sequence: 1,
        };
        channel.ask_generation()?;
        Ok(channel)
    }

    /// The sequence number that the next transaction starts with.
    pub(super) fn next_sequence(&self) -> u32 {
        self.next_sequence
    }

    /// Carries out a transaction whose messages are numbered from [`Channel::next_sequence`].
    pub(super) fn commit(&mut self, batch: ChainedFinal<'static>) -> Result<(), Refusal> {
        let count = u32::try_from(batch.chain_len()).expect("a batch has far fewer than 2^32 messages");
        let first = self.next_sequence;
        self.next_sequence = first.wrapping_add(count);
        let mut batch = batch;
        // The last message is the end of the batch, which older kernels do not acknowledge.
        let acknowledged = first.wrapping_add(count - 2);
        acknowledge_only(batch.buf_mut(), acknowledged);
        send(self.socket.as_raw_fd(), batch.payload(), MsgFlags::empty()).map_err(|errno| match errno {
            Errno::EMSGSIZE => Refusal::TooLarge,
            errno => Refusal::Io(errno.into()),
        })?;
        let mut complete = false;
        let mut refused = None;
        self.read_answers(|answer| {
            if answer.errno == 0 {
                complete |= answer.sequence == acknowledged;
            } else if refused.is_none() {
                let index = usize::try_from(answer.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                let message = (index < batch.chain_len()).then(|| batch.name(index));
                refused = Some(answer.describe(message));
            }
        })
        .map_err(Refusal::Io)?;
        match refused {
            Some(words) => Err(Refusal::Kernel(words)),
            None if complete => Ok(()),
            None => Err(Refusal::Io(io::Error::other("no answer to the transaction"))),
        }
    }

    /// Asks for the ruleset's generation, only to hear whether there is anybody to ask.
    fn ask_generation(&mut self) -> io::Result<()> {
        let mut batch = nftables::Chained::new(self.next_sequence);
        batch.request().op_getgen_do(&Nfgenmsg::new());
        self.next_sequence += 1;
        send(
            self.socket.as_raw_fd(),
            batch.finalize().payload(),
            MsgFlags::empty(),
        )?;
        let mut refused = None;
        self.read_answers(|answer| {
            if answer.errno != 0 {
                refused = Some(io::Error::from_raw_os_error(answer.errno));
            }
        })?;
        refused.map_or(Ok(()), Err)
    }

    /// Reads what the kernel has answered; it did so before `send` returned.
    fn read_answers(&self, mut take: impl FnMut(Answer)) -> io::Result<()> {
        let mut buffer = vec![0; ANSWER_BYTES];
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(read) => messages(&buffer[..read])
                    .filter_map(Answer::parse)
                    .for_each(&mut take),
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Leaves the flag that asks for an acknowledgement on one message alone: errors are reported without it.
fn acknowledge_only(batch: &mut [u8], sequence: u32) {
    let mut at = 0;
    while at + HEADER_LEN <= batch.len() {
        let header = Header::parse(&batch[at..]);
        if header.sequence != sequence {
            batch[at + 6..at + 8].copy_from_slice(&(header.flags & !ACKNOWLEDGE).to_ne_bytes());
        }
        at += header.len.max(HEADER_LEN).next_multiple_of(4);
    }
}

struct Header {
    len: usize,
    kind: u16,
    flags: u16,
    sequence: u32,
}

impl Header {
    fn parse(bytes: &[u8]) -> Self {
        Self {
            len: usize::try_from(word(bytes, 0)).unwrap_or(usize::MAX),
            kind: half_word(bytes, 4),
            flags: half_word(bytes, 6),
            sequence: word(bytes, 8),
        }
    }
}

/// The messages of one datagram, each with its header.
fn messages(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.len() < HEADER_LEN {
            return None;
        }
        let len = Header::parse(rest).len.clamp(HEADER_LEN, rest.len());
        let (message, after) = rest.split_at(len);
        rest = after.get(len.next_multiple_of(4) - len..).unwrap_or_default();
        Some(message)
    })
}

struct Answer {
    sequence: u32,
    /// 0 for an acknowledgement.
    errno: i32,
    words: Option<String>,
}

impl Answer {
    /// What an NLMSG_ERROR message says; `None` for other messages.
    fn parse(message: &[u8]) -> Option<Self> {
        let header = Header::parse(message);
        // The error code and the header of the request that it is about.
        let attributes = HEADER_LEN + 4 + HEADER_LEN;
        if header.kind != NLMSG_ERROR || message.len() < attributes {
            return None;
        }
        let words = (header.flags & WITH_ATTRIBUTES != 0)
            .then(|| attribute_text(&message[attributes..]))
            .flatten();
        Some(Self {
            sequence: header.sequence,
            errno: -word(message, HEADER_LEN).cast_signed(),
            words,
        })
    }

    fn describe(&self, message: Option<&str>) -> String {
        let mut text = io::Error::from_raw_os_error(self.errno).to_string();
        if let Some(words) = &self.words {
            text = format!("{text}: {words}");
        }
        match message {
            Some(message) => format!("{text} (in {message})"),
            None => text,
        }
    }
}

fn attribute_text(mut attributes: &[u8]) -> Option<String> {
    while attributes.len() >= 4 {
        let len = usize::from(half_word(attributes, 0)).clamp(4, attributes.len());
        if half_word(attributes, 2) == ATTRIBUTE_MESSAGE {
            let text = attributes[4..len].split(|byte| *byte == 0).next()?;
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        attributes = attributes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn half_word(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(HEADER_LEN + body.len()).unwrap();
        let mut bytes = len.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn one_message_of_a_batch_is_acknowledged() {
        let mut batch = [
            message(1, 5, 7, &[1, 2, 3]),
            message(1, 5, 8, &[]),
            message(1, 5, 9, &[4]),
        ]
        .concat();
        acknowledge_only(&mut batch, 8);
        let flags: Vec<u16> = messages(&batch)
            .map(|message| Header::parse(message).flags)
            .collect();
        assert_eq!(flags, [1, 5, 1]);
    }

    #[test]
    fn an_error_is_told_with_the_kernels_words() {
        let mut body = (-libc::ENOENT).to_ne_bytes().to_vec();
        body.extend([0; HEADER_LEN]);
        body.extend([8, 0, 2, 0, 9, 9, 9, 9]);
        body.extend([9, 0, 1, 0]);
        body.extend(b"none\0\0\0\0");
        let bytes = message(NLMSG_ERROR, WITH_ATTRIBUTES, 3, &body);
        let answers: Vec<Answer> = messages(&bytes).filter_map(Answer::parse).collect();
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].sequence, 3);
        assert_eq!(
            answers[0].describe(Some("op-newrule-do")),
            "No such file or directory (os error 2): none (in op-newrule-do)"
        );
    }

    #[test]
    fn an_answer_that_is_cut_short_is_none() {
        let bytes = message(NLMSG_ERROR, WITH_ATTRIBUTES, 3, &[0; 8]);
        assert_eq!(messages(&bytes).filter_map(Answer::parse).count(), 0);
        assert_eq!(messages(&bytes[..10]).count(), 0);
    }
}
