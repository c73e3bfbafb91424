use std::time::Duration;

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::fabric::edge::SequenceCount;
use crate::fabric::nft::RuleCount;
use crate::policy::{AppRoutePolicy, EdgePolicy, LocalTlocs, SlaClass};

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn voice() -> SlaClass {
    SlaClass {
        name: "voice".to_owned(),
        loss: Some(10_000),
        latency: Some(Duration::from_millis(150)),
        jitter: None,
    }
}

fn gold(restrict: bool) -> ColorGroup {
    let tier = |colors: &[&str], path| ColorTier {
        colors: words(colors),
        path,
    };
    ColorGroup {
        name: "gold".to_owned(),
        tiers: vec![
            tier(&["mpls", "lte"], PathPreference::DirectPath),
            tier(&["biz-internet"], PathPreference::AllPaths),
        ],
        restrict,
    }
}

fn tloc(host: u8, preference: u32) -> RemoteTloc {
    RemoteTloc {
        system_ip: [10, 255, 0, host].into(),
        color: "mpls".to_owned(),
        preference,
    }
}

#[rstest]
#[case::one(DataPath::Local(LocalTlocs { colors: words(&["mpls"]), restrict: false }), "mpls")]
#[case::restricted(DataPath::Local(LocalTlocs { colors: words(&["mpls", "lte"]), restrict: true }), "mpls lte (restrict)")]
#[case::remote(DataPath::Remote(vec![tloc(1, 0), tloc(2, 50)]), "to 10.255.0.1 mpls, 10.255.0.2 mpls (preference 50)")]
#[case::group(
    DataPath::Group(gold(true)),
    "group gold: mpls lte direct then biz-internet (restrict)"
)]
fn a_data_path_is_said_shortly(#[case] path: DataPath, #[case] text: &str) {
    assert_eq!(data_path(&path), text);
}

#[rstest]
#[case::class(Some(voice()), Preference::Equal, Unmet::Any, "sla voice")]
#[case::strict(Some(voice()), Preference::Colors(words(&["mpls"])), Unmet::Drop, "sla voice, prefer mpls, strict")]
#[case::backup(Some(voice()), Preference::Equal, Unmet::Backup(words(&["lte", "mpls"])), "sla voice, backup lte mpls")]
#[case::best(
    Some(voice()),
    Preference::Group(gold(false)),
    Unmet::Best(BestPath { criteria: vec![Criterion::Loss(0), Criterion::Jitter(Duration::ZERO)] }),
    "sla voice, prefer group gold: mpls lte direct then biz-internet, best by loss jitter"
)]
#[case::loose(None, Preference::Colors(words(&["mpls"])), Unmet::Any, "prefer mpls")]
fn a_choice_is_said_shortly(
    #[case] class: Option<SlaClass>,
    #[case] preference: Preference,
    #[case] unmet: Unmet,
    #[case] text: &str,
) {
    let choice = AppRoute {
        class,
        preference,
        unmet,
    };
    assert_eq!(app_route_path(&choice), text);
}

/// An app-route policy with a sequence and a default class, and a data policy that inspects.
fn report() -> PolicyReport {
    let sequence = AppRouteSequence {
        id: 11,
        matching: Match {
            destination_prefixes: Some(["10.1.0.0/16".parse().unwrap()].into()),
            protocols: vec![17],
            dscp: vec![46],
            ..Match::default()
        },
        choice: Some(AppRoute {
            class: Some(voice()),
            preference: Preference::Equal,
            unmet: Unmet::Any,
        }),
        counter: Some("calls".to_owned()),
    };
    let inspected = Sequence {
        id: 1,
        matching: Match::default(),
        action: Action::Accept {
            path: None,
            inspect: true,
            dscp: Some(46),
        },
        counter: None,
    };
    let policy = EdgePolicy {
        app_route: vec![AppRoutePolicy {
            service_vpn: 10,
            sequences: [sequence].into(),
            default_class: Some(voice()),
        }],
        data: vec![DataPolicy {
            service_vpn: 10,
            direction: PolicyDirection::All,
            default_action: DefaultAction::Drop,
            sequences: [inspected].into(),
        }],
        ..EdgePolicy::none(1)
    };
    let counted = [
        (Counted::AppRoute(0), Some(11)),
        (Counted::AppRoute(0), None),
        (Counted::Data(0), Some(1)),
        (Counted::Data(0), None),
    ];
    let counts = counted.map(|(of, sequence)| SequenceCount {
        of,
        sequence,
        count: RuleCount {
            packets: 3,
            octets: 300,
        },
    });
    PolicyReport {
        policy,
        counts: counts.into(),
    }
}

#[test]
fn every_count_has_its_row() {
    let rows = json!(rows(&report()));
    let nothing = json!({
        "sourcePrefixes": [], "destinationPrefixes": [], "sourcePorts": [], "destinationPorts": [],
        "protocols": [], "dscp": [],
    });
    let mut matching = nothing.clone();
    matching["destinationPrefixes"] = json!(["10.1.0.0/16"]);
    matching["protocols"] = json!(["udp"]);
    matching["dscp"] = json!([46]);
    let expected = json!([
        {
            "policy": "app-route", "serviceVpn": 10, "direction": "from-service", "sequence": 11,
            "match": matching, "action": "accept", "path": "sla voice", "inspect": false, "setDscp": null, "counter": "calls",
            "packets": 3, "octets": 300,
        },
        {
            "policy": "app-route", "serviceVpn": 10, "direction": "from-service", "sequence": null,
            "match": nothing, "action": "accept", "path": "sla voice", "inspect": false, "setDscp": null, "counter": null,
            "packets": 3, "octets": 300,
        },
        {
            "policy": "data", "serviceVpn": 10, "direction": "all", "sequence": 1,
            "match": nothing, "action": "accept", "path": null, "inspect": true, "setDscp": 46, "counter": null,
            "packets": 3, "octets": 300,
        },
        {
            "policy": "data", "serviceVpn": 10, "direction": "all", "sequence": null,
            "match": nothing, "action": "drop", "path": null, "inspect": false, "setDscp": null, "counter": null,
            "packets": 3, "octets": 300,
        },
    ]);
    assert_eq!(rows, expected);
}
