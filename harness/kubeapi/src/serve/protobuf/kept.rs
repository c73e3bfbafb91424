//! The fields of Jobs, CronJobs, Ingresses, quotas, budgets and classes that `kubectl create` sends.

use super::schema::Content::{Flag, Ignored, IntOrString, Number, QuantityMap, SetFlag, Text};
use super::schema::{Content, LABEL_SELECTOR, Message, list, metadata, one};
use super::workloads::POD_TEMPLATE;

pub(super) const RESOURCE_QUOTA: Message = Message {
    name: "ResourceQuota",
    fields: &[
        metadata(),
        one(2, "spec", Content::Message(&RESOURCE_QUOTA_SPEC)),
        one(3, "status", Ignored),
    ],
};

const RESOURCE_QUOTA_SPEC: Message = Message {
    name: "ResourceQuotaSpec",
    fields: &[one(1, "hard", QuantityMap), list(2, "scopes", Text)],
};

pub(super) const POD_DISRUPTION_BUDGET: Message = Message {
    name: "PodDisruptionBudget",
    fields: &[
        metadata(),
        one(2, "spec", Content::Message(&POD_DISRUPTION_BUDGET_SPEC)),
        one(3, "status", Ignored),
    ],
};

const POD_DISRUPTION_BUDGET_SPEC: Message = Message {
    name: "PodDisruptionBudgetSpec",
    fields: &[
        one(1, "minAvailable", IntOrString),
        one(2, "selector", Content::Message(&LABEL_SELECTOR)),
        one(3, "maxUnavailable", IntOrString),
        one(4, "unhealthyPodEvictionPolicy", Text),
    ],
};

pub(super) const PRIORITY_CLASS: Message = Message {
    name: "PriorityClass",
    fields: &[
        metadata(),
        one(2, "value", Number),
        one(3, "globalDefault", SetFlag),
        one(4, "description", Text),
        one(5, "preemptionPolicy", Text),
    ],
};

pub(super) const JOB: Message = Message {
    name: "Job",
    fields: &[
        metadata(),
        one(2, "spec", Content::Message(&JOB_SPEC)),
        one(3, "status", Ignored),
    ],
};

const JOB_SPEC: Message = Message {
    name: "JobSpec",
    fields: &[
        one(1, "parallelism", Number),
        one(2, "completions", Number),
        one(3, "activeDeadlineSeconds", Number),
        one(6, "template", Content::Message(&POD_TEMPLATE)),
        one(7, "backoffLimit", Number),
        one(8, "ttlSecondsAfterFinished", Number),
        one(9, "completionMode", Text),
        one(10, "suspend", Flag),
        one(14, "podReplacementPolicy", Text),
    ],
};

pub(super) const CRON_JOB: Message = Message {
    name: "CronJob",
    fields: &[
        metadata(),
        one(2, "spec", Content::Message(&CRON_JOB_SPEC)),
        one(3, "status", Ignored),
    ],
};

const CRON_JOB_SPEC: Message = Message {
    name: "CronJobSpec",
    fields: &[
        one(1, "schedule", Text),
        one(2, "startingDeadlineSeconds", Number),
        one(3, "concurrencyPolicy", Text),
        one(4, "suspend", Flag),
        one(5, "jobTemplate", Content::Message(&JOB_TEMPLATE)),
        one(6, "successfulJobsHistoryLimit", Number),
        one(7, "failedJobsHistoryLimit", Number),
        one(8, "timeZone", Text),
    ],
};

const JOB_TEMPLATE: Message = Message {
    name: "JobTemplateSpec",
    fields: &[metadata(), one(2, "spec", Content::Message(&JOB_SPEC))],
};

pub(super) const INGRESS: Message = Message {
    name: "Ingress",
    fields: &[
        metadata(),
        one(2, "spec", Content::Message(&INGRESS_SPEC)),
        one(3, "status", Ignored),
    ],
};

const INGRESS_SPEC: Message = Message {
    name: "IngressSpec",
    fields: &[
        one(1, "defaultBackend", Content::Message(&INGRESS_BACKEND)),
        list(2, "tls", Content::Message(&INGRESS_TLS)),
        list(3, "rules", Content::Message(&INGRESS_RULE)),
        one(4, "ingressClassName", Text),
    ],
};

const INGRESS_TLS: Message = Message {
    name: "IngressTLS",
    fields: &[list(1, "hosts", Text), one(2, "secretName", Text)],
};

const INGRESS_RULE: Message = Message {
    name: "IngressRule",
    fields: &[
        one(1, "host", Text),
        one(2, "", Content::Inline(&INGRESS_RULE_VALUE)),
    ],
};

const INGRESS_RULE_VALUE: Message = Message {
    name: "IngressRuleValue",
    fields: &[one(1, "http", Content::Message(&INGRESS_PATHS))],
};

const INGRESS_PATHS: Message = Message {
    name: "HTTPIngressRuleValue",
    fields: &[list(1, "paths", Content::Message(&INGRESS_PATH))],
};

const INGRESS_PATH: Message = Message {
    name: "HTTPIngressPath",
    fields: &[
        one(1, "path", Text),
        one(2, "backend", Content::Message(&INGRESS_BACKEND)),
        one(3, "pathType", Text),
    ],
};

const INGRESS_BACKEND: Message = Message {
    name: "IngressBackend",
    fields: &[one(4, "service", Content::Message(&INGRESS_SERVICE))],
};

const INGRESS_SERVICE: Message = Message {
    name: "IngressServiceBackend",
    fields: &[
        one(1, "name", Text),
        one(2, "port", Content::Message(&INGRESS_PORT)),
    ],
};

const INGRESS_PORT: Message = Message {
    name: "ServiceBackendPort",
    fields: &[one(1, "name", Text), one(2, "number", Content::SetNumber)],
};
