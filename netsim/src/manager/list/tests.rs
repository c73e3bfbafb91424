use rstest::rstest;
use serde_json::json;

use super::*;
use crate::manager::fixture::{self, parse_list};
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
#[case::policer("policer", json!([{"burst": "10000000", "exceed": "remark", "rate": "100000000000"}]))]
fn every_kind_takes_its_entries(#[case] kind: &str, #[case] entries: Value) {
    let list = parse_list(kind, "l", entries.clone()).unwrap();
    assert_eq!(Value::Array(list.entries), entries);
}

#[test]
fn every_plain_kind_takes_its_entries() {
    for (kind, entries) in fixture::stored::lists() {
        let list = parse_list(kind, "l", entries.clone()).unwrap();
        assert_eq!(Value::Array(list.entries), entries, "{kind}");
    }
}

#[test]
fn every_kind_has_a_case_above() {
    assert_eq!(KINDS.len(), 11 + fixture::stored::lists().len());
}

#[test]
fn the_type_may_be_in_lower_case() {
    let list = json!({"name": "l", "type": "geolocation", "entries": [{"country": "FRA"}]});
    let list = parse(
        kind("geolocation").unwrap(),
        Uuid::nil(),
        &fixture::body(list),
        fixture::stamp(),
    );
    assert_eq!(list.unwrap().kind.type_name, "geoLocation");
}

#[rstest]
#[case::no_entry("site", json!([]), "entries: at least one is needed")]
#[case::number("site", json!([{"siteId": 1}]), "entries[0].siteId: `1` is not a text")]
#[case::second("vpn", json!([{"vpn": "1"}, {"vpn": "x"}]), "entries[1].vpn: `x` is not a VPN or range such as 10 or 10-20, from 0 to 65530")]
#[case::unknown_key("color", json!([{"color": "mpls", "x": 1}]), "entries[0].x: there is no such key; the keys here are color")]
#[case::not_an_object("site", json!(["1"]), "entries[0]: `1` is not an object of siteId")]
#[case::tloc_encap("tloc", json!([{"tloc": "10.0.0.1", "color": "mpls", "encap": "x"}]), "entries[0].encap: `x` is not an encapsulation: ipsec or gre")]
#[case::sla_twice("sla", json!([{"loss": "1"}, {"loss": "2"}]), "entries: exactly one is needed, found 2")]
#[case::sla_empty("sla", json!([{}]), "entries[0]: one of latency, loss and jitter is needed")]
#[case::sla_latency("sla", json!([{"latency": "0"}]), "entries[0].latency: `0` is not milliseconds from 1 to 1000")]
#[case::sla_number("sla", json!([{"latency": 150}]), "entries[0].latency: `150` is not a text")]
#[case::sla_unknown("sla", json!([{"loss": "1", "mos": "4"}]), "entries[0].mos: there is no such key; the keys here are latency, loss, jitter, appProbeClass, fallbackBestTunnel")]
#[case::criteria_without("sla", json!([{"loss": "1", "fallbackBestTunnel": {"criteria": "loss-latency", "lossVariance": "1"}}]), "entries[0].fallbackBestTunnel.criteria: `loss-latency` are not the criteria that have a variance")]
#[case::variance_without("sla", json!([{"loss": "1", "fallbackBestTunnel": {"criteria": "loss", "lossVariance": "1", "jitterVariance": "1"}}]), "entries[0].fallbackBestTunnel.criteria: `loss` are not the criteria that have a variance")]
#[case::criterion_twice("sla", json!([{"loss": "1", "fallbackBestTunnel": {"criteria": "loss-loss", "lossVariance": "1"}}]), "entries[0].fallbackBestTunnel.criteria: `loss-loss` are not the criteria that have a variance")]
#[case::no_criterion("sla", json!([{"loss": "1", "fallbackBestTunnel": {"criteria": ""}}]), "entries[0].fallbackBestTunnel.criteria: `` are not the criteria that have a variance")]
#[case::group_of_two("preferredcolorgroup", json!([{}, {}]), "entries: exactly one is needed, found 2")]
#[case::group_of_nothing("preferredcolorgroup", json!([{}]), "entries[0]: key primaryPreference is missing")]
#[case::third_without_second(
    "preferredcolorgroup",
    json!([{
        "primaryPreference": {"colorPreference": "mpls", "pathPreference": "all-paths"},
        "secondaryPreference": {},
        "tertiaryPreference": {"colorPreference": "lte", "pathPreference": "all-paths"},
    }]),
    "entries[0]: tertiaryPreference needs a secondaryPreference"
)]
#[case::group_color("preferredcolorgroup", json!([{"primaryPreference": {"colorPreference": "", "pathPreference": "all-paths"}}]), "entries[0].primaryPreference.colorPreference: `` is not one or more colors with spaces between them")]
#[case::group_path("preferredcolorgroup", json!([{"primaryPreference": {"colorPreference": "mpls", "pathPreference": "any"}}]), "entries[0].primaryPreference.pathPreference: `any` is not one of direct-path, multi-hop-path, all-paths")]
#[case::probe_dscp("appprobe", json!([{"forwardingClass": "voice", "map": [{"color": "mpls", "dscp": 64}]}]), "entries[0].map[0].dscp: `64` is not a DSCP value from 0 to 63")]
#[case::app_name("app", json!([{"app": "a b"}]), "entries[0].app: `a b` is not a name of printable characters without spaces")]
#[case::app_of_neither("app", json!([{"app": "a"}, {}]), "entries[1]: exactly one of app and appFamily is needed")]
#[case::policer_burst("policer", json!([{"burst": "14999", "rate": "8"}]), "entries[0].burst: `14999` is not octets from 15000 to 10000000")]
#[case::policer_rate("policer", json!([{"burst": "15000", "rate": "7"}]), "entries[0].rate: `7` is not bits per second from 8 to 100000000000")]
#[case::policer_exceed("policer", json!([{"burst": "15000", "rate": "8", "exceed": "mark"}]), "entries[0].exceed: `mark` is not drop or remark")]
#[case::sla_null("sla", json!([null]), "entries[0]: `null` is not an object of latency, loss, jitter, appProbeClass, fallbackBestTunnel")]
#[case::variance("sla", json!([{"loss": "1", "fallbackBestTunnel": {"criteria": "loss", "lossVariance": "x"}}]), "entries[0].fallbackBestTunnel.lossVariance: `x` is not a percentage from 0 to 100")]
#[case::second_tier("preferredcolorgroup", json!([{"primaryPreference": {"colorPreference": "mpls", "pathPreference": "all-paths"}, "secondaryPreference": {"colorPreference": 1, "pathPreference": "all-paths"}}]), "entries[0].secondaryPreference.colorPreference: `1` is not a text")]
#[case::as_path("aspath", json!([{"asPath": "AS1"}]), "entries[0].asPath: `AS1` is not a regular expression over AS numbers such as ^65000_")]
#[case::queue("class", json!([{"queue": "8"}]), "entries[0].queue: `8` is not a queue from 0 to 7")]
#[case::two_queues("class", json!([{"queue": "1"}, {"queue": "2"}]), "entries: exactly one is needed, found 2")]
#[case::community("community", json!([{"community": "1:65536"}]), "entries[0].community: `1:65536` is not a community such as 1000:10000, or internet, local-AS, no-advertise or no-export")]
#[case::expanded_community("expandedcommunity", json!([{"community": " "}]), "entries[0].community: ` ` is not a line of text")]
#[case::country("geolocation", json!([{"country": "FR"}]), "entries[0].country: `FR` is not a country of three letters such as FRA")]
#[case::continent("geolocation", json!([{"continent": "XX"}]), "entries[0].continent: `XX` is not one of AF, AN, AS, EU, NA, OC and SA")]
#[case::nowhere("geolocation", json!([{}]), "entries[0]: at least one of country and continent is needed")]
#[case::signature("ipssignature", json!([{"generatorId": "1"}]), "entries[0]: key signatureId is missing")]
#[case::length_v6("ipv6prefix", json!([{"ipv6Prefix": "fd00::/16", "le": "129"}]), "entries[0].le: `129` is not a prefix length from 0 to 128")]
#[case::local_app("localapp", json!([{"app": "a", "appFamily": "b"}]), "entries[0]: exactly one of app and appFamily is needed")]
#[case::domain("localdomain", json!([{"nameServer": "*.x"}]), "entries[0].nameServer: `*.x` is not a regular expression of 1 to 240 octets that begins with neither `*` nor `+`")]
#[case::mirror("mirror", json!([{"remoteDest": "10.0.0.0/8", "source": "10.0.0.1"}]), "entries[0].remoteDest: `10.0.0.0/8` is not an IP address such as 10.0.0.1 or fd00::1")]
#[case::port("port", json!([{"port": "65536"}]), "entries[0].port: `65536` is not a port from 0 to 65535")]
#[case::length("prefix", json!([{"ipPrefix": "10.0.0.0/8", "ge": "33"}]), "entries[0].ge: `33` is not a prefix length from 0 to 32")]
#[case::length_of_nothing("prefix", json!([{"ge": "8"}]), "entries[0]: key ipPrefix is missing")]
#[case::length_number("prefix", json!([{"ipPrefix": "10.0.0.0/8", "le": 24}]), "entries[0].le: `24` is not a text")]
#[case::prefix_of_the_other_family("prefix", json!([{"ipPrefix": "fd00::/16"}]), "entries[0].ipPrefix: `fd00::/16` is not an IPv4 prefix such as 10.0.0.5/32")]
#[case::region("region", json!([{"regionId": "5-1"}]), "entries[0].regionId: `5-1` is not a region or range such as 1 or 1-5, from 0 to 63")]
#[case::unknown_plain_key("zone", json!([{"vpn": "1", "x": "1"}]), "entries[0].x: there is no such key; the keys here are vpn, interface")]
#[case::no_zone("zone", json!([{"vpn": null}]), "entries[0]: exactly one of vpn and interface is needed")]
#[case::no_plain_object("zone", json!(["1"]), "entries[0]: `1` is not an object")]
#[case::sla_loss("sla", json!([{"loss": "101"}]), "entries[0].loss: `101` is not a percentage from 0 to 100")]
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
