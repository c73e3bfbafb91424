//! The paths that describe the server: version, health, discovery, OpenAPI.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::negotiation::{DiscoveryForm, discovery_form};
use super::{Shared, json, json_as, page_not_found, text};
use crate::discovery::{self, Root};
use crate::openapi;
use crate::resources::Resources;
use crate::status::Status;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/version", get(version))
        .route("/healthz", get(healthy))
        .route("/livez", get(healthy))
        .route("/readyz", get(healthy))
        .route("/api", get(legacy_root))
        .route("/apis", get(groups_root))
        .route("/apis/{group}", get(group))
        .route("/api/{version}", get(legacy_resources))
        .route("/apis/{group}/{version}", get(group_resources))
        .route("/openapi/v2", get(openapi_v2))
        .route("/openapi/v3", get(openapi_index))
        .route("/openapi/v3/api/{version}", get(legacy_openapi))
        .route("/openapi/v3/apis/{group}/{version}", get(group_openapi))
}

async fn version() -> Response {
    let [major, minor] = crate::VERSION_PARTS;
    let body = json!({
        "major": major, "minor": minor, "gitVersion": crate::VERSION, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc",
        "platform": format!("linux/{}", std::env::consts::ARCH),
    });
    json(StatusCode::OK, &body)
}

async fn healthy() -> &'static str {
    "ok"
}

async fn legacy_root(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Result<Response, Status> {
    root(&shared, &headers, Root::Legacy, |_| discovery::api_versions())
}

async fn groups_root(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Result<Response, Status> {
    root(&shared, &headers, Root::Groups, discovery::api_group_list)
}

/// Clients keep discovery on disk, so both forms are told apart by `Vary` and revalidated by `ETag`.
fn root(
    shared: &Shared,
    headers: &HeaderMap,
    root: Root,
    legacy: impl FnOnce(&Resources) -> Value,
) -> Result<Response, Status> {
    let resources = shared.api.resources.current();
    let (media_type, body) = match discovery_form(text(headers, header::ACCEPT))? {
        DiscoveryForm::Legacy => ("application/json", legacy(&resources)),
        DiscoveryForm::Aggregated => (AGGREGATED, discovery::aggregated(&resources, root)),
    };
    let mut hasher = DefaultHasher::new();
    body.to_string().hash(&mut hasher);
    let hash = format!("{:016X}", hasher.finish());
    Ok(revalidated(headers, &hash, || {
        json_as(media_type, StatusCode::OK, &body)
    }))
}

/// A document of this hash, for clients that do not have it yet.
fn revalidated(headers: &HeaderMap, hash: &str, document: impl FnOnce() -> Response) -> Response {
    let etag = format!("\"{hash}\"");
    let mut response = match text(headers, header::IF_NONE_MATCH) {
        Some(known) if known == etag => StatusCode::NOT_MODIFIED.into_response(),
        _ => document(),
    };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}

async fn group(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    found(discovery::api_group(&shared.api.resources.current(), &name))
}

/// A document, or what is said of a path of none.
fn found(document: Result<Value, Status>) -> Response {
    match document {
        Ok(document) => json(StatusCode::OK, &document),
        Err(_no_such_path) => page_not_found(),
    }
}

async fn legacy_resources(State(shared): State<Arc<Shared>>, Path(version): Path<String>) -> Response {
    found(discovery::api_resource_list(
        &shared.api.resources.current(),
        "",
        &version,
    ))
}

async fn group_resources(
    State(shared): State<Arc<Shared>>,
    Path((group, version)): Path<(String, String)>,
) -> Response {
    found(discovery::api_resource_list(
        &shared.api.resources.current(),
        &group,
        &version,
    ))
}

/// `kubectl` reads it, as protobuf only, for manifests of kind `List`.
async fn openapi_v2() -> Response {
    let body = openapi::empty_v2_protobuf();
    let media_type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    ([(header::CONTENT_TYPE, media_type)], body).into_response()
}

async fn openapi_index(State(shared): State<Arc<Shared>>) -> Response {
    json(StatusCode::OK, &openapi::index(&shared.api.resources.current()))
}

async fn legacy_openapi(
    State(shared): State<Arc<Shared>>,
    Path(version): Path<String>,
    headers: HeaderMap,
) -> Response {
    openapi_document(&shared, &headers, "", &version)
}

async fn group_openapi(
    State(shared): State<Arc<Shared>>,
    Path((group, version)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    openapi_document(&shared, &headers, &group, &version)
}

fn openapi_document(shared: &Shared, headers: &HeaderMap, group: &str, version: &str) -> Response {
    let resources = shared.api.resources.current();
    if !resources.serves(group, version) {
        return page_not_found();
    }
    let hash = openapi::hash(&resources, group, version);
    revalidated(headers, &hash, || {
        json(StatusCode::OK, &openapi::document(&resources, group, version))
    })
}
