//! The overlay as a graph: between which sites there are tunnels, and which ways lead to a site.
//!
//! Owns the rules of tunnels and of next hops. A site carries the service VPNs of its nodes and those leaked with
//! them; one that forwards for others, or has no node, carries all. Two sites have a tunnel on a transport when both
//! attach to it, the topology joins them there and they carry a service VPN in common.
//!
//! Invariant: whichever tunnels fail, no choice among the next hops to a destination leads in a circle. A next hop
//! is the destination itself or a site that forwards. Only those that forward can be on a circle, so they are put
//! in an order for each destination: by hops, then by place in the file. One that forwards hands packets only to
//! those before it in that order; sites that do not forward may use any that does.
//!
//! # Limits
//! The order costs ways: of two sites that forward and are equally far from a destination, only the later one of
//! the file can go through the other when its own tunnel fails. Both could not: with both tunnels down packets
//! would go to and fro between them, since edges learn of no failure but that of their own tunnels.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::model::{OverlayLinks, Topology};

/// The sites of a topology with their tunnels.
pub(crate) struct Graph {
    pub(crate) service_vpns: Vec<u16>,
    /// In the order of the topology.
    pub(crate) sites: Vec<Vertex>,
}

/// A site.
pub(crate) struct Vertex {
    /// Positions in [`Graph::service_vpns`], ascending.
    pub(crate) service_vpns: Vec<usize>,
    /// Positions of the transports that it attaches to, as bits.
    pub(crate) transports: u32,
    /// Whether it forwards for others.
    pub(crate) is_transit: bool,
    /// In the order of the topology.
    pub(crate) neighbours: Vec<Neighbour>,
}

/// The other end of tunnels.
pub(crate) struct Neighbour {
    pub(crate) site: usize,
    /// Positions of the transports with a tunnel, as bits; at least one.
    pub(crate) transports: u32,
    /// Where this site is among the other's neighbours.
    back: usize,
}

/// One way to begin with from a site.
pub(crate) struct NextHop {
    pub(crate) from: usize,
    /// Position among the neighbours of `from`.
    pub(crate) neighbour: usize,
    /// Tunnels on the way.
    pub(crate) hops: u16,
}

/// The positions of the bits of a set of transports.
pub(crate) fn positions(transports: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |position| transports >> position & 1 == 1)
}

impl Graph {
    /// The graph of a consistent topology.
    pub(crate) fn of(topology: &Topology) -> Self {
        let service_vpns = topology.service_vpns();
        let transports = bits(
            topology
                .transports
                .iter()
                .map(|transport| transport.name.as_str()),
        );
        let mask = |names: &[String]| {
            names
                .iter()
                .fold(0, |mask, name| mask | transports[name.as_str()])
        };
        let mut own: HashMap<&str, Vec<usize>> = HashMap::new();
        for cluster in &topology.clusters {
            let leaked = (0..service_vpns.len())
                .filter(|position| topology.share_routes(service_vpns[*position], cluster.service_vpn));
            let leaked: Vec<usize> = leaked.collect();
            for node in &cluster.nodes {
                own.entry(&node.site).or_default().extend(&leaked);
            }
        }
        let transit = &topology.overlay.transit;
        let sites = topology.sites.iter().map(|site| {
            let is_transit = transit.contains(&site.name);
            let own = own.remove(site.name.as_str()).filter(|_| !is_transit);
            let mut carries = own.unwrap_or_else(|| (0..service_vpns.len()).collect());
            carries.sort_unstable();
            carries.dedup();
            Vertex {
                service_vpns: carries,
                transports: mask(&site.transports),
                is_transit,
                neighbours: Vec::new(),
            }
        });
        let mut graph = Self {
            sites: sites.collect(),
            service_vpns,
        };
        graph.join(&Joins::of(topology, &mask));
        graph
    }

    fn join(&mut self, joins: &Joins) {
        for a in 0..self.sites.len() {
            for b in a + 1..self.sites.len() {
                let (left, right) = (&self.sites[a], &self.sites[b]);
                let transports = joins.between(a, b) & left.transports & right.transports;
                if transports == 0
                    || !left
                        .service_vpns
                        .iter()
                        .any(|service_vpn| right.carries(*service_vpn))
                {
                    continue;
                }
                let (back_of_a, back_of_b) = (right.neighbours.len(), left.neighbours.len());
                for (site, other, back) in [(a, b, back_of_a), (b, a, back_of_b)] {
                    self.sites[site].neighbours.push(Neighbour {
                        site: other,
                        transports,
                        back,
                    });
                }
            }
        }
    }

    /// How many tunnels a packet of the service VPN at this position crosses from each site to one, if it can get
    /// there.
    pub(crate) fn hops_to(&self, service_vpn: usize, destination: usize) -> Vec<Option<u16>> {
        let mut hops = vec![None; self.sites.len()];
        if !self.sites[destination].carries(service_vpn) {
            return hops;
        }
        hops[destination] = Some(0_u16);
        let mut queue = VecDeque::from([(destination, 0_u16)]);
        while let Some((site, far)) = queue.pop_front() {
            if site != destination && !self.sites[site].is_transit {
                continue;
            }
            for neighbour in &self.sites[site].neighbours {
                if hops[neighbour.site].is_none() && self.sites[neighbour.site].carries(service_vpn) {
                    hops[neighbour.site] = Some(far + 1);
                    queue.push_back((neighbour.site, far + 1));
                }
            }
        }
        hops
    }

    /// All next hops in a service VPN to one site; none of them in a circle.
    pub(crate) fn next_hops(&self, service_vpn: usize, destination: usize) -> Vec<NextHop> {
        let hops = self.hops_to(service_vpn, destination);
        let rank = |site: usize| (!self.sites[site].is_transit, hops[site], site);
        let transit =
            (0..self.sites.len()).filter(|site| self.sites[*site].is_transit && *site != destination);
        let mut found = Vec::new();
        for via in std::iter::once(destination).chain(transit) {
            let Some(rest) = hops[via] else { continue };
            for neighbour in &self.sites[via].neighbours {
                let from = neighbour.site;
                let is_open = via == destination || (from != destination && rank(via) < rank(from));
                if is_open && self.sites[from].carries(service_vpn) {
                    found.push(NextHop {
                        from,
                        neighbour: neighbour.back,
                        hops: rest + 1,
                    });
                }
            }
        }
        found
    }
}

impl Vertex {
    fn carries(&self, service_vpn: usize) -> bool {
        self.service_vpns.binary_search(&service_vpn).is_ok()
    }
}

/// Which transports a topology joins two sites on, whether or not they attach to them.
enum Joins {
    All,
    WithHub(Vec<bool>),
    Pairs(BTreeMap<(usize, usize), u32>),
}

impl Joins {
    fn of(topology: &Topology, mask: &impl Fn(&[String]) -> u32) -> Self {
        match &topology.overlay.links {
            OverlayLinks::FullMesh => Self::All,
            OverlayLinks::Hubs(hubs) => Self::WithHub(
                topology
                    .sites
                    .iter()
                    .map(|site| hubs.contains(&site.name))
                    .collect(),
            ),
            OverlayLinks::Pairs(pairs) => {
                let sites = topology.sites.iter().enumerate();
                let sites: HashMap<&str, usize> = sites
                    .map(|(position, site)| (site.name.as_str(), position))
                    .collect();
                let pairs = pairs.iter().map(|pair| {
                    let (a, b) = (sites[pair.between.0.as_str()], sites[pair.between.1.as_str()]);
                    ((a.min(b), a.max(b)), mask(&pair.transports))
                });
                Self::Pairs(pairs.collect())
            }
        }
    }

    /// Of two sites, the first before the second.
    fn between(&self, a: usize, b: usize) -> u32 {
        match self {
            Self::All => u32::MAX,
            Self::WithHub(is_hub) if is_hub[a] || is_hub[b] => u32::MAX,
            Self::WithHub(_) => 0,
            Self::Pairs(pairs) => pairs.get(&(a, b)).copied().unwrap_or(0),
        }
    }
}

fn bits<'t>(names: impl Iterator<Item = &'t str>) -> HashMap<&'t str, u32> {
    names
        .enumerate()
        .map(|(position, name)| (name, 1 << position))
        .collect()
}
