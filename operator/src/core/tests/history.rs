//! Random histories: what comes out depends on the facts and not on the way to them, and on the way from one state of
//! the Manager to the next no traffic is left without what was or shall be asked for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::model::model;
use crate::core::*;

fn conventions() -> Conventions {
    Conventions {
        tenants: [("blue".to_owned(), 20)].into(),
        clusters: [(Cluster::default(), 10), (Cluster::from("far"), 11)].into(),
        endpoints: Endpoints::Serving,
        ..Conventions::default()
    }
}

/// Mostly in one namespace, so that Services get in each other's way.
fn object(name: &'static [&'static str]) -> impl Strategy<Value = ObjectRef> {
    let cluster = prop_oneof![15 => Just(""), 1 => Just("far"), 1 => Just("unknown")];
    let kube_namespace = prop_oneof![9 => Just("shop"), 1 => Just("lab")];
    (cluster, kube_namespace, select(name)).prop_map(|(cluster, kube_namespace, name)| ObjectRef {
        cluster: cluster.into(),
        kube_namespace: kube_namespace.to_owned(),
        name: name.to_owned(),
    })
}

fn service_name() -> impl Strategy<Value = ServiceRef> {
    object(&["a", "b", "c"])
}

fn color(name: &str) -> Color {
    name.parse().unwrap()
}

fn settings() -> impl Strategy<Value = Settings> {
    let tunnel = prop_oneof![
        6 => select(vec!["mpls", "lte"]).prop_map(|name| Tunnel::Color(color(name))),
        1 => Just(Tunnel::None),
    ];
    let action =
        prop_oneof![4 => Just(None), 1 => select(vec![Action::Inspect, Action::Drop]).prop_map(Some)];
    let sla = select(vec!["latency=50ms", "loss=1%"]).prop_map(|text| text.parse().unwrap());
    (
        option::weighted(0.7, tunnel),
        option::weighted(0.2, Just(Mode::Preferred)),
        option::weighted(0.2, Just(vec![color("gold")])),
        option::weighted(0.3, sla),
        option::weighted(0.1, Just(Encryption::Required)),
        action,
    )
        .prop_map(|(tunnel, mode, fallback, sla, encryption, action)| Settings {
            tunnel,
            mode,
            fallback,
            sla,
            encryption,
            action,
        })
}

fn intent() -> impl Strategy<Value = Intent> {
    let ports = option::weighted(0.3, (select(vec!["http", "metrics", "80", "81"]), settings()));
    let tenant = option::weighted(0.1, select(vec!["blue", "green"]));
    let any = (settings(), tenant, ports).prop_map(|(all, tenant, ports)| Intent {
        all,
        tenant: tenant.map(str::to_owned),
        ports: ports
            .into_iter()
            .map(|(port, settings)| (port.parse().unwrap(), settings))
            .collect(),
    });
    let pin = select(vec!["mpls", "lte", "gold"]).prop_map(|name| Intent {
        all: Settings {
            tunnel: Some(Tunnel::Color(color(name))),
            ..Settings::default()
        },
        ..Intent::default()
    });
    // Boxed, for strategies are as large as all that they are made of.
    prop_oneof![2 => pin, 1 => any].boxed()
}

fn readable() -> impl Strategy<Value = Result<Intent, IntentError>> {
    let place = Place::Annotation("policy.sdwan.cisco.com/oops".to_owned());
    prop_oneof![30 => intent().prop_map(Ok), 1 => Just(Err(IntentError::UnknownKey { place }))]
}

fn service() -> impl Strategy<Value = ServiceView> {
    let kind = prop_oneof![30 => Just(ServiceKind::Endpoints), 1 => Just(ServiceKind::ExternalName)];
    (service_name(), 0_i64..3, kind, option::weighted(0.8, readable())).prop_map(
        |(service, created, kind, intent)| {
            let port = |name: &str, number| ServicePort {
                name: name.to_owned(),
                number,
            };
            ServiceView {
                uid: format!("{service}-{created}"),
                service,
                created: Some(created),
                kind,
                ports: vec![port("http", 80), port("metrics", 81)],
                intent,
            }
        },
    )
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (1_u8..4).prop_map(|host| IpAddr::from([10, 0, 0, host])),
        (1_u16..2).prop_map(|host| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, host])),
    ]
}

fn slice() -> impl Strategy<Value = SliceView> {
    let state = select(vec![
        EndpointState::Ready,
        EndpointState::Present,
        EndpointState::Serving,
        EndpointState::Ready,
    ]);
    let any = (
        select(vec!["http", "metrics", ""]),
        select(vec!["TCP", "UDP", "SCTP", "X"]),
        8080_u16..8082,
    );
    let port = prop_oneof![8 => Just(("http", "TCP", 8080)), 1 => any];
    let port = port.prop_map(|(name, protocol, port)| SlicePort {
        name: name.to_owned(),
        protocol: protocol.to_owned(),
        port,
    });
    (
        select(vec!["x", "y", "z"]),
        service_name(),
        prop::collection::vec((address(), state), 1..4),
        prop::collection::vec(port, 1..3),
    )
        .prop_map(|(name, service, endpoints, ports)| SliceView {
            name: name.to_owned(),
            service,
            endpoints,
            ports,
        })
}

fn policy() -> impl Strategy<Value = PolicyView> {
    (select(vec!["p", "q"]), service_name(), 0_i64..3, readable()).prop_map(
        |(name, service, created, intent)| PolicyView {
            name: name.to_owned(),
            uid: format!("{name}-{created}"),
            service,
            generation: 1,
            created: Some(created),
            intent,
        },
    )
}

fn tunnels() -> impl Strategy<Value = TunnelReports> {
    let encapsulations = prop_oneof![
        6 => Just(vec![Encapsulation::Ipsec]),
        1 => Just(vec![Encapsulation::Gre]),
        1 => Just(vec![Encapsulation::Ipsec, Encapsulation::Gre]),
    ];
    let quality = (select(vec![0, 20_000]), select(vec![10, 90])).prop_map(|(loss_ppm, latency)| Quality {
        loss_ppm,
        latency: Duration::from_millis(latency),
        jitter: Duration::from_millis(1),
    });
    let report = (0_u32..3, encapsulations, option::weighted(0.9, quality));
    let report = report.prop_map(|(up, encapsulations, quality)| TunnelReport {
        up,
        total: 2,
        encapsulations: encapsulations.into_iter().collect(),
        quality,
    });
    prop::collection::btree_map(
        select(vec![color("mpls"), color("lte"), color("gold")]),
        report,
        0..4,
    )
}

fn change() -> impl Strategy<Value = Change> {
    let namespace = || (select(vec!["", "far"]), select(vec!["shop", "lab"]));
    prop_oneof![
        8 => service().prop_map(Change::Service).boxed(),
        1 => service_name().prop_map(Change::ServiceGone),
        12 => slice().prop_map(Change::Slice).boxed(),
        1 => object(&["x", "y", "z"]).prop_map(Change::SliceGone),
        1 => (namespace(), readable()).prop_map(|((cluster, name), intent)| Change::Namespace(NamespaceView {
            cluster: cluster.into(),
            name: name.to_owned(),
            intent,
        })),
        1 => namespace().prop_map(|(cluster, name)| Change::NamespaceGone(cluster.into(), name.to_owned())),
        1 => policy().prop_map(Change::Policy).boxed(),
        1 => object(&["p", "q"]).prop_map(Change::PolicyGone),
        2 => tunnels().prop_map(Change::Tunnels).boxed(),
    ]
}

/// Changes, and after each whether the rules are asked for.
fn history() -> impl Strategy<Value = Vec<(Change, bool)>> {
    prop::collection::vec((change(), any::<bool>()), 1..60)
}

fn scope() -> Scope {
    Scope {
        sites: ["100", "200"].map(str::to_owned).into(),
        inspection: ServiceType::Firewall,
    }
}

fn rendered(policy: &SteeringPolicy, observed: &Objects) -> Objects {
    render(policy, &scope(), &Owner::default(), observed)
}

type Traffic = (u16, Direction, IpAddr, Protocol, u16);
type Treatment = (Option<SequenceAction>, Option<SequenceAction>);

/// What the edges would do if these objects were in force: the first sequence of each kind that matches.
fn treatment(objects: &Objects) -> BTreeMap<Traffic, Treatment> {
    let mut treated = BTreeMap::<Traffic, Treatment>::new();
    let Some(CentralPolicy {
        assembly: Assembly::Service(applied),
        ..
    }) = &objects.policy
    else {
        return treated;
    };
    for key in applied.keys() {
        for sequence in objects.definitions[key].sequences() {
            for host in objects.lists[&sequence.hosts].hosts().unwrap().iter() {
                let traffic = (
                    key.service_vpn,
                    sequence.direction,
                    *host,
                    sequence.protocol,
                    sequence.port,
                );
                let (data, app_route) = treated.entry(traffic).or_default();
                match key.kind {
                    DefinitionKind::Data => data.get_or_insert_with(|| sequence.action.clone()),
                    DefinitionKind::AppRoute => app_route.get_or_insert_with(|| sequence.action.clone()),
                };
            }
        }
    }
    treated
}

/// What sets a color's tunnels, with the encapsulation that they have by these objects: nobody asked for the one that they
/// had, and a list that is still left stays with the color.
fn as_carried(action: &SequenceAction, objects: &Objects) -> SequenceAction {
    let mut carried = action.clone();
    let actions = objects.definitions.values().flat_map(Definition::sequences);
    for sequence in actions {
        if let (
            SequenceAction::Set {
                tunnels:
                    Some(Tunnels::Color {
                        color,
                        encapsulations,
                        ..
                    }),
                ..
            },
            SequenceAction::Set {
                tunnels:
                    Some(Tunnels::Color {
                        color: known,
                        encapsulations: now,
                        ..
                    }),
                ..
            },
        ) = (&mut carried, &sequence.action)
            && color == known
        {
            *encapsulations = *now;
        }
    }
    carried
}

/// The objects after each step of a change set.
fn steps(change_set: &ChangeSet, observed: &Objects) -> Vec<Objects> {
    let mut objects = observed.clone();
    let mut steps = Vec::new();
    let lists = change_set.create.iter().chain(&change_set.edit);
    for (name, list) in lists {
        objects.lists.insert(name.clone(), list.clone());
        steps.push(objects.clone());
    }
    for (key, definition) in &change_set.definitions {
        objects.definitions.insert(*key, definition.clone());
        steps.push(objects.clone());
    }
    let assemble = |objects: &mut Objects| {
        if let Some(assembly) = &change_set.assembly {
            let assembly = assembly.clone();
            objects.policy = Some(CentralPolicy {
                assembly,
                active: true,
            });
        }
    };
    assemble(&mut objects);
    steps.push(objects.clone());
    for (key, definition) in &change_set.settle {
        objects.definitions.insert(*key, definition.clone());
        steps.push(objects.clone());
    }
    for (name, list) in &change_set.narrow {
        objects.lists.insert(name.clone(), list.clone());
        steps.push(objects.clone());
    }
    steps
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_comes_out_depends_on_the_facts_alone(history in history()) {
        let mut compiler = Compiler::new(conventions());
        for (change, ask) in history {
            compiler.apply(change);
            if ask {
                let compiled = compiler.compiled();
                let view = compiler.view();
                prop_assert_eq!(&compiled, &model(&view));
                prop_assert_eq!(&compiled, &compile(&view));
            }
        }
    }

    #[test]
    fn every_destination_has_one_preference_and_is_in_its_bucket(history in history()) {
        let mut compiler = Compiler::new(conventions());
        history.into_iter().for_each(|(change, _)| compiler.apply(change));
        let mut seen = BTreeSet::new();
        for rule in compiler.compiled().policy.rules {
            let Class { service_vpn, protocol, port, family, .. } = rule.class;
            for host in rule.hosts() {
                prop_assert_eq!(Family::of(host), family);
                prop_assert!(seen.insert((service_vpn, host, protocol, port)));
            }
        }
    }

    #[test]
    fn on_the_way_traffic_has_what_was_or_shall_be_asked_for_it(history in history()) {
        let mut compiler = Compiler::new(conventions());
        let mut observed = Objects::default();
        for (change, ask) in history {
            compiler.apply(change);
            if !ask {
                continue;
            }
            let desired = rendered(&compiler.compiled().policy, &observed);
            let change_set = diff(&desired, &observed);
            let (before, after) = (treatment(&observed), treatment(&desired));
            for step in steps(&change_set, &observed) {
                let during = treatment(&step);
                for (traffic, old) in &before {
                    let Some(new) = after.get(traffic) else { continue };
                    let (data, app_route) = during.get(traffic).cloned().unwrap_or_default();
                    prop_assert!(data.is_some() || app_route.is_some(), "{traffic:?} is not steered");
                    let carried = old.0.as_ref().map(|old| as_carried(old, &desired));
                    prop_assert!(data == old.0 || data == new.0 || data == carried, "{traffic:?}: {data:?}");
                    prop_assert!(app_route == old.1 || app_route == new.1, "{traffic:?}: {app_route:?}");
                }
            }
            let reached = change_set.applied_to(observed);
            prop_assert_eq!(&reached, &desired);
            prop_assert!(diff(&rendered(&compiler.compiled().policy, &reached), &reached).is_empty());
            observed = reached;
        }
    }
}
