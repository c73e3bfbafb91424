//! Annotations steer both ways.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use pathproof_trials::{Cluster, Fate, Operator, Packet, Slice, Wan, fate, settings};
use sdwan_operator::manager::{LoginKind, Patience};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_annotated_service_is_steered_both_ways() {
    let wan = Wan::start(2, &["biz-internet", "default"]).await;
    let cluster = Cluster::start("one").await;
    let color = (
        "policy.sdwan.cisco.com/tunnel".to_owned(),
        "biz-internet".to_owned(),
    );
    cluster.create_service("business", &BTreeMap::from([color]));
    let hosts: [IpAddr; 1] = ["10.0.2.5".parse().unwrap()];
    cluster.put_slice(&Slice {
        name: "business-1",
        service: "business",
        hosts: &hosts,
        protocol: "TCP",
        port: 8080,
    });
    let clusters = vec![("", 10, cluster.client().await)];
    let operator = Operator::start(
        clusters,
        wan.client(LoginKind::Auto, Patience::default()),
        settings(),
    );
    let packet = Packet {
        sites: (100, 200),
        service_vpn: 10,
        protocol: 6,
        source: "10.0.1.7:40000".parse().unwrap(),
        destination: "10.0.2.5:8080".parse().unwrap(),
    };
    let started = std::time::Instant::now();
    loop {
        let at = |packet: &Packet| fate(&wan.edges.policy_of(packet.sites.0), &wan.edges, packet);
        if [packet, packet.reply()]
            .iter()
            .all(|packet| at(packet) == Fate::over("biz-internet"))
        {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    operator.stop().await;
}
