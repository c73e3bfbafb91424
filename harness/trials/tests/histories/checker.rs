//! The checker: what policies make of packets, against what is asked.
//!
//! Packets go between a client that nobody knows and every destination there could be, both ways, with all tunnels up
//! and with each of them down.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use netsim::policy::EdgePolicy;
use pathproof_trials::{Applied, Fate, Packet, Tunnel, fate_over, is_inspected};

use super::facts::{Chronicle, Position};
use super::history::{SITES, hosts};
use super::oracle::{COLORS, Destination, TENANT_VPN, VPN, Wish, wishes};

/// More views than this are not looked through.
const VIEWS_MAX: usize = 5000;
const CLIENT_PORT: u16 = 40_000;
const LATENCY: Duration = Duration::from_millis(10);

/// What may be asked for each destination; nothing for those that are not there.
pub type Allowed = BTreeMap<Destination, BTreeSet<Wish>>;

/// A time from which on the fabric has all facts up to a position; none when somebody else has changed it.
pub type Floor = (Instant, Option<Position>);

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Policies that edges were told.
    pub policies: usize,
    /// Those that were not judged, after others changed them or because there were too many views.
    pub unjudged: usize,
    /// Packets whose fate was looked at.
    pub packets: usize,
    /// Those for which only one thing was asked, and not nothing.
    pub certain: usize,
}

impl Tally {
    /// Adds what was looked at elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.policies += other.policies;
        self.unjudged += other.unjudged;
        self.packets += other.packets;
        self.certain += other.certain;
    }
}

/// What is wrong with a policy if these things may be asked, with all tunnels up and with each of them down.
pub fn check_policy(policy: &EdgePolicy, allowed: &Allowed, tally: &mut Tally) -> Result<(), String> {
    let nothing = BTreeSet::from([Wish::default()]);
    let all_up = [tunnels(None)];
    let each_down: Vec<_> = std::iter::once(None)
        .chain(COLORS.map(Some))
        .map(tunnels)
        .collect();
    for to in universe(allowed) {
        let wishes = allowed.get(&to).unwrap_or(&nothing);
        tally.certain += usize::from(wishes.len() == 1 && *wishes != nothing);
        let conditions = if *wishes == nothing {
            &all_up[..]
        } else {
            &each_down
        };
        for packet in packets(policy.site_id, &to) {
            for tunnels in conditions {
                tally.packets += 1;
                check_packet(policy, &packet, wishes, tunnels, false)?;
            }
        }
    }
    Ok(())
}

/// What is wrong with a policy if just this is asked, tunnels are like this, and all choices have been made.
pub fn check_settled(
    policy: &EdgePolicy,
    wishes: &BTreeMap<Destination, Wish>,
    tunnels: &[Tunnel],
) -> Result<(), String> {
    let nothing = Wish::default();
    let allowed = only(wishes);
    for to in universe(&allowed) {
        let wish = BTreeSet::from([wishes.get(&to).unwrap_or(&nothing).clone()]);
        for packet in packets(policy.site_id, &to) {
            check_packet(policy, &packet, &wish, tunnels, true)?;
        }
    }
    Ok(())
}

/// Just this may be asked.
pub fn only(wishes: &BTreeMap<Destination, Wish>) -> Allowed {
    let wishes = wishes.iter();
    wishes
        .map(|(to, wish)| (*to, BTreeSet::from([wish.clone()])))
        .collect()
}

fn check_packet(
    policy: &EdgePolicy,
    packet: &Packet,
    wishes: &BTreeSet<Wish>,
    tunnels: &[Tunnel],
    settled: bool,
) -> Result<(), String> {
    let fate = fate_over(policy, tunnels, packet);
    let fates: BTreeSet<Fate> = wishes
        .iter()
        .flat_map(|wish| wish.fates(tunnels, settled))
        .collect();
    let down: Vec<_> = tunnels
        .iter()
        .filter(|tunnel| !tunnel.up)
        .map(|tunnel| &tunnel.color)
        .collect();
    if !fates.contains(&fate) {
        return Err(format!(
            "{packet:?}\n  with {down:?} down is {fate:?}, asked is one of {wishes:?}"
        ));
    }
    let inspected = is_inspected(policy, packet);
    if fate != Fate::Dropped && wishes.iter().all(|wish| wish.inspected != inspected) {
        return Err(format!(
            "{packet:?}\n  has inspection {inspected}, asked is one of {wishes:?}"
        ));
    }
    Ok(())
}

/// Judges every policy that edges were told by what the operator may have seen when it wrote it.
pub fn check_between(
    chronicle: &Chronicle,
    floors: &[Floor],
    applied: &[Applied],
) -> (Tally, Result<(), String>) {
    let mut tally = Tally::default();
    let mut views = Views {
        chronicle,
        seen: HashMap::new(),
        windows: HashMap::new(),
    };
    for told in applied {
        tally.policies += 1;
        let newest = chronicle.at(told.at);
        let floor = floors.iter().rev().find(|(at, _)| *at <= told.at);
        let allowed = floor.and_then(|(_, from)| views.allowed((*from)?, newest));
        let Some(allowed) = allowed else {
            tally.unjudged += 1;
            continue;
        };
        if let Err(wrong) = check_policy(&told.policy, &allowed, &mut tally) {
            let at = told.at.duration_since(floors[0].0);
            let from = floor.map(|(at, from)| (at.duration_since(floors[0].0), from));
            let what = format!(
                "at {at:?} (newest {newest:?}, floor {from:?}): {wrong}\n  {:?}",
                told.policy
            );
            return (tally, Err(what));
        }
    }
    (tally, Ok(()))
}

/// What was asked in each view that there could be.
struct Views<'a> {
    chronicle: &'a Chronicle,
    seen: HashMap<Position, Arc<BTreeMap<Destination, Wish>>>,
    windows: HashMap<(Position, Position), Option<Arc<Allowed>>>,
}

impl Views<'_> {
    /// What may be asked between two positions; `None` if there are too many views.
    fn allowed(&mut self, from: Position, to: Position) -> Option<Arc<Allowed>> {
        if let Some(known) = self.windows.get(&(from, to)) {
            return known.clone();
        }
        let count: usize = (0..4).map(|kind| to[kind] + 1 - from[kind]).product();
        let allowed = (count <= VIEWS_MAX).then(|| Arc::new(self.find(from, to)));
        self.windows.insert((from, to), allowed.clone());
        allowed
    }

    fn find(&mut self, from: Position, to: Position) -> Allowed {
        let mut views = Vec::new();
        for services in from[0]..=to[0] {
            for slices in from[1]..=to[1] {
                for namespaces in from[2]..=to[2] {
                    for policies in from[3]..=to[3] {
                        let at = [services, slices, namespaces, policies];
                        let view = self.seen.entry(at);
                        let view = view.or_insert_with(|| Arc::new(wishes(&self.chronicle.facts(at))));
                        views.push(view.clone());
                    }
                }
            }
        }
        let asked: BTreeSet<_> = views.iter().flat_map(|view| view.keys().copied()).collect();
        let in_views = |to: Destination| {
            let wishes = views
                .iter()
                .map(|view| view.get(&to).cloned().unwrap_or_default());
            (to, wishes.collect())
        };
        asked.into_iter().map(in_views).collect()
    }
}

/// Every destination that there could be, and those that something is asked for.
fn universe(allowed: &Allowed) -> BTreeSet<Destination> {
    let mut all: BTreeSet<_> = allowed.keys().copied().collect();
    for host in hosts(false).into_iter().chain(hosts(true)) {
        for service_vpn in [VPN, TENANT_VPN] {
            for protocol in [6, 17, 132] {
                let at = |port| Destination {
                    service_vpn,
                    host,
                    protocol,
                    port,
                };
                all.extend([8080, 8081].map(at));
            }
        }
    }
    all
}

/// From a site: a request to a destination elsewhere, and a reply from it.
fn packets(site: u32, to: &Destination) -> [Packet; 2] {
    let other = SITES.into_iter().find(|other| *other != site).unwrap_or_default();
    let client = if to.host.is_ipv4() {
        IpAddr::from([10, 9, 0, 7])
    } else {
        IpAddr::from([0xfd09, 0, 0, 0, 0, 0, 0, 7])
    };
    let request = Packet {
        sites: (site, other),
        service_vpn: to.service_vpn,
        protocol: to.protocol,
        source: SocketAddr::new(client, CLIENT_PORT),
        destination: SocketAddr::new(to.host, to.port),
    };
    let reply = Packet {
        sites: (other, site),
        ..request
    };
    [request, reply.reply()]
}

/// All tunnels, of which one may be down.
fn tunnels(down: Option<&str>) -> Vec<Tunnel> {
    let tunnel = |color: &str| Tunnel {
        color: color.to_owned(),
        up: Some(color) != down,
        latency: LATENCY,
    };
    COLORS.map(tunnel).into()
}
