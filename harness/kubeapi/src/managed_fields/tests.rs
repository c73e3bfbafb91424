use std::sync::Arc;

use super::*;
use crate::resources::Resources;

/// An object that managers write to, without storage.
pub(super) struct Managed {
    resource: Arc<Resource>,
    pub(super) object: Value,
}

impl Managed {
    pub(super) fn new(kind: &str, object: Value) -> Self {
        let resources = Resources::builtin();
        let resource = Arc::clone(resources.of_kind("v1", kind).expect("served"));
        Managed { resource, object }
    }

    fn created(kind: &str, manager: &str, object: Value) -> Self {
        let mut managed = Managed::new(kind, object);
        let mut object = managed.object.take();
        managed.writing(manager, Part::Main).create(&mut object);
        managed.object = object;
        managed
    }

    fn writing<'a>(&'a self, manager: &'a str, part: Part) -> Writing<'a> {
        Writing {
            resource: &self.resource,
            part,
            manager,
        }
    }

    pub(super) fn apply(&mut self, manager: &str, applied: &Value) -> Result<(), Status> {
        self.apply_part(manager, Part::Main, applied, OnConflict::Refuse)
    }

    pub(super) fn force(&mut self, manager: &str, applied: &Value) {
        self.apply_part(manager, Part::Main, applied, OnConflict::Force)
            .expect("nothing refuses a forced apply");
    }

    fn apply_part(
        &mut self,
        manager: &str,
        part: Part,
        applied: &Value,
        on_conflict: OnConflict,
    ) -> Result<(), Status> {
        let Applied { mut object, claims } =
            self.writing(manager, part)
                .apply(&self.object, applied, on_conflict)?;
        claims.settle(&self.object, &mut object);
        self.object = object;
        Ok(())
    }

    fn update(&mut self, manager: &str, part: Part, change: impl FnOnce(&mut Value)) {
        let mut next = self.object.clone();
        change(&mut next);
        self.writing(manager, part).update(&self.object, &mut next);
        self.object = next;
    }

    /// `fieldsV1` of the manager's only entry, if it has one.
    fn fields(&self, manager: &str) -> Option<&Value> {
        let mut entries = object::items(&self.object, "/metadata/managedFields").iter();
        entries
            .find(|entry| entry["manager"] == manager)
            .map(|entry| &entry["fieldsV1"])
    }

    pub(super) fn difference(&self, other: &Value) -> FieldSet {
        let changes = walk::compare(self.resource.topology(), other, &self.object);
        let mut difference = changes.changed;
        difference.add(&changes.removed);
        difference.subtract(&UNOWNED);
        difference
    }

    /// The fields that have a value and no owner.
    pub(super) fn unowned(&self) -> FieldSet {
        let mut fields = walk::fields(self.resource.topology(), &self.object).expect("lists with their keys");
        fields.subtract(&Entries::of(&self.object).all_fields());
        fields.subtract(&UNOWNED);
        fields
    }
}

fn config_map(data: Value) -> Value {
    json!({"metadata": {"name": "c"}, "data": data})
}

#[test]
fn the_creator_owns_what_it_said_and_nobody_what_the_server_says() {
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "uid": "u", "labels": {"app": "web"}, "finalizers": ["x/y"]},
        "spec": {"ports": [{"port": 80, "name": "web"}], "selector": {"app": "web"}},
        "status": {"loadBalancer": {}},
    });
    let managed = Managed::created("Service", "kubectl-create", service);
    let entry = &managed.object["metadata"]["managedFields"][0];
    assert_eq!(
        (&entry["operation"], &entry["apiVersion"], &entry["fieldsType"]),
        (&json!("Update"), &json!("v1"), &json!("FieldsV1"))
    );
    assert_eq!(entry.get("subresource"), None);
    assert_eq!(
        entry["fieldsV1"],
        json!({
            "f:metadata": {
                "f:finalizers": {".": {}, "v:\"x/y\"": {}}, "f:labels": {".": {}, "f:app": {}},
            },
            "f:spec": {
                "f:ports": {".": {}, "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}}},
                "f:selector": {},
            },
        })
    );
}

#[test]
fn an_update_takes_what_it_changes() {
    let mut managed = Managed::created(
        "ConfigMap",
        "a",
        config_map(json!({"x": "1", "y": "1", "z": "1"})),
    );
    managed.update("b", Part::Main, |object| {
        object["data"]["x"] = json!("2");
        object["data"].as_object_mut().expect("data").remove("z");
    });
    assert_eq!(
        managed.fields("a"),
        Some(&json!({"f:data": {".": {}, "f:y": {}}}))
    );
    assert_eq!(managed.fields("b"), Some(&json!({"f:data": {"f:x": {}}})));
    managed.update("b", Part::Main, |object| {
        object["data"] = json!({"x": "3", "y": "3"})
    });
    managed.update("b", Part::Main, |object| {
        object.as_object_mut().expect("an object").remove("data");
    });
    assert_eq!((managed.fields("a"), managed.fields("b")), (None, None));
}

#[test]
fn a_status_is_owned_apart_from_the_rest() {
    let node = json!({"metadata": {"name": "n"}, "spec": {"unschedulable": true}});
    let mut managed = Managed::created("Node", "a", node);
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    managed
        .apply_part("a", Part::Status, &ready, OnConflict::Refuse)
        .expect("nobody else owns it");
    let entries = object::items(&managed.object, "/metadata/managedFields");
    let subresources: Vec<&Value> = entries.iter().map(|entry| &entry["subresource"]).collect();
    assert_eq!(subresources, [&json!("status"), &Value::Null]);
    let condition = json!({".": {}, "f:status": {}, "f:type": {}});
    assert_eq!(
        entries[0]["fieldsV1"],
        json!({"f:status": {"f:conditions": {"k:{\"type\":\"Ready\"}": condition}}})
    );
    // The other parts of what is applied to a status say nothing.
    let with_spec = json!({"spec": {"unschedulable": false}, "status": ready["status"]});
    let before = entries[0]["fieldsV1"].clone();
    managed
        .apply_part("a", Part::Status, &with_spec, OnConflict::Refuse)
        .expect("no conflict either");
    assert_eq!(managed.object["metadata"]["managedFields"][0]["fieldsV1"], before);
}

#[test]
fn a_conflict_names_the_field_and_its_owner() {
    let mut managed = Managed::new("ConfigMap", json!({}));
    managed
        .apply("a", &config_map(json!({"x": "1"})))
        .expect("applies");
    let refused = managed
        .apply("b", &config_map(json!({"x": "2", "y": "2"})))
        .expect_err("a owns x");
    assert_eq!(
        refused.message,
        "Apply failed with 1 conflict: conflict with \"a\": .data.x"
    );
    let status = refused.to_json();
    assert_eq!(
        (&status["code"], &status["reason"]),
        (&json!(409), &json!("Conflict"))
    );
    assert_eq!(
        status["details"]["causes"],
        json!([{"reason": "FieldManagerConflict", "message": "conflict with \"a\"", "field": ".data.x"}])
    );
    managed.force("b", &config_map(json!({"x": "2", "y": "2"})));
    assert_eq!(managed.object["data"], json!({"x": "2", "y": "2"}));
    assert_eq!(managed.fields("a"), None);
}

#[test]
fn conflicts_with_several_owners_are_listed() {
    let pod = json!({"metadata": {"name": "p", "labels": {"app": "web"}}, "spec": {"containers": [
        {"name": "c", "image": "i:1", "ports": [{"containerPort": 80}]},
    ]}});
    let mut managed = Managed::created("Pod", "creator", pod.clone());
    managed
        .apply_part(
            "kubelet",
            Part::Status,
            &json!({"status": {"phase": "Running"}}),
            OnConflict::Refuse,
        )
        .expect("applies");
    managed
        .apply("owner", &json!({"metadata": {"labels": {"tier": "1"}}}))
        .expect("applies");
    let mut other = pod;
    other["spec"]["containers"][0]["image"] = json!("i:2");
    other["metadata"]["labels"] = json!({"tier": "2", "app": "db"});
    let refused = managed
        .apply("other", &other)
        .expect_err("two own what it changes");
    assert_eq!(
        refused.message,
        "Apply failed with 3 conflicts: conflicts with \"creator\" using v1:\n- .metadata.labels.app\n\
         - .spec.containers[name=\"c\"].image\nconflicts with \"owner\":\n- .metadata.labels.tier"
    );
}

#[test]
fn the_same_value_is_owned_together_until_the_last_leaves() {
    let shared = config_map(json!({"x": "1"}));
    let nothing = json!({"metadata": {"name": "c"}});
    let mut managed = Managed::new("ConfigMap", json!({}));
    managed.apply("a", &shared).expect("applies");
    managed
        .apply("b", &shared)
        .expect("the same value is no conflict");
    managed.apply("a", &nothing).expect("applies");
    assert_eq!(managed.object["data"], json!({"x": "1"}));
    managed.apply("b", &nothing).expect("applies");
    assert_eq!(managed.object, nothing);
}

#[test]
fn what_nobody_owns_outlasts_its_neighbours() {
    let ready = json!({"type": "Ready", "status": "True"});
    let node =
        json!({"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "4"}, "conditions": [ready]}});
    let mut managed = Managed::created("Node", "creator", node.clone());
    let mut status = |conditions: Value| {
        let applied = json!({"status": {"conditions": conditions}});
        managed
            .apply_part("a", Part::Status, &applied, OnConflict::Refuse)
            .expect("no conflict");
        managed.object["status"].clone()
    };
    let both = status(json!([{"type": "Cordoned", "status": "True"}]));
    assert_eq!(object::items(&both, "/conditions").len(), 2);
    assert_eq!(status(json!([])), node["status"]);
}

#[test]
fn what_was_there_before_the_first_apply_belongs_to_somebody() {
    let mut managed = Managed::new("ConfigMap", config_map(json!({"x": "1"})));
    managed.update("u", Part::Main, |object| object["data"]["z"] = json!("1"));
    assert_eq!(managed.fields("u"), None, "nobody is tracked on it yet");
    let refused = managed
        .apply("a", &config_map(json!({"x": "2"})))
        .expect_err("x is there");
    assert!(
        refused
            .message
            .ends_with("conflict with \"before-first-apply\" using v1: .data.x"),
        "{refused}"
    );
    managed
        .apply("a", &config_map(json!({"y": "2"})))
        .expect("applies");
    assert_eq!(managed.object["data"], json!({"x": "1", "y": "2", "z": "1"}));
    assert_eq!(
        managed.fields("before-first-apply"),
        Some(&json!({"f:data": {".": {}, "f:x": {}, "f:z": {}}}))
    );
}

#[test]
fn one_empty_entry_starts_anew_and_none_means_as_before() {
    let mut managed = Managed::created("ConfigMap", "a", config_map(json!({"x": "1"})));
    let before = managed.object.clone();
    managed.update("b", Part::Main, |object| {
        take_entries(object);
    });
    assert_eq!(managed.object, before);
    managed.update("b", Part::Status, |object| {
        object["metadata"]["managedFields"] = json!([{}])
    });
    assert_eq!(managed.object, before, "a subresource does not change them");
    for reset in [json!([{}]), json!([])] {
        let mut managed = Managed::new("ConfigMap", before.clone());
        managed.update("b", Part::Main, |object| {
            object["metadata"]["managedFields"] = reset
        });
        assert_eq!(managed.object["metadata"].get("managedFields"), None);
    }
}

#[test]
fn a_client_can_hand_its_fields_over() {
    let mut managed = Managed::created("ConfigMap", "a", config_map(json!({"x": "1"})));
    managed.update("b", Part::Main, |object| {
        object["metadata"]["managedFields"][0]["manager"] = json!("c");
    });
    assert_eq!((managed.fields("a"), managed.fields("b")), (None, None));
    assert!(managed.fields("c").is_some());
    managed.update("b", Part::Main, |object| {
        object["metadata"]["managedFields"][0]["operation"] = json!("Own");
    });
    assert!(
        managed.fields("c").is_some(),
        "what cannot be read changes nothing"
    );
}

#[test]
fn an_apply_that_changes_nothing_keeps_its_time() {
    let applied = config_map(json!({"x": "1"}));
    let mut managed = Managed::new("ConfigMap", json!({}));
    managed.apply("a", &applied).expect("applies");
    managed.object["metadata"]["managedFields"][0]["time"] = json!("2020-01-01T00:00:00Z");
    let before = managed.object.clone();
    managed.apply("a", &applied).expect("applies");
    assert_eq!(managed.object, before);
    managed
        .apply("a", &config_map(json!({"x": "2"})))
        .expect("applies");
    assert_ne!(
        managed.object["metadata"]["managedFields"][0]["time"],
        "2020-01-01T00:00:00Z"
    );
}

#[test]
fn an_apply_that_only_claims_has_no_time() {
    let mut managed = Managed::created("ConfigMap", "a", config_map(json!({"x": "1"})));
    managed
        .apply("b", &config_map(json!({"x": "1"})))
        .expect("applies");
    let entries = &managed.object["metadata"]["managedFields"];
    assert_eq!(
        (&entries[0]["manager"], entries[0].get("time")),
        (&json!("b"), None)
    );
    assert!(entries[1]["time"].is_string());
}

#[test]
fn the_oldest_of_many_updates_become_one() {
    let mut managed = Managed::created("ConfigMap", "m0", config_map(json!({"k0": "1"})));
    for n in 1..=12 {
        managed.update(&format!("m{n}"), Part::Main, |object| {
            object["data"][format!("k{n}")] = json!("1");
        });
    }
    let entries = object::items(&managed.object, "/metadata/managedFields");
    assert_eq!(entries.len(), 10);
    let ancient = managed.fields("ancient-changes").expect("the merged ones");
    assert_eq!(ancient["f:data"].as_object().map(serde_json::Map::len), Some(5));
    assert!(managed.unowned().is_empty());
}

#[test]
fn kubectl_takes_over_from_its_client_side_apply() {
    let mut first = config_map(json!({"x": "1"}));
    first["metadata"]["annotations"] = json!({LAST_APPLIED: first.to_string()});
    let mut managed = Managed::created("ConfigMap", "kubectl-client-side-apply", first);
    let next = config_map(json!({"x": "2"}));
    managed
        .apply("other", &next)
        .expect_err("another has to force it");
    managed.apply("kubectl", &next).expect("applies");
    let annotation = &managed.object["metadata"]["annotations"][LAST_APPLIED];
    assert_eq!(annotation, &json!(format!("{next}\n")));
}

#[test]
fn applied_elements_keep_their_order_among_the_others() {
    let names = |managed: &Managed| -> Vec<String> {
        let containers = object::items(&managed.object, "/spec/containers").iter();
        containers
            .map(|container| object::text(container, "/name").to_owned())
            .collect()
    };
    let containers = |names: &[&str]| {
        let list: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        json!({"spec": {"containers": list}})
    };
    let mut managed = Managed::new("Pod", containers(&["a", "b", "c"]));
    managed.force("x", &containers(&["c", "d", "b"]));
    assert_eq!(names(&managed), ["a", "c", "d", "b"]);
    managed.force("x", &containers(&["d"]));
    assert_eq!(
        names(&managed),
        ["a", "c", "d", "b"],
        "the others are owned by who had them before"
    );
}

#[test]
fn a_list_without_its_keys_or_with_one_twice_is_refused() {
    let mut managed = Managed::new("Service", json!({"metadata": {"name": "web", "namespace": "ns"}}));
    let applied =
        |ports: Value| json!({"metadata": {"name": "web", "namespace": "ns"}, "spec": {"ports": ports}});
    for (ports, expected) in [
        (
            json!([{"name": "web"}]),
            "element 0: associative list with keys has an element that omits key field \"port\" \
             (and doesn't have default value)",
        ),
        (
            json!([{"port": 1}, {"port": 1, "protocol": "TCP"}]),
            "duplicate entries for key",
        ),
    ] {
        let refused = managed.apply("a", &applied(ports)).expect_err(expected);
        assert_eq!(refused.code(), 400);
        let start = "failed to create typed patch object (ns/web; /v1, Kind=Service): .ports: ";
        assert!(
            refused.message.starts_with(start) && refused.message.contains(expected),
            "{refused}"
        );
    }
}

#[test]
fn a_custom_resource_merges_by_its_schema() {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "rules": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "family"],
            "items": {"type": "object", "properties": {"name": {}, "family": {"default": 4}}},
        },
        "tags": {"type": "array", "x-kubernetes-list-type": "set"},
        "plain": {"type": "array"},
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic"},
        "sites": {"type": "object", "additionalProperties": {"type": "object", "properties": {"id": {}}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }}}});
    let object = json!({
        "metadata": {"finalizers": ["x/y"]},
        "spec": {
            "rules": [{"name": "a", "weight": 1}], "tags": ["t"], "plain": [1], "whole": {"a": 1},
            "sites": {"east": {"id": 1}}, "free": {"deep": {"list": [1]}},
        },
    });
    let fields = walk::fields(Topology::CustomObject(&schema), &object).expect("keys are there");
    assert_eq!(
        fields.into_json(),
        json!({
            "f:metadata": {"f:finalizers": {"v:\"x/y\"": {}}},
            "f:spec": {
                "f:rules": {"k:{\"family\":4,\"name\":\"a\"}": {".": {}, "f:name": {}, "f:weight": {}}},
                "f:tags": {"v:\"t\"": {}}, "f:plain": {}, "f:whole": {},
                "f:sites": {"f:east": {".": {}, "f:id": {}}}, "f:free": {"f:deep": {".": {}, "f:list": {}}},
            },
        })
    );
}
