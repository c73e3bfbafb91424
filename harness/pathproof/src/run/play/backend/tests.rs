use kubeapi::Affinity;
use serde_json::json;

use super::*;

fn stream(protocol: Protocol) -> StreamPlan {
    let (kube_namespace, name) = ("default".to_owned(), "shop".to_owned());
    let cluster = Some("east".to_owned());
    StreamPlan {
        flow: "biz".to_owned(),
        protocol,
        from: PodRef {
            cluster: cluster.clone(),
            kube_namespace: kube_namespace.clone(),
            name: "client".to_owned(),
        },
        to: ServiceRef {
            cluster,
            kube_namespace,
            name,
        },
        service_port: 8081,
        interval_us: 1,
        phase_us: 0,
        size_bytes: 64,
        dscp: 0,
    }
}

fn slice(address_type: &str, port: u16, endpoints: &[(&str, bool)]) -> Arc<Value> {
    let endpoints = endpoints.iter().map(|(address, ready)| {
        json!({
            "addresses": [address], "conditions": {"ready": ready}, "targetRef": {"name": format!("pod-{address}")},
        })
    });
    Arc::new(json!({
        "addressType": address_type,
        "ports": [{"name": "udp", "protocol": "UDP", "port": port}, {"name": "tcp", "protocol": "TCP", "port": 1}],
        "endpoints": endpoints.collect::<Vec<_>>(),
    }))
}

fn said(cluster: &str, annotations: &Value, port: u16, slices: &[Arc<Value>]) -> Said {
    Said {
        cluster: Some(cluster.to_owned()),
        service: Arc::new(json!({
            "metadata": {"annotations": annotations},
            "spec": {"ports": [
                {"name": "tcp", "protocol": "TCP", "port": port}, {"name": "udp", "protocol": "UDP", "port": port},
            ]},
        })),
        slices: slices.to_vec(),
    }
}

fn addresses(backends: &[Backend]) -> Vec<String> {
    let backends = backends.iter();
    backends
        .map(|backend| format!("{} {}", backend.pod, backend.address))
        .collect()
}

fn global(more: &[(&str, &str)]) -> Value {
    let mut annotations = json!({"service.cilium.io/global": "true"});
    for (name, value) in more {
        annotations[format!("service.cilium.io/{name}")] = json!(value);
    }
    annotations
}

/// Of a Service with one backend in the east and one in the west.
fn backends(east: &Value, west: &Value) -> Backends {
    let east = said("east", east, 8081, &[slice("IPv4", 8080, &[("10.1.0.2", true)])]);
    let west = said("west", west, 9, &[slice("IPv4", 9090, &[("10.2.0.2", true)])]);
    Backends::of(&stream(Protocol::Udp), &east, &[west])
}

#[test]
fn a_service_has_the_ready_endpoints_of_ipv4_of_the_port_that_is_called() {
    let slices = [
        slice("IPv6", 8080, &[("fd00::2", true)]),
        slice(
            "IPv4",
            8080,
            &[("10.1.0.2", true), ("10.1.0.3", false), ("10.1.0.4", true)],
        ),
        slice("IPv4", 8090, &[("10.1.0.5", true)]),
    ];
    let service = said("east", &json!({}), 8081, &slices);
    let of = |protocol| Backends::of(&stream(protocol), &service, &[]).own;
    assert_eq!(
        addresses(&of(Protocol::Udp)),
        [
            "pod/pod-10.1.0.2@east 10.1.0.2:8080",
            "pod/pod-10.1.0.4@east 10.1.0.4:8080",
            "pod/pod-10.1.0.5@east 10.1.0.5:8090",
        ]
    );
    assert_eq!(of(Protocol::Tcp)[0].address.port(), 1);
    let other = said("east", &json!({}), 8082, &slices);
    assert_eq!(Backends::of(&stream(Protocol::Udp), &other, &[]).own, []);
}

#[test]
fn other_clusters_serve_what_is_global_here_and_global_and_shared_there() {
    let no = json!({});
    let cases = [
        (global(&[]), global(&[]), true),
        (global(&[("shared", "false")]), global(&[]), true),
        (global(&[]), global(&[("shared", "false")]), false),
        (no.clone(), global(&[]), false),
        (global(&[]), no, false),
    ];
    for (east, west, is_served) in cases {
        let backends = backends(&east, &west);
        assert_eq!(addresses(&backends.own), ["pod/pod-10.1.0.2@east 10.1.0.2:8080"]);
        let expected: &[&str] = match is_served {
            // The port of that name, whatever its number there.
            true => &["pod/pod-10.2.0.2@west 10.2.0.2:9090"],
            false => &[],
        };
        assert_eq!(addresses(&backends.of_others), expected, "{east} {west}");
    }
}

#[test]
fn affinity_chooses_among_those_that_are_ready() {
    let cases = [
        ("none", (1, 1), ["east", "west", "east"]),
        ("local", (1, 1), ["east", "east", "east"]),
        ("local", (0, 1), ["west", "west", "west"]),
        ("remote", (1, 1), ["west", "west", "west"]),
        ("remote", (1, 0), ["east", "east", "east"]),
    ];
    for (affinity, (own, others), expected) in cases {
        let mut backends = backends(&global(&[("affinity", affinity)]), &global(&[]));
        backends.own.truncate(own);
        backends.of_others.truncate(others);
        let chosen = [0, 1, 2].map(|number| backends.choose(number).unwrap().pod.cluster.as_deref().unwrap());
        assert_eq!(chosen, expected, "{affinity} {own} {others}");
    }
    let none = Backends {
        own: Vec::new(),
        of_others: Vec::new(),
        affinity: Affinity::None,
    };
    assert_eq!(none.choose(7), None);
}

#[test]
fn a_backend_outside_of_the_affinity_is_ready_all_the_same() {
    let backends = backends(&global(&[("affinity", "local")]), &global(&[]));
    assert!(backends.contains(&backends.own[0]) && backends.contains(&backends.of_others[0]));
    let mut other = backends.own[0].clone();
    other.address.set_port(1);
    assert!(!backends.contains(&other));
}
