use serde_json::{Value, json};

use super::*;

fn patched(media_type: &str, patch: Value, mut object: Value) -> Result<Value, Status> {
    let kind = object["kind"].as_str().unwrap_or("Pod").to_owned();
    Patch::parse(media_type, patch.to_string().as_bytes())?.apply(&kind, &mut object)?;
    Ok(object)
}

fn strategic(patch: Value, object: Value) -> Value {
    patched("application/strategic-merge-patch+json", patch, object).expect("patch applies")
}

#[test]
fn a_json_patch_test_for_null_passes_where_nothing_is() {
    let patch = json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["f"]},
    ]);
    let result = patched("application/json-patch+json", patch, json!({"metadata": {}}));
    assert_eq!(
        result.expect("applies"),
        json!({"metadata": {"finalizers": ["f"]}})
    );
}

#[test]
fn a_json_patch_that_fails_is_unprocessable() {
    let patch = json!([{"op": "test", "path": "/metadata/name", "value": "other"}]);
    let refused = patched(
        "application/json-patch+json",
        patch,
        json!({"metadata": {"name": "n"}}),
    );
    assert_eq!(refused.expect_err("test fails").code(), 422);
}

#[test]
fn a_merge_patch_removes_what_is_null() {
    let patch = json!({"metadata": {"annotations": {"a": null, "b": "2"}}});
    let object = json!({"metadata": {"annotations": {"a": "1", "c": "3"}}});
    let result = patched("application/merge-patch+json", patch, object).expect("applies");
    assert_eq!(result, json!({"metadata": {"annotations": {"b": "2", "c": "3"}}}));
}

#[test]
fn unknown_types_are_unsupported() {
    let refused = Patch::parse("text/plain", b"{}").expect_err("not a patch");
    assert_eq!(refused.code(), 415);
}

#[test]
fn what_is_applied_is_json_or_yaml_and_a_map() {
    let (applied, _) = Patch::parse_applied(b"metadata:\n  name: c # the name\n").expect("yaml");
    assert_eq!(applied, json!({"metadata": {"name": "c"}}));
    for body in ["[]", "metadata: {", "text"] {
        let refused = Patch::parse_applied(body.as_bytes()).expect_err(body);
        assert!(refused.message.starts_with("error decoding YAML: "), "{refused}");
    }
}

#[test]
fn the_last_of_two_keys_is_applied_and_both_are_told() {
    for (body, line) in [
        ("spec:\n  a: 1\n  a: 2\n", 3),
        (r#"{"spec": {"a": 1, "a": 2}}"#, 1),
    ] {
        let (applied, twice) = Patch::parse_applied(body.as_bytes()).expect(body);
        assert_eq!(applied, json!({"spec": {"a": 2}}));
        assert_eq!(twice, [format!("line {line}: key \"a\" already set in map")]);
    }
}

#[test]
fn a_patch_tells_of_members_that_come_twice_or_are_not_its_own() {
    let body = br#"[{"op": "add", "op": "add", "fish": 1, "path": "/a", "value": 1}]"#;
    let patch = Patch::parse("application/json-patch+json", body).expect("a patch");
    assert_eq!(
        patch.strict_errors(body),
        [
            "json patch duplicate field \"[0].op\"",
            "json patch unknown field \"[0].fish\""
        ]
    );
    let body = br#"{"spec": {"a": 1, "a": 2}}"#;
    let patch = Patch::parse("application/merge-patch+json", body).expect("a patch");
    assert_eq!(patch.strict_errors(body), ["duplicate field \"spec.a\""]);
}

#[test]
fn a_refused_strategic_patch_is_shown_as_go_prints_it() {
    let patch = Patch::Strategic(json!({"spec": {"b": {}, "a": [1, "x", true, null, 2.5]}}));
    let refused = patch.refusal(&json!({}), "it is odd");
    assert_eq!(
        refused.message,
        " \"\" is invalid: patch: Invalid value: \"map[spec:map[a:[1 x true <nil> 2.5] b:map[]]]\": it is odd"
    );
}

#[test]
fn a_strategic_patch_merges_containers_and_service_ports_by_key() {
    let pod = json!({"kind": "Pod", "spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}});
    let patch = json!({"spec": {"containers": [{"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}});
    assert_eq!(
        strategic(patch, pod)["spec"]["containers"],
        json!([{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c", "image": "3"}])
    );
    let service =
        json!({"kind": "Service", "spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]}});
    let patch =
        json!({"spec": {"ports": [{"port": 81, "$patch": "delete"}, {"port": 80, "targetPort": 8080}]}});
    assert_eq!(
        strategic(patch, service)["spec"]["ports"],
        json!([{"port": 80, "name": "a", "targetPort": 8080}])
    );
}

#[test]
fn strategic_directives_replace_order_and_delete() {
    let pod = json!({"kind": "Pod", "metadata": {"finalizers": ["x", "y"]}, "spec": {
        "containers": [{"name": "a"}, {"name": "b"}], "nodeSelector": {"k": "v"}, "tolerations": [{"key": "t"}],
    }});
    let patch = json!({
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["x"], "finalizers": ["z"]},
        "spec": {
            "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
            "nodeSelector": {"$patch": "replace", "other": "w"},
            "tolerations": [{"key": "u"}],
        },
    });
    let result = strategic(patch, pod);
    assert_eq!(result["metadata"]["finalizers"], json!(["z", "y"]));
    assert_eq!(
        result["spec"]["containers"],
        json!([{"name": "b"}, {"name": "a"}])
    );
    assert_eq!(result["spec"]["nodeSelector"], json!({"other": "w"}));
    assert_eq!(result["spec"]["tolerations"], json!([{"key": "u"}]));
}

#[test]
fn a_list_element_without_its_merge_key_is_refused() {
    let pod = json!({"kind": "Pod", "spec": {"containers": [{"name": "a"}]}});
    let patch = json!({"spec": {"containers": [{"image": "x"}]}});
    let refused = patched("application/strategic-merge-patch+json", patch, pod).expect_err("no key");
    assert_eq!(
        refused.message,
        "map: map[image:x] does not contain declared merge key: name"
    );
}

#[test]
fn what_nests_too_deeply_is_refused() {
    let deep = format!("{}1{}", "{a: ".repeat(5000), "}".repeat(5000));
    let refused = Patch::parse_applied(deep.as_bytes()).expect_err("a depth nobody needs");
    assert_eq!(refused.code(), 400);
}

#[test]
fn a_json_patch_neither_doubles_without_end_nor_digs_without_end() {
    let media_type = "application/json-patch+json";
    let object = json!({"metadata": {"labels": {"a": "b"}, "annotations": {}}});
    let copy = |n: usize| json!({"op": "copy", "from": "/metadata", "path": format!("/metadata/labels/{n}")});
    let copies = |count| patched(media_type, (0..count).map(copy).collect(), object.clone());
    assert!(copies(10).is_ok());
    assert_eq!(copies(60).expect_err("2^60 labels").code(), 422);

    let step = [
        json!({"op": "add", "path": "/metadata/annotations/y", "value": {"x": {}}}),
        json!({"op": "move", "from": "/metadata/labels", "path": "/metadata/annotations/y/x/x"}),
        json!({"op": "move", "from": "/metadata/annotations/y", "path": "/metadata/labels"}),
    ];
    let dug = |times| patched(media_type, json!(vec![&step[..]; times].concat()), object.clone());
    assert!(dug(40).is_ok());
    assert_eq!(dug(3000).expect_err("6000 deep").code(), 422);
}
