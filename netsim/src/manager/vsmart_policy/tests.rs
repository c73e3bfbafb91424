use rstest::rstest;
use serde_json::json;

use super::*;
use crate::manager::fixture::{assembly, body, parse_policy, stamp};

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
#[case::type_of_assembly("type", json!("control"), "policyDefinition.assembly[0].type: `control` is not `data` or `appRoute`, which alone are emulated")]
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
