//! Which tunnel packets take under which policy.

use std::sync::Arc;

use netsim::fabric::edge::Counted;
use netsim::policy::{
    Action, DataPath, DataPolicy, DefaultAction, EdgePolicy, LocalTlocs, Match, PolicyDirection, Sequence,
};

use super::two_sites::{DEFAULT, TwoSites, VPN, host_address};

pub fn policy(sequences: Vec<Sequence>, default_action: DefaultAction) -> EdgePolicy {
    let direction = PolicyDirection::FromService;
    EdgePolicy {
        site_id: 100,
        app_route: Vec::new(),
        data: vec![DataPolicy {
            service_vpn: VPN,
            direction,
            default_action,
            sequences: sequences.into(),
        }],
    }
}

pub fn sequence(id: u16, port: u16, color: &str, restrict: bool) -> Sequence {
    Sequence {
        id,
        matching: Match {
            destination_prefixes: Some([format!("{}/32", host_address(1)).parse().unwrap()].into()),
            destination_ports: vec![port..=port],
            protocols: vec![17],
            ..Match::default()
        },
        action: Action::Accept {
            path: Some(DataPath::Local(LocalTlocs {
                colors: vec![color.into()],
                restrict,
            })),
            inspect: false,
            dscp: None,
        },
        counter: None,
    }
}

pub async fn unmatched_traffic_takes_the_default_tunnel() {
    let lab = TwoSites::build().await;
    lab.edges[0]
        .apply(&policy(
            vec![sequence(1, 9999, "biz-internet", true)],
            DefaultAction::Accept,
        ))
        .await
        .unwrap();
    assert_eq!(lab.send(20), 20);
    assert_eq!(lab.sent_by_tunnel().await, [0, 20]);
}

pub async fn matched_traffic_takes_its_tunnel_alone() {
    let lab = TwoSites::build().await;
    lab.edges[0]
        .apply(&policy(
            vec![sequence(1, 8080, "biz-internet", true)],
            DefaultAction::Accept,
        ))
        .await
        .unwrap();
    assert_eq!(lab.send(20), 20);
    assert_eq!(lab.sent_by_tunnel().await, [20, 0]);
}

pub async fn the_first_matching_sequence_wins() {
    let lab = TwoSites::build().await;
    let mut broad = sequence(1, 8080, "default", true);
    broad.matching.destination_ports = vec![1..=100, 8000..=9000];
    broad.matching.destination_prefixes = Some(["10.200.0.0/16".parse().unwrap()].into());
    let sequences = vec![broad, sequence(2, 8080, "biz-internet", true)];
    lab.edges[0]
        .apply(&policy(sequences, DefaultAction::Accept))
        .await
        .unwrap();
    assert_eq!(lab.send(20), 20);
    assert_eq!(lab.sent_by_tunnel().await, [0, 20]);
}

pub async fn strict_traffic_is_dropped_without_its_tunnel() {
    let lab = TwoSites::build().await;
    lab.edges[0]
        .apply(&policy(
            vec![sequence(1, 8080, "biz-internet", true)],
            DefaultAction::Accept,
        ))
        .await
        .unwrap();
    lab.edges[0].host().set_down("tun0v0").await.unwrap();
    assert_eq!(lab.send(20), 0);
    assert_eq!(lab.sent_by_tunnel().await[DEFAULT], 0);
}

pub async fn preferred_traffic_falls_back_without_its_tunnel() {
    let lab = TwoSites::build().await;
    lab.edges[0]
        .apply(&policy(
            vec![sequence(1, 8080, "biz-internet", false)],
            DefaultAction::Accept,
        ))
        .await
        .unwrap();
    assert_eq!(lab.send(10), 10);
    lab.edges[0].host().set_down("tun0v0").await.unwrap();
    assert_eq!(lab.send(10), 10);
    assert_eq!(lab.sent_by_tunnel().await, [10, 10]);
}

pub async fn default_action_drop_drops() {
    let lab = TwoSites::build().await;
    lab.edges[0]
        .apply(&policy(vec![], DefaultAction::Drop))
        .await
        .unwrap();
    assert_eq!(lab.send(20), 0);
}

pub async fn an_empty_policy_restores_normal_routing() {
    let lab = TwoSites::build().await;
    lab.edges[0]
        .apply(&policy(vec![], DefaultAction::Drop))
        .await
        .unwrap();
    lab.edges[0]
        .apply(&EdgePolicy {
            site_id: 100,
            app_route: Vec::new(),
            data: vec![],
        })
        .await
        .unwrap();
    assert_eq!(lab.send(20), 20);
    assert_eq!(lab.sent_by_tunnel().await, [0, 20]);
}

/// A policy is for many sites, and not every site has every color.
pub async fn a_color_that_the_edge_lacks_counts_as_down() {
    let lab = TwoSites::build().await;
    for (restrict, arrived, by_tunnel) in [(true, 0, [0, 0]), (false, 20, [0, 20])] {
        let mpls = policy(vec![sequence(1, 8080, "mpls", restrict)], DefaultAction::Accept);
        lab.edges[0].apply(&mpls).await.unwrap();
        assert_eq!(lab.send(20), arrived);
        assert_eq!(lab.sent_by_tunnel().await, by_tunnel);
    }
}

pub async fn prefixes_that_overlap() {
    let lab = TwoSites::build().await;
    let mut broad = sequence(1, 8080, "biz-internet", true);
    let prefixes = [
        "10.0.0.0/8",
        "0.0.0.0/0",
        "10.200.1.2/32",
        "10.200.1.3/32",
        "255.255.255.255/32",
        "::/0",
    ];
    broad.matching.destination_prefixes = Some(prefixes.map(|prefix| prefix.parse().unwrap()).into());
    broad.matching.destination_ports = vec![0..=65535, 8080..=8080, 65535..=65535];
    lab.edges[0]
        .apply(&policy(vec![broad], DefaultAction::Accept))
        .await
        .unwrap();
    assert_eq!(lab.send(20), 20);
    assert_eq!(lab.sent_by_tunnel().await, [20, 0]);
}

pub async fn each_sequence_counts_what_it_matched() {
    let lab = TwoSites::build().await;
    let mut unused = sequence(1, 9999, "biz-internet", true);
    unused.matching.protocols = vec![6, 17];
    unused.matching.destination_ports.push(7000..=7000);
    let mut used = sequence(2, 8080, "biz-internet", true);
    used.matching.protocols = vec![6, 17];
    let asked = policy(vec![unused, used.clone()], DefaultAction::Accept);
    lab.edges[0].apply(&asked).await.unwrap();
    assert_eq!(lab.send(20), 20);
    let (in_force, counts) = lab.edges[0].policy_in_force().await.unwrap();
    assert_eq!(in_force, asked);
    let counted: Vec<_> = counts
        .iter()
        .map(|count| (count.of, count.sequence, count.count.packets, count.count.octets))
        .collect();
    // An IPv4 and a UDP header, and five octets of payload.
    let octets = 20 * (20 + 8 + 5);
    assert_eq!(
        counted,
        [
            (Counted::Data(0), Some(1), 0, 0),
            (Counted::Data(0), Some(2), 20, octets),
            (Counted::Data(0), None, 0, 0)
        ]
    );
    let mut other_port = asked.clone();
    Arc::make_mut(&mut other_port.data[0].sequences)[0]
        .matching
        .destination_ports[0] = 9998..=9998;
    lab.edges[0].apply(&other_port).await.unwrap();
    let (in_force, counts) = lab.edges[0].policy_in_force().await.unwrap();
    assert_eq!(in_force, other_port);
    assert_eq!(
        counts[1].count.packets, 20,
        "a change of one list of ports keeps the counts"
    );
    let fewer = policy(vec![used], DefaultAction::Accept);
    lab.edges[0].apply(&fewer).await.unwrap();
    let (in_force, counts) = lab.edges[0].policy_in_force().await.unwrap();
    assert_eq!(in_force, fewer);
    assert_eq!(counts[0].count.packets, 0, "rules written anew count anew");
}
