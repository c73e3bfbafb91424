//! What is tried inside the private namespaces.
//!
//! Owns the list. Each line is one thing that a lab does, done once in a namespace of its own.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, LinkVrf, LinkVxlan, RouteMessageBuilder,
    RouteNextHopBuilder,
};

use super::{Capability, Need};
use crate::capture::probe_ring;
use crate::encap::message::{Bytes, CREATE, Requests};
use crate::encap::{Abilities, Ability};
use crate::netns::Netns;

/// A line of the list: name, what it is for, whether the core profile needs it, what would help.
struct Line {
    name: &'static str,
    needed_for: &'static str,
    need: Need,
    help: &'static str,
}

const fn line(name: &'static str, needed_for: &'static str, need: Need, help: &'static str) -> Line {
    Line {
        name,
        needed_for,
        need,
        help,
    }
}

use Need::{Core, Optional};

const LINES: [Line; 19] = [
    line(
        "private namespaces",
        "labs without root, gone when they end",
        Core,
        "run as root, or allow user namespaces",
    ),
    line("network namespaces", "every host of a lab", Core, "CONFIG_NET_NS"),
    line("veth", "links between hosts", Core, "`modprobe veth`"),
    line("VXLAN", "tunnels", Core, "`modprobe vxlan`"),
    line(
        "policy routing by mark",
        "steering",
        Core,
        "CONFIG_IP_MULTIPLE_TABLES",
    ),
    line("packet rings", "captures", Core, "CONFIG_PACKET"),
    line("nftables", "steering", Core, "`modprobe nf_tables`"),
    line("nftables sets", "steering", Core, "`modprobe nf_tables`"),
    line(
        "NFQUEUE target",
        "impairments in user space",
        Core,
        "`modprobe xt_NFQUEUE nft_compat nfnetlink_queue`",
    ),
    line(
        "nftables numgen",
        "leaks on purpose, load balancing",
        Optional,
        "`modprobe nft_numgen`",
    ),
    line(
        "TEE target",
        "copies of packets on purpose",
        Optional,
        "`modprobe xt_TEE nft_compat`",
    ),
    line(
        "IPv6",
        "dual-stack labs",
        Optional,
        "CONFIG_IPV6, and no ipv6.disable=1 on the kernel's command line",
    ),
    line(
        "multipath routes",
        "load balancing over tunnels",
        Optional,
        "CONFIG_IP_ROUTE_MULTIPATH",
    ),
    line(
        "VRF",
        "service VPNs as the kernel's own",
        Optional,
        "`modprobe vrf`",
    ),
    line(
        "netem",
        "impairments by the kernel (in user space without it)",
        Optional,
        "`modprobe sch_netem`",
    ),
    line(
        "GRE",
        "encapsulation `gre`",
        Optional,
        "`modprobe ip_gre ip6_gre`",
    ),
    line(
        "WireGuard",
        "encapsulation `wireguard` at full speed (in user space without it)",
        Optional,
        "`modprobe wireguard`",
    ),
    line(
        "ESP",
        "encapsulation `ipsec`",
        Optional,
        "`modprobe xfrm_user esp4 esp6`",
    ),
    line(
        "userspace WireGuard",
        "encapsulations `wireguard` and `auto`",
        Optional,
        "CONFIG_PACKET and CONFIG_VETH",
    ),
];

/// The list with a reason why nothing of it was tried.
pub(super) fn none(reason: &str) -> Vec<Capability> {
    LINES
        .iter()
        .map(|line| {
            let reason = match line.name {
                "private namespaces" => reason.to_owned(),
                _ => "not tried without private namespaces".to_owned(),
            };
            capability(line, Ability::Missing(reason))
        })
        .collect()
}

/// Tries everything; the caller is inside private namespaces.
pub(super) fn all() -> Vec<Capability> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return none(&format!("no event loop: {error}")),
    };
    runtime.block_on(async {
        let netns = match Netns::create("probe") {
            Ok(netns) => netns,
            Err(error) => return none(&error.to_string()),
        };
        let abilities = Abilities::probe().await;
        let mut tried = Vec::new();
        for line in &LINES {
            let ability = match (&abilities, line.name) {
                (Ok(abilities), "GRE") => abilities.gre.clone(),
                (Ok(abilities), "WireGuard") => abilities.wireguard.clone(),
                (Ok(abilities), "ESP") => abilities.esp.clone(),
                (_, name) => match attempt(name, &netns).await {
                    Ok(()) => Ability::Available,
                    Err(answer) => Ability::Missing(format!("{answer} ({})", line.help)),
                },
            };
            tried.push(capability(line, ability));
        }
        tried
    })
}

fn capability(line: &Line, ability: Ability) -> Capability {
    Capability {
        name: line.name.to_owned(),
        needed_for: line.needed_for.to_owned(),
        need: line.need,
        ability,
    }
}

/// Does the thing of that name once.
async fn attempt(name: &str, netns: &Netns) -> io::Result<()> {
    let inside = |work: fn() -> io::Result<()>| netns.run(work).map_err(io::Error::other)?;
    match name {
        // Whoever asks is inside of them.
        "private namespaces" => Ok(()),
        "network namespaces" => Netns::create("another").map(drop).map_err(io::Error::other),
        "packet rings" => inside(probe_ring),
        "IPv6" => match Path::new("/proc/sys/net/ipv6").exists() {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
        },
        "nftables" => inside(|| nft(&[])),
        "nftables sets" => inside(|| nft(&[set()])),
        "nftables numgen" => inside(|| nft(&[chain(), rule(&numgen())])),
        "NFQUEUE target" => inside(|| nft(&[chain(), rule(&target("NFQUEUE", 3, &nfqueue_options()))])),
        "TEE target" => inside(|| nft(&[chain(), rule(&target("TEE", 1, &tee_options()))])),
        "netem" => inside(|| qdisc(c"netem", &[0; 24])),
        "userspace WireGuard" => inside(|| crate::capture::open_port(1).map(drop)),
        _ => by_route_netlink(name, netns).await,
    }
}

async fn by_route_netlink(name: &str, netns: &Netns) -> io::Result<()> {
    let netlink: Handle = netns.netlink().map_err(io::Error::other)?;
    let done = match name {
        "veth" => {
            let device = LinkVeth::new("probe-veth0", "probe-veth1").build();
            netlink.link().add(device).execute().await
        }
        "VXLAN" => {
            let device = LinkVxlan::new("probe-vxlan", 1).port(4789).build();
            netlink.link().add(device).execute().await
        }
        "VRF" => {
            let device = LinkVrf::new("probe-vrf", 1000).build();
            netlink.link().add(device).execute().await
        }
        "policy routing by mark" => {
            let rule = netlink.rule().add().v4().priority(1000).fw_mark(1).table_id(1000);
            rule.action(netlink_packet_route::rule::RuleAction::ToTable)
                .execute()
                .await
        }
        "multipath routes" => multipath(&netlink).await,
        other => return Err(io::Error::other(format!("nothing tries `{other}`"))),
    };
    done.map_err(|error| match &error {
        rtnetlink::Error::NetlinkError(answer) => io::Error::from_raw_os_error(-answer.raw_code()),
        _ => io::Error::other(error),
    })
}

/// A route with two next hops over the loopback interface.
async fn multipath(netlink: &Handle) -> Result<(), rtnetlink::Error> {
    let up = LinkMessageBuilder::<LinkUnspec>::new().index(1).up().build();
    netlink.link().change(up).execute().await?;
    let hop = || RouteNextHopBuilder::new_ipv4().interface(1).build();
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(Ipv4Addr::new(198, 51, 100, 0), 24)
        .multipath(vec![hop(), hop()])
        .build();
    netlink.route().add(route).execute().await
}

/// RTM_NEWQDISC of linux/rtnetlink.h: a queueing discipline at the root of the loopback interface.
fn qdisc(kind: &std::ffi::CStr, options: &[u8]) -> io::Result<()> {
    const RTM_NEWQDISC: u16 = 36;
    const NLM_F_REPLACE: u16 = 0x100;
    const TC_H_ROOT: u32 = u32::MAX;
    let mut body = Bytes::default();
    // struct tcmsg: family and padding, interface, handle, parent, information.
    for field in [0, 1, 0, TC_H_ROOT, 0] {
        body.u32(field);
    }
    body.attribute(1, |value| value.octets(kind.to_bytes_with_nul()));
    body.attribute(2, |value| value.octets(options));
    Requests::open(NETLINK_ROUTE)?.send(RTM_NEWQDISC, (CREATE & 0x400) | NLM_F_REPLACE, &body.0)
}

/// A message of nf_tables: its number in the subsystem, its flags and its attributes.
type NftMessage = (u16, u16, Vec<u8>);

/// Adds a table with these in it, in one transaction.
fn nft(messages: &[NftMessage]) -> io::Result<()> {
    Requests::open(NETLINK_NETFILTER)?.send_batch(&[&[table()], messages].concat())
}

const TABLE: &[u8] = b"probe\0";
const CHAIN: &[u8] = b"probe\0";

/// NFT_MSG_NEWTABLE with NFTA_TABLE_NAME.
fn table() -> NftMessage {
    let mut body = Bytes::default();
    body.attribute(1, |value| value.octets(TABLE));
    (0, 0x400, body.0)
}

/// NFT_MSG_NEWCHAIN: table, name, and a hook before routing.
fn chain() -> NftMessage {
    let mut body = Bytes::default();
    body.attribute(1, |value| value.octets(TABLE));
    body.attribute(3, |value| value.octets(CHAIN));
    body.attribute(4 | NESTED, |hook| {
        hook.attribute(1, |value| value.octets(&0_u32.to_be_bytes()));
        hook.attribute(2, |value| value.octets(&0_u32.to_be_bytes()));
    });
    body.attribute(7, |value| value.octets(b"filter\0"));
    (3, 0x400, body.0)
}

/// NFT_MSG_NEWSET: ranges of addresses.
fn set() -> NftMessage {
    let mut body = Bytes::default();
    body.attribute(1, |value| value.octets(TABLE));
    body.attribute(2, |value| value.octets(b"probe\0"));
    // NFT_SET_INTERVAL, a type for the nft tool, length of a key, number in the transaction.
    for (kind, number) in [(3, 4_u32), (4, 7), (5, 4), (10, 1)] {
        body.attribute(kind, |value| value.octets(&number.to_be_bytes()));
    }
    (9, 0x400, body.0)
}

/// NFT_MSG_NEWRULE with one expression.
fn rule(expression: &Bytes) -> NftMessage {
    let mut body = Bytes::default();
    body.attribute(1, |value| value.octets(TABLE));
    body.attribute(2, |value| value.octets(CHAIN));
    body.attribute(4 | NESTED, |list| {
        list.attribute(1 | NESTED, |element| element.octets(&expression.0));
    });
    (6, 0x400 | 0x800, body.0)
}

/// NLA_F_NESTED.
const NESTED: u16 = 0x8000;

/// One of every two packets: register, modulus and kind.
fn numgen() -> Bytes {
    let mut expression = Bytes::default();
    expression.attribute(1, |value| value.octets(b"numgen\0"));
    expression.attribute(2 | NESTED, |data| {
        for (kind, number) in [(1, 1_u32), (2, 2), (3, 0)] {
            data.attribute(kind, |value| value.octets(&number.to_be_bytes()));
        }
    });
    expression
}

/// A target of xtables through nft_compat.
fn target(name: &str, revision: u32, options: &[u8]) -> Bytes {
    let mut expression = Bytes::default();
    expression.attribute(1, |value| value.octets(b"target\0"));
    expression.attribute(2 | NESTED, |data| {
        data.attribute(1, |value| value.octets(&[name.as_bytes(), &[0]].concat()));
        data.attribute(2, |value| value.octets(&revision.to_be_bytes()));
        data.attribute(3, |value| value.octets(options));
    });
    expression
}

/// struct xt_NFQ_info_v3: first queue, number of queues, flags; padded to 8.
fn nfqueue_options() -> Vec<u8> {
    let mut options = Bytes::default();
    options.u16(0);
    options.u16(1);
    options.zeros(4);
    options.0
}

/// struct xt_tee_tginfo: gateway, interface, and a pointer of the kernel's.
fn tee_options() -> Vec<u8> {
    let mut options = Ipv4Addr::new(192, 0, 2, 1).octets().to_vec();
    options.resize(16 + 16 + 8, 0);
    options
}
