//! What is asked of a pod and not stored: to be bound to a node, or to be evicted from one.
//!
//! # Limits
//! Disruption budgets are not looked at.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::parameters::Parameters;
use super::resource_routes::{media_type, object_in, read};
use super::{Shared, json};
use crate::api::{DeleteOptions, Effect, Target};
use crate::object;
use crate::status::Status;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/namespaces/{namespace}/pods/{name}/binding", post(bind))
        .route("/api/v1/namespaces/{namespace}/pods/{name}/eviction", post(evict))
}

async fn bind(
    State(shared): State<Arc<Shared>>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Status> {
    let (binding, effect) = asked(request, "Binding").await?;
    let pod = pod(&shared, &namespace, &name)?;
    shared.api.bind_as(&pod, &binding, effect)?;
    Ok(success())
}

async fn evict(
    State(shared): State<Arc<Shared>>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Status> {
    let (eviction, effect) = asked(request, "Eviction").await?;
    if object::name(&eviction) != name {
        let message = "name in URL does not match name in Eviction object";
        return Err(Status::bad_request(message));
    }
    let options = match &eviction["deleteOptions"] {
        Value::Null => DeleteOptions::default(),
        options => DeleteOptions::deserialize(options)
            .map_err(|error| Status::bad_request(format!("deleteOptions: {error}")))?,
    };
    let effect = match options.effect() {
        Effect::DryRun => Effect::DryRun,
        Effect::Persist => effect,
    };
    shared
        .api
        .delete(&pod(&shared, &namespace, &name)?, &options, effect)?;
    Ok(success())
}

/// The object in the body of a request, and whether it is a dry run.
async fn asked(request: Request, kind: &str) -> Result<(Value, Effect), Status> {
    let (parts, body) = request.into_parts();
    let object = object_in(kind, &media_type(&parts.headers), &read(body).await?)?;
    let effect = Parameters::of(&parts.uri)?.effect("CreateOptions")?;
    Ok((object, effect))
}

fn pod(shared: &Shared, namespace: &str, name: &str) -> Result<Target, Status> {
    let pods = shared.api.resources.at_path("", "v1", "pods")?;
    Ok(Target::new(&pods, namespace, name))
}

fn success() -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": StatusCode::CREATED.as_u16(),
    });
    json(StatusCode::CREATED, &status)
}
