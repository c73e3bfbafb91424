//! Whole outputs of compile, render and diff, and the properties that hold for all of them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod history;
mod intents;
mod model;
mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn service_ref(name: &str) -> ServiceRef {
    ServiceRef {
        cluster: Cluster::default(),
        kube_namespace: "shop".to_owned(),
        name: name.to_owned(),
    }
}

fn service(name: &str, created: i64, tunnel: &str, mode: Mode) -> ServiceView {
    annotated(
        name,
        created,
        Settings {
            tunnel: Some(Tunnel::Color(tunnel.parse().unwrap())),
            mode: Some(mode),
            ..Settings::default()
        },
    )
}

fn annotated(name: &str, created: i64, all: Settings) -> ServiceView {
    ServiceView {
        service: service_ref(name),
        uid: format!("uid-{name}"),
        created: Some(created),
        kind: ServiceKind::Endpoints,
        ports: vec![ServicePort {
            name: String::new(),
            number: 80,
        }],
        intent: Some(Ok(Intent {
            all,
            ..Intent::default()
        })),
    }
}

fn slice(service: &str, ready: &[&str], ports: &[(&str, u16)]) -> SliceView {
    let addresses = ready.iter().map(|address| address.parse().unwrap());
    let ports = ports.iter().map(|&(protocol, port)| SlicePort {
        name: String::new(),
        protocol: protocol.to_owned(),
        port,
    });
    SliceView {
        name: format!("{service}-{}", ready.join("-")),
        service: service_ref(service),
        endpoints: addresses.map(|address| (address, EndpointState::Ready)).collect(),
        ports: ports.collect(),
    }
}

fn view(services: Vec<ServiceView>, slices: Vec<SliceView>) -> View {
    View {
        conventions: Conventions {
            clusters: [(Cluster::default(), 10)].into(),
            ..Conventions::default()
        },
        services,
        slices,
        ..View::default()
    }
}

fn demo() -> View {
    view(
        vec![
            service("business", 1, "biz-internet", Mode::Strict),
            service("reports", 2, "biz-internet", Mode::Strict),
            service("backup", 3, "public-internet", Mode::Preferred),
        ],
        vec![
            slice(
                "business",
                &["10.2.0.5", "10.2.0.6"],
                &[("TCP", 8080), ("UDP", 8080)],
            ),
            slice("business", &["fd00:2::5"], &[("TCP", 8080), ("UDP", 8080)]),
            slice("reports", &["10.2.0.9"], &[("TCP", 8080)]),
            slice("backup", &["10.2.0.7"], &[("TCP", 873)]),
            slice("not-annotated", &["10.2.0.8"], &[("TCP", 8080)]),
        ],
    )
}

fn scope() -> Scope {
    Scope {
        sites: ["100", "200"].map(str::to_owned).into(),
        inspection: ServiceType::Firewall,
    }
}

fn rendered(view: &View, observed: &Objects) -> Objects {
    render(&compile(view).policy, &scope(), &Owner::default(), observed)
}

fn show(compiled: &Compiled) -> String {
    let mut text = String::new();
    for rule in &compiled.policy.rules {
        let hosts: Vec<_> = rule.hosts().map(|host| host.to_string()).collect();
        let Class {
            service_vpn,
            preference,
            protocol,
            port,
            ..
        } = &rule.class;
        let hosts = hosts.join(" ");
        writeln!(text, "vpn {service_vpn} {protocol}/{port} {hosts}: {preference}").unwrap();
    }
    text + &refusals(compiled)
}

fn refusals(compiled: &Compiled) -> String {
    let mut text = String::new();
    for outcome in &compiled.outcomes {
        if let Err(refusal) = &outcome.verdict {
            writeln!(text, "{} {}: {refusal}", outcome.service, refusal.reason()).unwrap();
        }
    }
    text
}

fn show_objects(objects: &Objects) -> String {
    let mut text = String::new();
    for (name, list) in &objects.lists {
        writeln!(text, "{name}: {list:?}").unwrap();
    }
    for (key, definition) in &objects.definitions {
        writeln!(text, "{}", key.name(&PolicyName::default())).unwrap();
        for Sequence {
            direction,
            family,
            hosts,
            protocol,
            port,
            action,
        } in definition.sequences()
        {
            writeln!(
                text,
                "  {direction:?} {family:?} {hosts} {protocol}/{port} -> {action:?}"
            )
            .unwrap();
        }
    }
    write!(text, "{:?}", objects.policy.as_ref().unwrap()).unwrap();
    text
}

#[test]
fn endpoints_of_equal_intents_share_a_rule_per_class_and_direction() {
    insta::assert_snapshot!(show(&compile(&demo())), @r"
    vpn 10 tcp/8080 10.2.0.5 10.2.0.6 10.2.0.9: biz-internet (strict)
    vpn 10 tcp/8080 fd00:2::5: biz-internet (strict)
    vpn 10 udp/8080 10.2.0.5 10.2.0.6: biz-internet (strict)
    vpn 10 udp/8080 fd00:2::5: biz-internet (strict)
    vpn 10 tcp/873 10.2.0.7: public-internet (preferred)
    ");
}

#[test]
fn a_newer_service_that_contradicts_an_older_one_gets_no_rule() {
    let mut view = demo();
    view.services.push(service("intruder", 9, "mpls", Mode::Strict));
    view.slices
        .push(slice("intruder", &["10.2.0.5", "10.2.0.50"], &[("TCP", 8080)]));
    let compiled = compile(&view);
    assert_eq!(compiled.policy, compile(&demo()).policy);
    insta::assert_snapshot!(refusals(&compiled), @"shop/intruder Conflict: endpoint 10.2.0.5 port 8080/tcp is already steered to biz-internet (strict) by the older Service shop/business");
}

/// The oldest takes one endpoint from the second, which is refused and so gives the other to the youngest.
#[test]
fn who_is_refused_takes_nothing_from_the_younger() {
    let mut compiler = Compiler::of(&view(
        vec![
            service("second", 2, "mpls", Mode::Strict),
            service("youngest", 3, "lte", Mode::Strict),
        ],
        vec![
            slice("second", &["10.2.0.5", "10.2.0.6"], &[("TCP", 8080)]),
            slice("youngest", &["10.2.0.6"], &[("TCP", 8080)]),
        ],
    ));
    let without_oldest = show(&compiler.compiled());
    insta::assert_snapshot!(without_oldest, @r"
    vpn 10 tcp/8080 10.2.0.5 10.2.0.6: mpls (strict)
    shop/youngest Conflict: endpoint 10.2.0.6 port 8080/tcp is already steered to mpls (strict) by the older Service shop/second
    ");
    compiler.apply(Change::Slice(slice("oldest", &["10.2.0.5"], &[("TCP", 8080)])));
    compiler.apply(Change::Service(service("oldest", 1, "gold", Mode::Strict)));
    insta::assert_snapshot!(show(&compiler.compiled()), @r"
    vpn 10 tcp/8080 10.2.0.5: gold (strict)
    vpn 10 tcp/8080 10.2.0.6: lte (strict)
    shop/second Conflict: endpoint 10.2.0.5 port 8080/tcp is already steered to gold (strict) by the older Service shop/oldest
    ");
    compiler.apply(Change::ServiceGone(service_ref("oldest")));
    assert_eq!(show(&compiler.compiled()), without_oldest);
}

#[test]
fn a_port_that_cannot_be_steered_refuses_the_whole_service() {
    let view = view(
        vec![service("voice", 1, "mpls", Mode::Strict)],
        vec![slice("voice", &["10.2.0.5"], &[("TCP", 5060), ("DCCP", 5061)])],
    );
    insta::assert_snapshot!(show(&compile(&view)), @"shop/voice UnsupportedProtocol: protocol DCCP cannot be steered; accepted: TCP, UDP, SCTP");
}

#[test]
fn a_service_without_endpoints_has_no_rule_and_is_not_refused() {
    let view = view(
        vec![service("business", 1, "mpls", Mode::Strict)],
        vec![slice("business", &[], &[("TCP", 8080)])],
    );
    let compiled = compile(&view);
    assert_eq!(compiled.policy, SteeringPolicy::default());
    let accepted = compiled.outcomes[0].verdict.as_ref().unwrap();
    assert_eq!(
        (accepted.endpoints, accepted.tunnel),
        (0, Some("mpls".parse().unwrap()))
    );
}

#[rstest]
#[case::strict_is_the_default(&[("tunnel", "mpls")], "mpls (strict)")]
#[case::preferred(&[("tunnel", "mpls"), ("mode", "preferred")], "mpls (preferred)")]
#[case::spelling_in_the_wild(&[("tunnel", "bizinternet")], "biz-internet (strict)")]
#[case::nothing(&[], "nothing")]
#[case::unknown_color(&[("tunnel", "biz internet")], "annotation `policy.sdwan.cisco.com/tunnel`: unknown color \
    `biz internet`; known colors: default, mpls, metro-ethernet, biz-internet, public-internet, lte, 3g, red, green, \
    blue, gold, silver, bronze, custom1, custom2, custom3, private1, private2, private3, private4, private5, private6")]
#[case::unknown_mode(&[("tunnel", "mpls"), ("mode", "Strict")],
    "annotation `policy.sdwan.cisco.com/mode`: unknown mode `Strict`; accepted: strict, preferred")]
#[case::mode_alone(&[("mode", "strict")], "annotation `policy.sdwan.cisco.com/tunnel` is missing")]
#[case::misspelt(&[("tunel", "mpls")],
    "unknown annotation `policy.sdwan.cisco.com/tunel`; known under this prefix: tunnel, mode, fallback, sla, encryption, action, \
    tenant, each but tenant also with .PORT")]
fn annotations_read_as(#[case] annotations: &[(&str, &str)], #[case] expected: &str) {
    let mut map: BTreeMap<_, _> = annotations
        .iter()
        .map(|(key, value)| (format!("policy.sdwan.cisco.com/{key}"), (*value).to_owned()))
        .collect();
    map.insert(
        "policy.sdwan.cisco.com.example/tunnel".to_owned(),
        "lte".to_owned(),
    );
    let prefix = AnnotationPrefix::default();
    let preference = Intent::read(&map, &prefix)
        .and_then(|intent| intent.unwrap_or_default().all.preference(|key| prefix.place(key)));
    let read = match preference {
        Ok(Some(preference)) => preference.to_string(),
        Ok(None) => "nothing".to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(read, expected);
}

#[test]
fn there_are_22_colors_and_each_reads_as_itself() {
    let colors: BTreeSet<_> = Color::all().collect();
    assert_eq!(colors.len(), 22);
    assert!(colors.iter().all(|color| color.as_str().parse() == Ok(*color)));
}

#[rstest]
#[case("")]
#[case("Upper.example.com")]
#[case("a..b")]
#[case("-a.b")]
#[case("a/b")]
fn what_is_no_dns_subdomain_is_no_annotation_prefix(#[case] text: &str) {
    assert!(text.parse::<AnnotationPrefix>().is_err());
}

#[test]
fn rules_become_one_list_and_two_sequences_per_class() {
    insta::assert_snapshot!(show_objects(&rendered(&demo(), &Objects::default())), @r#"
    ppo-sites-eqa2rcf4p: Sites({"100", "200"})
    ppo-t8080-biz-internet-4nkjtdo9v: V6Hosts({fd00:2::5})
    ppo-t8080-biz-internet-abea7jlst: V4Hosts({10.2.0.5, 10.2.0.6, 10.2.0.9})
    ppo-t873-public-intern-js1hibadm: V4Hosts({10.2.0.7})
    ppo-u8080-biz-internet-s9fkehnk1: V6Hosts({fd00:2::5})
    ppo-u8080-biz-internet-uc7ou5oq9: V4Hosts({10.2.0.5, 10.2.0.6})
    ppo-vpn10-s5ocqp6m0: ServiceVpn(10)
    k8s-steering-vpn10
      Replies V4 ppo-t8080-biz-internet-abea7jlst tcp/8080 -> Set { inspect: None, tunnels: Some(Color { color: Color("biz-internet"), encapsulations: Ipsec, mode: Strict }) }
      Requests V4 ppo-t8080-biz-internet-abea7jlst tcp/8080 -> Set { inspect: None, tunnels: Some(Color { color: Color("biz-internet"), encapsulations: Ipsec, mode: Strict }) }
      Replies V6 ppo-t8080-biz-internet-4nkjtdo9v tcp/8080 -> Set { inspect: None, tunnels: Some(Color { color: Color("biz-internet"), encapsulations: Ipsec, mode: Strict }) }
      Requests V6 ppo-t8080-biz-internet-4nkjtdo9v tcp/8080 -> Set { inspect: None, tunnels: Some(Color { color: Color("biz-internet"), encapsulations: Ipsec, mode: Strict }) }
      Replies V4 ppo-u8080-biz-internet-uc7ou5oq9 udp/8080 -> Set { inspect: None, tunnels: Some(Color { color: Color("biz-internet"), encapsulations: Ipsec, mode: Strict }) }
      Requests V4 ppo-u8080-biz-internet-uc7ou5oq9 udp/8080 -> Set { inspect: None, tunnels: Some(Color { color: Color("biz-internet"), encapsulations: Ipsec, mode: Strict }) }
      Replies V6 ppo-u8080-biz-internet-s9fkehnk1 udp/8080 -> Set { inspect: None, tunnels: Some(Color { color: Color("biz-internet"), encapsulations: Ipsec, mode: Strict }) }
      Requests V6 ppo-u8080-biz-internet-s9fkehnk1 udp/8080 -> Set { inspect: None, tunnels: Some(Color { color: Color("biz-internet"), encapsulations: Ipsec, mode: Strict }) }
      Replies V4 ppo-t873-public-intern-js1hibadm tcp/873 -> Set { inspect: None, tunnels: Some(Color { color: Color("public-internet"), encapsulations: Ipsec, mode: Preferred }) }
      Requests V4 ppo-t873-public-intern-js1hibadm tcp/873 -> Set { inspect: None, tunnels: Some(Color { color: Color("public-internet"), encapsulations: Ipsec, mode: Preferred }) }
    CentralPolicy { assembly: Service({DefinitionKey { service_vpn: 10, kind: Data }: AppliedAt { sites: ListName("ppo-sites-eqa2rcf4p"), service_vpns: ListName("ppo-vpn10-s5ocqp6m0") }}), active: true }
    "#);
}

#[test]
fn an_operator_that_was_never_asked_wants_nothing() {
    let desired = rendered(&View::default(), &Objects::default());
    assert_eq!(desired, Objects::default());
    assert!(diff(&desired, &Objects::default()).is_empty());
}

#[test]
fn the_last_annotation_gone_empties_the_definition_and_keeps_the_policy_active() {
    let observed = rendered(&demo(), &Objects::default());
    let desired = rendered(&View::default(), &observed);
    let change_set = diff(&desired, &observed);
    let definitions: Vec<_> = change_set.definitions.values().collect();
    assert_eq!(definitions, [&Definition::Sequences(Vec::new())]);
    assert_eq!(change_set.activation, Some(Activation::Edit));
    assert_eq!(change_set.assembly, None);
    assert!(change_set.remove.values().all(|list| list.hosts().is_some()));
    assert_eq!(change_set.remove.len(), 5);
    let at_rest = change_set.applied_to(observed);
    assert_eq!(at_rest.policy, desired.policy);
    assert!(diff(&rendered(&View::default(), &at_rest), &at_rest).is_empty());
}

#[test]
fn orphans_without_a_policy_are_removed_without_an_activation() {
    let mut observed = rendered(&demo(), &Objects::default());
    observed.policy = None;
    let change_set = diff(&rendered(&View::default(), &observed), &observed);
    assert_eq!(change_set.remove.len(), observed.lists.len());
    assert_eq!(change_set.activation, None);
}

#[test]
fn what_others_changed_is_written_again() {
    let desired = rendered(&demo(), &Objects::default());
    let mut observed = desired.clone();
    let (name, list) = observed.lists.iter_mut().next().unwrap();
    *list = List::Altered(list.kind());
    let name = name.clone();
    for definition in observed.definitions.values_mut() {
        *definition = Definition::Altered;
    }
    let change_set = diff(&desired, &observed);
    assert_eq!(change_set.edit.keys().collect::<Vec<_>>(), [&name]);
    assert_eq!(change_set.definitions, desired.definitions);
    assert_eq!(change_set.activation, Some(Activation::Edit));
}

#[test]
fn a_policy_that_somebody_deactivated_is_activated_again() {
    let desired = rendered(&demo(), &Objects::default());
    let mut observed = desired.clone();
    observed.policy.as_mut().unwrap().active = false;
    let expected = ChangeSet {
        activation: Some(Activation::First),
        ..ChangeSet::default()
    };
    assert_eq!(diff(&desired, &observed), expected);
}

#[rstest]
#[case::empty("")]
#[case::long("ninechars")]
#[case::upper("Ppo")]
#[case::dash("p-o")]
fn an_owner_is_short_and_plain(#[case] text: &str) {
    assert!(text.parse::<Owner>().is_err());
}

fn any_view() -> impl Strategy<Value = View> {
    let names = prop::sample::subsequence(vec!["a", "b", "c", "d"], 0..=4);
    let colors = prop::sample::select(vec!["mpls", "biz-internet", "metro-ethernet", "public-internet"]);
    let services = names.prop_flat_map(move |names| {
        let each = (0_i64..3, colors.clone(), any::<bool>());
        prop::collection::vec(each, names.len()).prop_map(move |rest| {
            let mode = |strict| if strict { Mode::Strict } else { Mode::Preferred };
            let named = names.iter().zip(rest);
            named
                .map(|(name, (created, color, strict))| service(name, created, color, mode(strict)))
                .collect()
        })
    });
    let address = prop_oneof![
        (1_u8..6).prop_map(|host| IpAddr::from([10, 0, 0, host])),
        (1_u16..4).prop_map(|host| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, host])),
    ];
    let port = (
        prop::sample::select(vec!["TCP", "UDP", "TCP", "UDP", "SCTP"]),
        65530_u16..=65535,
    );
    let slices = prop::collection::vec(
        (
            prop::sample::select(vec!["a", "b", "c", "d", "e"]),
            prop::collection::vec(address, 0..4),
            prop::collection::vec(port, 0..3),
        ),
        0..6,
    );
    (services, slices).prop_map(|(services, slices)| {
        let slices = (0..).zip(slices).map(|(index, (name, ready, ports))| SliceView {
            name: format!("{name}-{index}"),
            endpoints: ready
                .into_iter()
                .map(|host: IpAddr| (host, EndpointState::Ready))
                .collect(),
            ..slice(name, &[], &ports)
        });
        view(services, slices.collect())
    })
}

fn shuffled_view() -> impl Strategy<Value = (View, View)> {
    any_view().prop_flat_map(|before| {
        let services = Just(before.services.clone()).prop_shuffle();
        let slices = Just(before.slices.clone()).prop_shuffle();
        let shuffled = (services, slices).prop_map(|(services, slices)| view(services, slices));
        (Just(before), shuffled)
    })
}

proptest! {
    #[test]
    fn compile_does_not_depend_on_order((view, shuffled) in shuffled_view()) {
        prop_assert_eq!(compile(&view), compile(&shuffled));
    }

    #[test]
    fn every_destination_has_one_preference(view in any_view()) {
        let mut seen = BTreeSet::new();
        for rule in compile(&view).policy.rules {
            for host in rule.hosts() {
                prop_assert!(seen.insert((rule.class.service_vpn, host, rule.class.protocol, rule.class.port)));
            }
        }
    }

    #[test]
    fn a_refused_service_changes_nothing(view in any_view()) {
        let compiled = compile(&view);
        let mut without = view.clone();
        let refused = compiled.outcomes.iter().filter(|outcome| outcome.verdict.is_err());
        let refused: BTreeSet<_> = refused.map(|outcome| outcome.service.clone()).collect();
        without.services.retain(|kept| !refused.contains(&kept.service));
        prop_assert_eq!(compile(&without).policy, compiled.policy);
    }

    #[test]
    fn list_names_are_acceptable_to_the_manager(view in any_view()) {
        for name in rendered(&view, &Objects::default()).lists.keys() {
            prop_assert!(name.as_str().len() <= 32);
            prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert!(Owner::default().own_list(name.as_str()).is_some());
        }
    }

    #[test]
    fn the_diff_of_equal_is_empty(view in any_view(), before in any_view()) {
        let observed = rendered(&before, &Objects::default());
        let desired = rendered(&view, &observed);
        prop_assert!(diff(&desired, &desired).is_empty());
    }

    #[test]
    fn applying_the_diff_reaches_desired(view in any_view(), before in any_view(), unconfirmed in any::<bool>()) {
        let observed = Objects { unconfirmed, ..rendered(&before, &Objects::default()) };
        let desired = rendered(&view, &observed);
        let reached = diff(&desired, &observed).applied_to(observed);
        prop_assert_eq!(&reached, &desired);
        prop_assert!(diff(&rendered(&view, &reached), &reached).is_empty());
    }
}
