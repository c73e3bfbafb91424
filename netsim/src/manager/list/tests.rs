use rstest::rstest;
use serde_json::json;

use super::*;
use crate::manager::fixture::parse_list;
use crate::policy::{Criterion, PathPreference};

#[rstest]
#[case::prefix("dataprefix", json!([{"ipPrefix": "10.0.0.5/32"}, {"ipPrefix": "10.1.0.0/16"}]))]
#[case::ipv6_prefix("dataipv6prefix", json!([{"ipv6Prefix": "fd00::5/128"}]))]
#[case::site("site", json!([{"siteId": "100"}, {"siteId": "200-300"}]))]
#[case::vpn("vpn", json!([{"vpn": "0-65530"}]))]
#[case::color("color", json!([{"color": "private6"}]))]
#[case::tloc("tloc", json!([{"tloc": "10.0.0.1", "color": "mpls", "encap": "gre", "preference": "100"}]))]
#[case::sla("sla", json!([{"latency": "150", "loss": "0"}]))]
#[case::color_group("preferredcolorgroup", json!([{"primaryPreference": {"colorPreference": "mpls lte", "pathPreference": "direct-path"}}]))]
#[case::app_probe("appprobe", json!([{"forwardingClass": "voice", "map": [{"color": "mpls", "dscp": 46}]}]))]
#[case::app("app", json!([{"app": "webex"}, {"appFamily": "audio-video"}]))]
fn every_kind_takes_its_entries(#[case] kind: &str, #[case] entries: Value) {
    let list = parse_list(kind, "l", entries.clone()).unwrap();
    assert_eq!(Value::Array(list.entries), entries);
}

#[test]
fn every_kind_has_a_case_above() {
    assert_eq!(KINDS.len(), 10);
}

#[rstest]
#[case::no_entry("site", json!([]), "entries: at least one is needed")]
#[case::number("site", json!([{"siteId": 1}]), "entry 1: invalid type: integer `1`, expected a string")]
#[case::second("vpn", json!([{"vpn": "1"}, {"vpn": "x"}]), "entry 2: `x` is not a VPN or range such as 10 or 10-20, from 0 to 65530")]
#[case::unknown_key("color", json!([{"color": "mpls", "x": 1}]), "entry 1: unknown field `x`, expected `color`")]
#[case::not_an_object("site", json!(["1"]), "entry 1: invalid type: string \"1\", expected struct Entry")]
#[case::tloc_encap("tloc", json!([{"tloc": "10.0.0.1", "color": "mpls", "encap": "x"}]), "entry 1: `x` is not an encapsulation: ipsec or gre")]
#[case::sla_twice("sla", json!([{"loss": "1"}, {"loss": "2"}]), "entries: exactly one is needed, found 2")]
#[case::sla_empty("sla", json!([{}]), "entry 1: one of latency, loss and jitter is needed")]
#[case::sla_latency("sla", json!([{"latency": "0"}]), "entry 1: `0` is not milliseconds from 1 to 1000")]
#[case::sla_number("sla", json!([{"latency": 150}]), "entry 1: invalid type: integer `150`, expected a string")]
#[case::sla_unknown("sla", json!([{"loss": "1", "mos": "4"}]), "entry 1: unknown field `mos`, expected one of `latency`, `loss`, `jitter`, `appProbeClass`, `fallbackBestTunnel`")]
#[case::criteria_without("sla", json!([{"loss": "1", "fallbackBestTunnel": {"criteria": "loss-latency", "lossVariance": "1"}}]), "entry 1: fallbackBestTunnel: criteria `loss-latency` are not those with a variance")]
#[case::variance_without("sla", json!([{"loss": "1", "fallbackBestTunnel": {"criteria": "loss", "lossVariance": "1", "jitterVariance": "1"}}]), "entry 1: fallbackBestTunnel: criteria `loss` are not those with a variance")]
#[case::criterion_twice("sla", json!([{"loss": "1", "fallbackBestTunnel": {"criteria": "loss-loss", "lossVariance": "1"}}]), "entry 1: fallbackBestTunnel: criteria `loss-loss` are not those with a variance")]
#[case::no_criterion("sla", json!([{"loss": "1", "fallbackBestTunnel": {"criteria": ""}}]), "entry 1: fallbackBestTunnel: criteria `` are not those with a variance")]
#[case::group_of_two("preferredcolorgroup", json!([{}, {}]), "entries: exactly one is needed, found 2")]
#[case::group_of_nothing("preferredcolorgroup", json!([{}]), "entry 1: missing field `primaryPreference`")]
#[case::third_without_second(
    "preferredcolorgroup",
    json!([{
        "primaryPreference": {"colorPreference": "mpls", "pathPreference": "all-paths"},
        "secondaryPreference": {},
        "tertiaryPreference": {"colorPreference": "lte", "pathPreference": "all-paths"},
    }]),
    "entry 1: tertiaryPreference needs a secondaryPreference"
)]
#[case::group_color("preferredcolorgroup", json!([{"primaryPreference": {"colorPreference": "", "pathPreference": "all-paths"}}]), "entry 1: `` is not one or more colors with spaces between them")]
#[case::group_path("preferredcolorgroup", json!([{"primaryPreference": {"colorPreference": "mpls", "pathPreference": "any"}}]), "entry 1: unknown variant `any`, expected one of `direct-path`, `multi-hop-path`, `all-paths`")]
#[case::probe_dscp("appprobe", json!([{"forwardingClass": "voice", "map": [{"color": "mpls", "dscp": 64}]}]), "entry 1: `64` is not a DSCP value from 0 to 63")]
#[case::app_name("app", json!([{"app": "a b"}]), "entry 1: `a b` is not a name of printable characters without spaces")]
#[case::sla_loss("sla", json!([{"loss": "101"}]), "entry 1: `101` is not a percentage from 0 to 100")]
fn a_refused_entry_is_named(#[case] kind: &str, #[case] entries: Value, #[case] message: &str) {
    assert_eq!(parse_list(kind, "l", entries).unwrap_err().to_string(), message);
}

#[test]
fn prefixes_mean_networks_but_read_as_written() {
    let list = parse_list("dataprefix", "l", json!([{"ipPrefix": "10.1.2.3/16"}])).unwrap();
    assert_eq!(
        list.content,
        ListContent::Prefixes(["10.1.0.0/16".parse().unwrap()].into())
    );
    assert_eq!(list.entries, [json!({"ipPrefix": "10.1.2.3/16"})]);
}

#[test]
fn an_sla_class_is_in_millionths_and_durations() {
    let fallback = json!({"criteria": "jitter-loss", "lossVariance": "3", "jitterVariance": "7"});
    let entry = json!({"latency": "150", "loss": "1", "jitter": "30", "fallbackBestTunnel": fallback});
    let list = parse_list("sla", "voice", json!([entry])).unwrap();
    let milliseconds = Duration::from_millis;
    let expected = SlaBounds {
        loss: Some(10_000),
        latency: Some(milliseconds(150)),
        jitter: Some(milliseconds(30)),
        best: Some(BestPath {
            criteria: vec![Criterion::Jitter(milliseconds(7)), Criterion::Loss(30_000)],
        }),
        app_probe: None,
    };
    assert_eq!(list.content, ListContent::Sla(expected));
}

#[test]
fn a_color_group_has_its_tiers_in_order() {
    let tier = |colors: &str, path: &str| json!({"colorPreference": colors, "pathPreference": path});
    let entry = json!({
        "primaryPreference": tier("mpls lte", "direct-path"),
        "secondaryPreference": tier("red", "multi-hop-path"),
        "tertiaryPreference": {},
    });
    let list = parse_list("preferredcolorgroup", "gold", json!([entry])).unwrap();
    let tier = |colors: &[&str], path| ColorTier {
        colors: colors.iter().map(ToString::to_string).collect(),
        path,
    };
    let tiers = vec![
        tier(&["mpls", "lte"], PathPreference::DirectPath),
        tier(&["red"], PathPreference::MultiHopPath),
    ];
    assert_eq!(list.content, ListContent::ColorGroup(tiers));
}
