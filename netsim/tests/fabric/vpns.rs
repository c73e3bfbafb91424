//! Service VPNs keep apart: in addresses, policies and errors, and from what is not theirs.

use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use netsim::fabric::{Forwarding, Host, LinkEnd, Mac, TABLE_MAIN};
use netsim::policy::{Action, PolicyDirection};

use super::policies::{at, data, over, plan, udp};
use super::world::{BOTH, Flow, Ip, PORT, Plan, World, default_route, uplink};

const VPNS: [u16; 2] = [10, 20];

/// Two VPNs whose hosts have the same addresses.
fn alike() -> Plan {
    Plan {
        vpns: VPNS.to_vec(),
        same_addresses: true,
        ..plan()
    }
}

fn in_vpn(vpn: usize, ip: Ip) -> Flow {
    Flow {
        vpn,
        to_vpn: vpn,
        ..Flow::new(0, 1, ip)
    }
}

pub async fn vpns_of_the_same_addresses_do_not_meet() {
    let world = World::build(alike()).await;
    let everything = |vpn, action| data(vpn, PolicyDirection::FromService, vec![(udp(), action)]);
    // What the policies of the VPNs are, and which tunnels are then taken; `None` is dropped.
    let cases = [
        (None, None::<Action>, [Some(0), Some(0)]),
        (Some(over("mpls", true)), None, [Some(1), Some(0)]),
        (
            Some(over("mpls", true)),
            Some(over("lte", true)),
            [Some(1), Some(2)],
        ),
        (Some(over("mpls", true)), Some(Action::Drop), [Some(1), None]),
    ];
    for (first, second, taken) in cases {
        let policies = VPNS.into_iter().zip([first, second]);
        let policies = policies.filter_map(|(vpn, action)| Some(everything(vpn, action?)));
        let policy = at(0, vec![], policies.collect());
        world.edges[0].apply(&policy).await.unwrap();
        for ip in BOTH {
            for (vpn, taken) in taken.into_iter().enumerate() {
                let other = 1 - vpn;
                let eavesdropper = world.bind(1, other, ip, PORT);
                let before = (world.sent(0, other).await, world.received(1, other).await);
                match taken {
                    None => world.vanish(&in_vpn(vpn, ip)).await,
                    Some(tunnel) => assert_eq!(world.arrive(&in_vpn(vpn, ip)).await[tunnel], 3),
                }
                let after = (world.sent(0, other).await, world.received(1, other).await);
                assert_eq!(
                    before, after,
                    "packets of VPN {vpn} in the tunnels of VPN {other}"
                );
                eavesdropper.set_nonblocking(true).unwrap();
                assert!(eavesdropper.recv(&mut [0; 16]).is_err());
            }
        }
    }
}

pub async fn routes_leak_where_they_are_told_to_and_nowhere_else() {
    let world = World::build(Plan {
        vpns: VPNS.to_vec(),
        leaks: vec![(1, 10, 20)],
        ..plan()
    })
    .await;
    for ip in BOTH {
        let crossing = |from, to, vpn: usize| Flow {
            vpn,
            to_vpn: 1 - vpn,
            ..Flow::new(from, to, ip)
        };
        assert_eq!(world.arrive(&crossing(0, 1, 0)).await, [3, 0, 0]);
        assert_eq!(world.arrive(&crossing(1, 1, 0)).await, [0, 0, 0]);
        world.vanish(&crossing(0, 1, 1)).await;
        world.vanish(&crossing(1, 0, 0)).await;
        world.vanish(&crossing(1, 1, 1)).await;
        world.vanish(&crossing(0, 0, 0)).await;
        for vpn in 0..2 {
            assert_eq!(world.arrive(&in_vpn(vpn, ip)).await, [3, 0, 0]);
        }
    }
}

/// The edge has a link of its own that is in no VPN.
async fn attach_management(edge: &Host) -> (Host, UdpSocket) {
    let host = Host::create("management", Forwarding::Off).await.unwrap();
    let end = |interface: &str, address: &str, kind| LinkEnd {
        interface: interface.into(),
        mac: Mac::local(kind, 77),
        addresses: vec![address.parse().unwrap()],
    };
    let (near, far) = (end("mgmt0", "10.199.9.1/24", 7), end("eth0", "10.199.9.2/24", 8));
    edge.link(&near, &host, &far, 1500).await.unwrap();
    host.add_route(
        TABLE_MAIN,
        default_route(Ip::V4),
        "eth0",
        Some("10.199.9.1".parse().unwrap()),
    )
    .await
    .unwrap();
    let listener = host.netns().run(|| UdpSocket::bind(("10.199.9.2", PORT)));
    (host, listener.unwrap().unwrap())
}

pub async fn a_vpn_reaches_neither_transports_nor_management() {
    for underlay6 in [false, true] {
        let world = World::build(Plan { underlay6, ..plan() }).await;
        let (_management, listener) = attach_management(world.edges[0].host()).await;
        listener.set_nonblocking(true).unwrap();
        let ip = if underlay6 { Ip::V6 } else { Ip::V4 };
        // The edge's own uplink, that of another edge, and a host that only the edge may reach.
        let mut targets = vec![uplink(&world.plan, 0, 0), uplink(&world.plan, 1, 0)];
        targets.extend((!underlay6).then(|| IpAddr::from([10, 199, 9, 2])));
        let listeners: Vec<UdpSocket> = [0_u8, 1]
            .map(|site| {
                let address = (uplink(&world.plan, site, 0), PORT);
                let host = world.edges[usize::from(site)].host();
                host.netns().run(|| UdpSocket::bind(address)).unwrap().unwrap()
            })
            .into_iter()
            .chain([listener])
            .collect();
        for restricted in [false, true] {
            let policies =
                restricted.then(|| data(10, PolicyDirection::All, vec![(udp(), over("mpls", true))]));
            let policy = at(0, vec![], policies.into_iter().collect());
            world.edges[0].apply(&policy).await.unwrap();
            for target in &targets {
                let flow = Flow {
                    address: Some(*target),
                    ..Flow::new(0, 1, ip)
                };
                world.vanish(&flow).await;
            }
            for listener in &listeners {
                listener.set_nonblocking(true).unwrap();
                assert!(listener.recv(&mut [0; 16]).is_err(), "{listener:?}");
            }
            assert_eq!(
                world.arrive(&Flow::new(0, 1, ip)).await[usize::from(restricted)],
                3
            );
        }
        let back = uplink_reaches(&world);
        assert!(back, "edges reach each other over the transport");
    }
}

/// Whether what an edge itself sends over a transport arrives.
fn uplink_reaches(world: &World) -> bool {
    let [from, to] = [0_u8, 1].map(|site| {
        let address = (uplink(&world.plan, site, 0), PORT + 1);
        let host = world.edges[usize::from(site)].host();
        host.netns().run(|| UdpSocket::bind(address)).unwrap().unwrap()
    });
    to.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    from.send_to(b"edge", to.local_addr().unwrap()).unwrap();
    to.recv(&mut [0; 16]).is_ok()
}

/// A packet that is too long for a tunnel is told of to the host that sent it, in its own VPN, whichever way it was
/// to go: the host then sends it in fragments.
pub async fn a_host_is_told_what_is_too_long_for_a_tunnel() {
    let world = World::build(alike()).await;
    let steered = data(20, PolicyDirection::FromService, vec![(udp(), over("lte", true))]);
    world.edges[0].apply(&at(0, vec![], vec![steered])).await.unwrap();
    for ip in BOTH {
        for vpn in 0..2 {
            let (from, to) = (world.bind(0, vpn, ip, 40_000), world.bind(1, vpn, ip, PORT));
            to.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let too_long = [7; 1440];
            let deadline = Instant::now() + Duration::from_secs(5);
            let mut sent = 0;
            loop {
                // The errors of earlier ones are told at the next.
                sent += u32::from(from.send_to(&too_long, to.local_addr().unwrap()).is_ok());
                let mut got = [0; 1500];
                match to.recv(&mut got) {
                    Ok(len) => {
                        assert_eq!(got[..len], too_long);
                        break;
                    }
                    Err(_) => assert!(
                        Instant::now() < deadline,
                        "{ip:?} in VPN {vpn}: no way for a long packet"
                    ),
                }
            }
            assert!(sent > 1, "the first was too long for the tunnel");
        }
    }
}

/// Interfaces of the hosts of a world.
fn interfaces(world: &World) -> Vec<(&Host, String)> {
    let mut all = Vec::new();
    let transports = 0..world.plan.colors.len();
    for (site, edge) in world.edges.iter().enumerate() {
        for transport in transports.clone() {
            all.push((edge.host(), format!("wan{transport}")));
            all.push((&world.transports[transport], format!("edge{site}")));
        }
        for (vpn, host) in world.hosts[site].iter().enumerate() {
            all.push((edge.host(), format!("lan{vpn}")));
            all.push((host, "eth0".to_owned()));
            let devices = transports
                .clone()
                .map(|transport| format!("tun{transport}v{vpn}"));
            all.extend(devices.map(|device| (edge.host(), device)));
        }
    }
    if let Some(inspection) = &world.inspection {
        all.push((world.edges[0].host(), "inspect0".to_owned()));
        all.push((inspection, "inspect1".to_owned()));
    }
    all
}

/// No address resolution, no listener reports, no solicitations: neither when links are made nor later.
pub async fn a_lab_of_both_families_is_silent() {
    for underlay6 in [false, true] {
        let world = World::build(Plan {
            vpns: VPNS.to_vec(),
            inspection: Some(0),
            underlay6,
            ..plan()
        })
        .await;
        // Longer than any first report or solicitation waits (RFC 3810 section 9.11, RFC 4861 section 10).
        tokio::time::sleep(Duration::from_secs(2)).await;
        for (host, interface) in interfaces(&world) {
            let count = host.packet_count(&interface).await.unwrap();
            assert_eq!(
                (count.sent, count.received, count.unsent),
                (0, 0, 0),
                "`{interface}` of `{}`",
                host.name()
            );
        }
        // Nor does traffic make anybody ask: each of its packets is one on each of its links.
        for ip in BOTH {
            world.arrive(&Flow::new(0, 1, ip)).await;
        }
        let count = async |host: &Host, interface: &str| host.packet_count(interface).await.unwrap();
        for (host, interface) in [(&world.hosts[0][0], "eth0"), (world.edges[1].host(), "lan0")] {
            let count = count(host, interface).await;
            assert_eq!(
                (count.sent, count.received),
                (6, 0),
                "`{interface}` of `{}`",
                host.name()
            );
        }
        let near = count(world.edges[0].host(), "wan0").await;
        assert_eq!((near.sent, near.received), (6, 0));
    }
}

pub async fn an_underlay_of_ipv6_carries_both_families() {
    let world = World::build(Plan {
        underlay6: true,
        ..plan()
    })
    .await;
    let prefix: IpNet = "fd10:0:1::/64".parse().unwrap();
    let mut to_prefix = udp();
    to_prefix.destination_prefixes = Some([prefix].into());
    let policy = data(
        10,
        PolicyDirection::FromService,
        vec![(to_prefix, over("lte", true))],
    );
    world.edges[0].apply(&at(0, vec![], vec![policy])).await.unwrap();
    assert_eq!(world.arrive(&Flow::new(0, 1, Ip::V4)).await, [3, 0, 0]);
    assert_eq!(world.arrive(&Flow::new(0, 1, Ip::V6)).await, [0, 0, 3]);
    let prober = netsim::bfd::Prober::start(
        &world.edges,
        netsim::bfd::Timing {
            hello: Duration::from_millis(50),
            multiplier: 3,
        },
        |_| {},
    )
    .unwrap();
    tokio::time::timeout(Duration::from_secs(5), prober.settled())
        .await
        .unwrap();
    let states = prober.sessions().into_iter().map(|view| view.session.state());
    assert!(states.into_iter().all(|state| state == netsim::bfd::State::Up));
}
