use std::collections::BTreeSet;

use serde_json::json;

use super::references::Reference;
use super::*;
use crate::manager::fixture::{self, parse_definition, parse_list, parse_policy, put_list, sequence};
use crate::manager::list;
use crate::manager::store::Store;

/// A policy and everything that it is made of.
fn parts_of(objects: &Objects, policy: Uuid) -> BTreeSet<Uuid> {
    let lists = objects.lists().map(|list| list.id);
    let definitions = objects.definitions().map(|definition| definition.id);
    let policies = objects.policies().map(|policy| policy.id);
    let all = lists.chain(definitions).chain(policies);
    all.filter(|id| objects.is_part_of(*id, policy)).collect()
}

#[test]
fn a_list_is_referenced_once_by_each_property() {
    let mut objects = Objects::default();
    let prefixes = put_list(
        &mut objects,
        "dataprefix",
        "p",
        json!([{"ipPrefix": "10.0.0.0/8"}]),
    );
    let source = json!([{"field": "sourceDataPrefixList", "ref": prefixes}]);
    let destination = json!([{"field": "destinationDataPrefixList", "ref": prefixes}]);
    let sequences = json!([
        sequence(1, source.clone(), json!([])),
        sequence(2, source, json!([])),
        sequence(3, destination, json!([])),
    ]);
    let from = fixture::put_definition(&mut objects, "d", sequences);
    let expected = ["sourceDataPrefixList", "destinationDataPrefixList"];
    assert_eq!(
        objects.references_to(prefixes),
        expected.map(|property| Reference { from, property })
    );
}

#[test]
fn a_policy_consists_of_all_that_it_reaches() {
    let mut store = Store::default();
    let ids = fixture::policy(&mut store);
    put_list(
        store.objects_for_creation(),
        "site",
        "other",
        json!([{"siteId": "9"}]),
    );
    let expected = [ids.servers, ids.sites, ids.vpns, ids.definition, ids.policy];
    assert_eq!(parts_of(store.objects(), ids.policy), BTreeSet::from(expected));
}

#[test]
fn what_is_referenced_is_not_deleted() {
    let mut store = Store::default();
    let ids = fixture::policy(&mut store);
    let objects = store.objects_for_creation();
    let kind = list::kind("dataprefix").unwrap();
    let error = objects
        .delete_list(kind, &ids.servers.to_string())
        .unwrap_err()
        .to_string();
    assert_eq!(error, "list servers is referenced by definition steer");
    let error = objects
        .delete_definition(DefinitionKind::Data, &ids.definition.to_string())
        .unwrap_err()
        .to_string();
    assert_eq!(error, "definition steer is referenced by vSmart policy central");
    objects.delete_policy(&ids.policy.to_string()).unwrap();
    objects
        .delete_definition(DefinitionKind::Data, &ids.definition.to_string())
        .unwrap();
    objects.delete_list(kind, &ids.servers.to_string()).unwrap();
}

#[test]
fn a_list_is_found_under_its_own_kind_only() {
    let mut objects = Objects::default();
    let id = put_list(&mut objects, "site", "s", json!([{"siteId": "1"}])).to_string();
    assert!(objects.list(list::kind("site").unwrap(), &id).is_ok());
    assert!(objects.list(list::kind("vpn").unwrap(), &id).is_err());
    assert!(objects.delete_list(list::kind("vpn").unwrap(), &id).is_err());
}

#[test]
fn a_family_takes_lists_of_that_family() {
    let mut objects = Objects::default();
    let id = put_list(
        &mut objects,
        "dataipv6prefix",
        "p",
        json!([{"ipv6Prefix": "fd00::/64"}]),
    );
    let wrong = json!([sequence(
        4,
        json!([{"field": "sourceDataPrefixList", "ref": id}]),
        json!([])
    )]);
    let error = objects
        .put_definition(parse_definition("d", wrong).unwrap())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("SeqID 4: field sourceDataPrefixList: Invalid ref {id}")
    );
    let mut right = sequence(
        4,
        json!([{"field": "sourceDataIpv6PrefixList", "ref": id}]),
        json!([]),
    );
    right["sequenceIpType"] = json!("ipv6");
    objects
        .put_definition(parse_definition("d", json!([right])).unwrap())
        .unwrap();
}

#[test]
fn a_refused_object_leaves_no_trace() {
    let mut objects = Objects::default();
    put_list(&mut objects, "site", "s", json!([{"siteId": "1"}]));
    let again = parse_list("site", "s", json!([{"siteId": "2"}])).unwrap();
    assert!(matches!(
        objects.put_list(again),
        Err(ObjectError::NameTaken { .. })
    ));
    assert_eq!(objects.lists().count(), 1);
    let definition = Uuid::new_v4();
    let dangling = fixture::assembly(definition, "all", Uuid::new_v4(), Uuid::new_v4());
    let policy = parse_policy("p", json!([dangling])).unwrap();
    let error = objects.put_policy(policy).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("policyDefinition.assembly[0]: definitionId: Invalid ref {definition}")
    );
    assert_eq!(objects.policies().count(), 0);
}

#[test]
fn an_app_probe_class_is_held_by_its_sla_class_and_that_by_its_sequences() {
    let mut store = Store::default();
    let objects = store.objects_for_creation();
    let probe = put_list(
        objects,
        "appprobe",
        "probe",
        json!([{"forwardingClass": "voice"}]),
    );
    let class = put_list(
        objects,
        "sla",
        "voice",
        json!([{"loss": "1", "appProbeClass": probe}]),
    );
    let sites = put_list(objects, "site", "sites", json!([{"siteId": "1"}]));
    let vpns = put_list(objects, "vpn", "vpns", json!([{"vpn": "10"}]));
    let actions = json!([{"type": "slaClass", "parameter": [{"field": "name", "ref": class}]}]);
    let sequences = json!([fixture::app_route_sequence(1, json!([]), actions)]);
    let definition = fixture::put_app_route(objects, "steer", sequences, Some(class));
    let assembly = fixture::app_route_assembly(definition, sites, vpns);
    let policy = fixture::put_policy(objects, "central", json!([assembly]));

    let properties = |id| {
        objects
            .references_to(id)
            .iter()
            .map(|found| found.property)
            .collect::<Vec<_>>()
    };
    assert_eq!(properties(class), ["name", "defaultAction"]);
    assert_eq!(properties(probe), ["appProbeClass"]);
    let expected = [probe, class, sites, vpns, definition, policy];
    assert_eq!(parts_of(objects, policy), BTreeSet::from(expected));
    let kind = list::kind("appprobe").unwrap();
    let error = objects.delete_list(kind, &probe.to_string()).unwrap_err();
    assert_eq!(error.to_string(), "list probe is referenced by list voice");
}

#[test]
fn references_of_app_route_lead_to_classes() {
    let mut objects = Objects::default();
    let sites = put_list(&mut objects, "site", "s", json!([{"siteId": "1"}]));
    let default = fixture::parse_app_route("d", json!([]), Some(sites)).unwrap();
    let error = objects.put_definition(default).unwrap_err().to_string();
    assert_eq!(error, format!("defaultAction: Invalid ref {sites}"));
    let actions = json!([{"type": "slaClass", "parameter": [{"field": "name", "ref": sites}]}]);
    let sequences = json!([fixture::app_route_sequence(2, json!([]), actions)]);
    let sequence = fixture::parse_app_route("d", sequences, None).unwrap();
    let error = objects.put_definition(sequence).unwrap_err().to_string();
    assert_eq!(error, format!("SeqID 2: field name: Invalid ref {sites}"));
    let class = parse_list("sla", "c", json!([{"loss": "1", "appProbeClass": sites}])).unwrap();
    let error = objects.put_list(class).unwrap_err().to_string();
    assert_eq!(error, format!("entries[0].appProbeClass: Invalid ref {sites}"));
    assert_eq!(objects.lists().count(), 1);
}

#[test]
fn an_assembly_names_a_definition_of_its_type() {
    let mut objects = Objects::default();
    let sites = put_list(&mut objects, "site", "s", json!([{"siteId": "1"}]));
    let vpns = put_list(&mut objects, "vpn", "v", json!([{"vpn": "1"}]));
    let data = fixture::put_definition(&mut objects, "same", json!([]));
    let app_route = fixture::put_app_route(&mut objects, "same", json!([]), None);
    for assembly in [
        fixture::app_route_assembly(data, sites, vpns),
        fixture::assembly(app_route, "all", sites, vpns),
    ] {
        let policy = parse_policy("p", json!([assembly])).unwrap();
        assert!(objects.put_policy(policy).is_err(), "{assembly}");
    }
    assert!(
        objects
            .definition(DefinitionKind::Data, &app_route.to_string())
            .is_err()
    );
}
