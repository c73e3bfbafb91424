//! Objects for tests, made the way that clients make them.

pub(super) mod stored;

use serde_json::{Value, json};
use uuid::Uuid;

use super::body::ObjectBody;
use super::caller::Caller;
use super::compile::Place;
use super::definition::{self, Definition, DefinitionError, DefinitionKind};
use super::list::{self, List, ListError};
use super::objects::{Objects, Stamp};
use super::store::Store;
use super::vsmart_policy::{self, PolicyError, VsmartPolicy};

/// Sites 1 and 2, with service VPNs 10 and 20.
pub(super) const PLACES: [Place<'static>; 2] = [
    Place {
        site_id: 1,
        service_vpns: &[10, 20],
    },
    Place {
        site_id: 2,
        service_vpns: &[10, 20],
    },
];

/// The objects of a policy: servers 10.1.0.5/32, sites 1 to 1, service VPN 10, one sequence to `biz-internet`.
pub(super) struct Ids {
    pub(super) servers: Uuid,
    pub(super) sites: Uuid,
    pub(super) vpns: Uuid,
    pub(super) definition: Uuid,
    pub(super) policy: Uuid,
}

pub(super) fn stamp() -> Stamp {
    Objects::default().stamp_new(&Caller::test("fixture"))
}

pub(super) fn body(value: Value) -> ObjectBody {
    ObjectBody::new(value).unwrap()
}

pub(super) fn parse_list(kind: &str, name: &str, entries: Value) -> Result<List, ListError> {
    let kind = list::kind(kind).unwrap();
    let value = json!({ "name": name, "type": kind.type_name, "entries": entries });
    list::parse(kind, Uuid::new_v4(), &body(value), stamp())
}

pub(super) fn put_list(objects: &mut Objects, kind: &str, name: &str, entries: Value) -> Uuid {
    let list = parse_list(kind, name, entries).unwrap();
    let id = list.id;
    objects.put_list(list).unwrap();
    id
}

pub(super) fn parse_definition(name: &str, sequences: Value) -> Result<Definition, DefinitionError> {
    let accept = json!({ "type": "accept" });
    let value = json!({ "name": name, "type": "data", "defaultAction": accept, "sequences": sequences });
    definition::parse(DefinitionKind::Data, Uuid::new_v4(), &body(value), stamp())
}

pub(super) fn parse_app_route(
    name: &str,
    sequences: Value,
    default_class: Option<Uuid>,
) -> Result<Definition, DefinitionError> {
    let mut value = json!({ "name": name, "type": "appRoute", "sequences": sequences });
    if let Some(class) = default_class {
        value["defaultAction"] = json!({ "type": "slaClass", "ref": class });
    }
    definition::parse(DefinitionKind::AppRoute, Uuid::new_v4(), &body(value), stamp())
}

pub(super) fn put_app_route(
    objects: &mut Objects,
    name: &str,
    sequences: Value,
    default_class: Option<Uuid>,
) -> Uuid {
    let definition = parse_app_route(name, sequences, default_class).unwrap();
    let id = definition.id;
    objects.put_definition(definition).unwrap();
    id
}

pub(super) fn put_definition(objects: &mut Objects, name: &str, sequences: Value) -> Uuid {
    let definition = parse_definition(name, sequences).unwrap();
    let id = definition.id;
    objects.put_definition(definition).unwrap();
    id
}

/// A sequence with these match entries and actions.
pub(super) fn sequence(id: u32, entries: Value, actions: Value) -> Value {
    json!({
        "sequenceId": id,
        "sequenceName": "test",
        "sequenceType": "data",
        "sequenceIpType": "ipv4",
        "baseAction": "accept",
        "match": { "entries": entries },
        "actions": actions,
    })
}

/// An app-route sequence with these match entries and actions.
pub(super) fn app_route_sequence(id: u32, entries: Value, actions: Value) -> Value {
    json!({
        "sequenceId": id,
        "sequenceName": "test",
        "sequenceType": "appRoute",
        "sequenceIpType": "ipv4",
        "match": { "entries": entries },
        "actions": actions,
    })
}

/// `set localTlocList`.
pub(super) fn set_tlocs(value: Value) -> Value {
    json!([{ "type": "set", "parameter": [{ "field": "localTlocList", "value": value }] }])
}

/// An assembly of one application.
pub(super) fn assembly(definition: Uuid, direction: &str, sites: Uuid, vpns: Uuid) -> Value {
    let entry = json!({ "direction": direction, "siteLists": [sites], "vpnLists": [vpns] });
    json!({ "definitionId": definition, "type": "data", "entries": [entry] })
}

/// An assembly of one application of an app-route definition.
pub(super) fn app_route_assembly(definition: Uuid, sites: Uuid, vpns: Uuid) -> Value {
    let entry = json!({ "siteLists": [sites], "vpnLists": [vpns] });
    json!({ "definitionId": definition, "type": "appRoute", "entries": [entry] })
}

pub(super) fn parse_policy(name: &str, assembly: Value) -> Result<VsmartPolicy, PolicyError> {
    let definition = json!({ "assembly": assembly });
    let value = json!({ "policyName": name, "policyType": "feature", "policyDefinition": definition });
    vsmart_policy::parse(Uuid::new_v4(), &body(value), stamp())
}

pub(super) fn put_policy(objects: &mut Objects, name: &str, assembly: Value) -> Uuid {
    let policy = parse_policy(name, assembly).unwrap();
    let id = policy.id;
    objects.put_policy(policy).unwrap();
    id
}

/// Fills a store with one whole policy.
pub(super) fn policy(store: &mut Store) -> Ids {
    let objects = store.objects_for_creation();
    let servers = put_list(
        objects,
        "dataprefix",
        "servers",
        json!([{ "ipPrefix": "10.1.0.5/32" }]),
    );
    let sites = put_list(objects, "site", "sites", json!([{ "siteId": "1" }]));
    let vpns = put_list(objects, "vpn", "vpns", json!([{ "vpn": "10" }]));
    let entries = json!([
        { "field": "sourceDataPrefixList", "ref": servers },
        { "field": "sourcePort", "value": "8080" },
        { "field": "protocol", "value": "6" },
    ]);
    let tlocs = set_tlocs(json!({ "color": "biz-internet", "encap": "ipsec", "restrict": "" }));
    let definition = put_definition(objects, "steer", json!([sequence(1, entries, tlocs)]));
    let policy = put_policy(
        objects,
        "central",
        json!([assembly(definition, "service", sites, vpns)]),
    );
    Ids {
        servers,
        sites,
        vpns,
        definition,
        policy,
    }
}
