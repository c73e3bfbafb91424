//! The kernel's IPsec tables, by netlink: linux/xfrm.h.
//!
//! Owns the encoding of the two messages that we need. There is a crate, netlink-packet-xfrm, but it
//! still stands on versions of its family from 2023.

use std::io;
use std::net::IpAddr;

use netlink_sys::protocols::NETLINK_XFRM;

use crate::encap::keys::EspKey;
use crate::encap::message::{Bytes, CREATE, Requests};

const XFRM_MSG_NEWSA: u16 = 0x10;
const XFRM_MSG_NEWPOLICY: u16 = 0x13;
const XFRMA_TMPL: u16 = 5;
const XFRMA_ALG_AEAD: u16 = 18;
const XFRMA_REPLAY_ESN_VAL: u16 = 23;
/// RFC 4106, as the kernel's crypto calls it.
const ALGORITHM: &[u8] = b"rfc4106(gcm(aes))";
/// CRYPTO_MAX_ALG_NAME as struct xfrm_algo_aead has it.
const ALGORITHM_NAME_LEN: usize = 64;
/// Octets of the check value.
const CHECK_VALUE: u32 = 16;
/// Packets that may come late: a lab with jitter reorders more than the 32 that older messages allow.
const REPLAY_WINDOW: u32 = 4096;
/// Any algorithm of a kind, in struct xfrm_user_tmpl.
const ANY: u32 = u32::MAX;

/// One direction between two addresses, and its key.
pub(super) struct State<'a> {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) key: &'a EspKey,
}

/// The way of packets that a policy takes: XFRM_POLICY_IN and XFRM_POLICY_OUT.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    In = 0,
    Out = 1,
}

/// UDP to a port, from one address to another, goes through the state with that index.
pub(super) struct Policy {
    pub(super) direction: Direction,
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) port: u16,
    pub(super) spi: u32,
}

pub(super) struct XfrmSocket(Requests);

impl XfrmSocket {
    /// Opens a socket in the calling thread's network namespace.
    pub(super) fn open() -> io::Result<Self> {
        Requests::open(NETLINK_XFRM).map(Self)
    }

    pub(super) fn add_state(&mut self, state: &State<'_>) -> io::Result<()> {
        self.0.send(XFRM_MSG_NEWSA, CREATE, &usersa(state))
    }

    pub(super) fn add_policy(&mut self, policy: &Policy) -> io::Result<()> {
        self.0.send(XFRM_MSG_NEWPOLICY, CREATE, &userpolicy(policy))
    }
}

/// struct xfrm_usersa_info and its attributes.
fn usersa(state: &State<'_>) -> Vec<u8> {
    let mut body = Bytes::default();
    // An empty selector of the family: the policy has chosen already.
    body.zeros(40);
    body.u16(family(state.to));
    body.zeros(14);
    body.id(state.to, state.key.spi);
    body.address(state.from);
    body.unlimited();
    // Current lifetime and statistics.
    body.zeros(32 + 12);
    body.u32(0);
    body.u32(state.key.spi);
    body.u16(family(state.to));
    body.octets(&[TRANSPORT, 0, XFRM_STATE_ESN]);
    body.pad_to(8);
    let key = state.key.octets();
    body.attribute(XFRMA_ALG_AEAD, |value| {
        value.octets(ALGORITHM);
        value.zeros(ALGORITHM_NAME_LEN - ALGORITHM.len());
        value.u32(u32::try_from(8 * key.len()).expect("a key is short"));
        value.u32(8 * CHECK_VALUE);
        value.octets(key);
    });
    body.attribute(XFRMA_REPLAY_ESN_VAL, |value| {
        let words = REPLAY_WINDOW / 32;
        value.u32(words);
        value.zeros(4 * 4);
        value.u32(REPLAY_WINDOW);
        value.zeros(4 * usize::try_from(words).expect("a window is short"));
    });
    body.0
}

/// XFRM_MODE_TRANSPORT.
const TRANSPORT: u8 = 0;
/// XFRM_STATE_ESN: the replay window is in its attribute, and sequence numbers have 64 bits (RFC 4303 section 2.2.1).
const XFRM_STATE_ESN: u8 = 128;

/// struct xfrm_userpolicy_info and its attribute.
fn userpolicy(policy: &Policy) -> Vec<u8> {
    let whole = if policy.to.is_ipv4() { 32 } else { 128 };
    let mut body = Bytes::default();
    body.address(policy.to);
    body.address(policy.from);
    body.octets(&policy.port.to_be_bytes());
    body.u16(u16::MAX);
    // Any source port: VXLAN has one for each flow inside.
    body.u32(0);
    body.u16(family(policy.to));
    body.octets(&[whole, whole, IPPROTO_UDP]);
    body.pad_to(4);
    // Any interface, any user.
    body.zeros(8);
    body.unlimited();
    body.zeros(32);
    // Priority and index.
    body.zeros(8);
    body.octets(&[policy.direction as u8, XFRM_POLICY_ALLOW, 0, 0]);
    body.pad_to(8);
    body.attribute(XFRMA_TMPL, |value| {
        value.id(policy.to, policy.spi);
        value.u16(family(policy.to));
        value.u16(0);
        value.address(policy.from);
        value.u32(policy.spi);
        value.octets(&[TRANSPORT, 0, 0, 0]);
        value.u32(ANY);
        value.u32(ANY);
        value.u32(ANY);
    });
    body.0
}

const IPPROTO_ESP: u8 = 50;
const IPPROTO_UDP: u8 = 17;
const XFRM_POLICY_ALLOW: u8 = 0;

fn family(address: IpAddr) -> u16 {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    u16::try_from(family).expect("address families are small numbers")
}

impl Bytes {
    /// xfrm_address_t.
    fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => {
                self.octets(&v4.octets());
                self.zeros(12);
            }
            IpAddr::V6(v6) => self.octets(&v6.octets()),
        }
    }

    /// struct xfrm_id of ESP.
    fn id(&mut self, to: IpAddr, spi: u32) {
        self.address(to);
        self.octets(&spi.to_be_bytes());
        self.octets(&[IPPROTO_ESP, 0, 0, 0]);
    }

    /// struct xfrm_lifetime_cfg without limits: XFRM_INF octets and packets, no times.
    fn unlimited(&mut self) {
        self.octets(&[0xff; 4 * 8]);
        self.zeros(4 * 8);
    }
}
