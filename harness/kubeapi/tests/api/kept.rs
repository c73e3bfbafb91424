//! Kinds that are kept and do nothing: what `kubectl` shows of them, and what clients read back.

use serde_json::json;

use crate::kubectl::{Kubectl, row, text};
use crate::lab::Lab;
use crate::protocol::{get, send};

const MANIFESTS: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  ingressClassName: plain
  tls: [{hosts: [example.com]}]
  rules:
  - host: example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed}
spec: {podSelector: {matchLabels: {app: web}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: 50%, selector: {matchLabels: {app: web}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: example/once:1}]}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: 0 3 * * *
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: example/once:1}]}}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fast, annotations: {storageclass.kubernetes.io/is-default-class: 'true'}}
provisioner: example.com/fast
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: checks}
webhooks:
- name: checks.example.com
  clientConfig: {service: {name: checks, namespace: default}}
  admissionReviewVersions: [v1]
  sideEffects: None
  rules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}]
";

#[tokio::test]
async fn kubectl_keeps_and_shows_what_nothing_acts_on() {
    let Some(kubectl) = Kubectl::start("kubectl_keeps_and_shows_what_nothing_acts_on").await else {
        return;
    };
    kubectl.write_text("kept.yaml", MANIFESTS);
    let created = kubectl.run("apply -f kept.yaml").await;
    assert_eq!(created.lines().count(), 9, "{created}");
    assert!(
        created.contains("horizontalpodautoscaler.autoscaling/web created"),
        "{created}"
    );
    // A default inside of a list that merges whole is news to `kubectl`, here as upstream: the scope of a rule.
    let again = kubectl.run("apply -f kept.yaml").await;
    let configured: Vec<&str> = again
        .lines()
        .filter(|line| !line.ends_with(" unchanged"))
        .collect();
    assert_eq!(
        configured,
        ["validatingwebhookconfiguration.admissionregistration.k8s.io/checks configured"]
    );
    for (resource, name, cells) in [
        ("pvc", "data", &["data", "Pending", "<unset>"][..]),
        ("ing", "web", &["web", "plain", "example.com", "80,", "443"]),
        ("netpol", "closed", &["closed", "app=web"]),
        ("pdb", "web", &["web", "50%", "N/A", "0"]),
        ("jobs", "once", &["once", "Running", "0/1"]),
        (
            "cj",
            "nightly",
            &[
                "nightly", "0", "3", "*", "*", "*", "<none>", "False", "0", "<none>",
            ],
        ),
        (
            "hpa",
            "web",
            &["web", "Deployment/web", "cpu:", "<unknown>/80%", "1", "3", "0"],
        ),
        (
            "sc",
            "fast",
            &[
                "fast",
                "(default)",
                "example.com/fast",
                "Delete",
                "Immediate",
                "false",
            ],
        ),
        ("validatingwebhookconfigurations", "checks", &["checks", "1"]),
    ] {
        let table = kubectl.run(&format!("get {resource}")).await;
        let found = row(&table, name);
        assert_eq!(found[..cells.len()], *cells, "{table}");
    }
    let all = kubectl.run("get all").await;
    assert!(
        all.contains("job.batch/once") && all.contains("cronjob.batch/nightly"),
        "{all}"
    );
    let described = kubectl.run("describe job once").await;
    assert!(described.contains("Completion Mode:  NonIndexed"), "{described}");
    let refused = kubectl
        .output(r#"patch sc fast -p {"provisioner":"example.com/slow"}"#)
        .await;
    let told = text(&refused.stderr);
    assert!(
        told.contains("provisioner: Invalid value: \"example.com/slow\": field is immutable"),
        "{told}"
    );
}

#[tokio::test]
async fn statuses_are_written_apart_from_the_rest() {
    let lab = Lab::start().await;
    let path = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
    let ingress = json!({
        "metadata": {"name": "web"},
        "spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}},
    });
    let created = send(&lab, "POST", path, "application/json", &ingress.to_string()).await;
    assert_eq!(created["status"], json!({"loadBalancer": {}}));
    let status = json!({"status": ingress["status"], "spec": {"ingressClassName": "other"}}).to_string();
    let object = format!("{path}/web");
    send(
        &lab,
        "PATCH",
        &format!("{object}/status"),
        "application/merge-patch+json",
        &status,
    )
    .await;
    let (_, _, written) = get(&lab, &object, "application/json").await;
    assert_eq!(written["status"], ingress["status"]);
    assert_eq!(written["spec"].get("ingressClassName"), None);
}
