use rstest::rstest;
use serde_json::json;

use super::*;
use crate::manager::fixture::parse_list;

#[rstest]
#[case::prefix("dataprefix", json!([{"ipPrefix": "10.0.0.5/32"}, {"ipPrefix": "10.1.0.0/16"}]))]
#[case::ipv6_prefix("dataipv6prefix", json!([{"ipv6Prefix": "fd00::5/128"}]))]
#[case::site("site", json!([{"siteId": "100"}, {"siteId": "200-300"}]))]
#[case::vpn("vpn", json!([{"vpn": "0-65530"}]))]
#[case::color("color", json!([{"color": "private6"}]))]
#[case::tloc("tloc", json!([{"tloc": "10.0.0.1", "color": "mpls", "encap": "gre", "preference": "100"}]))]
#[case::sla("sla", json!([{"latency": "150", "loss": "0"}]))]
fn every_kind_takes_its_entries(#[case] kind: &str, #[case] entries: Value) {
    let list = parse_list(kind, "l", entries.clone()).unwrap();
    assert_eq!(Value::Array(list.entries), entries);
}

#[test]
fn every_kind_has_a_case_above() {
    assert_eq!(KINDS.len(), 7);
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
#[case::sla_loss("sla", json!([{"loss": "101"}]), "entry 1: `101` is not a percentage from 0 to 100")]
fn a_refused_entry_is_named(#[case] kind: &str, #[case] entries: Value, #[case] message: &str) {
    assert_eq!(parse_list(kind, "l", entries).unwrap_err().to_string(), message);
}

#[test]
fn prefixes_mean_networks_but_read_as_written() {
    let list = parse_list("dataprefix", "l", json!([{"ipPrefix": "10.1.2.3/16"}])).unwrap();
    assert_eq!(
        list.content,
        ListContent::Prefixes(vec!["10.1.0.0/16".parse().unwrap()])
    );
    assert_eq!(list.entries, [json!({"ipPrefix": "10.1.2.3/16"})]);
}
