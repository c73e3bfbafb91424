//! What holds for the plan of any topology: addresses, names, tunnels and routes, of overlays made at random and of
//! the largest.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use scenario::model::{
    BfdTiming, COLORS, Cluster, Color, DualNet, Encap, IpVersion, Node, Overlay, OverlayLinks, OverlayPair,
    Scenario, Site, SlaTiming, Topology, Transport,
};
use scenario::plan::{EdgePlan, Plan, PlanError, PrefixPlan, plan};

/// A name as long as names can be.
fn long(kind: &str, position: usize) -> String {
    format!("{kind}-{position:0>width$}", width = 62 - kind.len())
}

fn transport(position: usize, (encap, underlay): (Encap, IpVersion)) -> Transport {
    Transport {
        name: long("transport", position),
        color: Color::parse(COLORS[position]).unwrap(),
        encap,
        underlay,
        mtu: 1500,
        faults: Vec::new(),
    }
}

/// A cluster in service VPN `10 * (position + 1)` with a node at each of these sites.
fn cluster(position: usize, sites: &[usize], (has_v4, has_v6): (bool, bool)) -> Cluster {
    let number = position + 1;
    let nets = |v4: String, v6: String| DualNet {
        v4: (has_v4 || !has_v6).then(|| v4.parse().unwrap()),
        v6: has_v6.then(|| v6.parse().unwrap()),
    };
    Cluster {
        name: long("cluster", position),
        pod_cidr: nets(format!("10.{number}.0.0/16"), format!("fd00:{number}::/48")),
        service_cidr: nets(format!("10.10{number}.0.0/16"), format!("fd00:10{number}::/112")),
        service_vpn: u16::try_from(10 * number).unwrap(),
        nodes: sites
            .iter()
            .enumerate()
            .map(|(node, site)| Node {
                name: long(&format!("node-{position}"), node),
                site: long("site", *site),
            })
            .collect(),
    }
}

fn topology(
    transports: Vec<Transport>,
    sites: Vec<Site>,
    overlay: Overlay,
    clusters: Vec<Cluster>,
) -> Topology {
    let bfd = BfdTiming::default();
    Topology {
        name: "any".to_owned(),
        default_transports: vec![transports[0].name.clone()],
        transports,
        sla: SlaTiming::of_hello(bfd.hello),
        bfd,
        sites,
        overlay,
        clusters,
        cluster_mesh: Vec::new(),
        leaks: Vec::new(),
    }
}

fn planned(topology: &Topology) -> Plan {
    plan(&Scenario::idle(topology.clone()), 1).unwrap()
}

/// Sites that attach to the transports whose bit is set.
fn sites(transports: &[Transport], masks: &[u32]) -> Vec<Site> {
    let attached = |mask: u32| {
        let names = transports.iter().enumerate();
        names
            .filter(move |(position, _)| mask >> position & 1 == 1)
            .map(|(_, transport)| transport.name.clone())
            .collect()
    };
    (1..)
        .zip(masks.iter().enumerate())
        .map(|(id, (position, mask))| Site {
            name: long("site", position),
            id,
            // Some choose what others would get.
            system_ip: (position % 3 == 1).then(|| [10, 255, 0, u8::try_from(position).unwrap()].into()),
            transports: attached(*mask),
            has_inspection: position % 4 == 1,
        })
        .collect()
}

fn pair(sites: &[Site], a: usize, b: usize, chosen: u32) -> Option<OverlayPair> {
    let (a, b) = (&sites[a], &sites[b]);
    let common = a.transports.iter().filter(|name| b.transports.contains(name));
    let transports: Vec<String> = common
        .enumerate()
        .filter(|(position, _)| chosen >> position & 1 == 1)
        .map(|(_, name)| name.clone())
        .collect();
    (a.name != b.name && !transports.is_empty()).then(|| OverlayPair {
        between: (a.name.clone(), b.name.clone()),
        transports,
    })
}

prop_compose! {
    fn any_topology()(count in 1..8_usize)(
        kinds in vec((select(&Encap::NAMES[..]), select(&[IpVersion::V4, IpVersion::V6][..])), 1..4),
        masks in vec(1..8_u32, count),
        kind in 0..3_u8,
        hubs in btree_set(0..count, 1..3),
        pairs in vec((0..count, 0..count, 1..8_u32), 0..12),
        transit in btree_set(0..count, 0..4),
        clusters in vec((vec(0..count, 1..6), any::<(bool, bool)>()), 1..4),
        leaks in btree_set(select(&[(10, 20), (10, 30), (20, 30)][..]), 0..3),
    ) -> Topology {
        let kinds = kinds.into_iter().enumerate();
        let transports: Vec<Transport> =
            kinds.map(|(position, ((_, encap), underlay))| transport(position, (encap, underlay))).collect();
        let all = (1 << transports.len()) - 1;
        let masks: Vec<u32> = masks.into_iter().map(|mask| if mask & all == 0 { all } else { mask & all }).collect();
        let sites = sites(&transports, &masks);
        let name = |position: usize| sites[position].name.clone();
        let mut transit = transit;
        let links = match kind {
            0 => OverlayLinks::FullMesh,
            1 => {
                transit.extend(&hubs);
                OverlayLinks::Hubs(hubs.into_iter().map(name).collect())
            }
            _ => {
                let mut seen = HashSet::new();
                let pairs = pairs.into_iter().filter(|(a, b, _)| seen.insert((*a.min(b), *a.max(b))));
                OverlayLinks::Pairs(pairs.filter_map(|(a, b, chosen)| pair(&sites, a, b, chosen)).collect())
            }
        };
        let overlay = Overlay { links, transit: transit.into_iter().map(name).collect() };
        let clusters = clusters.iter().enumerate();
        let clusters: Vec<Cluster> =
            clusters.map(|(position, (sites, versions))| cluster(position, sites, *versions)).collect();
        let vpns = clusters.len() * 10;
        let leaks = leaks.into_iter().filter(|(_, b)| usize::from(*b) <= vpns).collect();
        Topology { leaks, ..topology(transports, sites, overlay, clusters) }
    }
}

proptest! {
    #[test]
    fn plan_gives_no_address_twice(topology in any_topology()) {
        let plan = planned(&topology);
        let mut seen = HashSet::new();
        let mut is_new = |net: IpNet| seen.insert(net.addr());
        for edge in &plan.edges {
            prop_assert!(is_new(IpNet::new(edge.system_ip.into(), 32).unwrap()), "{}", edge.system_ip);
            for tloc in &edge.tlocs {
                prop_assert!(is_new(tloc.uplink_address) && is_new(tloc.router_address));
                prop_assert!(tloc.uplink_address.contains(&tloc.router_address.addr()));
                prop_assert!(tloc.tunnels.iter().flat_map(|tunnel| tunnel.address.iter()).all(&mut is_new));
            }
        }
        for node in &plan.nodes {
            prop_assert!(node.edge_address.iter().chain(node.address.iter()).all(&mut is_new));
            let mut ends = node.edge_address.iter().zip(node.address.iter());
            prop_assert!(ends.all(|(edge, node)| edge.contains(&node.addr())));
        }
    }

    #[test]
    fn plan_names_interfaces_once_on_each_host_and_within_15_bytes(topology in any_topology()) {
        let plan = planned(&topology);
        for (position, edge) in plan.edges.iter().enumerate() {
            let mut names: Vec<&str> = Vec::new();
            for tloc in &edge.tlocs {
                names.push(&tloc.uplink);
                names.extend(tloc.tunnels.iter().map(|tunnel| tunnel.interface.as_str()));
            }
            let nodes = plan.nodes.iter().filter(|node| node.edge == position);
            names.extend(nodes.map(|node| node.edge_interface.as_str()));
            prop_assert!(names.iter().all(|name| (1..=15).contains(&name.len())), "{names:?}");
            let distinct: HashSet<&str> = names.iter().copied().collect();
            prop_assert_eq!(distinct.len(), names.len(), "{:?}", names);
        }
    }

    #[test]
    fn plan_has_a_tunnel_exactly_where_the_topology_asks_for_one(topology in any_topology()) {
        let plan = planned(&topology);
        for (a, edge) in plan.edges.iter().enumerate() {
            for (t, spec) in topology.transports.iter().enumerate() {
                let has: BTreeSet<usize> =
                    plan.tloc(a, t).iter().flat_map(|tloc| &tloc.remotes).map(|remote| remote.edge).collect();
                let asked = (0..plan.edges.len()).filter(|b| {
                    *b != a
                        && is_joined(&topology, a, *b, &spec.name)
                        && plan.shared_vpns(a, *b).next().is_some()
                });
                prop_assert_eq!(has, asked.collect::<BTreeSet<usize>>(), "{} on {}", &edge.site, &spec.name);
            }
            let mut through: BTreeMap<usize, &[PrefixPlan]> = BTreeMap::new();
            for remote in edge.tlocs.iter().flat_map(|tloc| &tloc.remotes) {
                let first = *through.entry(remote.edge).or_insert(&remote.prefixes);
                prop_assert_eq!(first, &remote.prefixes[..], "every transport has the same routes");
            }
            for tloc in &edge.tlocs {
                let devices: Vec<u16> = tloc.tunnels.iter().map(|tunnel| tunnel.service_vpn).collect();
                prop_assert_eq!(&devices, &edge.service_vpns);
            }
        }
    }

    #[test]
    fn plan_leads_no_packet_in_a_circle_whatever_fails(topology in any_topology()) {
        let plan = planned(&topology);
        for ((_, prefix), next_hops) in routes(&plan) {
            // Edges that only have next hops among those already known to end are known to end.
            let owner = plan.nodes.iter().find(|node| node.pod_cidr.iter().any(|net| net == prefix)).unwrap().edge;
            let mut ends = HashSet::from([owner]);
            prop_assert!(!next_hops.contains_key(&owner), "{prefix} leaves its own site");
            while let Some((edge, _)) = next_hops
                .iter()
                .find(|(edge, hops)| !ends.contains(*edge) && hops.iter().all(|(to, _)| ends.contains(to)))
            {
                ends.insert(*edge);
            }
            prop_assert!(next_hops.keys().all(|edge| ends.contains(edge)), "{prefix}: {next_hops:?}");
        }
    }

    #[test]
    fn plan_has_a_route_exactly_where_there_is_a_way(topology in any_topology()) {
        let plan = planned(&topology);
        let mut routes = routes(&plan);
        for (d, destination) in plan.edges.iter().enumerate() {
            for service_vpn in &destination.service_vpns {
                let hops = shortest(&plan, *service_vpn, d);
                let prefixes: Vec<IpNet> =
                    plan.local_nodes(d, *service_vpn).flat_map(|(_, node)| node.pod_cidr.iter()).collect();
                for prefix in prefixes {
                    let routes = routes.remove(&(*service_vpn, prefix)).unwrap_or_default();
                    for from in (0..plan.edges.len()).filter(|from| *from != d) {
                        let best = routes.get(&from).and_then(|ways| ways.values().min().copied());
                        prop_assert_eq!(best, hops.get(&from).copied(), "{} from {}", prefix, from);
                        for (via, far) in routes.get(&from).into_iter().flatten() {
                            prop_assert!(*via == d || plan.edges[*via].is_transit);
                            prop_assert_eq!(*far, hops[via] + 1);
                        }
                    }
                }
            }
        }
        prop_assert!(routes.is_empty(), "routes between service VPNs: {:?}", routes);
    }
}

fn is_joined(topology: &Topology, a: usize, b: usize, transport: &String) -> bool {
    let (a, b) = (&topology.sites[a], &topology.sites[b]);
    let links = match &topology.overlay.links {
        OverlayLinks::FullMesh => true,
        OverlayLinks::Hubs(hubs) => hubs.contains(&a.name) || hubs.contains(&b.name),
        OverlayLinks::Pairs(pairs) => pairs.iter().any(|pair| {
            let (left, right) = &pair.between;
            ((left, right) == (&a.name, &b.name) || (left, right) == (&b.name, &a.name))
                && pair.transports.contains(transport)
        }),
    };
    links && a.transports.contains(transport) && b.transports.contains(transport)
}

type Ways = HashMap<usize, BTreeMap<usize, u16>>;

/// For each service VPN and prefix, for each edge, its next hops with the hops of the way.
fn routes(plan: &Plan) -> HashMap<(u16, IpNet), Ways> {
    let mut routes: HashMap<(u16, IpNet), Ways> = HashMap::new();
    for (position, edge) in plan.edges.iter().enumerate() {
        for remote in edge.tlocs.iter().flat_map(|tloc| &tloc.remotes) {
            for route in &remote.prefixes {
                let ways = routes.entry((route.service_vpn, route.prefix)).or_default();
                ways.entry(position).or_default().insert(remote.edge, route.hops);
            }
        }
    }
    routes
}

/// The hops of the shortest way from each edge that has one, found by trying until nothing gets better.
fn shortest(plan: &Plan, service_vpn: u16, destination: usize) -> HashMap<usize, u16> {
    let carries = |edge: &EdgePlan| edge.service_vpns.contains(&service_vpn);
    let mut hops = HashMap::from([(destination, 0_u16)]);
    loop {
        let before = hops.clone();
        for (from, edge) in plan.edges.iter().enumerate().filter(|(_, edge)| carries(edge)) {
            for remote in edge.tlocs.iter().flat_map(|tloc| &tloc.remotes) {
                let forwards = remote.edge == destination || plan.edges[remote.edge].is_transit;
                if let (true, Some(rest)) = (forwards, hops.get(&remote.edge).copied()) {
                    let best = hops.entry(from).or_insert(rest + 1);
                    *best = (*best).min(rest + 1);
                }
            }
        }
        if hops == before {
            return hops;
        }
    }
}

fn large(count: usize, links: OverlayLinks) -> Topology {
    let kinds = [(Encap::Vxlan, IpVersion::V4); 2];
    let transports: Vec<Transport> = (0..)
        .zip(kinds)
        .map(|(position, kind)| transport(position, kind))
        .collect();
    let mut sites = sites(&transports, &vec![3; count.min(2)]);
    for position in sites.len()..count {
        sites.push(Site {
            name: long("site", position),
            id: u32::try_from(position + 1).unwrap(),
            system_ip: None,
            transports: sites[0].transports.clone(),
            has_inspection: false,
        });
    }
    let transit = match &links {
        OverlayLinks::Hubs(hubs) => hubs.clone(),
        _ => Vec::new(),
    };
    let nodes: Vec<usize> = (0..count).collect();
    let mut cluster = cluster(0, &nodes, (true, false));
    cluster.pod_cidr.v4 = Some("10.0.0.0/10".parse().unwrap());
    topology(transports, sites, Overlay { links, transit }, vec![cluster])
}

/// What a plan that grew with the cube of the sites would not keep, by far, and one that does not keeps by far.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn plan_of_a_thousand_sites_comes_soon() {
    for links in [
        OverlayLinks::FullMesh,
        OverlayLinks::Hubs(vec![long("site", 0), long("site", 7)]),
    ] {
        let topology = large(1000, links);
        let scenario = Scenario::idle(topology);
        let begin = Instant::now();
        let plan = plan(&scenario, 1).unwrap();
        assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
        let mut reached = HashSet::new();
        for remote in plan.edges[3].tlocs.iter().flat_map(|tloc| &tloc.remotes) {
            reached.extend(remote.prefixes.iter().map(|route| route.prefix));
        }
        assert_eq!((plan.nodes.len(), reached.len()), (1000, 999));
    }
}

#[test]
fn plan_refuses_more_than_its_addresses_hold() {
    let refusal = |topology: Topology| plan(&Scenario::idle(topology), 1).unwrap_err();
    let crowded = refusal(large(2001, OverlayLinks::Hubs(vec![long("site", 0)])));
    assert_eq!(
        crowded.to_string(),
        "plan topology `any`: it has 2001 sites, the address plan holds 2000"
    );
    // Fewer sites leave room for more networks of tunnel devices.
    let tenants = |count: usize, sites: usize| {
        let mut topology = large(sites, OverlayLinks::FullMesh);
        let template = topology.clusters[0].clone();
        topology.clusters = (1..)
            .zip(0..count)
            .map(|(service_vpn, _)| Cluster {
                service_vpn,
                ..template.clone()
            })
            .collect();
        topology
    };
    assert!(plan(&Scenario::idle(tenants(33, 10)), 1).is_ok());
    assert!(matches!(
        refusal(tenants(65, 1000)),
        PlanError::Tunnels {
            count: 130,
            holds: 128,
            ..
        }
    ));
}
