//! Address ranges of clusters: their form, and what they must not overlap.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::fields::string;
use crate::document::{Node, Notes, Span, Value};
use crate::model::{DualNet, IpVersion};

/// Ranges that a cluster cannot use, with what they are for. Those of the lab are in the table of
/// `plan::addresses`.
const RESERVED: [(IpNet, &str); 13] = [
    (v4([0, 0, 0, 0], 8), "\"this network\" (RFC 1122)"),
    (v4([10, 255, 0, 0], 16), "the system IPs of the lab's edges"),
    (
        v4([100, 64, 0, 0], 10),
        "the uplinks and WireGuard of the lab's edges",
    ),
    (v4([127, 0, 0, 0], 8), "loopback (RFC 1122)"),
    (v4([169, 254, 0, 0], 16), "link-local addresses (RFC 3927)"),
    (v4([172, 20, 0, 0], 14), "the links of the lab's nodes"),
    (v4([198, 18, 0, 0], 15), "the tunnels of the lab's edges"),
    (v4([224, 0, 0, 0], 4), "multicast (RFC 5771)"),
    (v4([240, 0, 0, 0], 4), "future use (RFC 1112)"),
    (
        v6([0, 0, 0], 8),
        "loopback and embedded IPv4 addresses (RFC 4291)",
    ),
    (
        v6([0xfd70, 0x6174, 0x6870], 48),
        "the links and tunnels of the lab",
    ),
    (v6([0xfe80, 0, 0], 10), "link-local addresses (RFC 4291)"),
    (v6([0xff00, 0, 0], 8), "multicast (RFC 4291)"),
];

const fn v4(address: [u8; 4], prefix_length: u8) -> IpNet {
    let [a, b, c, d] = address;
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix_length))
}

const fn v6(first: [u16; 3], prefix_length: u8) -> IpNet {
    let [a, b, c] = first;
    let address = Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0);
    IpNet::V6(Ipv6Net::new_assert(address, prefix_length))
}

/// What a range is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RangeKind {
    Pods,
    Services,
}

impl RangeKind {
    fn examples(self) -> (&'static str, &'static str) {
        match self {
            Self::Pods => ("10.244.0.0/16", "fd00:10:244::/48"),
            Self::Services => ("10.96.0.0/16", "fd00:10:96::/112"),
        }
    }

    /// Pods: no prefix longer than that of a node; of IPv6 none shorter than kube-controller-manager divides into
    /// those of nodes. Services: none so long that it leaves no ClusterIP, or shorter than kube-apiserver accepts.
    fn prefix_lengths(self, version: IpVersion) -> RangeInclusive<u8> {
        match (self, version) {
            (Self::Pods, IpVersion::V4) => 0..=node_prefix_length(version),
            (Self::Pods, IpVersion::V6) => 48..=node_prefix_length(version),
            (Self::Services, IpVersion::V4) => 12..=30,
            (Self::Services, IpVersion::V6) => 108..=126,
        }
    }
}

impl fmt::Display for RangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pods => "pod CIDR",
            Self::Services => "Service CIDR",
        })
    }
}

/// What each node gets of a pod CIDR.
fn node_prefix_length(version: IpVersion) -> u8 {
    match version {
        IpVersion::V4 => 24,
        IpVersion::V6 => 64,
    }
}

fn version(net: IpNet) -> IpVersion {
    match net {
        IpNet::V4(_) => IpVersion::V4,
        IpNet::V6(_) => IpVersion::V6,
    }
}

/// A range, or one of IPv4 and one of IPv6, in canonical form and of use, that the lab does not need for itself.
pub(super) fn parse(notes: &mut Notes<'_>, node: &Node, kind: RangeKind) -> Option<DualNet> {
    let items = match &node.value {
        Value::Sequence(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut nets = DualNet { v4: None, v6: None };
    let before = notes.count();
    for item in items {
        let Some(net) = range(notes, item, kind) else {
            continue;
        };
        let is_second = match net {
            IpNet::V4(net) => nets.v4.replace(net).is_some(),
            IpNet::V6(net) => nets.v6.replace(net).is_some(),
        };
        if is_second {
            let message = format!("expected at most one {} {kind}, found a second", version(net));
            notes.error(item.span, message, "a cluster has one range of each IP version");
        }
    }
    if items.is_empty() {
        let message = format!("expected a {kind}, found none");
        notes.error(
            node.span,
            message,
            format!("write one such as `{}`", kind.examples().0),
        );
    }
    (notes.count() == before).then_some(nets)
}

fn range(notes: &mut Notes<'_>, node: &Node, kind: RangeKind) -> Option<IpNet> {
    let (example_v4, example_v6) = kind.examples();
    let form = format!("an address range such as `{example_v4}` or `{example_v6}`");
    let text = string(notes, node, &form)?;
    let Ok(net) = text.parse::<IpNet>() else {
        let longest = if text.contains(':') { 128 } else { 32 };
        let hint = format!("a range is an address, `/` and a prefix length from 0 to {longest}");
        notes.error(node.span, format!("expected {form}, found `{text}`"), hint);
        return None;
    };
    if net.addr() != net.network() {
        let message = format!("`{text}` has address bits behind its prefix");
        notes.error(node.span, message, format!("did you mean `{}`?", net.trunc()));
        return None;
    }
    if let Some((reserved, purpose)) = RESERVED.iter().find(|(reserved, _)| overlap(*reserved, net)) {
        let example = match net {
            IpNet::V4(_) => example_v4,
            IpNet::V6(_) => example_v6,
        };
        let message = format!("`{net}` overlaps {reserved}, which is for {purpose}");
        notes.error(
            node.span,
            message,
            format!("choose another range, such as `{example}`"),
        );
        return None;
    }
    let lengths = kind.prefix_lengths(version(net));
    if !lengths.contains(&net.prefix_len()) {
        let message = format!(
            "expected an {} {kind} between /{} and /{}, found /{}",
            version(net),
            lengths.start(),
            lengths.end(),
            net.prefix_len()
        );
        let hint = match (kind, net) {
            (RangeKind::Pods, IpNet::V4(_)) => "a usual choice is a /16; each node gets a /24 of it",
            (RangeKind::Pods, IpNet::V6(_)) => "a usual choice is a /48; each node gets a /64 of it",
            (RangeKind::Services, IpNet::V4(_)) => "a usual choice is a /16",
            (RangeKind::Services, IpNet::V6(_)) => "a usual choice is a /112",
        };
        notes.error(node.span, message, hint);
        return None;
    }
    Some(net)
}

/// Notes Services of other IP versions than the pods behind them.
pub(super) fn check_versions(notes: &mut Notes<'_>, span: Span, pods: DualNet, services: DualNet) {
    let versions = |nets: DualNet| nets.iter().map(version).collect::<Vec<_>>();
    let (of_pods, of_services) = (versions(pods), versions(services));
    if of_pods != of_services {
        let list = |versions: &[IpVersion]| versions.iter().map(ToString::to_string).collect::<Vec<_>>();
        let message = format!(
            "the Service CIDR is of {}, the pod CIDR of {}",
            list(&of_services).join(" and "),
            list(&of_pods).join(" and ")
        );
        notes.error(span, message, "give both ranges of the same IP versions");
    }
}

pub(super) fn check_room_for_nodes(notes: &mut Notes<'_>, span: Span, nets: DualNet, nodes: usize) {
    for net in nets.iter() {
        let node = node_prefix_length(version(net));
        let blocks = 1_usize << (node - net.prefix_len());
        if blocks < nodes {
            let message =
                format!("`{net}` has {blocks} of the {nodes} ranges of /{node} that the nodes need");
            notes.error(span, message, "choose a shorter prefix");
        }
    }
}

/// An address range of a cluster.
pub(super) struct Range {
    pub(super) net: IpNet,
    pub(super) span: Span,
    pub(super) cluster: String,
    pub(super) kind: RangeKind,
    pub(super) service_vpn: u16,
}

/// Notes an overlap with a range of a service VPN that meets this one's in a routing table. Two clusters may have
/// the same Service CIDR: ClusterIPs are translated at the client pod and never on the wire.
pub(super) fn check_overlap(
    notes: &mut Notes<'_>,
    ranges: &[Range],
    range: &Range,
    meet: impl Fn(u16, u16) -> bool,
) {
    let describe = |range: &Range| format!("{} {} of cluster `{}`", range.kind, range.net, range.cluster);
    let clash = ranges.iter().find(|other| {
        overlap(other.net, range.net)
            && !(other.kind == RangeKind::Services && range.kind == RangeKind::Services)
            && meet(other.service_vpn, range.service_vpn)
    });
    if let Some(other) = clash {
        let (a, b) = (other.service_vpn, range.service_vpn);
        let hint = if a == b {
            format!("ranges in service VPN {a} must not overlap; choose another")
        } else {
            format!("routes of service VPNs {a} and {b} are leaked into one table; choose another")
        };
        notes.error(
            range.span,
            format!("the {} overlaps the {}", describe(range), describe(other)),
            hint,
        );
    }
}

fn overlap(a: IpNet, b: IpNet) -> bool {
    a.contains(&b) || b.contains(&a)
}

/// Whether an address is in a range.
pub(super) fn holds(range: IpNet, address: Ipv4Addr) -> bool {
    matches!(range, IpNet::V4(net) if net.contains(&address))
}
