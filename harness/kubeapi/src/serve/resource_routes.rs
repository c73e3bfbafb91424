//! The paths of objects: from method, path and body to one operation of `api`.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::any;
use serde_json::{Value, json};

use super::field_validation::Warnings;
use super::negotiation::representation;
use super::parameters::Parameters;
use super::presentation::Presentation;
use super::{Shared, method_not_allowed, protobuf, text, watch_body};
use crate::api::{AppliedTo, DeleteOptions, Deleted, Effect, Page, ScaleChange, Target, Write};
use crate::object;
use crate::patch::{APPLY, Patch};
use crate::resources::{Resource, Resources, Scope, Subresource};
use crate::status::{Reason, Status};
use crate::strategy::Part;

/// As kube-apiserver's `MaxRequestBodyBytes`.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// What a path names.
#[derive(Debug)]
enum Place {
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

/// One request, read.
struct Call {
    shared: Arc<Shared>,
    parameters: Parameters,
    presentation: Presentation,
    media_type: String,
    user_agent: String,
    body: Bytes,
}

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/{version}/{*path}", any(legacy_group))
        .route("/apis/{group}/{version}/{*path}", any(named_group))
}

async fn legacy_group(
    State(shared): State<Arc<Shared>>,
    Path((version, path)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Status> {
    let place = Place::parse(&shared.api.resources.current(), "", &version, &path)?;
    dispatch(shared, place, request).await
}

async fn named_group(
    State(shared): State<Arc<Shared>>,
    Path((group, version, path)): Path<(String, String, String)>,
    request: Request,
) -> Result<Response, Status> {
    let place = Place::parse(&shared.api.resources.current(), &group, &version, &path)?;
    dispatch(shared, place, request).await
}

impl Place {
    fn parse(resources: &Resources, group: &str, version: &str, path: &str) -> Result<Self, Status> {
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
            [plural, name, subresource @ ("status" | "scale")]
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
            "scale" if resource.has(Subresource::Scale) => Ok(Place::Scale { target }),
            _ => Err(Status::no_such_path()),
        }
    }

    fn resource(&self) -> &Arc<Resource> {
        match self {
            Place::Collection { resource, .. } => resource,
            Place::Object { target, .. } | Place::Scale { target } => &target.resource,
        }
    }
}

async fn dispatch(shared: Arc<Shared>, place: Place, request: Request) -> Result<Response, Status> {
    let (parts, body) = request.into_parts();
    let parameters = Parameters::of(&parts.uri)?;
    let representation = representation(text(&parts.headers, header::ACCEPT), parameters.include_object()?)?;
    let presentation = Presentation {
        resource: Arc::clone(place.resource()),
        representation,
    };
    let media_type = media_type(&parts.headers);
    let user_agent = text(&parts.headers, header::USER_AGENT)
        .unwrap_or_default()
        .to_owned();
    let call = Call {
        shared,
        parameters,
        presentation,
        media_type,
        user_agent,
        body: read(body).await?,
    };
    match (parts.method, place) {
        (Method::GET, Place::Collection { resource, namespace }) => {
            if call.parameters.is_watch() {
                call.watch(&resource, namespace.as_deref())
            } else {
                call.list(&resource, namespace.as_deref())
            }
        }
        (Method::POST, Place::Collection { resource, namespace }) => {
            call.create(&resource, namespace.as_deref())
        }
        (Method::DELETE, Place::Collection { resource, namespace }) => {
            call.delete_collection(&resource, namespace.as_deref())
        }
        (Method::GET, Place::Object { target, .. }) => {
            let object = call.shared.api.get(&target)?;
            Ok(call.presentation.one(StatusCode::OK, &object))
        }
        (Method::GET, Place::Scale { target }) => {
            Ok(super::json(StatusCode::OK, &call.shared.api.scale(&target)?))
        }
        (Method::PUT, Place::Scale { target }) => call.rescale(&target, ScaleChange::Replace(call.object()?)),
        (Method::PATCH, Place::Scale { target }) => {
            let patch = Patch::parse(&call.media_type, &call.body)?;
            call.rescale(&target, ScaleChange::Patch(patch))
        }
        (Method::PUT, Place::Object { target, part }) => call.update(&target, part),
        (Method::PATCH, Place::Object { target, part }) if call.media_type == APPLY => {
            call.apply(&target, part)
        }
        (Method::PATCH, Place::Object { target, part }) => call.patch(&target, part),
        (
            Method::DELETE,
            Place::Object {
                target,
                part: Part::Main,
            },
        ) => call.delete(&target),
        _ => Err(method_not_allowed()),
    }
}

impl Call {
    fn list(&self, resource: &Resource, namespace: Option<&str>) -> Result<Response, Status> {
        let request = self.parameters.list(resource, namespace)?;
        Ok(self.presentation.list(&self.shared.api.list(resource, &request)?))
    }

    fn watch(self, resource: &Resource, namespace: Option<&str>) -> Result<Response, Status> {
        let selector = self.parameters.selector(resource)?;
        let request = self.parameters.watch()?;
        let watch = self
            .shared
            .api
            .watch(resource, namespace, selector, request.start);
        let ends = (self.shared.shutdown.clone(), self.shared.api.faults.clone());
        let mut response = Response::new(watch_body::body(watch, self.presentation, &request, ends));
        let json = header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        Ok(response)
    }

    fn create(&self, resource: &Arc<Resource>, namespace: Option<&str>) -> Result<Response, Status> {
        let namespace = namespace.unwrap_or_default();
        let manager = self.parameters.manager("CreateOptions", &self.user_agent)?;
        let write = self.write(&manager)?;
        let object = self.object()?;
        let warnings = self.parameters.field_validation()?.check(resource, &object)?;
        let created = self.shared.api.create(resource, namespace, object, write)?;
        Ok(warnings.on(self.presentation.one(StatusCode::CREATED, &created)))
    }

    fn update(&self, target: &Target, part: Part) -> Result<Response, Status> {
        let manager = self.parameters.manager("UpdateOptions", &self.user_agent)?;
        let write = self.write(&manager)?;
        let object = self.object()?;
        let validation = self.parameters.field_validation()?;
        let warnings = validation.check(&target.resource, &object)?;
        let updated = self.shared.api.update(target, part, object, write)?;
        Ok(warnings.on(self.presentation.one(StatusCode::OK, &updated)))
    }

    fn patch(&self, target: &Target, part: Part) -> Result<Response, Status> {
        let patch = Patch::parse(&self.media_type, &self.body)?;
        self.parameters.refuse_force()?;
        let manager = self.parameters.manager("PatchOptions", &self.user_agent)?;
        let write = self.write(&manager)?;
        let warnings = self.check_patch(target, &patch)?;
        let patched = self.shared.api.patch(target, part, &patch, write)?;
        Ok(warnings.on(self.presentation.one(StatusCode::OK, &patched)))
    }

    /// Which fields a patch brings that the schema does not know. Where the patch cannot be applied there is
    /// nothing to say: the patch itself is answered with the reason.
    fn check_patch(&self, target: &Target, patch: &Patch) -> Result<Warnings, Status> {
        let validation = self.parameters.field_validation()?;
        let resource = &target.resource;
        if resource.custom().is_none() {
            return Ok(Warnings::default());
        }
        let Ok(current) = self.shared.api.get(target) else {
            return Ok(Warnings::default());
        };
        let mut object = (*current).clone();
        if patch.apply(&resource.kind, &mut object).is_err() {
            return Ok(Warnings::default());
        }
        validation.check_patched(resource, &self.body, &object)
    }

    fn rescale(&self, target: &Target, change: ScaleChange) -> Result<Response, Status> {
        let effect = self.parameters.effect()?;
        let scale = self.shared.api.rescale(target, change, effect)?;
        Ok(super::json(StatusCode::OK, &scale))
    }

    fn apply(&self, target: &Target, part: Part) -> Result<Response, Status> {
        let manager = self.parameters.applier()?;
        let applied = Patch::parse_applied(&self.body)?;
        let (write, on_conflict) = (self.write(&manager)?, self.parameters.on_conflict());
        let outcome = self.shared.api.apply(target, part, applied, on_conflict, write)?;
        Ok(match outcome {
            AppliedTo::New(object) => self.presentation.one(StatusCode::CREATED, &object),
            AppliedTo::Existing(object) => self.presentation.one(StatusCode::OK, &object),
        })
    }

    fn write<'a>(&self, manager: &'a str) -> Result<Write<'a>, Status> {
        let effect = self.parameters.effect()?;
        Ok(Write { manager, effect })
    }

    fn delete(&self, target: &Target) -> Result<Response, Status> {
        let (options, effect) = self.delete_options()?;
        Ok(match self.shared.api.delete(target, &options, effect)? {
            Deleted::Terminating(object) => self.presentation.one(StatusCode::OK, &object),
            Deleted::Gone(last) => super::json(StatusCode::OK, &success(&target.resource, &last)),
        })
    }

    fn delete_collection(
        &self,
        resource: &Arc<Resource>,
        namespace: Option<&str>,
    ) -> Result<Response, Status> {
        let (options, effect) = self.delete_options()?;
        let selector = self.parameters.selector(resource)?;
        let api = &self.shared.api;
        let items = api.delete_collection(resource, namespace, &selector, &options, effect)?;
        let revision = api.store.read(crate::store::State::revision);
        Ok(self.presentation.list(&Page {
            items,
            revision,
            continue_token: None,
            remaining: None,
        }))
    }

    /// The body, or the query where there is no body.
    fn delete_options(&self) -> Result<(DeleteOptions, Effect), Status> {
        let mut options = DeleteOptions::default();
        if !self.body.is_empty() {
            self.require_json()?;
            options = serde_json::from_slice(&self.body).map_err(|error| undecodable(&error))?;
        }
        if options.grace_period_seconds.is_none() {
            options.grace_period_seconds = self.parameters.grace_period_seconds()?;
        }
        let effect = match self.parameters.effect()? {
            Effect::Persist => options.effect(),
            Effect::DryRun => Effect::DryRun,
        };
        Ok((options, effect))
    }

    fn object(&self) -> Result<Value, Status> {
        object_in(&self.media_type, &self.body)
    }

    fn require_json(&self) -> Result<(), Status> {
        require_json(&self.media_type)
    }
}

/// The object in a body of the media type.
pub(super) fn object_in(media_type: &str, body: &[u8]) -> Result<Value, Status> {
    if media_type == protobuf::MEDIA_TYPE {
        return protobuf::object(body).map_err(|error| {
            let message = format!("the body of the request in protobuf: {error}");
            Status::new(Reason::UnsupportedMediaType, message)
        });
    }
    require_json(media_type)?;
    serde_json::from_slice(body).map_err(|error| undecodable(&error))
}

fn require_json(media_type: &str) -> Result<(), Status> {
    if matches!(media_type, "" | "application/json" | "*/*") {
        return Ok(());
    }
    let message = format!(
        "the body of the request was in an unknown format (\"{media_type}\"); accepted media types include: application/json",
    );
    Err(Status::new(Reason::UnsupportedMediaType, message))
}

fn success(resource: &Resource, last: &Value) -> Value {
    let mut details = json!({"name": object::name(last), "kind": resource.plural, "uid": object::uid(last)});
    if !resource.group.is_empty() {
        details["group"] = json!(resource.group);
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

fn undecodable(error: &serde_json::Error) -> Status {
    Status::bad_request(format!("the object provided is unrecognized: {error}"))
}

pub(super) fn media_type(headers: &HeaderMap) -> String {
    let value = text(headers, header::CONTENT_TYPE).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_owned()
}

pub(super) async fn read(body: Body) -> Result<Bytes, Status> {
    axum::body::to_bytes(body, BODY_LIMIT).await.map_err(|_| {
        let message = format!("the request body is incomplete or larger than {BODY_LIMIT} bytes");
        Status::new(Reason::RequestEntityTooLarge, message)
    })
}
