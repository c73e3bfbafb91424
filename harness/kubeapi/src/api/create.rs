//! `POST`: a new object.

use std::sync::Arc;

use serde_json::{Value, json};

use super::modify::Proposal;
use super::{Api, Effect, Target, Write, decode};
use crate::access::refuse_escalation;
use crate::custom::Life;
use crate::object;
use crate::resources::{Form, Resource, Scope, Subresource};
use crate::status::{FieldError, Reason, Status};
use crate::store::{Key, State};
use crate::strategy::{Part, Strategy, held};

/// As kube-apiserver: the base of a generated name is cut so that the name fits a DNS label.
const GENERATED_BASE_MAX: usize = 58;
const GENERATED_NAME_TRIES: usize = 8;

impl Api {
    pub(crate) fn create<'w>(
        &self,
        resource: &Arc<Resource>,
        namespace: &str,
        body: Value,
        write: impl Into<Write<'w>>,
    ) -> Result<Arc<Value>, Status> {
        let proposal = Proposal::from(decode(resource, namespace, body)?);
        let write = write.into();
        let stored = self
            .store
            .write(|state| self.create_in(state, resource, proposal, write))?;
        Ok(resource.encode(&stored))
    }

    pub(super) fn create_in(
        &self,
        state: &mut State,
        resource: &Arc<Resource>,
        proposal: Proposal,
        write: Write<'_>,
    ) -> Result<Arc<Value>, Status> {
        if !resource.is_stored() {
            let message = format!("objects of kind {} are not stored", resource.kind);
            return Err(Status::new(Reason::MethodNotAllowed, message));
        }
        let Proposal { mut object, claims } = proposal;
        if !object::resource_version(&object).is_empty() {
            let message = "resourceVersion should not be set on objects to be created";
            return Err(Status::new(Reason::Unknown, message));
        }
        admit_custom(resource, &mut object)?;
        if resource.scope == Scope::Namespaced {
            admit_namespace(state, resource, object::namespace(&object), object::name(&object))?;
        }
        name_object(state, resource, &mut object)?;
        stamp(resource, &mut object)?;
        resource.strategy.default_new(&mut object)?;
        resource.settle(&mut object);
        check(resource, None, &object)?;
        refuse_escalation(&self.rules, resource, None, &object)?;
        if is_taken(state, resource, &object) {
            let subject = resource.subject(object::name(&object));
            return Err(match object::text(&object, "/metadata/generateName") {
                "" => Status::already_exists(&subject),
                _ => Status::no_unique_name(&subject),
            });
        }
        self.skew(resource, None, &mut object, write.effect);
        match claims {
            Some(claims) => claims.settle(&Value::Null, &mut object),
            None => write.of(resource, Part::Main).create(&mut object),
        }
        if resource.strategy == Strategy::Service {
            self.assign_grants(resource, None, &mut object)?;
        }
        if write.effect == Effect::DryRun {
            if resource.strategy == Strategy::Service {
                self.grants().release(held(&object));
            }
            return Ok(Arc::new(object));
        }
        Ok(self.put(state, resource, object))
    }

    pub(super) fn assign_grants(
        &self,
        resource: &Resource,
        current: Option<&Value>,
        service: &mut Value,
    ) -> Result<(), Status> {
        let assigned = self.grants().assign(current, service);
        assigned.or_else(|errors| refuse(resource, service, &errors))
    }
}

/// Refuses the object, which is to follow `current`, if it breaks a rule of its kind.
pub(super) fn check(resource: &Resource, current: Option<&Value>, object: &Value) -> Result<(), Status> {
    let mut errors = match current {
        Some(_) => resource.strategy.validate(object),
        None => resource.strategy.validate_new(object),
    };
    if let Some(custom) = resource.custom() {
        errors.extend(custom.validate(current, object));
    }
    refuse(resource, object, &errors)
}

pub(super) fn refuse(resource: &Resource, object: &Value, errors: &[FieldError]) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    let group = match resource.form {
        // Upstream speaks of what it stores.
        Form::EventsApi => "",
        Form::Stored | Form::Custom(_) => &resource.group,
    };
    let name = object::name(object);
    Err(Status::unprocessable(&resource.kind, group, name, errors))
}

/// A new custom resource has no status where that is written apart, and none is made under a definition that is
/// being deleted.
fn admit_custom(resource: &Resource, object: &mut Value) -> Result<(), Status> {
    let Some(custom) = resource.custom() else {
        return Ok(());
    };
    if custom.life == Life::Ending {
        let why = "create not allowed while custom resource definition is terminating";
        let subject = resource.subject(object::name(object));
        return Err(Status::forbidden(&subject, why));
    }
    if resource.has(Subresource::Status)
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
    }
    Ok(())
}

fn admit_namespace(state: &State, resource: &Resource, namespace: &str, name: &str) -> Result<(), Status> {
    if namespace.is_empty() {
        return Err(Status::bad_request(
            "an empty namespace may not be set during creation",
        ));
    }
    let Some(owner) = state.get("namespaces", &Key::new("", namespace)) else {
        let subject = crate::status::Subject {
            group: "",
            plural: "namespaces",
            name: namespace,
        };
        return Err(Status::not_found(&subject));
    };
    if object::is_terminating(&owner) {
        return Err(Status::namespace_terminates(&resource.subject(name), namespace));
    }
    Ok(())
}

fn is_taken(state: &State, resource: &Resource, object: &Value) -> bool {
    let key = Key::new(object::namespace(object), object::name(object));
    state.get(&resource.storage, &key).is_some()
}

/// Settles the name: the given one, else a free one made from `generateName`.
fn name_object(state: &State, resource: &Arc<Resource>, object: &mut Value) -> Result<(), Status> {
    let namespace = object::namespace(object).to_owned();
    let taken = |name: &str| {
        let target = Target::new(resource, &namespace, name);
        state.get(&resource.storage, &target.key).is_some()
    };
    let given = object::name(object).to_owned();
    let base = object::text(object, "/metadata/generateName").to_owned();
    if !given.is_empty() {
        return Ok(());
    }
    if base.is_empty() {
        let error = FieldError::required_because("metadata.name", "name or generateName is required");
        return Err(Status::unprocessable(
            &resource.kind,
            &resource.group,
            "",
            &[error],
        ));
    }
    let cut: String = base.chars().take(GENERATED_BASE_MAX).collect();
    let mut candidates =
        (0..GENERATED_NAME_TRIES).map(|_| format!("{cut}{}", object::suffix(rand::random())));
    let Some(name) = candidates.find(|name| !taken(name)) else {
        return Err(Status::no_unique_name(&resource.subject(&cut)));
    };
    object["metadata"]["name"] = json!(name);
    Ok(())
}

/// The metadata that only the server writes.
fn stamp(resource: &Resource, object: &mut Value) -> Result<(), Status> {
    let has_generations = match resource.kind.as_str() {
        "Service" | "Namespace" | "Node" | "Lease" => false,
        _ => object.get("spec").is_some() || resource.custom().is_some(),
    };
    let metadata = object::metadata_mut(object)?;
    for server_owned in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "generation",
    ] {
        metadata.remove(server_owned);
    }
    metadata.insert("uid".to_owned(), json!(uuid::Uuid::new_v4().to_string()));
    metadata.insert("creationTimestamp".to_owned(), json!(object::now()));
    if has_generations {
        metadata.insert("generation".to_owned(), json!(1));
    }
    Ok(())
}
