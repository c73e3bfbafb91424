//! Policies to reconcile, compiled from views as the controller makes them.

use sdwan_operator::core::{
    Cluster, Conventions, EndpointState, Intent, Mode, ServiceKind, ServicePort, ServiceRef, ServiceView,
    Settings, SlicePort, SliceView, SteeringPolicy, Tunnel, View, compile,
};

/// The policy for Services with a name, a color, a mode and endpoints at TCP port 8080.
pub fn steering(services: &[(&str, &str, Mode, &[&str])]) -> SteeringPolicy {
    let mut view = View {
        conventions: Conventions {
            clusters: [(Cluster::default(), 10)].into(),
            ..Conventions::default()
        },
        ..View::default()
    };
    for &(name, color, mode, hosts) in services {
        let service = ServiceRef {
            cluster: Cluster::default(),
            kube_namespace: "shop".to_owned(),
            name: name.to_owned(),
        };
        let all = Settings {
            tunnel: Some(Tunnel::Color(color.parse().unwrap())),
            mode: Some(mode),
            ..Settings::default()
        };
        view.services.push(ServiceView {
            service: service.clone(),
            uid: name.to_owned(),
            created: None,
            kind: ServiceKind::Endpoints,
            ports: vec![ServicePort {
                name: String::new(),
                number: 80,
            }],
            intent: Some(Ok(Intent {
                all,
                ..Intent::default()
            })),
        });
        let ready = |host: &&str| (host.parse().unwrap(), EndpointState::Ready);
        view.slices.push(SliceView {
            name: name.to_owned(),
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
