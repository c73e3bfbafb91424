//! Policies to reconcile, compiled from views as the controller makes them.

use sdwan_operator::core::{
    Action, Cluster, Conventions, EndpointState, Intent, Mode, ServiceKind, ServicePort, ServiceRef,
    ServiceView, Settings, SlicePort, SliceView, SteeringPolicy, Tunnel, View, compile,
};

/// The policy for Services with a name, a color, a mode and endpoints at TCP port 8080.
pub fn steering(services: &[(&str, &str, Mode, &[&str])]) -> SteeringPolicy {
    let services = services.iter().map(|&(name, color, mode, hosts)| {
        let settings = Settings {
            tunnel: Some(Tunnel::Color(color.parse().unwrap())),
            mode: Some(mode),
            ..Settings::default()
        };
        (name, settings, hosts)
    });
    asking(&services.collect::<Vec<_>>())
}

/// One Service for each thing that can be asked for, each with an endpoint of either family.
pub fn everything() -> SteeringPolicy {
    let color = |color: &str| Some(Tunnel::Color(color.parse().unwrap()));
    let sla = Some("latency=50ms,loss=1%,jitter=10ms".parse().unwrap());
    let fallback = Some(vec!["lte".parse().unwrap()]);
    let asked = [
        Settings {
            tunnel: color("mpls"),
            mode: Some(Mode::Strict),
            ..Settings::default()
        },
        Settings {
            tunnel: color("mpls"),
            mode: Some(Mode::Preferred),
            fallback,
            ..Settings::default()
        },
        Settings {
            tunnel: color("gold"),
            sla,
            ..Settings::default()
        },
        Settings {
            action: Some(Action::Drop),
            ..Settings::default()
        },
        Settings {
            action: Some(Action::Inspect),
            tunnel: color("silver"),
            ..Settings::default()
        },
        Settings {
            action: Some(Action::Inspect),
            tunnel: color("bronze"),
            sla,
            ..Settings::default()
        },
    ];
    let hosts = ["10.3.0.", "fd00:3::"].map(|net| (1..=asked.len()).map(move |n| format!("{net}{n}")));
    let [v4, v6] = hosts.map(Iterator::collect::<Vec<_>>);
    let names: Vec<String> = (1..=asked.len()).map(|n| format!("service-{n}")).collect();
    let hosts: Vec<[&str; 2]> = v4
        .iter()
        .zip(&v6)
        .map(|(v4, v6)| [v4.as_str(), v6.as_str()])
        .collect();
    let services = names.iter().zip(asked).zip(&hosts);
    asking(
        &services
            .map(|((name, settings), hosts)| (name.as_str(), settings, hosts.as_slice()))
            .collect::<Vec<_>>(),
    )
}

/// The policy for Services with a name, what they ask for, and endpoints at TCP port 8080.
pub fn asking(services: &[(&str, Settings, &[&str])]) -> SteeringPolicy {
    let mut view = View {
        conventions: Conventions {
            clusters: [(Cluster::default(), 10)].into(),
            ..Conventions::default()
        },
        ..View::default()
    };
    for (name, settings, hosts) in services {
        let service = ServiceRef {
            cluster: Cluster::default(),
            kube_namespace: "shop".to_owned(),
            name: (*name).to_owned(),
        };
        view.services.push(ServiceView {
            service: service.clone(),
            uid: (*name).to_owned(),
            created: None,
            kind: ServiceKind::Endpoints,
            ports: vec![ServicePort {
                name: String::new(),
                number: 80,
            }],
            intent: Some(Ok(Intent {
                all: settings.clone(),
                ..Intent::default()
            })),
        });
        let ready = |host: &&str| (host.parse().unwrap(), EndpointState::Ready);
        view.slices.push(SliceView {
            name: (*name).to_owned(),
            service,
            endpoints: hosts.iter().map(ready).collect(),
            ports: vec![SlicePort {
                name: String::new(),
                protocol: "TCP".to_owned(),
                port: 8080,
            }],
        });
    }
    compile(&view).policy
}
