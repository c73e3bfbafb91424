use super::*;

fn broken(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(FieldError::to_string).collect()
}

fn role(namespace: &str, rule: Value) -> Value {
    json!({"metadata": {"name": "r", "namespace": namespace}, "rules": [rule]})
}

#[test]
fn a_rule_is_about_objects_or_about_paths() {
    let paths = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz"]});
    assert_eq!(validate_role(&role("", paths.clone())), []);
    assert_eq!(
        broken(&validate_role(&role("ns", paths.clone()))),
        [
            "rules[0].nonResourceURLs: Invalid value: [\"/healthz\"]: namespaced rules cannot apply to non-resource URLs"
        ]
    );
    let mut both = paths;
    both["resources"] = json!(["pods"]);
    assert_eq!(validate_role(&role("", both)).len(), 1);
    assert_eq!(
        broken(&validate_role(&role("ns", json!({})))),
        [
            "rules[0].verbs: Required value: verbs must contain at least one value",
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
            "rules[0].resources: Required value: resource rules must supply at least one resource",
        ]
    );
    assert_eq!(validate_role(&role("ns", json!({"verbs": "get"}))).len(), 1);
    assert_eq!(
        validate_role(&json!({"metadata": {"name": "r"}, "rules": null})),
        []
    );
}

fn binding(namespace: &str, role: &str, subject: Value) -> Value {
    let mut binding = json!({
        "metadata": {"name": "b", "namespace": namespace}, "roleRef": {"kind": role, "name": "r"},
        "subjects": [subject],
    });
    default_binding(&mut binding);
    binding
}

#[test]
fn a_binding_names_a_role_in_reach_and_subjects_of_a_kind() {
    let jane = json!({"kind": "User", "name": "jane"});
    assert_eq!(validate_binding(&binding("ns", "Role", jane.clone())), []);
    assert_eq!(validate_binding(&binding("ns", "ClusterRole", jane.clone())), []);
    assert_eq!(
        broken(&validate_binding(&binding("", "Role", jane))),
        ["roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\""]
    );
    let account = json!({"kind": "ServiceAccount", "name": "op"});
    assert_eq!(validate_binding(&binding("ns", "Role", account.clone())), []);
    assert_eq!(
        broken(&validate_binding(&binding("", "ClusterRole", account))),
        ["subjects[0].namespace: Required value"]
    );
    for (subject, field) in [
        (json!({"kind": "Robot", "name": "x"}), "subjects[0].kind"),
        (json!({"kind": "User"}), "subjects[0].name"),
        (
            json!({"kind": "Group", "name": "x", "apiGroup": "v1"}),
            "subjects[0].apiGroup",
        ),
        (
            json!({"kind": "ServiceAccount", "name": "A_"}),
            "subjects[0].name",
        ),
    ] {
        let fields: Vec<String> = validate_binding(&binding("ns", "Role", subject))
            .into_iter()
            .map(|error| error.field)
            .collect();
        assert_eq!(fields, [field]);
    }
}

#[test]
fn a_binding_stays_with_its_role() {
    let jane = json!({"kind": "User", "name": "jane"});
    let (first, second) = (
        binding("ns", "Role", jane.clone()),
        binding("ns", "ClusterRole", jane),
    );
    assert_eq!(validate_binding_change(&first, &first), []);
    assert_eq!(validate_binding_change(&first, &second).len(), 1);
}
