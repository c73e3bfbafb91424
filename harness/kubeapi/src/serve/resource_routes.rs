//! The paths of objects: from method, path and body to one operation of `api`.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Value, json};

use super::negotiation::{self, representation};
use super::parameters::Parameters;
use super::place::Place;
use super::presentation::{Presentation, in_yaml};
use super::{Shared, method_not_allowed, page_not_found, protobuf, text, warn, watch_body};
use crate::api::{AppliedTo, DeleteOptions, Deleted, Effect, Page, ScaleChange, Strictness, Target, Write};
use crate::decoding::{self, FieldValidation};
use crate::object;
use crate::patch::{APPLY, Patch};
use crate::resources::{Resource, Scope};
use crate::status::{Reason, Status};
use crate::strategy::{Part, Strategy};

/// As kube-apiserver's `MaxRequestBodyBytes`.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// The namespaces that nobody deletes.
const PROTECTED: [&str; 3] = ["default", "kube-public", "kube-system"];

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
        lines: Arc::clone(&shared.lines),
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
    let deprecation = place
        .resource()
        .custom()
        .and_then(|custom| custom.deprecation.clone());
    let answer = call.answer(parts.method, place)?;
    let answer = warn(Vec::from_iter(deprecation), answer);
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
            (Method::PUT, Place::Object { target, part }) => self.update(&target, part),
            (
                _,
                Place::Object {
                    part: Part::Finalizers,
                    ..
                },
            ) => Err(method_not_allowed()),
            (Method::GET, Place::Object { target, .. }) => {
                let object = self.shared.api.get(&target)?;
                Ok(self.presentation.one(StatusCode::OK, &object))
            }
            (Method::GET, Place::Scale { target }) => {
                Ok(super::json(StatusCode::OK, &self.shared.api.scale(&target)?))
            }
            (Method::PUT, Place::Scale { target }) => {
                self.rescale(&target, ScaleChange::Replace(self.object("Scale")?))
            }
            (Method::PATCH, Place::Scale { target }) => {
                let patch = Patch::parse(&self.media_type, &self.body)?;
                self.rescale(&target, ScaleChange::Patch(patch))
            }
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

    fn watch(self, resource: &Arc<Resource>, namespace: Option<&str>) -> Result<Response, Status> {
        let selector = self.parameters.selector(resource)?;
        let request = self.parameters.watch()?;
        let watch = self
            .shared
            .api
            .watch(resource, namespace, selector, request.start);
        let ends = watch_body::Ends {
            shutdown: self.shared.shutdown.clone(),
            faults: self.shared.api.faults.clone(),
            term: self.shared.api.resources.term(resource),
        };
        let mut response = Response::new(watch_body::body(watch, self.presentation, &request, ends));
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
        let (object, warnings) = self.decoded(resource, "CreateOptions")?;
        let created = self.shared.api.create(resource, namespace, object, write);
        let created = created.map(|created| self.presentation.one(StatusCode::CREATED, &created));
        Ok(warn(warnings, created.into_response()))
    }

    fn update(&self, target: &Target, part: Part) -> Result<Response, Status> {
        let manager = self.parameters.manager("UpdateOptions", &self.user_agent)?;
        let write = self.write(&manager, "UpdateOptions")?;
        let (object, warnings) = self.decoded(&target.resource, "UpdateOptions")?;
        let outcome = self.shared.api.update_or_create(target, part, object, write);
        let written = outcome.map(|outcome| self.written(&outcome));
        Ok(warn(warnings, written.into_response()))
    }

    fn patch(&self, target: &Target, part: Part) -> Result<Response, Status> {
        let patch = Patch::parse(&self.media_type, &self.body)?;
        self.parameters.refuse_force()?;
        let manager = self.parameters.manager("PatchOptions", &self.user_agent)?;
        let write = self.write(&manager, "PatchOptions")?;
        let validation = self.parameters.field_validation("PatchOptions")?;
        let of_patch = match validation {
            FieldValidation::Ignore => Vec::new(),
            FieldValidation::Warn | FieldValidation::Strict => patch.strict_errors(&self.body),
        };
        let strictness = Strictness { validation, of_patch };
        let api = &self.shared.api;
        let (patched, warnings) = api.patch_strictly(target, part, &patch, strictness, write)?;
        Ok(warn(warnings, self.presentation.one(StatusCode::OK, &patched)))
    }

    fn rescale(&self, target: &Target, change: ScaleChange) -> Result<Response, Status> {
        let effect = self.parameters.effect("UpdateOptions")?;
        let scale = self.shared.api.rescale(target, change, effect)?;
        Ok(super::json(StatusCode::OK, &scale))
    }

    fn apply(&self, target: &Target, part: Part) -> Result<Response, Status> {
        let manager = self.parameters.applier()?;
        let (applied, twice) = Patch::parse_applied(&self.body)?;
        let validation = self.parameters.field_validation("PatchOptions")?;
        if let (FieldValidation::Strict, Some(first)) = (validation, twice.first()) {
            return Err(Status::bad_request(format!(
                "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  {first}"
            )));
        }
        let warnings = validation.judge(twice, |why| Status::bad_request(why))?;
        let write = self.write(&manager, "PatchOptions")?;
        let on_conflict = self.parameters.on_conflict();
        let outcome = self.shared.api.apply(target, part, applied, on_conflict, write)?;
        Ok(warn(warnings, self.written(&outcome)))
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
        if self.body.is_empty() {
            let options = self.parameters.delete_options()?;
            return Ok((options, self.parameters.effect("DeleteOptions")?));
        }
        require_json(&self.media_type)?;
        let body: Value = serde_json::from_slice(&self.body).map_err(|error| undecodable(&error))?;
        let kind = object::text(&body, "/kind");
        if !matches!(kind, "" | "DeleteOptions") {
            let version = object::text(&body, "/apiVersion");
            let message = format!("no kind {kind:?} is registered for version {version:?}");
            return Err(Status::new(Reason::Unknown, message));
        }
        let options: DeleteOptions = serde_json::from_value(body).map_err(|error| undecodable(&error))?;
        let effect = options.effect();
        Ok((options, effect))
    }

    /// The object in the body, with what its client is warned of; `options` is the kind of those it sent.
    fn decoded(&self, resource: &Resource, options: &str) -> Result<(Value, Vec<String>), Status> {
        let validation = self.parameters.field_validation(options)?;
        let decoded = match self.media_type.as_str() {
            protobuf::MEDIA_TYPE | negotiation::YAML => {
                decoding::from_object(resource, &self.object(&resource.kind)?)?
            }
            other => {
                require_json(other)?;
                decoding::from_body(resource, &self.body)?
            }
        };
        let warnings = validation.judge(decoded.strict, |why| decoding::unlike(resource, why))?;
        Ok((decoded.object, warnings))
    }

    /// The object of a kind in the body.
    fn object(&self, kind: &str) -> Result<Value, Status> {
        object_in(kind, &self.media_type, &self.body)
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
        negotiation::YAML => serde_saphyr::from_slice(body).map_err(|error| error.to_string()),
        _ => require_json(media_type).map(|()| serde_json::from_slice(body).map_err(decoding::words_of))?,
    };
    read.map_err(|error| decoding::unreadable(kind, body, &error))
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
