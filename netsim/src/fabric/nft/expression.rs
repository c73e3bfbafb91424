//! The expressions of rules, as nf_tables takes them (linux/netfilter/nf_tables.h).
//!
//! Owns what a field is for each address family. Everything goes through the first register.

use std::net::IpAddr;

use netlink_bindings::nftables::{
    self, CmpOps, MetaKeys, PayloadBase, PushExprListAttrs, Registers, VerdictCode,
};
use netlink_bindings::traits::Pusher;
use netlink_bindings::utils::{finalize_nested_header, push_header, push_nested_header};

use super::encode::Key;
use super::{Expression, Family, Field, Value, c_string};

/// Attributes of linux/netfilter/nf_tables.h: an expression in a list, its name and data, the registers of a copy's
/// destination, the source register of a set lookup.
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DUP_SREG_ADDR: u16 = 1;
const NFTA_DUP_SREG_DEV: u16 = 2;
const NFTA_LOOKUP_SREG: u16 = 2;
/// Revision of the NFQUEUE target whose options are [`nfqueue_info`].
const NFQUEUE_REVISION: u32 = 3;
/// Where the code point is in IPv4's second octet and in IPv6's first two (RFC 2474 section 3).
const DSCP_IN_TOS: [u8; 1] = [0xfc];
const DSCP_IN_FLOW: [u8; 2] = [0x0f, 0xc0];
/// Everything else in the first two octets of IPv4, and of IPv6.
const BUT_DSCP_V4: [u8; 2] = [0xff, 0x03];
const BUT_DSCP_V6: [u8; 2] = [0xf0, 0x3f];
/// NFT_PAYLOAD_CSUM_INET: the checksum of RFC 1071 is kept right.
const CHECKSUM_INET: u32 = 1;
/// Where IPv4 has the checksum of its header, RFC 791 section 3.1.
const CHECKSUM_IN_IPV4: u32 = 10;

/// Appends an expression of a rule in a table of that family.
pub(super) fn encode<P: Pusher>(
    list: PushExprListAttrs<P>,
    expression: &Expression,
    family: Family,
) -> PushExprListAttrs<P> {
    match expression {
        Expression::In(field, set) => {
            let mut lookup = load(list, *field, family)
                .nested_elem()
                .nested_data_lookup()
                .push_set(&c_string(set));
            // netlink-bindings 0.3.5 numbers NFTA_LOOKUP_SREG as 3; in the kernel's header it is 2.
            push_header(lookup.as_vec_mut(), NFTA_LOOKUP_SREG, 4);
            lookup.as_vec_mut().extend((Registers::Reg1 as u32).to_be_bytes());
            lookup.end_nested().end_nested()
        }
        Expression::Is(field, value) => compare(load(list, *field, family), CmpOps::Eq, &value.bytes()),
        Expression::Marked(bits) => {
            let list = masked(meta(list, MetaKeys::Mark), &bits.to_ne_bytes(), &[0; 4]);
            compare(list, CmpOps::Neq, &[0; 4])
        }
        Expression::LongerThan(octets) => {
            let (offset, octets) = match family {
                // Total length, RFC 791 section 3.1.
                Family::Ipv4 => (2, *octets),
                // Payload length, RFC 8200 section 3, which counts no header of 40 octets.
                Family::Ipv6 => (4, octets.saturating_sub(40)),
            };
            let list = payload(list, PayloadBase::NetworkHeader, offset, 2);
            compare(list, CmpOps::Gt, &octets.to_be_bytes())
        }
        Expression::OneIn(n) => {
            // netlink-bindings 0.3.5 writes this register, unlike all others, in host byte order.
            let register = (Registers::Reg1 as u32).to_be();
            let list = list
                .nested_elem()
                .nested_data_numgen()
                .push_dreg(register)
                .push_modulus(*n)
                .push_type(nftables::NumgenTypes::Incremental as u32)
                .push_offset(0)
                .end_nested()
                .end_nested();
            compare(list, CmpOps::Eq, &(n - n / 4 - 1).to_ne_bytes())
        }
        Expression::Count => list.nested_elem().nested_data_counter().end_nested().end_nested(),
        Expression::SetMark { mask, value } => {
            let list = match !mask {
                0 => immediate(list, Registers::Reg1, &value.to_ne_bytes()),
                kept => masked(
                    meta(list, MetaKeys::Mark),
                    &kept.to_ne_bytes(),
                    &value.to_ne_bytes(),
                ),
            };
            list.nested_elem()
                .nested_data_meta()
                .push_key(MetaKeys::Mark as u32)
                .push_sreg(Registers::Reg1 as u32)
                .end_nested()
                .end_nested()
        }
        Expression::SetDscp(code) => set_dscp(list, *code, family),
        Expression::Duplicate { to, interface } => duplicate(list, *to, *interface),
        Expression::Return => verdict(list, VerdictCode::Return as u32, None),
        Expression::Accept => verdict(list, VerdictCode::Accept as u32, None),
        Expression::Drop => verdict(list, VerdictCode::Drop as u32, None),
        // The native expression for this is an option of the kernel that many lack; the xtables target is not.
        Expression::Queue(number) => list
            .nested_elem()
            .nested_data_target()
            .push_name(c"NFQUEUE")
            .push_rev(NFQUEUE_REVISION)
            .push_info(&nfqueue_info(*number))
            .end_nested()
            .end_nested(),
        Expression::Jump(chain) => verdict(list, VerdictCode::Jump as u32, Some(chain)),
        Expression::Goto(chain) => verdict(list, VerdictCode::Goto as u32, Some(chain)),
    }
}

/// `struct xt_NFQ_info_v3` of linux/netfilter/xt_NFQUEUE.h: queue number, number of queues, flags; padded to 8.
fn nfqueue_info(number: u16) -> [u8; 8] {
    let ([a, b], [c, d]) = (number.to_ne_bytes(), 1_u16.to_ne_bytes());
    [a, b, c, d, 0, 0, 0, 0]
}

fn payload<P: Pusher>(
    list: PushExprListAttrs<P>,
    base: PayloadBase,
    offset: u32,
    len: u32,
) -> PushExprListAttrs<P> {
    list.nested_elem()
        .nested_data_payload()
        .push_dreg(Registers::Reg1 as u32)
        .push_base(base as u32)
        .push_offset(offset)
        .push_len(len)
        .end_nested()
        .end_nested()
}

fn meta<P: Pusher>(list: PushExprListAttrs<P>, key: MetaKeys) -> PushExprListAttrs<P> {
    list.nested_elem()
        .nested_data_meta()
        .push_key(key as u32)
        .push_dreg(Registers::Reg1 as u32)
        .end_nested()
        .end_nested()
}

fn load<P: Pusher>(list: PushExprListAttrs<P>, field: Field, family: Family) -> PushExprListAttrs<P> {
    // Offsets of RFC 791 section 3.1, RFC 8200 section 3 and, alike for UDP, TCP and SCTP, of the ports.
    let (network, transport) = (PayloadBase::NetworkHeader, PayloadBase::TransportHeader);
    match (field, family) {
        (Field::SourceAddress, Family::Ipv4) => payload(list, network, 12, 4),
        (Field::SourceAddress, Family::Ipv6) => payload(list, network, 8, 16),
        (Field::DestinationAddress, Family::Ipv4) => payload(list, network, 16, 4),
        (Field::DestinationAddress, Family::Ipv6) => payload(list, network, 24, 16),
        (Field::SourcePort, _) => payload(list, transport, 0, 2),
        (Field::DestinationPort, _) => payload(list, transport, 2, 2),
        (Field::Protocol, _) => meta(list, MetaKeys::L4Proto),
        (Field::InputInterface, _) => meta(list, MetaKeys::Iifname),
        (Field::Dscp, Family::Ipv4) => masked(payload(list, network, 1, 1), &DSCP_IN_TOS, &[0]),
        (Field::Dscp, Family::Ipv6) => masked(payload(list, network, 0, 2), &DSCP_IN_FLOW, &[0, 0]),
    }
}

/// A code point as [`Field::Dscp`] loads it.
pub(super) fn dscp_key(code: u8, family: Family) -> Key {
    match family {
        Family::Ipv4 => Key::new(&[code << 2]),
        Family::Ipv6 => Key::new(&(u16::from(code) << 6).to_be_bytes()),
    }
}

/// Writes the first two octets of the header anew: the kernel keeps checksums right for whole 16-bit words only. IPv6
/// has no checksum of its header (RFC 8200 section 3).
fn set_dscp<P: Pusher>(list: PushExprListAttrs<P>, code: u8, family: Family) -> PushExprListAttrs<P> {
    let (kept, code) = match family {
        Family::Ipv4 => (&BUT_DSCP_V4, u16::from(code) << 2),
        Family::Ipv6 => (&BUT_DSCP_V6, u16::from(code) << 6),
    };
    let list = payload(list, PayloadBase::NetworkHeader, 0, 2);
    let mut written = masked(list, kept, &code.to_be_bytes())
        .nested_elem()
        .nested_data_payload()
        .push_sreg(Registers::Reg1 as u32)
        .push_base(PayloadBase::NetworkHeader as u32)
        .push_offset(0)
        .push_len(2);
    if family == Family::Ipv4 {
        written = written
            .push_csum_type(CHECKSUM_INET)
            .push_csum_offset(CHECKSUM_IN_IPV4);
    }
    written.end_nested().end_nested()
}

/// What is loaded, under a mask and then turned over where `flip` has bits.
fn masked<P: Pusher>(list: PushExprListAttrs<P>, mask: &[u8], flip: &[u8]) -> PushExprListAttrs<P> {
    let len = u32::try_from(mask.len()).expect("registers are 16 octets");
    list.nested_elem()
        .nested_data_bitwise()
        .push_sreg(Registers::Reg1 as u32)
        .push_dreg(Registers::Reg1 as u32)
        .push_len(len)
        .nested_mask()
        .push_value(mask)
        .end_nested()
        .nested_xor()
        .push_value(flip)
        .end_nested()
        .end_nested()
        .end_nested()
}

/// `dup to ADDRESS device INTERFACE`; netlink-bindings 0.3.5 does not know the expression.
fn duplicate<P: Pusher>(list: PushExprListAttrs<P>, to: IpAddr, interface: u32) -> PushExprListAttrs<P> {
    let address = match to {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let list = immediate(list, Registers::Reg1, &address);
    let mut list = immediate(list, Registers::Reg2, &interface.to_ne_bytes());
    let buffer = list.as_vec_mut();
    let element = push_nested_header(buffer, NFTA_LIST_ELEM);
    push_header(buffer, NFTA_EXPR_NAME, 4);
    buffer.extend(b"dup\0");
    let data = push_nested_header(buffer, NFTA_EXPR_DATA);
    for (attribute, register) in [
        (NFTA_DUP_SREG_ADDR, Registers::Reg1),
        (NFTA_DUP_SREG_DEV, Registers::Reg2),
    ] {
        push_header(buffer, attribute, 4);
        buffer.extend((register as u32).to_be_bytes());
    }
    finalize_nested_header(buffer, data);
    finalize_nested_header(buffer, element);
    list
}

fn immediate<P: Pusher>(
    list: PushExprListAttrs<P>,
    register: Registers,
    value: &[u8],
) -> PushExprListAttrs<P> {
    list.nested_elem()
        .nested_data_immediate()
        .push_dreg(register as u32)
        .nested_data()
        .push_value(value)
        .end_nested()
        .end_nested()
        .end_nested()
}

fn compare<P: Pusher>(list: PushExprListAttrs<P>, op: CmpOps, value: &[u8]) -> PushExprListAttrs<P> {
    list.nested_elem()
        .nested_data_cmp()
        .push_sreg(Registers::Reg1 as u32)
        .push_op(op as u32)
        .nested_data()
        .push_value(value)
        .end_nested()
        .end_nested()
        .end_nested()
}

fn verdict<P: Pusher>(list: PushExprListAttrs<P>, code: u32, chain: Option<&str>) -> PushExprListAttrs<P> {
    let mut verdict = list
        .nested_elem()
        .nested_data_immediate()
        .push_dreg(Registers::RegVerdict as u32)
        .nested_data()
        .nested_verdict()
        .push_code(code);
    if let Some(chain) = chain {
        verdict = verdict.push_chain(&c_string(chain));
    }
    verdict.end_nested().end_nested().end_nested().end_nested()
}

impl Value {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Address(IpAddr::V4(address)) => address.octets().to_vec(),
            Self::Address(IpAddr::V6(address)) => address.octets().to_vec(),
            Self::Port(port) => port.to_be_bytes().to_vec(),
            Self::Protocol(protocol) => vec![*protocol],
            Self::Interface(name) => Key::interface(name).bytes.to_vec(),
        }
    }
}
