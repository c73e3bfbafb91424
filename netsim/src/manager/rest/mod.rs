//! The REST API: paths, authentication, bodies.
//!
//! Owns the translation between HTTP and the rest of the Manager, and no rule of its own. Invariant: nothing under
//! `/dataservice` or `/pathproof` but whether the server is ready is answered without a session, and nothing is written
//! without its XSRF token.

mod asked;
mod bulk_data;
mod definition_bulk;
mod devices;
mod faults;
mod login;
mod objects;
mod omp;
mod policies;
mod previews;
mod refusal;
mod rows;
mod statistics;
mod steering;
mod tasks;
mod templates;
mod tunnels;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::app::App;
use super::serve::Peer;
use super::session::SessionId;
use refusal::Refusal;

/// Larger bodies are refused; a list of 100,000 prefixes has 4 MB.
const BODY_LIMIT: usize = 32 << 20;

pub(super) const XSRF_HEADER: &str = "x-xsrf-token";

type Shared = State<Arc<App>>;
type Answer = Result<Json<Value>, Refusal>;

/// The whole API.
pub(super) fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .route("/client/token", get(login::token))
        .route("/client/server", get(login::server))
        .route("/client/about", get(login::about))
        .merge(realtime())
        .nest("/statistics/approute", approute())
        .route("/data/device/statistics/{type}", get(bulk_data::statistics))
        .route("/data/device/state/{type}", get(bulk_data::state))
        .route("/device/action/status/tasks", get(tasks::running))
        .route(
            "/device/action/status/tasks/activeCount",
            get(tasks::active_count),
        )
        .route("/device/action/status/{id}", get(tasks::status))
        .route("/device/action/status/cancel/{id}", post(tasks::cancel))
        .nest("/template", templates())
        .fallback(no_path)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(app.clone(), authenticate));
    // What is ours stands beside the product, never within it.
    let own = Router::new()
        .route("/v1/state", get(tunnels::lab_state))
        .route(
            "/v1/faults",
            get(faults::in_force)
                .post(faults::inject)
                .delete(faults::heal_all),
        )
        .route("/v1/faults/{id}", delete(faults::heal))
        .fallback(no_path)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(app.clone(), authenticate));
    Router::new()
        .route("/j_security_check", post(login::log_in))
        .route("/logout", get(login::log_out).post(login::log_out))
        .route("/", get(login::page))
        .route("/welcome.html", get(login::page))
        .route("/dataservice/client/server/ready", get(login::ready))
        .nest("/dataservice", api)
        .nest("/pathproof", own)
        .fallback(no_path)
        .method_not_allowed_fallback(no_method)
        .with_state(app)
}

/// What edges tell when they are asked.
fn realtime() -> Router<Arc<App>> {
    let tunnel = Router::new()
        .route("/statistics", get(tunnels::statistics))
        .route("/bfd_statistics", get(tunnels::bfd_statistics))
        .route("/fec_statistics", get(tunnels::unused))
        .route("/ipsec_statistics", get(tunnels::unused))
        .route("/packet-duplicate", get(tunnels::unused))
        .route("/gre-keepalives", get(tunnels::unused));
    let omp = Router::new()
        .route("/peers", get(omp::peers))
        .route("/summary", get(omp::summary))
        .route("/routes/received", get(omp::routes_received))
        .route("/routes/advertised", get(omp::routes_advertised))
        .route("/tlocs/received", get(omp::tlocs_received))
        .route("/tlocs/advertised", get(omp::tlocs_advertised));
    let policy = Router::new()
        .route("/approutepolicyfilter", get(steering::app_route_counters))
        .route("/datapolicyfilter", get(steering::data_counters))
        .route("/vsmart", get(steering::from_controller));
    Router::new()
        .route("/device", get(devices::inventory))
        .route("/device/reachable", get(devices::reachable))
        .route("/device/system/info", get(devices::system_info))
        .route("/system/device/{category}", get(devices::details))
        .route("/device/monitor", get(devices::monitor))
        .route("/device/counters", get(devices::counters))
        .route("/device/control/connections", get(omp::control_connections))
        .route("/device/tloc", get(tunnels::tlocs))
        .route("/device/bfd/sessions", get(tunnels::sessions))
        .route("/device/bfd/summary", get(tunnels::summary))
        .route("/device/app-route/statistics", get(tunnels::app_route))
        .route("/device/app-route/sla-class", get(steering::sla_classes))
        .nest("/device/tunnel", tunnel)
        .nest("/device/omp", omp)
        .nest("/device/policy", policy)
}

/// What tunnels were like.
fn approute() -> Router<Arc<App>> {
    use statistics::{aggregation, count, page, rows};
    Router::new()
        .route("/", get(rows).post(rows))
        .route("/fields", get(statistics::fields))
        .route("/query/fields", get(statistics::query_fields))
        .route("/doccount", get(count).post(count))
        .route("/aggregation", get(aggregation).post(aggregation))
        .route("/fec/aggregation", get(aggregation).post(aggregation))
        .route("/page", get(page).post(page))
        .route("/tunnels/health/{type}", get(statistics::health))
        .route("/tunnels/summary/{type}", get(statistics::summary))
}

fn templates() -> Router<Arc<App>> {
    let lists = Router::new()
        .route("/", get(objects::all_lists))
        .route("/{kind}", get(objects::lists).post(objects::create_list))
        .route("/{kind}/preview", post(previews::unsaved_list))
        .route("/{kind}/preview/{id}", get(previews::list))
        .route(
            "/{kind}/{id}",
            get(objects::list)
                .put(objects::replace_list)
                .delete(objects::delete_list),
        );
    let definitions = Router::new()
        .route(
            "/{kind}",
            get(objects::definitions).post(objects::create_definition),
        )
        .route("/{kind}/bulk", put(definition_bulk::replace_all))
        .route("/{kind}/multiple/{id}", put(definition_bulk::replace_multiple))
        .route("/{kind}/preview", post(previews::unsaved_definition))
        .route("/{kind}/preview/{id}", get(previews::definition))
        .route(
            "/{kind}/{id}",
            get(objects::definition)
                .put(objects::replace_definition)
                .delete(objects::delete_definition),
        );
    let policies = Router::new()
        .route("/", get(policies::all).post(policies::create))
        .route("/connectivity/status", get(devices::controllers))
        .route("/definition/{id}", get(policies::definition))
        .route("/central/{id}", put(policies::replace_central))
        .route("/activate/{id}", post(policies::activate))
        .route("/activate/central/{id}", post(policies::activate))
        .route("/deactivate/{id}", post(policies::deactivate))
        .route(
            "/{id}",
            get(policies::one).put(policies::replace).delete(policies::delete),
        );
    let attachments = Router::new()
        .route("/attached/{id}", get(templates::attached))
        .route("/input", post(templates::input))
        // As the Terraform provider writes it.
        .route("/input/", post(templates::input))
        .route("/attachfeature", post(templates::attach_feature))
        .route("/attachcli", post(templates::attach_cli))
        .route("/attachment", post(templates::attach_either));
    Router::new()
        .route("/device", get(templates::all))
        .nest("/device/config", attachments)
        .nest("/policy/list", lists)
        .nest("/policy/definition", definitions)
        .nest("/policy/vsmart", policies)
        .route("/policy/assembly/vsmart", post(policies::preview_unsaved))
        .route("/policy/assembly/vsmart/{id}", get(policies::preview))
        .route(
            "/lock/{process_id}",
            put(tasks::extend_lock).delete(tasks::release_lock),
        )
}

async fn no_path(uri: Uri) -> Refusal {
    Refusal::NoPath(uri.path().to_owned())
}

async fn no_method(method: Method, uri: Uri) -> Refusal {
    Refusal::Method {
        method: method.to_string(),
        path: uri.path().to_owned(),
    }
}

async fn authenticate(State(app): Shared, mut request: Request, next: Next) -> Response {
    let peer = request
        .extensions()
        .get::<Peer>()
        .expect("the listener says who the peer is")
        .0;
    let resumed = session_cookie(request.headers()).and_then(|id| app.resume(id, peer.ip()));
    let Some((session, caller)) = resumed else {
        // The product shows its login page, with status 200, to whoever has no session.
        return login::page().await.into_response();
    };
    let given = request.headers().get(XSRF_HEADER).map(|token| token.as_bytes());
    if !request.method().is_safe() && given != Some(session.token.as_bytes()) {
        return Refusal::Token.into_response();
    }
    request.extensions_mut().insert(session);
    request.extensions_mut().insert(caller);
    next.run(request).await
}

fn session_cookie(headers: &HeaderMap) -> Option<SessionId> {
    let cookies = headers
        .get_all(header::COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';'));
    pairs
        .find_map(|pair| pair.trim().strip_prefix("JSESSIONID="))
        .map(SessionId::from)
}

/// A body of JSON; an empty one counts as an empty object.
struct JsonBody(Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let body: Body = request.into_body();
        let bytes = axum::body::to_bytes(body, BODY_LIMIT)
            .await
            .map_err(Refusal::Unreadable)?;
        if bytes.is_empty() {
            return Ok(Self(json!({})));
        }
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(Refusal::Malformed)
    }
}
