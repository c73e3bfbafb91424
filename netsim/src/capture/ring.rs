//! One packet socket with a memory-mapped receive ring: TPACKET_V3 of packet(7) and
//! Documentation/networking/packet_mmap.rst of the kernel.
//!
//! Owns the socket, the mapping and the hand-over of blocks between kernel and reader. It does not look into
//! packets. Invariant: a block is read only while its status says that it belongs to user space, and is given
//! back once.

use std::io;
use std::mem::{size_of, size_of_val};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use super::size::RingSize;
use super::{Frame, Way};

/// How long the kernel lets a block fill before it hands over what is in it, in milliseconds.
///
/// Also the longest time that a packet waits to be seen. It must be long against the time in which the smallest
/// ring fills, or that ring would never overflow.
const BLOCK_TIMEOUT_MS: u32 = 20;
/// Room for one frame; TPACKET_V3 packs frames, so this only bounds how many could be in a block.
const FRAME_SIZE: u32 = 2048;

/// What the kernel counted on a packet socket since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketCount {
    /// Packets dropped because the ring was full.
    pub dropped: u64,
}

/// An open packet socket on one interface.
pub(super) struct Ring {
    socket: OwnedFd,
    map: NonNull<u8>,
    size: RingSize,
    next_block: u32,
    count: SocketCount,
}

// SAFETY: the mapping is owned by this value alone and is not tied to the thread that made it.
unsafe impl Send for Ring {}

impl Ring {
    /// Opens a socket in the calling thread's network namespace; it sees every packet of the interface from now
    /// on, in both ways.
    pub(super) fn open(interface_index: u32, size: RingSize) -> io::Result<Self> {
        // Protocol 0 receives nothing until bind(2) names protocol and interface: no packet of another interface
        // gets in before.
        // SAFETY: plain system call; the result is checked.
        let fd = check(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: the descriptor was opened above and has no other owner.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        set_option(&socket, libc::PACKET_VERSION, &libc::tpacket_versions::TPACKET_V3)?;
        let request = libc::tpacket_req3 {
            tp_block_size: size.block_bytes,
            tp_block_nr: size.block_count,
            tp_frame_size: FRAME_SIZE,
            tp_frame_nr: size.block_bytes / FRAME_SIZE * size.block_count,
            tp_retire_blk_tov: BLOCK_TIMEOUT_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(&socket, libc::PACKET_RX_RING, &request)?;
        // SAFETY: a fresh shared mapping of the ring just asked for; the kernel checks length and descriptor.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size.bytes(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.as_raw_fd(),
                0,
            )
        };
        if map == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let map = NonNull::new(map.cast()).expect("mmap does not return a null mapping");
        let ring = Self {
            socket,
            map,
            size,
            next_block: 0,
            count: SocketCount::default(),
        };
        bind(&ring.socket, interface_index)?;
        Ok(ring)
    }

    /// Hands every frame of the blocks that the kernel has finished to `sink`, and gives the blocks back.
    pub(super) fn drain(&mut self, mut sink: impl FnMut(Frame<'_>)) {
        // Bounded by the ring: a busy interface must not keep the reader from the other rings.
        for _ in 0..self.size.block_count {
            let offset = self.next_block as usize * self.size.block_bytes as usize;
            // SAFETY: `offset` is inside the mapping and block-aligned; the kernel writes a tpacket_block_desc at
            // the start of each block.
            let header = unsafe {
                &raw mut (*self.map.as_ptr().add(offset).cast::<libc::tpacket_block_desc>())
                    .hdr
                    .bh1
            };
            // SAFETY: block_status is an aligned u32 that kernel and reader share as an atomic.
            let status = unsafe { AtomicU32::from_ptr(&raw mut (*header).block_status) };
            if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                return;
            }
            // SAFETY: the status says that the block is ours, so the kernel does not write it now.
            let (packets, first) = unsafe { ((*header).num_pkts, (*header).offset_to_first_pkt) };
            let mut at = offset + first as usize;
            for _ in 0..packets {
                // SAFETY: the kernel lays `packets` frames out from `first`, each starting with a tpacket3_hdr.
                let packet = unsafe { &*self.map.as_ptr().add(at).cast::<libc::tpacket3_hdr>() };
                sink(self.frame(at, packet));
                at += packet.tp_next_offset as usize;
            }
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.next_block = (self.next_block + 1) % self.size.block_count;
        }
    }

    fn frame(&self, at: usize, packet: &libc::tpacket3_hdr) -> Frame<'_> {
        // SAFETY: tp_mac and tp_snaplen delimit the captured bytes inside the block; a sockaddr_ll follows the
        // header at its aligned length.
        let (data, address) = unsafe {
            let start = self.map.as_ptr().add(at);
            let address = start
                .add(align(size_of::<libc::tpacket3_hdr>()))
                .cast::<libc::sockaddr_ll>();
            (
                std::slice::from_raw_parts(start.add(usize::from(packet.tp_mac)), packet.tp_snaplen as usize),
                &*address,
            )
        };
        Frame {
            at_ns: u64::from(packet.tp_sec) * 1_000_000_000 + u64::from(packet.tp_nsec),
            way: if address.sll_pkttype == libc::PACKET_OUTGOING {
                Way::Out
            } else {
                Way::In
            },
            wire_len: packet.tp_len,
            data,
        }
    }

    /// The kernel's counts so far.
    pub(super) fn count(&mut self) -> io::Result<SocketCount> {
        // SAFETY: the structure is plain numbers, for which zero is a value.
        let mut stats: libc::tpacket_stats_v3 = unsafe { std::mem::zeroed() };
        let mut len = libc::socklen_t::try_from(size_of_val(&stats)).expect("a small structure");
        // SAFETY: the pointers are to locals of the sizes given.
        check(unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &raw mut len,
            )
        })?;
        // Reading resets the kernel's counters.
        self.count.dropped += u64::from(stats.tp_drops);
        Ok(self.count)
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `open` with this length and nothing borrows from it any more.
        unsafe { libc::munmap(self.map.as_ptr().cast(), self.size.bytes()) };
    }
}

/// A packet socket that only sends, out of one interface of the calling thread's network namespace.
pub(super) struct Sender {
    socket: OwnedFd,
    interface_index: u32,
}

impl Sender {
    pub(super) fn open(interface_index: u32) -> io::Result<Self> {
        // SAFETY: plain system call; the result is checked.
        let fd = check(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: the descriptor was opened above and has no other owner.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self {
            socket,
            interface_index,
        })
    }

    pub(super) fn into_socket(self) -> OwnedFd {
        self.socket
    }

    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        let address = link_address(self.interface_index, 0);
        // SAFETY: the pointers are to values of the lengths given.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const address).cast(),
                socklen(&address),
            )
        };
        if sent < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

pub(super) fn bind(socket: &OwnedFd, interface_index: u32) -> io::Result<()> {
    let every_protocol = u16::try_from(libc::ETH_P_ALL).expect("ETH_P_ALL is 3");
    let address = link_address(interface_index, every_protocol);
    // SAFETY: the pointer is to a sockaddr_ll of the length given.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), socklen(&address)) })?;
    Ok(())
}

pub(super) fn link_address(interface_index: u32, protocol: u16) -> libc::sockaddr_ll {
    // SAFETY: the structure is plain numbers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).expect("AF_PACKET is 17");
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = i32::try_from(interface_index).expect("interface indices are positive ints");
    address
}

pub(super) fn socklen(address: &libc::sockaddr_ll) -> libc::socklen_t {
    libc::socklen_t::try_from(size_of_val(address)).expect("a small structure")
}

pub(super) fn set_option<T>(socket: &OwnedFd, option: libc::c_int, value: &T) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<T>()).expect("a small structure");
    // SAFETY: the pointer is to a value of the length given.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            std::ptr::from_ref(value).cast(),
            len,
        )
    })?;
    Ok(())
}

/// TPACKET_ALIGN of linux/if_packet.h.
fn align(len: usize) -> usize {
    len.next_multiple_of(libc::TPACKET_ALIGNMENT)
}

pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
