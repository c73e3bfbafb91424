//! Whatever is stored, replaced and deleted, what is kept of the objects is what a look at all of them finds.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::shelf::Shelved;
use super::*;
use crate::manager::fixture::{
    PLACES, app_route_assembly, app_route_sequence, assembly, parse_app_route, parse_definition, parse_list,
    parse_policy, put_list, sequence,
};
use crate::manager::list;
use crate::manager::store::{PushEnd, Release, Store};

/// Few of each, so that names and references meet.
const COUNT: u8 = 3;
const NAMES: [&str; 3] = ["a", "b", "c"];
/// Each of the next may refer to one before it.
const KINDS: [&str; 3] = ["appprobe", "sla", "dataprefix"];

#[derive(Debug, Clone)]
enum Step {
    PutList { of: Of, probe: Option<u8> },
    PutDefinitions(Vec<Sketch>),
    PutPolicy { of: Of, definitions: BTreeSet<u8> },
    DeleteList { kind: usize, number: u8 },
    DeleteDefinition(u8),
    DeletePolicy(u8),
    Activate(u8),
    Deactivate(u8),
}

/// Which object, and what it is called then.
#[derive(Debug, Clone)]
struct Of {
    kind: usize,
    number: u8,
    name: usize,
}

#[derive(Debug, Clone)]
struct Sketch {
    of: Of,
    lists: Vec<u8>,
}

fn of() -> impl Strategy<Value = Of> {
    (0..KINDS.len(), 0..COUNT, 0..NAMES.len()).prop_map(|(kind, number, name)| Of { kind, number, name })
}

fn step() -> impl Strategy<Value = Step> {
    let number = || 0..COUNT;
    let sketch = (of(), prop::collection::vec(number(), 0..4)).prop_map(|(of, lists)| Sketch { of, lists });
    prop_oneof![
        6 => (of(), prop::option::of(number())).prop_map(|(of, probe)| Step::PutList { of, probe }),
        4 => prop::collection::vec(sketch, 1..4).prop_map(Step::PutDefinitions),
        3 => (of(), prop::collection::btree_set(number(), 0..3))
            .prop_map(|(of, definitions)| Step::PutPolicy { of, definitions }),
        2 => (0..KINDS.len(), number()).prop_map(|(kind, number)| Step::DeleteList { kind, number }),
        1 => number().prop_map(Step::DeleteDefinition),
        1 => number().prop_map(Step::DeletePolicy),
        3 => number().prop_map(Step::Activate),
        1 => number().prop_map(Step::Deactivate),
    ]
}

/// The same object keeps its id when it comes back.
fn id(kind: &str, number: u8) -> Uuid {
    let kind = kind.bytes().fold(0, |sum, octet| sum << 8 ^ u128::from(octet));
    Uuid::from_u128(kind << 8 ^ u128::from(number))
}

fn ids() -> impl Iterator<Item = Uuid> {
    let kinds = KINDS.into_iter().chain(["definition", "policy"]);
    kinds.flat_map(|kind| (0..COUNT).map(move |number| id(kind, number)))
}

struct World {
    store: Store,
    caller: Caller,
    sites: [Uuid; COUNT as usize],
    vpns: Uuid,
}

impl World {
    fn new() -> Self {
        let mut store = Store::default();
        let objects = store.objects_for_creation();
        let vpns = put_list(objects, "vpn", "vpns", json!([{ "vpn": "10" }]));
        // One for each definition, so that no two of them collide.
        let sites = [1, 2, 3].map(|site| {
            let entries = json!([{ "siteId": format!("{site}") }]);
            put_list(objects, "site", &format!("site{site}"), entries)
        });
        let mut world = Self {
            store,
            caller: Caller::test("a"),
            sites,
            vpns,
        };
        world.fill();
        world
    }

    /// Makes everything that steps are about.
    fn fill(&mut self) {
        for number in 0..COUNT {
            let name = usize::from(number);
            for kind in 0..KINDS.len() {
                let of = Of { kind, number, name };
                self.take(&Step::PutList {
                    of,
                    probe: Some(number),
                });
            }
            let of = Of {
                kind: 0,
                number,
                name,
            };
            let (lists, definitions) = (vec![number], BTreeSet::from([number]));
            self.take(&Step::PutDefinitions(vec![Sketch {
                of: of.clone(),
                lists,
            }]));
            self.take(&Step::PutPolicy { of, definitions });
        }
        assert_eq!(self.store.objects().policies().count(), usize::from(COUNT));
    }

    fn list(of: &Of, probe: Option<u8>) -> List {
        let entries = match KINDS[of.kind] {
            "appprobe" => json!([{ "forwardingClass": "voice" }]),
            "sla" => match probe {
                Some(probe) => json!([{ "loss": "1", "appProbeClass": id("appprobe", probe) }]),
                None => json!([{ "loss": "1" }]),
            },
            _ => json!([{ "ipPrefix": "10.0.0.0/8" }]),
        };
        let id = id(KINDS[of.kind], of.number);
        List {
            id,
            ..parse_list(KINDS[of.kind], NAMES[of.name], entries).unwrap()
        }
    }

    /// The first of them is of app-route, the others are of data.
    fn definition(Sketch { of, lists }: &Sketch) -> Definition {
        let (name, is_app_route) = (NAMES[of.name], of.number == 0);
        let sequences = (1..).zip(lists).map(|(at, &list)| {
            if is_app_route {
                let parameter = json!([{ "field": "name", "ref": id("sla", list) }]);
                let actions = json!([{ "type": "slaClass", "parameter": parameter }]);
                return app_route_sequence(at, json!([]), actions);
            }
            let field = ["sourceDataPrefixList", "destinationDataPrefixList"][usize::from(list) % 2];
            let entries = json!([{ "field": field, "ref": id("dataprefix", list) }]);
            sequence(at, entries, json!([]))
        });
        let sequences = Value::from_iter(sequences);
        let default_class = lists.first().map(|list| id("sla", *list));
        let parsed = match is_app_route {
            true => parse_app_route(name, sequences, default_class),
            false => parse_definition(name, sequences),
        };
        let id = id("definition", of.number);
        Definition {
            id,
            ..parsed.unwrap()
        }
    }

    fn policy(&self, of: &Of, definitions: &BTreeSet<u8>) -> VsmartPolicy {
        let assembly = definitions.iter().map(|&number| {
            let (definition, site) = (id("definition", number), self.sites[usize::from(number)]);
            match number {
                0 => app_route_assembly(definition, site, self.vpns),
                _ => assembly(definition, "service", site, self.vpns),
            }
        });
        VsmartPolicy {
            id: id("policy", of.number),
            ..parse_policy(NAMES[of.name], Value::from_iter(assembly)).unwrap()
        }
    }

    /// Does a step; what is refused is done as well as it can be.
    fn take(&mut self, step: &Step) {
        match step {
            Step::PutList { of, probe } => {
                let list = Self::list(of, *probe);
                self.put(list.id, |objects| objects.put_list(list));
            }
            Step::PutDefinitions(sketches) => {
                let definitions: Vec<_> = sketches.iter().map(Self::definition).collect();
                let ids: Vec<_> = definitions.iter().map(|definition| definition.id).collect();
                let in_force = self.in_force();
                let edited = self.store.edit_definitions(&self.caller, definitions, None);
                if let Ok(edited) = edited {
                    let expected = ids.iter().any(|id| in_force.contains(id));
                    assert_eq!(edited.process_id.is_some(), expected);
                }
            }
            Step::PutPolicy { of, definitions } => {
                let policy = self.policy(of, definitions);
                self.put(policy.id, |objects| objects.put_policy(policy));
            }
            Step::DeleteList { kind, number } => {
                let id = id(KINDS[*kind], *number).to_string();
                let _ = self.store.delete_list(list::kind(KINDS[*kind]).unwrap(), &id);
            }
            Step::DeleteDefinition(number) => {
                let kind = if *number == 0 {
                    DefinitionKind::AppRoute
                } else {
                    DefinitionKind::Data
                };
                let id = id("definition", *number).to_string();
                let _ = self.store.delete_definition(kind, &id);
            }
            Step::DeletePolicy(number) => drop(self.store.delete_policy(&id("policy", *number).to_string())),
            Step::Activate(number) | Step::Deactivate(number) => {
                let id = id("policy", *number).to_string();
                let release = Release {
                    is_edited: true,
                    process_id: None,
                };
                let accepted = match step {
                    Step::Activate(_) => self.store.activate(&self.caller, &id, &release, &PLACES),
                    _ => self.store.deactivate(&self.caller, &id, &release, &PLACES),
                };
                if let Some(push) = accepted.ok().and_then(|accepted| accepted.push.ok()) {
                    self.store.end_push(&push, PushEnd::default(), 0);
                }
            }
        }
    }

    /// An edit of what is in force, and of nothing else, takes the lock.
    fn put(&mut self, id: Uuid, put: impl FnOnce(&mut Objects) -> Result<(), ObjectError>) {
        let in_force = self.in_force().contains(&id);
        if let Ok(edited) = self.store.edit(&self.caller, id, None, put) {
            assert_eq!(edited.process_id.is_some(), in_force);
        }
    }

    fn in_force(&self) -> BTreeSet<Uuid> {
        let active = self.store.active();
        active
            .map(|policy| parts(self.store.objects(), policy))
            .unwrap_or_default()
    }

    fn check(&self) {
        let objects = self.store.objects();
        let fresh = objects.collect_references();
        let ids: Vec<_> = ids().chain(self.sites).chain([self.vpns]).collect();
        for id in &ids {
            let found = fresh.get(id).map(Vec::as_slice).unwrap_or_default();
            assert_eq!(objects.references_to(*id), found);
        }
        for policy in objects.policies().map(|policy| policy.id) {
            let kept = ids.iter().copied().filter(|id| objects.is_part_of(*id, policy));
            assert_eq!(kept.collect::<BTreeSet<_>>(), parts(objects, policy));
        }
        check_names(&objects.lists);
        check_names(&objects.definitions);
        check_names(&objects.policies);
    }
}

/// Each object has its name, and nothing has another.
fn check_names<T: Shelved>(shelf: &Shelf<T>) {
    let mut names: Vec<_> = shelf
        .all()
        .map(|object| (object.collection(), object.name()))
        .collect();
    names.sort_unstable();
    assert_eq!(shelf.names().collect::<Vec<_>>(), names);
    for object in shelf.all() {
        assert!(shelf.check_name(object).is_ok());
    }
}

/// A policy and everything that it is made of, from the policy down.
fn parts(objects: &Objects, policy: Uuid) -> BTreeSet<Uuid> {
    let mut parts = BTreeSet::from([policy]);
    for assembly in &objects.policy_of(policy).assembly {
        let definition = objects.definition_of(assembly.definition).unwrap();
        parts.insert(definition.id);
        for (_, used) in definition.uses() {
            parts.insert(used.id);
            let inner = objects.list_of(used.id).and_then(List::uses);
            parts.extend(inner.map(|inner| inner.id));
        }
        for application in &assembly.applications {
            parts.extend(application.site_lists.iter().chain(&application.vpn_lists));
        }
    }
    parts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_kept_of_the_objects_is_what_they_say(steps in prop::collection::vec(step(), 1..48)) {
        let mut world = World::new();
        world.check();
        for step in &steps {
            world.take(step);
            world.check();
        }
    }
}
