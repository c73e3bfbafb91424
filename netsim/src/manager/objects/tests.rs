use serde_json::json;

use super::*;
use crate::manager::fixture::{self, parse_definition, parse_list, parse_policy, put_list, sequence};
use crate::manager::list;
use crate::manager::store::Store;

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
        objects.references()[&prefixes],
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
    assert_eq!(store.objects().parts_of(ids.policy), BTreeSet::from(expected));
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
        .delete_definition(&ids.definition.to_string())
        .unwrap_err()
        .to_string();
    assert_eq!(error, "definition steer is referenced by vSmart policy central");
    objects.delete_policy(&ids.policy.to_string()).unwrap();
    objects.delete_definition(&ids.definition.to_string()).unwrap();
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
        format!("assembly 1: definitionId: Invalid ref {definition}")
    );
    assert_eq!(objects.policies().count(), 0);
}
