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
use super::negotiation::{self, representation};
use super::parameters::Parameters;
use super::place::Place;
use super::presentation::{Presentation, in_yaml};
use super::{Shared, method_not_allowed, page_not_found, protobuf, text, watch_body};
use crate::api::{AppliedTo, DeleteOptions, Deleted, Effect, Page, ScaleChange, Target, Write};
use crate::object;
use crate::patch::{APPLY, Patch};
use crate::resources::{Resource, Scope};
use crate::status::{Reason, Status};
use crate::strategy::{Part, Strategy};

/// As kube-apiserver's `MaxRequestBodyBytes`.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// The namespaces that nobody deletes.
const PROTECTED: [&str; 3] = ["default", "kube-public", "kube-system"];

/// How much of a body that cannot be read is shown.
const SHOWN_BYTES: usize = 64;

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
    named_group(State(shared), Path((String::new(), version, path)), request).await
}

async fn named_group(
    State(shared): State<Arc<Shared>>,
    Path((group, version, path)): Path<(String, String, String)>,
    request: Request,
) -> Result<Response, Status> {
    let (path, is_old_watch) = match path.strip_prefix("watch/") {
        Some(path) => (path, true),
        None => (path.as_str(), false),
    };
    let resources = shared.api.resources.current();
    if !resources.serves(&group, &version) {
        return Ok(page_not_found());
    }
    let place = Place::parse(&resources, &group, &version, path)?;
    dispatch(shared, place, is_old_watch, request).await
}

/// Answers a request; `is_old_watch` says that its path begins as those of watches once did.
async fn dispatch(
    shared: Arc<Shared>,
    place: Place,
    is_old_watch: bool,
    request: Request,
) -> Result<Response, Status> {
    let (parts, body) = request.into_parts();
    let mut parameters = Parameters::of(&parts.uri)?;
    if is_old_watch {
        parameters.watch_anyway();
    }
    let representation = representation(text(&parts.headers, header::ACCEPT), parameters.include_object()?)?;
    if let (&Method::GET, Place::Collection { resource, .. }) = (&parts.method, &place)
        && !parameters.is_watch()
    {
        negotiation::refuse_list(text(&parts.headers, header::ACCEPT), &resource.list_kind())?;
    }
    let is_yaml = negotiation::wants_yaml(text(&parts.headers, header::ACCEPT)) && !parameters.is_watch();
    let presentation = Presentation {
        resource: Arc::clone(place.resource()),
        representation,
        columns_are_known: false,
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
    let answer = call.answer(parts.method, place)?;
    if is_yaml {
        in_yaml(answer).await
    } else {
        Ok(answer)
    }
}

impl Call {
    fn answer(self, method: Method, place: Place) -> Result<Response, Status> {
        match (method, place) {
            (Method::GET, Place::Collection { resource, namespace }) => {
                if self.parameters.is_watch() {
                    self.watch(&resource, namespace.as_deref())
                } else {
                    self.list(&resource, namespace.as_deref())
                }
            }
            (Method::POST, Place::Collection { resource, namespace }) => {
                self.create(&resource, namespace.as_deref())
            }
            (Method::DELETE, Place::Collection { resource, namespace }) => {
                self.delete_collection(&resource, namespace.as_deref())
            }
            (Method::GET, Place::Object { target, .. }) => {
                let object = self.shared.api.get(&target)?;
                Ok(self.presentation.one(StatusCode::OK, &object))
            }
            (Method::GET, Place::Scale { target }) => {
                Ok(super::json(StatusCode::OK, &self.shared.api.scale(&target)?))
            }
            (Method::PUT, Place::Scale { target }) => {
                self.rescale(&target, ScaleChange::Replace(self.object(&target.resource)?))
            }
            (Method::PATCH, Place::Scale { target }) => {
                let patch = Patch::parse(&self.media_type, &self.body)?;
                self.rescale(&target, ScaleChange::Patch(patch))
            }
            (Method::PUT, Place::Object { target, part }) => self.update(&target, part),
            (Method::PATCH, Place::Object { target, part }) if self.media_type == APPLY => {
                self.apply(&target, part)
            }
            (Method::PATCH, Place::Object { target, part }) => self.patch(&target, part),
            (
                Method::DELETE,
                Place::Object {
                    target,
                    part: Part::Main,
                },
            ) => self.delete(&target),
            _ => Err(method_not_allowed()),
        }
    }

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
        let shutdown = self.shared.shutdown.clone();
        let mut response = Response::new(watch_body::body(watch, self.presentation, &request, shutdown));
        let json = header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        Ok(response)
    }

    fn create(&self, resource: &Arc<Resource>, namespace: Option<&str>) -> Result<Response, Status> {
        if namespace.is_none() && resource.scope == Scope::Namespaced {
            return Err(method_not_allowed());
        }
        let namespace = namespace.unwrap_or_default();
        let manager = self.parameters.manager("CreateOptions", &self.user_agent)?;
        let write = self.write(&manager, "CreateOptions")?;
        let object = self.object(resource)?;
        let validation = self.parameters.field_validation("CreateOptions")?;
        let warnings = validation.check(resource, &object)?;
        let created = self.shared.api.create(resource, namespace, object, write)?;
        Ok(warnings.on(self.presentation.one(StatusCode::CREATED, &created)))
    }

    fn update(&self, target: &Target, part: Part) -> Result<Response, Status> {
        let manager = self.parameters.manager("UpdateOptions", &self.user_agent)?;
        let write = self.write(&manager, "UpdateOptions")?;
        let object = self.object(&target.resource)?;
        let validation = self.parameters.field_validation("UpdateOptions")?;
        let warnings = validation.check(&target.resource, &object)?;
        let outcome = self.shared.api.update_or_create(target, part, object, write)?;
        Ok(warnings.on(self.written(&outcome)))
    }

    fn patch(&self, target: &Target, part: Part) -> Result<Response, Status> {
        let patch = Patch::parse(&self.media_type, &self.body)?;
        self.parameters.refuse_force()?;
        let manager = self.parameters.manager("PatchOptions", &self.user_agent)?;
        let write = self.write(&manager, "PatchOptions")?;
        let warnings = self.check_patch(target, &patch)?;
        let patched = self.shared.api.patch(target, part, &patch, write)?;
        Ok(warnings.on(self.presentation.one(StatusCode::OK, &patched)))
    }

    /// Which fields a patch brings that the schema does not know. Where the patch cannot be applied there is
    /// nothing to say: the patch itself is answered with the reason.
    fn check_patch(&self, target: &Target, patch: &Patch) -> Result<Warnings, Status> {
        let validation = self.parameters.field_validation("PatchOptions")?;
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
        let effect = self.parameters.effect("UpdateOptions")?;
        let scale = self.shared.api.rescale(target, change, effect)?;
        Ok(super::json(StatusCode::OK, &scale))
    }

    fn apply(&self, target: &Target, part: Part) -> Result<Response, Status> {
        let manager = self.parameters.applier()?;
        let applied = Patch::parse_applied(&self.body)?;
        let (write, on_conflict) = (
            self.write(&manager, "PatchOptions")?,
            self.parameters.on_conflict(),
        );
        let outcome = self.shared.api.apply(target, part, applied, on_conflict, write)?;
        Ok(self.written(&outcome))
    }

    fn written(&self, outcome: &AppliedTo) -> Response {
        match outcome {
            AppliedTo::New(object) => self.presentation.one(StatusCode::CREATED, object),
            AppliedTo::Existing(object) => self.presentation.one(StatusCode::OK, object),
        }
    }

    fn write<'a>(&self, manager: &'a str, options: &str) -> Result<Write<'a>, Status> {
        let effect = self.parameters.effect(options)?;
        Ok(Write { manager, effect })
    }

    fn delete(&self, target: &Target) -> Result<Response, Status> {
        if target.resource.strategy == Strategy::Namespace && PROTECTED.contains(&target.key.name.as_ref()) {
            let subject = target.resource.subject(&target.key.name);
            return Err(Status::forbidden(&subject, "this namespace may not be deleted"));
        }
        let (options, effect) = self.delete_options()?;
        Ok(match self.shared.api.delete(target, &options, effect)? {
            Deleted::Terminating(object) => self.presentation.one(StatusCode::OK, &object),
            Deleted::Gone(last) if target.resource.shows_deleted() => {
                let mut last = (*last).clone();
                if target.resource.kind == "Pod" {
                    last["metadata"]["deletionTimestamp"] = json!(object::now());
                    last["metadata"]["deletionGracePeriodSeconds"] = json!(0);
                }
                self.presentation.one(StatusCode::OK, &last)
            }
            Deleted::Gone(last) => super::json(StatusCode::OK, &success(&target.resource, &last)),
        })
    }

    fn delete_collection(
        &self,
        resource: &Arc<Resource>,
        namespace: Option<&str>,
    ) -> Result<Response, Status> {
        let is_apart = namespace.is_some() || resource.scope == Scope::Cluster;
        if !is_apart || !resource.verbs.contains(&"deletecollection") {
            return Err(method_not_allowed());
        }
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
        let effect = match self.parameters.effect("DeleteOptions")? {
            Effect::Persist => options.effect(),
            Effect::DryRun => Effect::DryRun,
        };
        Ok((options, effect))
    }

    fn object(&self, resource: &Resource) -> Result<Value, Status> {
        let object = object_in(&resource.kind, &self.media_type, &self.body)?;
        if resource.custom().is_some() && object::text(&object, "/kind").is_empty() {
            return Err(Status::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): Object 'Kind' is missing in '{object}'",
                resource.kind
            )));
        }
        Ok(object)
    }

    fn require_json(&self) -> Result<(), Status> {
        require_json(&self.media_type)
    }
}

/// The object of a kind in a body of the media type.
pub(super) fn object_in(kind: &str, media_type: &str, body: &[u8]) -> Result<Value, Status> {
    if media_type == protobuf::MEDIA_TYPE {
        return protobuf::object(body).map_err(|error| {
            let message = format!("the body of the request in protobuf: {error}");
            Status::new(Reason::UnsupportedMediaType, message)
        });
    }
    let read = match media_type {
        "application/yaml" => serde_saphyr::from_slice(body).map_err(|error| error.to_string()),
        _ => require_json(media_type).map(|()| json_in(body))?,
    };
    read.map_err(|error| {
        let begin = match body {
            [] => "<empty>".into(),
            body => String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES)]),
        };
        let message = format!("couldn't get version/kind; json parse error: {error} ({begin})");
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {message}"
        ))
    })
}

fn json_in(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| match error.is_eof() {
        true => "unexpected end of JSON input".to_owned(),
        false => error.to_string(),
    })
}

fn require_json(media_type: &str) -> Result<(), Status> {
    if matches!(media_type, "" | "application/json" | "*/*") {
        return Ok(());
    }
    Err(Status::unknown_format(&negotiation::MEDIA_TYPES))
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
