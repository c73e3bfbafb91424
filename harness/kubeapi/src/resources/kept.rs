//! The rows of kinds that are kept and do nothing: no controller acts on them.

use super::Scope::{Cluster, Namespaced};
use super::{Resource, Scope};
use crate::strategy::{Kept, Strategy};

pub(super) fn rows() -> impl Iterator<Item = Resource> {
    let groups = [core(), networking(), running()].into_iter().flatten();
    groups.chain(cluster())
}

fn row(group: &str, kept: Kept, (kind, plural): (&str, &str), scope: Scope) -> Resource {
    Resource::new(group, kind, plural, scope).strategy(Strategy::Kept(kept))
}

fn core() -> Vec<Resource> {
    let volumes = ("PersistentVolume", "persistentvolumes");
    let claims = ("PersistentVolumeClaim", "persistentvolumeclaims");
    vec![
        row("", Kept::Endpoints, ("Endpoints", "endpoints"), Namespaced).short(&["ep"]),
        row("", Kept::LimitRange, ("LimitRange", "limitranges"), Namespaced).short(&["limits"]),
        row("", Kept::Volume, volumes, Cluster)
            .short(&["pv"])
            .with_status(),
        row("", Kept::Claim, claims, Namespaced)
            .short(&["pvc"])
            .with_status(),
        row("", Kept::Quota, ("ResourceQuota", "resourcequotas"), Namespaced)
            .short(&["quota"])
            .with_status(),
    ]
}

fn networking() -> Vec<Resource> {
    let row = |kept, names, scope| row("networking.k8s.io", kept, names, scope);
    let classes = ("IngressClass", "ingressclasses");
    let policies = ("NetworkPolicy", "networkpolicies");
    vec![
        row(Kept::Ingress, ("Ingress", "ingresses"), Namespaced)
            .short(&["ing"])
            .with_status(),
        row(Kept::IngressClass, classes, Cluster),
        row(Kept::NetworkPolicy, policies, Namespaced).short(&["netpol"]),
    ]
}

/// What says how pods run.
fn running() -> Vec<Resource> {
    let budgets = ("PodDisruptionBudget", "poddisruptionbudgets");
    let autoscalers = ("HorizontalPodAutoscaler", "horizontalpodautoscalers");
    vec![
        row("policy", Kept::DisruptionBudget, budgets, Namespaced)
            .short(&["pdb"])
            .with_status(),
        row("batch", Kept::Job, ("Job", "jobs"), Namespaced)
            .in_category("all")
            .with_status(),
        row("batch", Kept::CronJob, ("CronJob", "cronjobs"), Namespaced)
            .short(&["cj"])
            .in_category("all")
            .with_status(),
        Resource {
            version: "v2".to_owned(),
            ..row("autoscaling", Kept::Autoscaler, autoscalers, Namespaced)
                .short(&["hpa"])
                .in_category("all")
                .with_status()
        },
    ]
}

/// What whole clusters have: classes and webhooks.
fn cluster() -> Vec<Resource> {
    let class = |group, kept, names| row(group, kept, names, Cluster);
    let webhooks = |kind, plural| {
        row(
            "admissionregistration.k8s.io",
            Kept::Webhooks,
            (kind, plural),
            Cluster,
        )
        .in_category("api-extensions")
    };
    vec![
        class(
            "storage.k8s.io",
            Kept::StorageClass,
            ("StorageClass", "storageclasses"),
        )
        .short(&["sc"]),
        class(
            "scheduling.k8s.io",
            Kept::PriorityClass,
            ("PriorityClass", "priorityclasses"),
        )
        .short(&["pc"]),
        class(
            "node.k8s.io",
            Kept::RuntimeClass,
            ("RuntimeClass", "runtimeclasses"),
        ),
        webhooks(
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfigurations",
        ),
        webhooks("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
    ]
}
