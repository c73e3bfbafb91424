use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::manager::definition::{self, Definition, DefinitionKind};
use crate::manager::fixture::{self, body, stamp};
use crate::manager::list;

const ID: &str = "00000000-0000-4000-8000-000000000001";

fn right(kind: &str) -> Value {
    fixture::stored::definition(kind, &|_| ID.to_owned())
}

fn parse(kind: &str, value: Value) -> Result<Definition, DefinitionError> {
    let kind = definition::kind(kind).unwrap();
    definition::parse(kind, Uuid::nil(), &body(value), stamp())
}

fn uses(kind: &str, value: Value) -> Vec<(String, Use)> {
    match parse(kind, value).unwrap().body {
        definition::DefinitionBody::Stored(stored) => stored.uses,
        other => panic!("{kind} is not stored: {other:?}"),
    }
}

#[test]
fn every_kind_is_taken_and_every_field_names_something_in_one() {
    let mut named = BTreeSet::new();
    for kind in definition::kinds() {
        let DefinitionKind::Stored(_) = kind else {
            continue;
        };
        let uses = uses(kind.path(), right(kind.path()));
        named.extend(uses.into_iter().map(|(_, named)| (named.field, named.kind)));
    }
    let known: BTreeSet<_> = NAMES.into_iter().collect();
    let missing: Vec<_> = known.difference(&named).collect();
    let source = ("sourceFqdnList", "fqdn");
    assert!(missing.is_empty() && known.contains(&source), "{missing:?}");
}

#[test]
fn a_path_is_that_of_one_kind() {
    let paths: Vec<&str> = definition::kinds().map(DefinitionKind::path).collect();
    let lists = list::KINDS.iter().map(|kind| kind.path);
    let all: BTreeSet<&str> = paths.iter().copied().chain(lists).collect();
    assert_eq!(all.len(), paths.len() + list::KINDS.len());
    for (field, kind) in NAMES {
        assert!(all.contains(kind), "{field} names a {kind}");
    }
}

#[test]
fn what_is_named_has_its_place() {
    let places: Vec<_> = uses("qosmap", right("qosmap"));
    let id = Uuid::parse_str(ID).unwrap();
    let named = Use {
        id,
        kind: "class",
        field: "classMapRef",
    };
    assert_eq!(
        places,
        [("definition.qosSchedulers[1].classMapRef".to_owned(), named)]
    );
}

#[test]
fn several_ids_stand_side_by_side() {
    let named = uses("zonebasedfw", right("zonebasedfw"));
    let sets = named.iter().filter(|(_, named)| named.kind == "ruleset");
    let places: Vec<&str> = sets.map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["definition.sequences[1].match.entries[0].ref"; 2]);
}

#[rstest]
#[case::of_another_type("mesh", "/type", json!("control"), "type: `control` is not `mesh`, the type of this collection")]
#[case::name("mesh", "/name", json!("a b"), "name: `a b` is not a definition name: 1 to 128 of letters, digits, `-` and `_`")]
#[case::content("mesh", "/definition", Value::Null, "key definition is missing")]
#[case::content_of_another_kind("mesh", "/sequences", json!([]), "sequences: definitions of this type have no such key")]
#[case::no_object("mesh", "/definition", json!([]), "definition: `[]` is not an object")]
#[case::sequences("acl", "/sequences", json!({}), "sequences: `{}` is not an array")]
#[case::unknown_key("acl", "/x", json!(1), "x: there is no such key; the keys here are name, description, type, mode, sequenceIpType, defaultAction, sequences, definition")]
#[case::not_an_id("mesh", "/definition/regions/0/siteLists/0", json!("west"), "definition.regions[0].siteLists[0]: `west` is not an id")]
#[case::no_text("mesh", "/definition/vpnList", json!(1), "definition.vpnList: `1` is not an id")]
#[case::no_id("acl", "/sequences/0/match/entries/0/ref", json!(" "), "sequences[0].match.entries[0].ref: ` ` is not an id")]
#[case::self_elsewhere("zonebasedfw", "/definition/entries/0/destinationZone", json!("self"), "definition.entries[0].destinationZone: `self` is not an id")]
#[case::unknown_reference("acl", "/sequences/0/match/entries/0/field", json!("x"), "sequences[0].match.entries[0].ref: field x refers to nothing that is emulated")]
#[case::unknown_action("acl", "/sequences/0/actions/0/type", json!("x"), "sequences[0].actions[0].parameter.ref: field x refers to nothing that is emulated")]
fn what_is_wrong_is_named(
    #[case] kind: &str,
    #[case] place: &str,
    #[case] value: Value,
    #[case] message: &str,
) {
    let mut body = right(kind);
    let (parent, key) = place.rsplit_once('/').unwrap();
    match body.pointer_mut(parent).unwrap() {
        Value::Object(object) => drop(object.insert(key.to_owned(), value)),
        Value::Array(values) => values[key.parse::<usize>().unwrap()] = value,
        other => panic!("{place} is in {other}"),
    }
    assert_eq!(parse(kind, body).unwrap_err().to_string(), message);
}
