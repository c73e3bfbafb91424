//! Address ranges of clusters: their form, and what they must not overlap.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;

use super::fields::string;
use crate::document::{Node, Notes, Span};

/// Ranges that a cluster cannot use, with what they are for.
const RESERVED: [(Ipv4Net, &str); 8] = [
    (net([0, 0, 0, 0], 8), "\"this network\" (RFC 1122)"),
    (net([100, 64, 0, 0], 10), "the uplinks of the lab's edges"),
    (net([127, 0, 0, 0], 8), "loopback (RFC 1122)"),
    (net([169, 254, 0, 0], 16), "link-local addresses (RFC 3927)"),
    (net([172, 20, 0, 0], 14), "the links of the lab's nodes"),
    (net([198, 18, 0, 0], 15), "the tunnels of the lab's edges"),
    (net([224, 0, 0, 0], 4), "multicast (RFC 5771)"),
    (net([240, 0, 0, 0], 4), "future use (RFC 1112)"),
];

/// The longest prefix that leaves a ClusterIP, and the shortest that kube-apiserver accepts.
const SERVICE_PREFIX_LENGTHS: RangeInclusive<u8> = 12..=30;

/// Each node gets a /24.
const NODE_PREFIX_LENGTH: u8 = 24;

const fn net(address: [u8; 4], prefix_length: u8) -> Ipv4Net {
    let [a, b, c, d] = address;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix_length)
}

/// An IPv4 range in canonical form that the lab does not need for itself.
pub(super) fn parse(notes: &mut Notes<'_>, node: &Node, example: &str) -> Option<Ipv4Net> {
    let form = format!("an IPv4 range such as `{example}`");
    let text = string(notes, node, &form)?;
    let Ok(net) = text.parse::<Ipv4Net>() else {
        let hint = match text.parse::<ipnet::Ipv6Net>() {
            Ok(_) => "only IPv4 can be used so far",
            Err(_) => "a range is an address, `/` and a prefix length from 0 to 32",
        };
        notes.error(node.span, format!("expected {form}, found `{text}`"), hint);
        return None;
    };
    if net.addr() != net.network() {
        let message = format!("`{text}` has address bits behind its prefix");
        notes.error(node.span, message, format!("did you mean `{}`?", net.trunc()));
        return None;
    }
    if let Some((reserved, purpose)) = RESERVED.iter().find(|(reserved, _)| overlap(*reserved, net)) {
        let message = format!("`{net}` overlaps {reserved}, which is for {purpose}");
        notes.error(
            node.span,
            message,
            format!("choose another range, such as `{example}`"),
        );
        return None;
    }
    Some(net)
}

pub(super) fn check_service_prefix(notes: &mut Notes<'_>, span: Span, net: Ipv4Net) {
    if !SERVICE_PREFIX_LENGTHS.contains(&net.prefix_len()) {
        let message = format!(
            "expected a Service CIDR between /12 and /30, found /{}",
            net.prefix_len()
        );
        notes.error(span, message, "a usual choice is a /16");
    }
}

pub(super) fn check_room_for_nodes(notes: &mut Notes<'_>, span: Span, net: Ipv4Net, nodes: usize) {
    let blocks = NODE_PREFIX_LENGTH
        .checked_sub(net.prefix_len())
        .map_or(0, |bits| 1_usize << bits);
    if blocks < nodes {
        let message = format!(
            "`{net}` has {blocks} of the {nodes} ranges of /{NODE_PREFIX_LENGTH} that the nodes need"
        );
        notes.error(span, message, "choose a shorter prefix");
    }
}

/// An address range of a cluster.
pub(super) struct Range {
    pub(super) net: Ipv4Net,
    pub(super) span: Span,
    pub(super) cluster: String,
    pub(super) is_service: bool,
    pub(super) service_vpn: u16,
}

/// Notes an overlap with a range of the same service VPN. Two clusters may have the same Service CIDR: ClusterIPs
/// are translated at the client pod and never on the wire.
pub(super) fn check_overlap(notes: &mut Notes<'_>, ranges: &[Range], range: &Range) {
    let describe = |range: &Range| {
        let kind = if range.is_service {
            "Service CIDR"
        } else {
            "pod CIDR"
        };
        format!("{kind} {} of cluster `{}`", range.net, range.cluster)
    };
    let clash = ranges.iter().find(|other| {
        other.service_vpn == range.service_vpn
            && overlap(other.net, range.net)
            && !(other.is_service && range.is_service)
    });
    if let Some(other) = clash {
        let hint = format!(
            "ranges in service VPN {} must not overlap; choose another",
            range.service_vpn
        );
        notes.error(
            range.span,
            format!("the {} overlaps the {}", describe(range), describe(other)),
            hint,
        );
    }
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b) || b.contains(&a)
}
