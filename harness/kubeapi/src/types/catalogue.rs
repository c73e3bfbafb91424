//! The schemas of the built-in kinds, named and described as upstream's.

use std::sync::LazyLock;

use k8s_openapi::Resource;
use k8s_openapi::api::{
    admissionregistration::v1 as admission, apps::v1 as apps, authentication::v1 as authentication,
    authorization::v1 as authorization, autoscaling::v1 as scale, autoscaling::v2 as autoscaling,
    batch::v1 as batch, certificates::v1 as certificates, coordination::v1 as coordination, core::v1 as core,
    discovery::v1 as discovery, events::v1 as events, networking::v1 as networking, node::v1 as node,
    policy::v1 as policy, rbac::v1 as rbac, scheduling::v1 as scheduling, storage::v1 as storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use k8s_openapi::schemars::generate::SchemaSettings;
use k8s_openapi::schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

/// A kind with a type.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    /// The name of its definition: `io.k8s.api.core.v1.Pod`.
    pub(crate) definition: String,
}

/// Every kind with a type, and the definitions of all types, by name.
#[derive(Debug)]
pub(crate) struct Catalogue {
    pub(crate) roots: Vec<Root>,
    pub(crate) definitions: Map<String, Value>,
}

impl Catalogue {
    pub(crate) fn root(&self, group: &str, version: &str, kind: &str) -> Option<&Root> {
        let mut roots = self.roots.iter();
        roots.find(|root| root.group == group && root.version == version && root.kind == kind)
    }
}

/// The types of the release in [`crate::VERSION`].
pub(crate) fn catalogue() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
        let mut generator = SchemaSettings::openapi3().into_generator();
        generator.subschema_for::<meta::ListMeta>();
        generator.subschema_for::<meta::DeleteOptions>();
        generator.subschema_for::<meta::Status>();
        let roots = roots(&mut generator);
        Catalogue {
            roots,
            definitions: generator.take_definitions(false),
        }
    });
    &CATALOGUE
}

fn roots(to: &mut SchemaGenerator) -> Vec<Root> {
    vec![
        root::<core::ConfigMap>(to),
        root::<core::Endpoints>(to),
        root::<core::Event>(to),
        root::<core::LimitRange>(to),
        root::<core::Namespace>(to),
        root::<core::Node>(to),
        root::<core::PersistentVolume>(to),
        root::<core::PersistentVolumeClaim>(to),
        root::<core::Pod>(to),
        root::<core::ResourceQuota>(to),
        root::<core::Secret>(to),
        root::<core::Service>(to),
        root::<core::ServiceAccount>(to),
        root::<admission::MutatingWebhookConfiguration>(to),
        root::<admission::ValidatingWebhookConfiguration>(to),
        root::<apiextensions::CustomResourceDefinition>(to),
        root::<apps::ControllerRevision>(to),
        root::<apps::DaemonSet>(to),
        root::<apps::Deployment>(to),
        root::<apps::ReplicaSet>(to),
        root::<apps::StatefulSet>(to),
        root::<authentication::SelfSubjectReview>(to),
        root::<authentication::TokenRequest>(to),
        root::<authentication::TokenReview>(to),
        root::<authorization::LocalSubjectAccessReview>(to),
        root::<authorization::SelfSubjectAccessReview>(to),
        root::<authorization::SelfSubjectRulesReview>(to),
        root::<authorization::SubjectAccessReview>(to),
        root::<scale::Scale>(to),
        root::<autoscaling::HorizontalPodAutoscaler>(to),
        root::<batch::CronJob>(to),
        root::<batch::Job>(to),
        root::<certificates::CertificateSigningRequest>(to),
        root::<coordination::Lease>(to),
        root::<discovery::EndpointSlice>(to),
        root::<events::Event>(to),
        root::<networking::Ingress>(to),
        root::<networking::IngressClass>(to),
        root::<networking::NetworkPolicy>(to),
        root::<node::RuntimeClass>(to),
        root::<policy::Eviction>(to),
        root::<policy::PodDisruptionBudget>(to),
        root::<rbac::ClusterRole>(to),
        root::<rbac::ClusterRoleBinding>(to),
        root::<rbac::Role>(to),
        root::<rbac::RoleBinding>(to),
        root::<scheduling::PriorityClass>(to),
        root::<storage::StorageClass>(to),
    ]
}

fn root<T: Resource + JsonSchema>(generator: &mut SchemaGenerator) -> Root {
    generator.subschema_for::<T>();
    Root {
        group: T::GROUP,
        version: T::VERSION,
        kind: T::KIND,
        definition: T::schema_name().into_owned(),
    }
}
