//! What holds for every applied object: the configurations are drawn from all ways of merging at once.

use proptest::collection::btree_set;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::Managed;
use super::{FieldSet, merge, walk};
use crate::topology::Topology;

/// An object with some of the labels, containers (by key), finalizers (a set) and tolerations (whole) of `names`.
fn config(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let some = move || btree_set(0..names.len(), 0..=names.len());
    let value = || 0..3u8;
    (some(), some(), some(), some(), value()).prop_map(move |(labels, containers, env, finalizers, value)| {
        let name = |at: &usize| names[*at];
        let env: Vec<_> = env
            .iter()
            .map(|at| json!({"name": name(at), "value": value}))
            .collect();
        let mut pod = json!({"metadata": {"name": "p"}});
        if !labels.is_empty() {
            let labels: serde_json::Map<_, _> = labels
                .iter()
                .map(|at| (name(at).to_owned(), json!(value)))
                .collect();
            pod["metadata"]["labels"] = json!(labels);
        }
        if !finalizers.is_empty() {
            let finalizers: Vec<_> = finalizers.iter().map(name).collect();
            pod["metadata"]["finalizers"] = json!(finalizers);
        }
        if !containers.is_empty() {
            let container = |at| {
                let mut container =
                    json!({"name": name(at), "image": value, "resources": {"limits": {"cpu": value}}});
                if !env.is_empty() {
                    container["env"] = json!(env);
                }
                container
            };
            let containers: Vec<_> = containers.iter().map(container).collect();
            pod["spec"] = json!({"containers": containers});
            if names.len() > 2 {
                pod["spec"]["tolerations"] = json!([{"key": name(&0), "value": value}]);
            }
        }
        pod
    })
}

fn any_config() -> impl Strategy<Value = Value> {
    config(&["a", "b", "c", "d"])
}

fn nothing() -> Value {
    json!({"metadata": {"name": "p"}})
}

proptest! {
    #[test]
    fn applying_again_changes_nothing(first in any_config(), second in any_config()) {
        let mut managed = Managed::new("Pod", nothing());
        managed.force("other", &first);
        managed.force("a", &second);
        let before = managed.object.clone();
        managed.apply("a", &second).expect("it owns all of it");
        prop_assert_eq!(managed.object, before);
    }

    #[test]
    fn what_is_applied_is_there_and_owned(first in any_config(), second in any_config()) {
        let mut managed = Managed::new("Pod", nothing());
        managed.force("a", &first);
        managed.force("b", &second);
        let merged = merge::merge(Topology::builtin("Pod"), Some(&managed.object), &second);
        prop_assert_eq!(&merged, &managed.object);
        prop_assert!(managed.unowned().is_empty(), "{:?}", managed.unowned().paths());
    }

    #[test]
    fn what_one_applies_and_unapplies_is_gone(applied in any_config()) {
        let mut managed = Managed::new("Pod", nothing());
        managed.apply("a", &applied).expect("nobody else is there");
        managed.apply("a", &nothing()).expect("it owns all of it");
        prop_assert_eq!(managed.object, nothing());
    }

    #[test]
    fn what_others_apply_stays(first in any_config(), second in any_config()) {
        let mut managed = Managed::new("Pod", nothing());
        managed.apply("a", &first).expect("nobody else is there");
        managed.force("b", &second);
        managed.apply("a", &nothing()).expect("what it leaves is no conflict");
        let difference = managed.difference(&second);
        prop_assert!(difference.is_empty(), "{:?}", difference.paths());
    }

    #[test]
    fn managers_of_different_fields_do_not_conflict(
        first in config(&["a", "b"]),
        second in config(&["c", "d"]),
    ) {
        let (mut one, mut two) = (Managed::new("Pod", nothing()), Managed::new("Pod", nothing()));
        one.apply("a", &first).expect("the first");
        one.apply("b", &second).expect("other fields");
        two.apply("b", &second).expect("the first");
        two.apply("a", &first).expect("other fields");
        let difference = one.difference(&two.object);
        prop_assert!(difference.is_empty(), "{:?}", difference.paths());
    }

    #[test]
    fn a_conflict_leaves_all_as_it_was_and_force_settles_it(first in any_config(), second in any_config()) {
        let mut managed = Managed::new("Pod", nothing());
        managed.apply("a", &first).expect("nobody else is there");
        let before = managed.object.clone();
        if managed.apply("b", &second).is_err() {
            prop_assert_eq!(&managed.object, &before);
            managed.force("b", &second);
        }
        managed.apply("b", &second).expect("it owns all of it");
    }

    #[test]
    fn the_written_form_of_a_set_reads_back(object in any_config()) {
        let fields = walk::fields(Topology::builtin("Pod"), &object).expect("lists with their keys");
        prop_assert_eq!(FieldSet::from_json(&fields.clone().into_json()), Some(fields));
    }
}
