use rstest::rstest;
use serde_json::json;

use super::*;
use crate::manager::fixture::{assembly, body, parse_policy, stamp};

const LIST: &str = "00000000-0000-4000-8000-000000000001";

#[rstest]
#[case("service", PolicyDirection::FromService)]
#[case("tunnel", PolicyDirection::FromTunnel)]
#[case("all", PolicyDirection::All)]
fn directions_are_those_of_the_api(#[case] text: &str, #[case] expected: PolicyDirection) {
    let [definition, sites, vpns] = [(); 3].map(|()| Uuid::new_v4());
    let policy = parse_policy("p", json!([assembly(definition, text, sites, vpns)])).unwrap();
    let application = Application {
        direction: expected,
        site_lists: vec![sites],
        vpn_lists: vec![vpns],
    };
    assert_eq!(
        policy.assembly,
        [Assembly {
            kind: DefinitionKind::Data,
            definition,
            applications: vec![application]
        }]
    );
}

#[rstest]
#[case::type_of_assembly("type", json!("acl"), "policyDefinition.assembly[0].type: `acl` is not a type of centralized policy: data, appRoute, control, cflowd, hubAndSpoke, mesh, vpnMembershipGroup")]
#[case::way_of_control("type", json!("control"), "policyDefinition.assembly[0].entries[0].direction: `all` is not one of in, out")]
#[case::way_of_cflowd("type", json!("cflowd"), "policyDefinition.assembly[0].entries[0].direction: there is no such key; the keys here are siteLists")]
#[case::entry_of_mesh("type", json!("mesh"), "policyDefinition.assembly[0].entries: a definition of type mesh says itself where it applies")]
#[case::no_entries("entries", json!(null), "policyDefinition.assembly[0]: key entries is missing")]
#[case::way_of_app_route("type", json!("appRoute"), "policyDefinition.assembly[0].entries[0].direction: appRoute applies to traffic from the service only")]
#[case::no_entry("entries", json!([]), "policyDefinition.assembly[0].entries: at least one is needed")]
#[case::not_an_id("definitionId", json!("x"), "policyDefinition.assembly[0].definitionId: `x` is not an id")]
#[case::unknown_key("x", json!(1), "policyDefinition.assembly[0].x: there is no such key; the keys here are definitionId, type, entries")]
#[case::lists("entries", json!([{"direction": "all", "siteLists": null, "vpnLists": []}]), "policyDefinition.assembly[0].entries[0].siteLists: `null` is not an array")]
#[case::list("entries", json!([{"direction": "all", "siteLists": ["x"], "vpnLists": []}]), "policyDefinition.assembly[0].entries[0].siteLists[0]: `x` is not an id")]
#[case::way("entries", json!([{"direction": "up", "siteLists": [], "vpnLists": []}]), "policyDefinition.assembly[0].entries[0].direction: `up` is not one of service, tunnel, all")]
fn a_refused_assembly_is_named(#[case] key: &str, #[case] value: Value, #[case] message: &str) {
    let mut assembly = assembly(Uuid::new_v4(), "all", Uuid::new_v4(), Uuid::new_v4());
    assembly[key] = value;
    assert_eq!(
        parse_policy("p", json!([assembly])).unwrap_err().to_string(),
        message
    );
}

#[rstest]
#[case::unsaid(json!({}), true)]
#[case::said(json!({"direction": "service"}), true)]
#[case::another(json!({"direction": "tunnel"}), false)]
fn app_route_is_from_the_service(#[case] mut entry: Value, #[case] accepted: bool) {
    let [definition, sites, vpns] = [(); 3].map(|()| Uuid::new_v4());
    entry["siteLists"] = json!([sites]);
    entry["vpnLists"] = json!([vpns]);
    let assembly = json!({"definitionId": definition, "type": "appRoute", "entries": [entry]});
    let policy = parse_policy("p", json!([assembly]));
    let directions = policy.map(|policy| policy.assembly[0].applications[0].direction);
    assert_eq!(directions.ok(), accepted.then_some(PolicyDirection::FromService));
}

#[rstest]
#[case::control("control", json!([{"direction": "in", "siteLists": [LIST]}]), 1)]
#[case::both_ways("control", json!([{"direction": "in", "siteLists": [LIST]}, {"direction": "out", "siteLists": [LIST]}]), 2)]
#[case::cflowd("cflowd", json!([{"siteLists": [LIST]}]), 1)]
#[case::mesh("mesh", json!(null), 0)]
#[case::hub_and_spoke("hubAndSpoke", json!([]), 0)]
fn what_edges_do_not_carry_out_applies_to_sites(
    #[case] type_name: &str,
    #[case] entries: Value,
    #[case] count: usize,
) {
    let assembly = json!({"definitionId": LIST, "type": type_name, "entries": entries});
    let policy = parse_policy("p", json!([assembly])).unwrap();
    let list = Uuid::parse_str(LIST).unwrap();
    let application = Application {
        direction: PolicyDirection::All,
        site_lists: vec![list],
        vpn_lists: Vec::new(),
    };
    assert_eq!(policy.assembly[0].kind.type_name(), type_name);
    assert_eq!(policy.assembly[0].applications, vec![application; count]);
}

#[test]
fn data_needs_a_direction() {
    let mut assembly = assembly(Uuid::new_v4(), "all", Uuid::new_v4(), Uuid::new_v4());
    assembly["entries"][0]
        .as_object_mut()
        .unwrap()
        .remove("direction");
    let error = parse_policy("p", json!([assembly])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "policyDefinition.assembly[0].entries[0]: key direction is missing"
    );
}

#[test]
fn what_is_not_emulated_is_refused() {
    let parse = |value| {
        super::parse(Uuid::new_v4(), &body(value), stamp())
            .unwrap_err()
            .to_string()
    };
    let cli = json!({"policyName": "p", "policyType": "cli", "policyDefinition": {}});
    assert_eq!(
        parse(cli),
        "policyType: `cli` is not `feature`, which alone is emulated"
    );
    let regions = json!({"assembly": [], "regionRoleAssembly": [{}]});
    let regions = json!({"policyName": "p", "policyType": "feature", "policyDefinition": regions});
    assert_eq!(
        parse(regions),
        "policyDefinition.regionRoleAssembly: regions are not emulated"
    );
}
