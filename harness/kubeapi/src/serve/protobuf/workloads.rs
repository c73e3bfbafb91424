//! The fields of Deployments and Services that `kubectl create deployment`, `create service` and `expose` send.

use super::schema::Content::{Flag, Ignored, Number, SetFlag, SetIntOrString, SetNumber, Text, TextMap};
use super::schema::{Content, LABEL_SELECTOR, Message, list, metadata, one};

pub(super) const DEPLOYMENT: Message = Message {
    name: "Deployment",
    fields: &[
        metadata(),
        one(2, "spec", Content::Message(&DEPLOYMENT_SPEC)),
        one(3, "status", Ignored),
    ],
};

const DEPLOYMENT_SPEC: Message = Message {
    name: "DeploymentSpec",
    fields: &[
        one(1, "replicas", Number),
        one(2, "selector", Content::Message(&LABEL_SELECTOR)),
        one(3, "template", Content::Message(&POD_TEMPLATE)),
        one(4, "strategy", Content::Message(&DEPLOYMENT_STRATEGY)),
        one(5, "minReadySeconds", SetNumber),
        one(6, "revisionHistoryLimit", Number),
        one(7, "paused", SetFlag),
        one(9, "progressDeadlineSeconds", Number),
    ],
};

const DEPLOYMENT_STRATEGY: Message = Message {
    name: "DeploymentStrategy",
    fields: &[one(1, "type", Text)],
};

pub(super) const POD_TEMPLATE: Message = Message {
    name: "PodTemplateSpec",
    fields: &[metadata(), one(2, "spec", Content::Message(&POD_SPEC))],
};

const POD_SPEC: Message = Message {
    name: "PodSpec",
    fields: &[
        list(2, "containers", Content::Message(&CONTAINER)),
        one(3, "restartPolicy", Text),
        one(4, "terminationGracePeriodSeconds", Number),
        one(6, "dnsPolicy", Text),
        one(7, "nodeSelector", TextMap),
        one(8, "serviceAccountName", Text),
        one(9, "serviceAccount", Text),
        one(10, "nodeName", Text),
        one(11, "hostNetwork", SetFlag),
        one(12, "hostPID", SetFlag),
        one(13, "hostIPC", SetFlag),
        one(14, "securityContext", Content::Message(&NO_SECURITY_CONTEXT)),
        one(16, "hostname", Text),
        one(17, "subdomain", Text),
        one(19, "schedulerName", Text),
        one(24, "priorityClassName", Text),
    ],
};

const NO_SECURITY_CONTEXT: Message = Message {
    name: "PodSecurityContext",
    fields: &[],
};

const CONTAINER: Message = Message {
    name: "Container",
    fields: &[
        one(1, "name", Text),
        one(2, "image", Text),
        list(3, "command", Text),
        list(4, "args", Text),
        one(5, "workingDir", Text),
        list(6, "ports", Content::Message(&CONTAINER_PORT)),
        one(8, "resources", Content::Message(&NO_RESOURCES)),
        one(13, "terminationMessagePath", Text),
        one(14, "imagePullPolicy", Text),
        one(16, "stdin", SetFlag),
        one(17, "stdinOnce", SetFlag),
        one(18, "tty", SetFlag),
        one(20, "terminationMessagePolicy", Text),
    ],
};

const NO_RESOURCES: Message = Message {
    name: "ResourceRequirements",
    fields: &[],
};

const CONTAINER_PORT: Message = Message {
    name: "ContainerPort",
    fields: &[
        one(1, "name", Text),
        one(2, "hostPort", SetNumber),
        one(3, "containerPort", Number),
        one(4, "protocol", Text),
        one(5, "hostIP", Text),
    ],
};

pub(super) const SERVICE: Message = Message {
    name: "Service",
    fields: &[
        metadata(),
        one(2, "spec", Content::Message(&SERVICE_SPEC)),
        one(3, "status", Ignored),
    ],
};

const SERVICE_SPEC: Message = Message {
    name: "ServiceSpec",
    fields: &[
        list(1, "ports", Content::Message(&SERVICE_PORT)),
        one(2, "selector", TextMap),
        one(3, "clusterIP", Text),
        one(4, "type", Text),
        list(5, "externalIPs", Text),
        one(7, "sessionAffinity", Text),
        one(8, "loadBalancerIP", Text),
        list(9, "loadBalancerSourceRanges", Text),
        one(10, "externalName", Text),
        one(11, "externalTrafficPolicy", Text),
        one(12, "healthCheckNodePort", SetNumber),
        one(13, "publishNotReadyAddresses", SetFlag),
        one(17, "ipFamilyPolicy", Text),
        list(18, "clusterIPs", Text),
        list(19, "ipFamilies", Text),
        one(20, "allocateLoadBalancerNodePorts", Flag),
        one(21, "loadBalancerClass", Text),
        one(22, "internalTrafficPolicy", Text),
    ],
};

const SERVICE_PORT: Message = Message {
    name: "ServicePort",
    fields: &[
        one(1, "name", Text),
        one(2, "protocol", Text),
        one(3, "port", Number),
        one(4, "targetPort", SetIntOrString),
        one(5, "nodePort", SetNumber),
        one(6, "appProtocol", Text),
    ],
};
