//! What a path below a group and version names: a collection, an object, or a part of one.

use std::sync::Arc;

use crate::api::Target;
use crate::resources::{Resource, Resources, Scope, Subresource};
use crate::status::Status;
use crate::strategy::{Part, Strategy};

/// What a path names.
#[derive(Debug)]
pub(super) enum Place {
    Collection {
        resource: Arc<Resource>,
        namespace: Option<String>,
    },
    Object {
        target: Target,
        part: Part,
    },
    Scale {
        target: Target,
    },
}

impl Place {
    /// What `path` names of a group and version.
    pub(super) fn parse(
        resources: &Resources,
        group: &str,
        version: &str,
        path: &str,
    ) -> Result<Self, Status> {
        let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let find = |plural: &str, scope: Scope| {
            let resource = resources.at_path(group, version, plural)?;
            if resource.scope == scope {
                Ok(Arc::clone(resource))
            } else {
                Err(Status::no_such_path())
            }
        };
        let object = |resource: &Arc<Resource>, namespace: &str, name: &str, part: Part| Place::Object {
            target: Target::new(resource, namespace, name),
            part,
        };
        // `namespaces/NAME/status` is the status of a namespace, not a collection in it.
        match segments[..] {
            [plural] => {
                let resource = Arc::clone(resources.at_path(group, version, plural)?);
                Ok(Place::Collection {
                    resource,
                    namespace: None,
                })
            }
            [plural, name, subresource @ ("status" | "scale" | "finalize")]
                if let Ok(resource) = find(plural, Scope::Cluster) =>
            {
                Place::below(Target::new(&resource, "", name), subresource)
            }
            ["namespaces", namespace, plural] => {
                let resource = find(plural, Scope::Namespaced)?;
                Ok(Place::Collection {
                    resource,
                    namespace: Some(namespace.to_owned()),
                })
            }
            [plural, name] => Ok(object(&find(plural, Scope::Cluster)?, "", name, Part::Main)),
            ["namespaces", namespace, plural, name] => Ok(object(
                &find(plural, Scope::Namespaced)?,
                namespace,
                name,
                Part::Main,
            )),
            ["namespaces", namespace, plural, name, subresource] => {
                let resource = find(plural, Scope::Namespaced)?;
                Place::below(Target::new(&resource, namespace, name), subresource)
            }
            _ => Err(Status::no_such_path()),
        }
    }

    /// The subresource of an object, if its resource has it.
    fn below(target: Target, subresource: &str) -> Result<Self, Status> {
        let resource = &target.resource;
        match subresource {
            "status" if resource.has(Subresource::Status) => Ok(Place::Object {
                target,
                part: Part::Status,
            }),
            "finalize" if resource.strategy == Strategy::Namespace => Ok(Place::Object {
                target,
                part: Part::Finalizers,
            }),
            "scale" if resource.has(Subresource::Scale) => Ok(Place::Scale { target }),
            _ => Err(Status::no_such_path()),
        }
    }

    pub(super) fn resource(&self) -> &Arc<Resource> {
        match self {
            Place::Collection { resource, .. } => resource,
            Place::Object { target, .. } | Place::Scale { target } => &target.resource,
        }
    }
}
