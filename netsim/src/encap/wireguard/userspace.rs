//! WireGuard in user space: a veth link whose far end is a thread.
//!
//! Owns the link, the namespace that hides its far end, the UDP socket in the edge's namespace and the thread that
//! moves packets between them. It needs no /dev/net/tun, which only root may open. Invariants: a frame that the
//! thread reads is one IP packet with its checksums, no longer than the device's MTU; one that it cannot pass on
//! is counted as lost; the thread ends when [`Userspace`] is dropped.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use ipnet::IpNet;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, MultiHeaders, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, recvmmsg,
    sendmmsg, setsockopt, socket, sockopt,
};

use super::WireguardSpec;
use super::device::{Device, DeviceCount, Output};
use crate::capture::open_port;
use crate::encap::{EncapError, failed};
use crate::fabric::{Forwarding, Host, LinkEnd, Mac, TABLE_MAIN};
use crate::netns::{Netns, offload};

/// Packets in one system call.
const BATCH: usize = 64;
/// Batches that are read before the timers have their turn again.
const BATCHES: usize = 16;
/// What a socket may hold for us, as far as the kernel lets us.
const SOCKET_BUFFER: usize = 8 << 20;
/// Octets of an Ethernet header.
const ETHERNET: usize = 14;
/// Room for what WireGuard adds to a packet.
const ROOM: usize = 128;
/// The thread's end of the link.
const FAR: &str = "far";
/// What frames to the host begin with, up to the EtherType: the link-layer addresses of both ends, the host's first.
/// Every link has the same, as nothing else is on it.
const HEADER: [u8; 12] = [2, 0x57, 0, 0, 0, 1, 2, 0x58, 0, 0, 0, 1];

/// What the thread of a device has done since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TunnelCount {
    /// Packets of the host that were encrypted and sent.
    pub sealed: u64,
    /// Packets of peers that were decrypted and handed to the host.
    pub opened: u64,
    /// Handshakes that were answered or completed.
    pub handshakes: u64,
    /// Packets to nobody, and datagrams that no key opens or that their sender may not send.
    pub refused: u64,
    /// Packets that a full socket did not take.
    pub lost: u64,
}

/// The thread, from outside.
#[derive(Debug)]
pub(super) struct Userspace {
    shared: Arc<Shared>,
    /// Closing it ends the thread.
    wake: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    count: Mutex<TunnelCount>,
    rekey: AtomicBool,
}

impl Userspace {
    pub(super) fn count(&self) -> TunnelCount {
        *self.shared.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rekey(&self) {
        self.shared.rekey.store(true, Ordering::Release);
        if let Some(wake) = &self.wake {
            // A full pipe wakes the thread as well as one more byte would.
            nix::unistd::write(wake, &[0]).ok();
        }
    }
}

impl Drop for Userspace {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            // A panic of it was reported when it happened.
            thread.join().ok();
        }
    }
}

pub(super) async fn establish(host: &Host, spec: &WireguardSpec) -> Result<Userspace, EncapError> {
    let netns = host.netns();
    let failed = |operation, source| failed(netns, operation, &spec.interface, source);
    let hidden = Host::create(&format!("{}/{}", host.name(), spec.interface), Forwarding::Off).await?;
    add_link(host, &hidden, spec).await?;
    let far = hidden.interface(FAR)?.index;
    let frames = hidden
        .netns()
        .run(|| open_port(far).and_then(with_room))?
        .map_err(|source| failed("open packet socket behind", source))?;
    let local = SocketAddr::new(spec.underlay, spec.port);
    let underlay = netns
        .run(|| open_underlay(local).and_then(with_room))?
        .map_err(|source| failed("bind the UDP socket of", source))?;
    let (woken, wake) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK)
        .map_err(|errno| failed("wake the thread of", errno.into()))?;
    let shared = Arc::new(Shared::default());
    let work = Work {
        device: Device::new(spec),
        to_underlay: Outbox::new(underlay),
        to_host: Outbox::new(frames),
        inbox: Inbox::new(ETHERNET + ROOM + usize::try_from(spec.mtu).unwrap_or(usize::MAX).min(1 << 16)),
        shared: Arc::clone(&shared),
        _hidden: hidden.netns().clone(),
    };
    let thread = std::thread::Builder::new()
        .name("wireguard".into())
        .spawn(move || work.run(&woken))
        .map_err(|source| failed("start the thread of", source))?;
    Ok(Userspace {
        shared,
        wake: Some(wake),
        thread: Some(thread),
    })
}

/// Makes the veth link, with routes to the peers over it.
async fn add_link(host: &Host, hidden: &Host, spec: &WireguardSpec) -> Result<(), EncapError> {
    let name = &spec.interface;
    let near = LinkEnd {
        interface: name.clone(),
        mac: mac(0),
        addresses: vec![IpNet::from(spec.address)],
    };
    let far = LinkEnd {
        interface: FAR.to_owned(),
        mac: mac(6),
        addresses: Vec::new(),
    };
    host.link(&near, hidden, &far, spec.mtu).await?;
    host.switch_off(name, offload::disable_transmit_offload)?;
    // Until then the far end discards what the thread sends.
    hidden.await_carrier(FAR).await?;
    for peer in &spec.peers {
        host.add_neighbour(name, peer.address, far.mac).await?;
        host.add_route(TABLE_MAIN, IpNet::from(peer.address), name, None)
            .await?;
    }
    Ok(())
}

/// The link-layer address at an offset of [`HEADER`].
fn mac(at: usize) -> Mac {
    let mut mac = [0; 6];
    mac.copy_from_slice(&HEADER[at..at + 6]);
    Mac(mac)
}

/// Opens the UDP socket in the calling thread's namespace. The uplink's address may still wait for its carrier.
fn open_underlay(local: SocketAddr) -> io::Result<OwnedFd> {
    let family = match local {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Datagram, flags, SockProtocol::Udp)?;
    // The IPv4 option holds for IPv6 sockets as well, ip(7) and inet6_bind of the kernel.
    setsockopt(&fd, sockopt::IpFreebind, &true)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(local))?;
    Ok(fd)
}

/// Gives a socket as much room as the kernel lets us: beyond net.core.rmem_max and wmem_max only as the host's root.
fn with_room(socket: OwnedFd) -> io::Result<OwnedFd> {
    if setsockopt(&socket, sockopt::RcvBufForce, &SOCKET_BUFFER).is_err() {
        setsockopt(&socket, sockopt::RcvBuf, &SOCKET_BUFFER)?;
    }
    if setsockopt(&socket, sockopt::SndBufForce, &SOCKET_BUFFER).is_err() {
        setsockopt(&socket, sockopt::SndBuf, &SOCKET_BUFFER)?;
    }
    Ok(socket)
}

struct Work {
    device: Device,
    to_underlay: Outbox,
    to_host: Outbox,
    inbox: Inbox,
    shared: Arc<Shared>,
    /// Ends with the thread, and the far end of the link with it.
    _hidden: Netns,
}

/// Where the device's output goes: into batches, until they are flushed.
struct Outboxes<'a> {
    to_underlay: &'a mut Outbox,
    to_host: &'a mut Outbox,
}

impl Output for Outboxes<'_> {
    fn datagram(&mut self, to: SocketAddr, octets: &[u8]) {
        self.to_underlay.push(Some(to.into()), &[octets]);
    }

    fn packet(&mut self, octets: &[u8]) {
        let kind = match octets.first().map(|octet| octet >> 4) {
            Some(6) => libc::ETH_P_IPV6,
            _ => libc::ETH_P_IP,
        };
        let kind = u16::try_from(kind)
            .expect("EtherTypes have 16 bits")
            .to_be_bytes();
        self.to_host.push(None, &[&HEADER, &kind, octets]);
    }
}

impl Work {
    fn run(mut self, woken: &OwnedFd) {
        self.with_device(|device, output| device.shake_hands(output));
        loop {
            let wait = self.with_device(|device, output| device.tick(output));
            self.publish();
            let mut fds = [
                PollFd::new(self.to_host.socket.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.to_underlay.socket.as_fd(), PollFlags::POLLIN),
                PollFd::new(woken.as_fd(), PollFlags::POLLIN),
            ];
            let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO);
            // An interrupted wait is as good as an empty one.
            poll(&mut fds, wait).ok();
            if fds[2].any().unwrap_or(false) {
                match nix::unistd::read(woken, &mut [0; 64]) {
                    Ok(0) => return,
                    _ if self.shared.rekey.swap(false, Ordering::AcqRel) => {
                        self.with_device(|device, output| device.shake_hands(output));
                    }
                    _ => {}
                }
            }
            for _ in 0..BATCHES {
                if !(self.take_frames() | self.take_datagrams()) {
                    break;
                }
            }
        }
    }

    /// Moves a batch from the host to the underlay; whether there was anything.
    fn take_frames(&mut self) -> bool {
        let mut output = Outboxes {
            to_underlay: &mut self.to_underlay,
            to_host: &mut self.to_host,
        };
        let frames = self.inbox.receive(output.to_host.socket.as_fd());
        for (_, frame) in self.inbox.messages(frames) {
            // Frames without an IP packet in them, such as multicast listener reports, go nowhere.
            if let Some(packet) = frame.get(ETHERNET..) {
                self.device.outgoing(packet, &mut output);
            }
        }
        output.flush();
        frames > 0
    }

    /// Moves a batch from the underlay to the host; whether there was anything.
    fn take_datagrams(&mut self) -> bool {
        let mut output = Outboxes {
            to_underlay: &mut self.to_underlay,
            to_host: &mut self.to_host,
        };
        let datagrams = self.inbox.receive(output.to_underlay.socket.as_fd());
        for (from, datagram) in self.inbox.messages(datagrams) {
            if let Some(from) = from {
                self.device.incoming(from, datagram, &mut output);
            }
        }
        output.flush();
        datagrams > 0
    }

    fn with_device<T>(&mut self, work: impl FnOnce(&mut Device, &mut Outboxes<'_>) -> T) -> T {
        let mut output = Outboxes {
            to_underlay: &mut self.to_underlay,
            to_host: &mut self.to_host,
        };
        let result = work(&mut self.device, &mut output);
        output.flush();
        result
    }

    fn publish(&self) {
        let DeviceCount {
            sealed,
            opened,
            handshakes,
            refused,
        } = self.device.count();
        *self.shared.count.lock().unwrap_or_else(PoisonError::into_inner) = TunnelCount {
            sealed,
            opened,
            handshakes,
            refused,
            lost: self.to_underlay.lost + self.to_host.lost,
        };
    }
}

impl Outboxes<'_> {
    fn flush(&mut self) {
        self.to_underlay.flush();
        self.to_host.flush();
    }
}

/// Messages that were received together.
struct Inbox {
    buffers: Vec<Box<[u8]>>,
    /// Of each message its length, and its sender if it has one.
    received: Vec<(usize, Option<SocketAddr>)>,
}

impl Inbox {
    fn new(longest: usize) -> Self {
        Self {
            buffers: (0..BATCH).map(|_| vec![0; longest].into()).collect(),
            received: Vec::with_capacity(BATCH),
        }
    }

    /// Reads as many messages as there are and fit; how many.
    fn receive(&mut self, socket: BorrowedFd<'_>) -> usize {
        self.received.clear();
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
        let mut parts: Vec<[IoSliceMut<'_>; 1]> = self
            .buffers
            .iter_mut()
            .map(|buffer| [IoSliceMut::new(buffer)])
            .collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        // Nothing there, or an error of one datagram before, such as a peer's closed port.
        if let Ok(messages) = recvmmsg(socket.as_raw_fd(), &mut headers, parts.iter_mut(), flags, None) {
            for message in messages {
                // A message that was cut is no message.
                let len = if message.flags.contains(MsgFlags::MSG_TRUNC) {
                    0
                } else {
                    message.bytes
                };
                self.received
                    .push((len, message.address.as_ref().and_then(sender)));
            }
        }
        self.received.len()
    }

    fn messages(&self, count: usize) -> impl Iterator<Item = (Option<SocketAddr>, &[u8])> {
        let received = self.received.iter().take(count).zip(&self.buffers);
        received.map(|((len, from), buffer)| (*from, &buffer[..*len]))
    }
}

fn sender(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

/// A socket and the messages that go out of it together.
struct Outbox {
    socket: OwnedFd,
    slots: Vec<Vec<u8>>,
    to: Vec<Option<SockaddrStorage>>,
    lost: u64,
}

impl Outbox {
    fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            slots: Vec::new(),
            to: Vec::new(),
            lost: 0,
        }
    }

    fn push(&mut self, to: Option<SockaddrStorage>, parts: &[&[u8]]) {
        let used = self.to.len();
        if used == self.slots.len() {
            self.slots.push(Vec::new());
        }
        let slot = &mut self.slots[used];
        slot.clear();
        for part in parts {
            slot.extend_from_slice(part);
        }
        self.to.push(to);
    }

    /// Sends what is there. What the kernel does not take is lost, as in a queue that is full.
    fn flush(&mut self) {
        let mut done = 0;
        while done < self.to.len() {
            let count = (self.to.len() - done).min(BATCH);
            let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(count, None);
            let parts: Vec<[IoSlice<'_>; 1]> = self.slots[done..done + count]
                .iter()
                .map(|slot| [IoSlice::new(slot)])
                .collect();
            let to = &self.to[done..done + count];
            let flags = MsgFlags::MSG_DONTWAIT;
            let sent = sendmmsg(self.socket.as_raw_fd(), &mut headers, parts.iter(), to, [], flags);
            match sent.map(Iterator::count) {
                Ok(sent) if sent > 0 => done += sent,
                Err(Errno::EINTR) => {}
                // The first one was refused; the others may be taken.
                _ => {
                    self.lost += 1;
                    done += 1;
                }
            }
        }
        self.to.clear();
    }
}
