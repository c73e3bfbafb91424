//! Whole outputs of compile, render and diff, and the properties that hold for all of them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn service(name: &str, created: i64, tunnel: &str, mode: Mode) -> AnnotatedService {
    AnnotatedService {
        service: ServiceRef {
            kube_namespace: "shop".to_owned(),
            name: name.to_owned(),
        },
        uid: format!("uid-{name}"),
        created: Some(created),
        intent: Ok(Intent {
            tunnel: tunnel.parse().unwrap(),
            mode,
        }),
    }
}

fn slice(service: &str, ready: &[&str], ports: &[(&str, u16)]) -> SliceView {
    SliceView {
        service: ServiceRef {
            kube_namespace: "shop".to_owned(),
            name: service.to_owned(),
        },
        ready: ready.iter().map(|address| address.parse().unwrap()).collect(),
        ports: ports
            .iter()
            .map(|&(protocol, port)| SlicePort {
                protocol: protocol.to_owned(),
                port,
            })
            .collect(),
    }
}

fn demo() -> View {
    View {
        services: vec![
            service("business", 1, "biz-internet", Mode::Strict),
            service("reports", 2, "biz-internet", Mode::Strict),
            service("backup", 3, "public-internet", Mode::Preferred),
        ],
        slices: vec![
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
    }
}

fn scope() -> Scope {
    Scope {
        sites: ["100", "200"].map(str::to_owned).into(),
        service_vpn: 10,
    }
}

fn rendered(view: &View, observed: &Objects) -> Objects {
    render(&compile(view).policy, &scope(), &Owner::default(), observed)
}

fn show(compiled: &Compiled) -> String {
    let mut text = String::new();
    for SteeringRule { flow, prefer } in &compiled.policy.rules {
        let hosts: Vec<_> = flow.hosts.iter().map(ToString::to_string).collect();
        let Flow {
            direction,
            protocol,
            port,
            ..
        } = flow;
        let (color, mode) = (prefer.color, prefer.mode.as_str());
        writeln!(
            text,
            "{color} {mode}: {direction:?} {protocol}/{port} {}",
            hosts.join(" ")
        )
        .unwrap();
    }
    for Rejection { service, refusal, .. } in &compiled.rejections {
        writeln!(text, "{service} {}: {refusal}", refusal.reason()).unwrap();
    }
    text
}

fn show_objects(objects: &Objects) -> String {
    let mut text = String::new();
    for (name, List { kind, entries }) in &objects.lists {
        let entries: Vec<_> = entries.iter().map(String::as_str).collect();
        writeln!(text, "{name}: {kind:?} {}", entries.join(" ")).unwrap();
    }
    let Some(Definition::Sequences(sequences)) = &objects.definition else {
        panic!("no sequences")
    };
    for Sequence {
        direction,
        family,
        hosts,
        protocol,
        port,
        prefer,
    } in sequences
    {
        let (color, mode) = (prefer.color, prefer.mode.as_str());
        writeln!(
            text,
            "{direction:?} {family:?} {hosts} {protocol}/{port} -> {color} {mode}"
        )
        .unwrap();
    }
    write!(text, "{:?}", objects.policy.as_ref().unwrap()).unwrap();
    text
}

#[test]
fn endpoints_of_equal_intents_share_a_rule_per_class_and_direction() {
    insta::assert_snapshot!(show(&compile(&demo())), @r"
    biz-internet strict: Replies tcp/8080 10.2.0.5 10.2.0.6 10.2.0.9
    biz-internet strict: Requests tcp/8080 10.2.0.5 10.2.0.6 10.2.0.9
    biz-internet strict: Replies tcp/8080 fd00:2::5
    biz-internet strict: Requests tcp/8080 fd00:2::5
    biz-internet strict: Replies udp/8080 10.2.0.5 10.2.0.6
    biz-internet strict: Requests udp/8080 10.2.0.5 10.2.0.6
    biz-internet strict: Replies udp/8080 fd00:2::5
    biz-internet strict: Requests udp/8080 fd00:2::5
    public-internet preferred: Replies tcp/873 10.2.0.7
    public-internet preferred: Requests tcp/873 10.2.0.7
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
    insta::assert_snapshot!(show(&Compiled { policy: SteeringPolicy::default(), ..compiled }), @"shop/intruder Conflict: endpoint 10.2.0.5 port 8080/tcp is already steered to biz-internet (strict) by the older Service shop/business");
}

#[test]
fn a_port_that_cannot_be_steered_refuses_the_whole_service() {
    let view = View {
        services: vec![service("voice", 1, "mpls", Mode::Strict)],
        slices: vec![slice("voice", &["10.2.0.5"], &[("TCP", 5060), ("SCTP", 5061)])],
    };
    insta::assert_snapshot!(show(&compile(&view)), @"shop/voice UnsupportedProtocol: protocol SCTP cannot be steered; accepted: TCP, UDP");
}

#[test]
fn a_service_without_ready_endpoints_has_no_rule_and_no_rejection() {
    let view = View {
        services: vec![service("business", 1, "mpls", Mode::Strict)],
        slices: vec![slice("business", &[], &[("TCP", 8080)])],
    };
    assert_eq!(compile(&view), Compiled::default());
}

#[rstest]
#[case::strict_is_the_default(&[("tunnel", "mpls")], "mpls strict")]
#[case::preferred(&[("tunnel", "mpls"), ("mode", "preferred")], "mpls preferred")]
#[case::spelling_in_the_wild(&[("tunnel", "bizinternet")], "biz-internet strict")]
#[case::nothing(&[], "no intent")]
#[case::unknown_color(&[("tunnel", "biz internet")], "annotation `policy.sdwan.cisco.com/tunnel`: unknown color \
    `biz internet`; known colors: default, mpls, metro-ethernet, biz-internet, public-internet, lte, 3g, red, green, \
    blue, gold, silver, bronze, custom1, custom2, custom3, private1, private2, private3, private4, private5, private6")]
#[case::unknown_mode(&[("tunnel", "mpls"), ("mode", "Strict")],
    "annotation `policy.sdwan.cisco.com/mode`: unknown mode `Strict`; accepted: strict, preferred")]
#[case::mode_alone(&[("mode", "strict")], "annotation `policy.sdwan.cisco.com/tunnel` is missing")]
#[case::misspelt(&[("tunel", "mpls")],
    "unknown annotation `policy.sdwan.cisco.com/tunel`; known under this prefix: tunnel, mode")]
fn annotations_read_as(#[case] annotations: &[(&str, &str)], #[case] expected: &str) {
    let mut map: BTreeMap<_, _> = annotations
        .iter()
        .map(|(key, value)| (format!("policy.sdwan.cisco.com/{key}"), (*value).to_owned()))
        .collect();
    map.insert(
        "policy.sdwan.cisco.com.example/tunnel".to_owned(),
        "lte".to_owned(),
    );
    let read = match Intent::read(&map, &AnnotationPrefix::default()) {
        Ok(Some(intent)) => format!("{} {}", intent.tunnel, intent.mode.as_str()),
        Ok(None) => "no intent".to_owned(),
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
    ppo-sites-6f3ccllgb: Site 100 200
    ppo-t8080-biz-internet-006vt8tn0: DataIpv6Prefix fd00:2::5/128
    ppo-t8080-biz-internet-kigsm1h10: DataPrefix 10.2.0.5/32 10.2.0.6/32 10.2.0.9/32
    ppo-t873-public-intern-ev9qormre: DataPrefix 10.2.0.7/32
    ppo-u8080-biz-internet-6l90q0v5g: DataPrefix 10.2.0.5/32 10.2.0.6/32
    ppo-u8080-biz-internet-n3l17getv: DataIpv6Prefix fd00:2::5/128
    ppo-vpn10-kigmt8vsa: Vpn 10
    Replies V4 ppo-t8080-biz-internet-kigsm1h10 tcp/8080 -> biz-internet strict
    Requests V4 ppo-t8080-biz-internet-kigsm1h10 tcp/8080 -> biz-internet strict
    Replies V6 ppo-t8080-biz-internet-006vt8tn0 tcp/8080 -> biz-internet strict
    Requests V6 ppo-t8080-biz-internet-006vt8tn0 tcp/8080 -> biz-internet strict
    Replies V4 ppo-u8080-biz-internet-6l90q0v5g udp/8080 -> biz-internet strict
    Requests V4 ppo-u8080-biz-internet-6l90q0v5g udp/8080 -> biz-internet strict
    Replies V6 ppo-u8080-biz-internet-n3l17getv udp/8080 -> biz-internet strict
    Requests V6 ppo-u8080-biz-internet-n3l17getv udp/8080 -> biz-internet strict
    Replies V4 ppo-t873-public-intern-ev9qormre tcp/873 -> public-internet preferred
    Requests V4 ppo-t873-public-intern-ev9qormre tcp/873 -> public-internet preferred
    CentralPolicy { assembly: Service { sites: ListName("ppo-sites-6f3ccllgb"), service_vpns: ListName("ppo-vpn10-kigmt8vsa") }, active: true }
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
    assert_eq!(change_set.definition, Some(Definition::Sequences(Vec::new())));
    assert_eq!(change_set.activation, Some(Activation::Edit));
    assert_eq!(change_set.assembly, None);
    assert!(
        change_set
            .remove
            .values()
            .all(|list| list.kind == ListKind::DataPrefix || list.kind == ListKind::DataIpv6Prefix)
    );
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
    list.entries.insert("10.0.0.0/8".to_owned());
    let name = name.clone();
    observed.definition = Some(Definition::Altered);
    let change_set = diff(&desired, &observed);
    assert_eq!(change_set.repair.keys().collect::<Vec<_>>(), [&name]);
    assert_eq!(change_set.definition, desired.definition);
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
    (services, slices).prop_map(|(services, slices)| View {
        services,
        slices: slices
            .into_iter()
            .map(|(name, ready, ports)| SliceView {
                ready,
                ..slice(name, &[], &ports)
            })
            .collect(),
    })
}

fn shuffled_view() -> impl Strategy<Value = (View, View)> {
    any_view().prop_flat_map(|view| {
        let services = Just(view.services.clone()).prop_shuffle();
        let slices = Just(view.slices.clone()).prop_shuffle();
        (Just(view), services, slices).prop_map(|(view, services, slices)| (view, View { services, slices }))
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
        for SteeringRule { flow, .. } in compile(&view).policy.rules {
            for host in flow.hosts {
                prop_assert!(seen.insert((flow.direction, host, flow.protocol, flow.port)));
            }
        }
    }

    #[test]
    fn a_rejected_service_changes_nothing(view in any_view()) {
        let compiled = compile(&view);
        let mut without = view.clone();
        without.services.retain(|kept| compiled.rejections.iter().all(|rejected| rejected.service != kept.service));
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
