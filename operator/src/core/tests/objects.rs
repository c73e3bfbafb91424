//! What rules become on the Manager, and how little one change changes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{annotated, scope, service, show_objects, slice, view};
use crate::core::*;

fn rendered(view: &View, observed: &Objects) -> Objects {
    render(&compile(view).policy, &scope(), &Owner::default(), observed)
}

fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::default();
    change(&mut settings);
    settings
}

#[test]
fn every_treatment_has_its_action_drop_first_and_sla_in_a_definition_of_its_own() {
    let color = |name: &str| name.parse::<Color>().unwrap();
    let services = vec![
        annotated(
            "a-pinned",
            1,
            settings(|asked| {
                asked.tunnel = Some(Tunnel::Color(color("mpls")));
                asked.fallback = Some(vec![color("lte"), color("gold")]);
            }),
        ),
        annotated(
            "b-by-sla",
            2,
            settings(|asked| {
                asked.tunnel = Some(Tunnel::Color(color("mpls")));
                asked.sla = Some("latency=50ms,loss=1%".parse().unwrap());
                asked.mode = Some(Mode::Preferred);
            }),
        ),
        annotated(
            "c-inspected",
            3,
            settings(|asked| asked.action = Some(Action::Inspect)),
        ),
        annotated(
            "d-dropped",
            4,
            settings(|asked| asked.action = Some(Action::Drop)),
        ),
    ];
    let slices = services.iter().zip(1_u16..);
    let slices = slices.map(|(service, number)| {
        slice(
            &service.service.name,
            &[&format!("10.2.0.{number}")],
            &[("SCTP", 8000 + number)],
        )
    });
    let view = view(services.clone(), slices.collect());
    insta::assert_snapshot!(show_objects(&rendered(&view, &Objects::default())), @r#"
    ppo-colors-sg5nqrrpu: ColorGroup([Color("mpls"), Color("lte"), Color("gold")])
    ppo-s8001-mpls-vnknrhdst: V4Hosts({10.2.0.1})
    ppo-s8002-mpls-4amjm0bd0: V4Hosts({10.2.0.2})
    ppo-s8003-inspect-ed4alke1t: V4Hosts({10.2.0.3})
    ppo-s8004-drop-eh9i60an6: V4Hosts({10.2.0.4})
    ppo-sites-eqa2rcf4p: Sites({"100", "200"})
    ppo-sla-d3q5grt9a: Sla(Sla { latency_ms: Some(50), loss_percent: Some(1), jitter_ms: None })
    ppo-vpn10-s5ocqp6m0: ServiceVpn(10)
    k8s-steering-vpn10
      Replies V4 ppo-s8004-drop-eh9i60an6 sctp/8004 -> Drop
      Requests V4 ppo-s8004-drop-eh9i60an6 sctp/8004 -> Drop
      Replies V4 ppo-s8003-inspect-ed4alke1t sctp/8003 -> Set { inspect: Some(Inspection { service: Firewall, service_vpn: 10 }), tunnels: None }
      Requests V4 ppo-s8003-inspect-ed4alke1t sctp/8003 -> Set { inspect: Some(Inspection { service: Firewall, service_vpn: 10 }), tunnels: None }
      Replies V4 ppo-s8001-mpls-vnknrhdst sctp/8001 -> Set { inspect: None, tunnels: Some(Group { group: ListName("ppo-colors-sg5nqrrpu"), mode: Strict }) }
      Requests V4 ppo-s8001-mpls-vnknrhdst sctp/8001 -> Set { inspect: None, tunnels: Some(Group { group: ListName("ppo-colors-sg5nqrrpu"), mode: Strict }) }
    k8s-steering-vpn10-sla
      Replies V4 ppo-s8002-mpls-4amjm0bd0 sctp/8002 -> KeepSla { class: ListName("ppo-sla-d3q5grt9a"), preferred: Some(Color("mpls")), mode: Preferred }
      Requests V4 ppo-s8002-mpls-4amjm0bd0 sctp/8002 -> KeepSla { class: ListName("ppo-sla-d3q5grt9a"), preferred: Some(Color("mpls")), mode: Preferred }
    CentralPolicy { assembly: Service({DefinitionKey { service_vpn: 10, kind: Data }: AppliedAt { sites: ListName("ppo-sites-eqa2rcf4p"), service_vpns: ListName("ppo-vpn10-s5ocqp6m0") }, DefinitionKey { service_vpn: 10, kind: AppRoute }: AppliedAt { sites: ListName("ppo-sites-eqa2rcf4p"), service_vpns: ListName("ppo-vpn10-s5ocqp6m0") }}), active: true }
    "#);
}

#[test]
fn tenants_have_definitions_of_their_own_that_go_with_them() {
    let mut tenant = service("blue", 1, "mpls", Mode::Strict);
    tenant.intent = tenant.intent.map(|intent| {
        intent.map(|intent| Intent {
            tenant: Some("blue".to_owned()),
            ..intent
        })
    });
    let ours = service("ours", 1, "mpls", Mode::Strict);
    let slices = vec![
        slice("blue", &["10.2.0.5"], &[("TCP", 8080)]),
        slice("ours", &["10.2.0.5"], &[("TCP", 8080)]),
    ];
    let mut view = view(vec![tenant, ours], slices);
    view.conventions.tenants = [("blue".to_owned(), 20)].into();
    let both = rendered(&view, &Objects::default());
    let names: Vec<_> = both
        .definitions
        .keys()
        .map(|key| key.name(&PolicyName::default()))
        .collect();
    assert_eq!(names, ["k8s-steering-vpn10", "k8s-steering-vpn20"]);

    view.services.remove(0);
    let change_set = diff(&rendered(&view, &both), &both);
    let gone: Vec<_> = change_set
        .remove_definitions
        .iter()
        .map(|key| key.service_vpn)
        .collect();
    assert_eq!((gone, change_set.definitions.len()), (vec![20], 0));
    assert!(change_set.assembly.is_some());
}

/// A Service with that many endpoints in slices of 100, of which one may be another.
fn large(endpoints: u32, replaced: Option<u32>) -> View {
    let host = |number: u32| {
        let number = if Some(number) == replaced {
            number + endpoints
        } else {
            number
        };
        (
            IpAddr::from((0x0a00_0000 + number).to_be_bytes()),
            EndpointState::Ready,
        )
    };
    let slices = (0..endpoints.div_ceil(100)).map(|index| SliceView {
        name: format!("large-{index}"),
        endpoints: (index * 100..endpoints.min((index + 1) * 100))
            .map(host)
            .collect(),
        ..slice("large", &[], &[("TCP", 8080)])
    });
    view(vec![service("large", 1, "mpls", Mode::Strict)], slices.collect())
}

#[test]
fn one_endpoint_more_is_one_edit_of_one_list() {
    let before = rendered(&large(5_000, None), &Objects::default());
    let after = rendered(&large(5_001, None), &before);
    let change_set = diff(&after, &before);
    let expected = ChangeSet {
        edit: change_set.edit.clone(),
        activation: Some(Activation::Edit),
        ..ChangeSet::default()
    };
    assert_eq!(change_set, expected);
    assert_eq!(change_set.edit.len(), 1);
}

#[test]
fn one_endpoint_for_another_is_at_most_two_edits_of_lists() {
    let before = rendered(&large(5_000, None), &Objects::default());
    for replaced in [0, 17, 4_999] {
        let change_set = diff(&rendered(&large(5_000, Some(replaced)), &before), &before);
        assert!(
            (1..=2).contains(&change_set.edit.len()),
            "{}",
            change_set.edit.len()
        );
        assert!(change_set.create.is_empty() && change_set.definitions.is_empty());
    }
}

#[test]
fn hosts_are_spread_evenly_over_the_buckets_of_a_large_class() {
    let objects = rendered(&large(5_000, None), &Objects::default());
    let sizes: Vec<_> = objects
        .lists
        .values()
        .filter_map(|list| Some(list.hosts()?.len()))
        .collect();
    assert_eq!((sizes.len(), sizes.iter().sum::<usize>()), (8, 5_000));
    assert!(sizes.iter().all(|size| (500..750).contains(size)), "{sizes:?}");
}

#[test]
fn a_host_that_changes_lists_is_never_in_none() {
    let steered = |color: &str| {
        let services = vec![
            service("a", 1, color, Mode::Strict),
            service("b", 1, "lte", Mode::Strict),
        ];
        let slices = vec![
            slice("a", &["10.2.0.5"], &[("TCP", 8080)]),
            slice("b", &["10.2.0.6", "10.2.0.7"], &[("TCP", 8080)]),
        ];
        view(services, slices)
    };
    let mut moved = steered("mpls");
    let host = moved.slices[1].endpoints.pop().unwrap();
    moved.slices[0].endpoints.push(host);
    let before = rendered(&steered("mpls"), &Objects::default());
    let change_set = diff(&rendered(&moved, &before), &before);
    let hosts = |lists: &BTreeMap<ListName, List>| -> Vec<_> {
        lists.values().map(|list| list.hosts().unwrap().len()).collect()
    };
    assert_eq!(hosts(&change_set.edit), [2], "the new one has it before");
    assert_eq!(hosts(&change_set.narrow), [1], "the old one gives it away after");
}

#[test]
fn names_are_acceptable_readable_and_differ() {
    let colors = Color::all().map(|color| (color, Mode::Strict));
    let colors = colors.chain(Color::all().map(|color| (color, Mode::Preferred)));
    let (mut services, mut slices) = (Vec::new(), Vec::new());
    for ((color, mode), number) in colors.zip(0_u16..) {
        let name = format!("s{number}");
        services.push(service(&name, 1, color.as_str(), mode));
        let ports: Vec<_> = (0..20)
            .map(|port| ("SCTP", 64_000 + number * 20 + port))
            .collect();
        slices.push(slice(&name, &["10.2.0.5", "fd00:2::5"], &ports));
    }
    let owner: Owner = "longname".parse().unwrap();
    let policy = compile(&view(services, slices)).policy;
    let objects = render(&policy, &scope(), &owner, &Objects::default());
    let lists = policy.rules.len() + 2;
    assert_eq!(
        objects.lists.len(),
        lists,
        "no class shares its list with another"
    );
    for name in objects.lists.keys() {
        let name = name.as_str();
        let acceptable = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        assert!(name.len() <= 32 && name.bytes().all(acceptable), "{name}");
        assert!(owner.own_list(name).is_some(), "{name}");
    }
    let of_a_port = |name: &&ListName| name.as_str().starts_with("longname-s64000-");
    assert_eq!(objects.lists.keys().filter(of_a_port).count(), 2, "IPv4 and IPv6");
}
