//! What is asked, level by level, and what refuses it.

use rstest::rstest;

use super::{annotated, service_ref, show, slice, view};
use crate::core::*;

/// Annotations without their prefix.
type Annotations<'a> = &'a [(&'a str, &'a str)];

fn read(annotations: Annotations<'_>) -> Option<Result<Intent, IntentError>> {
    let prefix = AnnotationPrefix::default();
    let annotations = annotations
        .iter()
        .map(|(key, value)| (format!("{prefix}/{key}"), (*value).to_owned()))
        .collect();
    Intent::read(&annotations, &prefix).transpose()
}

/// One Service with two ports and an endpoint for each, in a namespace.
fn asked(namespace: Annotations<'_>, service: Annotations<'_>) -> View {
    let port = |name: &str, number| ServicePort {
        name: name.to_owned(),
        number,
    };
    let business = ServiceView {
        ports: vec![port("http", 80), port("metrics", 90)],
        intent: read(service),
        ..annotated("business", 1, Settings::default())
    };
    let mut endpoints = slice("business", &["10.2.0.5"], &[("TCP", 8080), ("TCP", 9090)]);
    endpoints.ports[0].name = "http".to_owned();
    endpoints.ports[1].name = "metrics".to_owned();
    let mut view = view(vec![business], vec![endpoints]);
    view.conventions.tenants = [("blue".to_owned(), 20), ("green".to_owned(), 30)].into();
    view.namespaces = read(namespace)
        .map(|intent| NamespaceView {
            cluster: Cluster::default(),
            name: "shop".to_owned(),
            intent,
        })
        .into_iter()
        .collect();
    view
}

#[rstest]
#[case::of_the_namespace(&[("tunnel", "mpls")], &[], "\
    vpn 10 tcp/8080 10.2.0.5: mpls (strict)\n\
    vpn 10 tcp/9090 10.2.0.5: mpls (strict)\n")]
#[case::key_by_key(&[("tunnel", "mpls"), ("mode", "preferred")], &[("tunnel", "lte")], "\
    vpn 10 tcp/8080 10.2.0.5: lte (preferred)\n\
    vpn 10 tcp/9090 10.2.0.5: lte (preferred)\n")]
#[case::opted_out(&[("tunnel", "mpls")], &[("tunnel", "none")], "")]
#[case::opted_out_of_what_nobody_understands(&[("tunnel", "copper")], &[("tunnel", "none")], "")]
#[case::port_by_name(&[], &[("tunnel", "mpls"), ("tunnel.metrics", "lte")], "\
    vpn 10 tcp/9090 10.2.0.5: lte (strict)\n\
    vpn 10 tcp/8080 10.2.0.5: mpls (strict)\n")]
#[case::port_by_number(&[("mode", "preferred")], &[("tunnel.90", "lte")],
    "vpn 10 tcp/9090 10.2.0.5: lte (preferred)\n")]
#[case::how_without_what(&[("mode", "preferred")], &[], "")]
#[case::how_without_what_on_the_service(&[], &[("mode", "preferred")],
    "shop/business TunnelMissing: annotation `policy.sdwan.cisco.com/tunnel` is missing\n")]
#[case::only_one_port(&[], &[("tunnel.90", "lte")], "vpn 10 tcp/9090 10.2.0.5: lte (strict)\n")]
#[case::all_but_one_port(&[], &[("tunnel", "mpls"), ("tunnel.http", "none")],
    "vpn 10 tcp/9090 10.2.0.5: mpls (strict)\n")]
#[case::port_with_the_rest_of_the_service(&[], &[("tunnel", "mpls"), ("mode", "preferred"), ("fallback.80", "lte")], "\
    vpn 10 tcp/9090 10.2.0.5: mpls (preferred)\n\
    vpn 10 tcp/8080 10.2.0.5: mpls, then lte (preferred)\n")]
#[case::drop_needs_no_tunnel(&[], &[("action.http", "drop")], "vpn 10 tcp/8080 10.2.0.5: drop\n")]
#[case::inspect(&[], &[("action", "inspect"), ("tunnel.http", "mpls")], "\
    vpn 10 tcp/9090 10.2.0.5: inspect\n\
    vpn 10 tcp/8080 10.2.0.5: inspect, mpls (strict)\n")]
#[case::sla_on_any_tunnel(&[], &[("sla.http", "loss=1%")], "vpn 10 tcp/8080 10.2.0.5: any tunnel (strict, loss=1%)\n")]
#[case::tenant(&[("tenant", "blue")], &[("tunnel.http", "mpls")], "vpn 20 tcp/8080 10.2.0.5: mpls (strict)\n")]
#[case::tenant_of_the_service_wins(&[("tenant", "blue")], &[("tunnel.http", "mpls"), ("tenant", "green")],
    "vpn 30 tcp/8080 10.2.0.5: mpls (strict)\n")]
#[case::unknown_tenant(&[], &[("tunnel", "mpls"), ("tenant", "red")],
    "shop/business UnknownTenant: unknown tenant `red`; known tenants: blue, green\n")]
#[case::unknown_port(&[], &[("tunnel", "mpls"), ("mode.8080", "strict")],
    "shop/business UnknownPort: unknown port `8080`; ports of the Service: http (80), metrics (90)\n")]
#[case::tenant_of_a_port(&[], &[("tunnel", "mpls"), ("tenant.http", "blue")],
    "shop/business UnknownAnnotation: unknown annotation `policy.sdwan.cisco.com/tenant.http`; known under this \
    prefix: tunnel, mode, fallback, sla, encryption, action, tenant, each but tenant also with .PORT\n")]
#[case::namespace_not_understood(&[("mode", "loose")], &[("tunnel", "mpls")],
    "shop/business UnknownMode: namespace `shop`: annotation `policy.sdwan.cisco.com/mode`: unknown mode `loose`; \
    accepted: strict, preferred\n")]
#[case::port_of_a_namespace(&[("tunnel.http", "mpls")], &[],
    "shop/business UnknownPort: namespace `shop`: a default for port `http`; accepted: defaults for all ports\n")]
#[case::fallback_to_itself(&[("fallback", "mpls")], &[("tunnel", "mpls")],
    "shop/business UnacceptableFallback: annotation `policy.sdwan.cisco.com/fallback`: `mpls` is the tunnel itself; \
    accepted: one or two colors other than the tunnel's, separated by a comma\n")]
#[case::too_many_fallbacks(&[], &[("tunnel", "mpls"), ("fallback", "lte,red,blue")],
    "shop/business UnacceptableFallback: annotation `policy.sdwan.cisco.com/fallback`: 3 colors; accepted: one or two \
    colors other than the tunnel's, separated by a comma\n")]
#[case::fallback_of_nothing(&[], &[("fallback", "lte")],
    "shop/business TunnelMissing: annotation `policy.sdwan.cisco.com/tunnel` is missing\n")]
#[case::encryption_of_nothing(&[], &[("encryption.http", "required")],
    "shop/business TunnelMissing: annotation `policy.sdwan.cisco.com/tunnel.80` is missing\n")]
#[case::sla_out_of_range(&[], &[("sla", "latency=2s")],
    "shop/business UnacceptableSla: annotation `policy.sdwan.cisco.com/sla`: unknown bound `latency=2s`; accepted: one \
    or more of latency=1ms-1000ms, loss=0%-100%, jitter=1ms-1000ms, in whole numbers\n")]
fn levels_add_up(
    #[case] namespace: Annotations<'_>,
    #[case] service: Annotations<'_>,
    #[case] expected: &str,
) {
    assert_eq!(show(&compile(&asked(namespace, service))), expected);
}

#[rstest]
#[case::pin_that_names_ipsec(&[("tunnel", "mpls")], true)]
#[case::pin_to_gre_alone(&[("tunnel", "red")], false)]
#[case::group_with_gre(&[("tunnel", "lte"), ("fallback", "mpls")], false)]
#[case::group_without(&[("tunnel", "lte"), ("fallback", "gold")], true)]
#[case::any_other_tunnel(&[("tunnel", "lte"), ("mode", "preferred")], false)]
#[case::chosen_by_sla(&[("tunnel", "lte"), ("sla", "loss=1%")], false)]
fn required_encryption_is_refused_where_it_could_be_missed(
    #[case] service: Annotations<'_>,
    #[case] accepted: bool,
) {
    let mut required = service.to_vec();
    required.push(("encryption", "required"));
    let mut view = asked(&[], &required);
    let report = |encapsulations: &[Encapsulation]| TunnelReport {
        up: 1,
        total: 1,
        encapsulations: encapsulations.iter().copied().collect(),
        quality: None,
    };
    let color = |name: &str| name.parse::<Color>().unwrap();
    view.tunnels = [
        (color("mpls"), report(&[Encapsulation::Ipsec, Encapsulation::Gre])),
        (color("red"), report(&[Encapsulation::Gre])),
        (color("lte"), report(&[Encapsulation::Ipsec])),
    ]
    .into();
    let compiled = compile(&view);
    let verdict = &compiled.outcomes[0].verdict;
    assert_eq!(verdict.is_ok(), accepted, "{verdict:?}");
    assert!(
        compiled
            .policy
            .rules
            .iter()
            .all(|rule| rule.encapsulations == Encapsulations::Ipsec)
    );
}

#[test]
fn a_pin_takes_gre_tunnels_where_there_are_any() {
    let mut view = asked(&[], &[("tunnel.http", "mpls")]);
    let report = TunnelReport {
        encapsulations: [Encapsulation::Ipsec, Encapsulation::Gre].into(),
        ..TunnelReport::default()
    };
    view.tunnels = [("mpls".parse().unwrap(), report)].into();
    let encapsulations = compile(&view).policy.rules[0].encapsulations;
    assert_eq!(encapsulations.as_str(), "ipsec gre");
}

#[test]
fn an_external_name_is_refused() {
    let mut view = asked(&[], &[("tunnel", "mpls")]);
    view.services[0].kind = ServiceKind::ExternalName;
    insta::assert_snapshot!(show(&compile(&view)), @"shop/business ExternalName: the Service is of type ExternalName and has no endpoints that could be steered");
}

#[test]
fn ports_that_lead_to_the_same_port_must_agree() {
    let mut view = asked(&[], &[("tunnel", "mpls"), ("tunnel.metrics", "lte")]);
    view.slices[0].ports[1].port = 8080;
    insta::assert_snapshot!(show(&compile(&view)), @"shop/business PortsDisagree: ports of the Service that ask for different things lead to the same port 8080/tcp");
}

#[rstest]
#[case(Endpoints::All, "10.2.0.1 10.2.0.2 10.2.0.3")]
#[case(Endpoints::Serving, "10.2.0.2 10.2.0.3")]
#[case(Endpoints::Ready, "10.2.0.3")]
fn endpoints_are_steered_as_told(#[case] endpoints: Endpoints, #[case] expected: &str) {
    let mut view = asked(&[], &[("tunnel.http", "mpls")]);
    view.conventions.endpoints = endpoints;
    view.slices[0].endpoints = vec![
        (
            "10.2.0.1".parse().unwrap(),
            EndpointState::of(Some(false), Some(false)),
        ),
        (
            "10.2.0.2".parse().unwrap(),
            EndpointState::of(Some(false), Some(true)),
        ),
        ("10.2.0.3".parse().unwrap(), EndpointState::of(None, None)),
    ];
    let expected = format!("vpn 10 tcp/8080 {expected}: mpls (strict)\n");
    assert_eq!(show(&compile(&view)), expected);
}

#[test]
fn the_oldest_policy_goes_before_others_and_before_annotations() {
    let mut view = asked(&[], &[("tunnel", "mpls")]);
    let policy = |name: &str, created, tunnel: &str| PolicyView {
        name: name.to_owned(),
        service: service_ref("business"),
        uid: name.to_owned(),
        generation: 1,
        created: Some(created),
        intent: read(&[("tunnel.http", tunnel)]).unwrap(),
    };
    view.policies = vec![policy("newer", 2, "red"), policy("older", 1, "lte")];
    let mut elsewhere = policy("elsewhere", 1, "red");
    elsewhere.service.name = "missing".to_owned();
    view.policies.push(elsewhere);
    insta::assert_snapshot!(show(&compile(&view)), @r"
    vpn 10 tcp/8080 10.2.0.5: lte (strict)
    shop/business Conflict: the SteeringPolicy `older` is for the same Service and goes first
    shop/business Conflict: the SteeringPolicy `older` is for the same Service and goes first
    shop/missing ServiceNotFound: service shop/missing does not exist
    ");
}
