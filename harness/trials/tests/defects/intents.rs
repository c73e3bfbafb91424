//! What may be asked, of which endpoints, and who goes first.

use std::time::Duration;

use netsim::policy::Preference;
use pathproof_trials::{Fate, Packet, settings};
use rstest::rstest;
use sdwan_operator::controller::Settings;
use sdwan_operator::core::Conventions;
use serde_json::json;

use crate::support::{COLORS, Trial, annotation, both_ways, eventually, exchange, stays};
use pathproof_trials::Wan;

/// Addresses get /32 whatever their family, and every protocol but TCP and UDP becomes 0.
#[rstest]
#[case::tcp("10.0.2.5", "TCP", 6)]
#[case::udp("10.0.2.5", "UDP", 17)]
#[case::sctp("10.0.2.5", "SCTP", 132)]
#[case::tcp_over_ipv6("fd00:2::5", "TCP", 6)]
#[case::sctp_over_ipv6("fd00:2::5", "SCTP", 132)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_family_and_protocol_is_steered_by_its_own_number(
    #[case] host: &str,
    #[case] protocol: &str,
    #[case] number: u8,
) {
    let trial = Trial::start().await;
    trial.service("business", &[("tunnel", "mpls")], &[]);
    trial.slice("business", protocol, 9000, &[host]);
    let operator = trial.operator(settings()).await;
    let fates = |packets: [Packet; 2]| packets.map(|packet| trial.fate(&packet));
    let steered = [Fate::over("mpls"), Fate::over("mpls")];
    eventually("steered", || fates(exchange(host, number, 9000)) == steered).await;
    let routed = [Fate::over("default"), Fate::over("default")];
    assert_eq!(fates(exchange(host, 0, 9000)), routed, "another protocol");
    assert_eq!(fates(exchange(host, number, 9001)), routed, "another port");
    let neighbor = if host.contains(':') {
        "fd00:2::6"
    } else {
        "10.0.2.6"
    };
    assert_eq!(fates(exchange(neighbor, number, 9000)), routed, "another host");
    operator.stop().await;
}

/// A target port that has a name is an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_target_port_is_that_of_the_endpoints_in_both_families() {
    let trial = Trial::start().await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "annotations": {annotation("tunnel"): "biz-internet"}},
        "spec": {
            "ports": [{"name": "front", "port": 80, "targetPort": "http"}],
            "ipFamilyPolicy": "RequireDualStack",
        },
    });
    trial.cluster.api.create(&service).unwrap();
    let slice = |name: &str, family: &str, host: &str, port: u16| {
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": family, "ports": [{"name": "front", "protocol": "TCP", "port": port}],
            "endpoints": [{"addresses": [host], "conditions": {"ready": true}}],
        });
        trial.cluster.api.create(&slice).unwrap();
    };
    // One name, and each release of the pods listens elsewhere.
    slice("web-1", "IPv4", "10.0.2.5", 8080);
    slice("web-2", "IPv4", "10.0.2.6", 8081);
    slice("web-3", "IPv6", "fd00:2::5", 8080);
    let operator = trial.operator(settings()).await;
    for (host, port) in [("10.0.2.5", 8080), ("10.0.2.6", 8081), ("fd00:2::5", 8080)] {
        let packets = exchange(host, 6, port);
        let steered = || {
            packets
                .iter()
                .all(|packet| trial.fate(packet) == Fate::over("biz-internet"))
        };
        eventually(host, steered).await;
    }
    assert_eq!(trial.fate(&exchange("10.0.2.5", 6, 80)[0]), Fate::over("default"));
    operator.stop().await;
}

/// What was appended first goes first, whoever is broader or was there before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_services_of_one_endpoint_the_older_has_it_until_it_goes() {
    let trial = Trial::start().await;
    trial.install();
    trial.service("older", &[("tunnel", "mpls")], &["10.0.2.5"]);
    // Kubernetes tells the ages of objects in whole seconds.
    tokio::time::sleep(Duration::from_millis(1001)).await;
    trial.service("a-younger", &[("tunnel", "biz-internet")], &["10.0.2.5"]);
    let operator = trial.operator(settings()).await;
    trial.until_taken("10.0.2.5", "mpls").await;
    eventually("the younger is told", || {
        trial.reasons("a-younger") == ["Conflict"]
    })
    .await;
    stays("over mpls", || trial.takes("10.0.2.5", "mpls")).await;
    let since = trial.wan.edges.count();
    trial.cluster.delete_service("older");
    trial.until_taken("10.0.2.5", "biz-internet").await;
    trial.never_left(since, "10.0.2.5", &["mpls", "biz-internet"]);
    operator.stop().await;
}

/// Any word is sent to the Manager as a color.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_color_is_told_and_changes_nothing() {
    let trial = Trial::start().await;
    trial.service("business", &[("tunnel", "business-class")], &["10.0.2.5"]);
    trial.service("batch", &[("tunnel", "mpls")], &["10.0.2.6"]);
    let operator = trial.operator(settings()).await;
    trial.until_taken("10.0.2.6", "mpls").await;
    eventually("told", || trial.reasons("business") == ["UnknownColor"]).await;
    let since = trial.wan.edges.count();
    trial.tunnel("batch", "mlps");
    eventually("told", || {
        trial.reasons("batch").contains(&"UnknownColor".to_owned())
    })
    .await;
    assert!(trial.takes("10.0.2.5", "default"));
    assert_eq!(operator.metric("sdwan_operator_services{state=\"refused\"}"), 2.0);
    trial.tunnel("business", "bizinternet");
    trial.until_taken("10.0.2.5", "biz-internet").await;
    assert!(trial.wan.edges.count() > since);
    operator.stop().await;
}

/// The operator knows nothing of VPNs: tenants that have the same addresses get each other's policy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_with_the_same_addresses_stay_apart() {
    let trial = Trial::start().await;
    trial.service("red", &[("tunnel", "mpls")], &["10.0.2.5"]);
    trial.service(
        "blue",
        &[("tunnel", "biz-internet"), ("tenant", "blue")],
        &["10.0.2.5"],
    );
    let conventions = Conventions {
        tenants: [("blue".to_owned(), 20)].into(),
        ..Conventions::default()
    };
    let operator = trial
        .operator(Settings {
            conventions,
            ..settings()
        })
        .await;
    trial.until_taken("10.0.2.5", "mpls").await;
    let in_blue = both_ways("10.0.2.5").map(|packet| Packet {
        service_vpn: 20,
        ..packet
    });
    let is_steered = || {
        in_blue
            .iter()
            .all(|packet| trial.fate(packet) == Fate::over("biz-internet"))
    };
    eventually("the other tenant's", is_steered).await;
    trial.cluster.delete_service("red");
    trial.until_taken("10.0.2.5", "default").await;
    assert!(is_steered());
    operator.stop().await;
}

/// Nobody looks whether the tunnel keeps what was hoped of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_that_breaks_its_class_is_seen_told_and_left() {
    let wan = Wan::configured(2, &COLORS, |config| {
        config.statistics_interval = Duration::from_millis(20)
    })
    .await;
    let trial = Trial::on(wan).await;
    trial.install();
    let asked = [
        ("tunnel", "mpls"),
        ("fallback", "biz-internet"),
        ("sla", "latency=50ms"),
    ];
    trial.service("voice", &asked, &["10.0.2.5"]);
    let tunnel_poll = Duration::from_millis(20);
    let operator = trial
        .operator(Settings {
            tunnel_poll,
            ..settings()
        })
        .await;
    let prefers = |color: &str| {
        let policy = trial.wan.edges.policy_of(100);
        let choices = policy.app_route.iter().flat_map(|of_vpn| of_vpn.sequences.iter());
        let mut choices = choices.filter_map(|sequence| sequence.choice.as_ref()).peekable();
        let wanted = Preference::Colors(vec![color.to_owned()]);
        choices.peek().is_some() && choices.all(|choice| choice.preference == wanted)
    };
    eventually("mpls is preferred", || prefers("mpls")).await;
    eventually("programmed", || {
        trial.condition("voice", "Programmed") == "True Programmed"
    })
    .await;

    trial.wan.edges.set_latency("mpls", Duration::from_millis(200));
    let latency = "sdwan_operator_tunnel_latency_seconds{color=\"mpls\"}";
    eventually("measured", || operator.metric(latency) > 0.05).await;
    eventually("left", || prefers("biz-internet")).await;
    trial
        .wan
        .edges
        .set_latency("biz-internet", Duration::from_millis(200));
    eventually("shown", || {
        trial.condition("voice", "Degraded") == "True SlaViolated"
    })
    .await;
    eventually("told", || {
        trial.reasons("voice").contains(&"SlaViolated".to_owned())
    })
    .await;
    operator.stop().await;
}
