use serde_json::json;

use super::*;

fn defaulted(kept: Kept, mut object: Value) -> Value {
    default_new(kept, &mut object).expect("an object");
    object
}

fn told(kept: Kept, object: Value) -> Vec<String> {
    let object = defaulted(kept, object);
    validate(kept, &object).iter().map(ToString::to_string).collect()
}

#[test]
fn a_job_selects_its_own_pods() {
    let job = defaulted(
        Kept::Job,
        json!({
            "metadata": {"name": "j", "uid": "u"},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "x"}]}}},
        }),
    );
    let selector = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}});
    assert_eq!(job["spec"]["selector"], selector);
    let labels = &job["spec"]["template"]["metadata"]["labels"];
    assert_eq!(
        (&labels["job-name"], &labels["controller-uid"]),
        (&json!("j"), &json!("u"))
    );
    assert_eq!(job["metadata"]["labels"], *labels);
    assert_eq!(job["spec"]["completions"], 1);
    let mut replacement = json!({"spec": {"template": {"spec": {"restartPolicy": "Never"}}}});
    default_replacement(Kept::Job, &job, &mut replacement).expect("a job");
    assert_eq!(replacement["spec"]["selector"], selector);
}

#[test]
fn a_network_policy_is_about_what_it_has_rules_for() {
    let policy = defaulted(
        Kept::NetworkPolicy,
        json!({"spec": {"ingress": [{"ports": [{"port": 80}]}]}}),
    );
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress"]));
    assert_eq!(policy["spec"]["ingress"][0]["ports"][0]["protocol"], "TCP");
    let policy = defaulted(Kept::NetworkPolicy, json!({"spec": {"egress": [{}]}}));
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
}

#[test]
fn limits_of_containers_follow_from_each_other() {
    let limits = json!({"spec": {"limits": [
        {"type": "Container", "max": {"cpu": "2"}, "default": {"memory": "1Gi"}},
        {"type": "Pod", "max": {"cpu": "4"}},
    ]}});
    let range = defaulted(Kept::LimitRange, limits);
    let limit = &range["spec"]["limits"][0];
    assert_eq!(limit["default"], json!({"cpu": "2", "memory": "1Gi"}));
    assert_eq!(limit["defaultRequest"], json!({"cpu": "2", "memory": "1Gi"}));
    assert_eq!(
        range["spec"]["limits"][1],
        json!({"type": "Pod", "max": {"cpu": "4"}})
    );
}

#[test]
fn empty_objects_are_told_what_they_lack() {
    for (kept, expected) in [
        (
            Kept::Volume,
            &[
                "spec.accessModes: Required value",
                "spec.capacity: Required value",
                "spec.capacity: Unsupported value: null: supported values: \"storage\"",
                "spec: Required value: must specify a volume type",
            ][..],
        ),
        (
            Kept::Claim,
            &[
                "spec.accessModes: Required value: at least 1 access mode is required",
                "spec.resources[storage]: Required value",
            ],
        ),
        (
            Kept::Ingress,
            &["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
        ),
        (Kept::IngressClass, &["spec.controller: Required value"]),
        (
            Kept::Job,
            &[
                "spec.template.spec.containers: Required value",
                "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
            ],
        ),
        (
            Kept::CronJob,
            &[
                "spec.schedule: Required value",
                "spec.jobTemplate.spec.template.spec.containers: Required value",
                "spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \
                 \"Never\"",
            ],
        ),
        (Kept::StorageClass, &["provisioner: Required value"]),
        (Kept::NetworkPolicy, &[]),
        (Kept::DisruptionBudget, &[]),
        (Kept::Webhooks, &[]),
    ] {
        assert_eq!(
            told(kept, json!({"metadata": {"name": "a", "uid": "u"}})),
            expected,
            "{kept:?}"
        );
    }
}

#[test]
fn what_a_class_says_stays() {
    let class = json!({"provisioner": "a", "reclaimPolicy": "Delete"});
    let changed = json!({"provisioner": "b", "reclaimPolicy": "Delete"});
    let errors = validate_change(Kept::StorageClass, &class, &changed);
    assert_eq!(errors.len(), 1);
    assert_eq!(
        errors[0].to_string(),
        "provisioner: Invalid value: \"b\": field is immutable"
    );
    assert_eq!(validate_change(Kept::StorageClass, &class, &class), []);
}
