//! The REST API: paths, authentication, bodies.
//!
//! Owns the translation between HTTP and the rest of the Manager, and no rule of its own. Invariant: nothing under
//! `/dataservice` or `/pathproof` but whether the server is ready is answered without a session, and nothing is written
//! without its XSRF token; to `/pathproof` the user's password is as good.

mod authenticate;
mod devices;
mod faults;
mod front;
mod jwt;
mod login;
mod objects;
mod policies;
mod refusal;
mod rows;
mod steering;
mod tasks;
mod tenants;
mod tunnels;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderValue, Method, Uri, header};
use axum::middleware;
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::app::App;
use super::gateway::Gateway;
use refusal::Refusal;
use tenants::Views;

/// Larger bodies are refused; a list of 100,000 prefixes has 4 MB.
const BODY_LIMIT: usize = 32 << 20;

type Shared = State<Arc<App>>;
type SharedGateway = State<Arc<Gateway>>;
type Answer = Result<Json<Value>, Refusal>;

/// The whole API: the provider's, and what tenants see of it.
pub(super) fn router(provider: &Arc<App>, tenants: &[Arc<App>]) -> Router {
    let gateway = provider.gateway.clone();
    let tenant_routes = Router::new()
        .route("/tenant", get(tenants::all))
        .route("/tenant/{id}/vsessionid", post(tenants::speak_for));
    let of_tenant = |app: &Arc<App>| {
        let tenant = app.tenant.as_ref()?;
        Some((tenant.id.clone(), resources(Router::new(), app.clone())))
    };
    let views = Views {
        provider: resources(tenant_routes, provider.clone()),
        tenants: tenants.iter().filter_map(of_tenant).collect(),
    };
    let api = Router::new()
        .fallback(tenants::dispatch)
        .with_state(Arc::new(views))
        .layer(middleware::from_fn_with_state(
            gateway.clone(),
            authenticate::with_session,
        ));
    let product = Router::new()
        .route("/j_security_check", post(login::log_in))
        .route("/logout", get(login::log_out).post(login::log_out))
        .route("/jwt/login", post(jwt::log_in))
        .route("/jwt/refresh", post(jwt::refresh))
        .route("/apigw/organization/registration", post(jwt::register))
        .route("/apigw/login", post(jwt::log_in_through_gateway))
        .route("/", get(login::welcome))
        .route("/welcome.html", get(login::welcome))
        .route("/dataservice/client/server/ready", get(login::ready))
        .nest("/dataservice", api)
        .fallback(no_path)
        .method_not_allowed_fallback(no_method)
        .with_state(gateway.clone())
        .layer(middleware::from_fn_with_state(gateway, front::strike));
    // What is ours stands beside the product, never within it, and no fault strikes it.
    product.nest("/pathproof", own(provider.clone()))
}

/// What the lab adds.
fn own(app: Arc<App>) -> Router {
    Router::new()
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
        .layer(middleware::from_fn_with_state(
            app.gateway.clone(),
            authenticate::with_session_or_password,
        ))
        .with_state(app)
}

/// What is under `/dataservice`, added to these routes.
fn resources(routes: Router<Arc<App>>, app: Arc<App>) -> Router {
    routes
        .route("/client/token", get(login::token))
        .route("/client/server", get(login::server))
        .route("/client/about", get(login::about))
        .route("/device", get(devices::inventory))
        .route("/device/bfd/sessions", get(tunnels::sessions))
        .route("/device/bfd/summary", get(tunnels::summary))
        .route("/device/app-route/statistics", get(tunnels::app_route))
        .route("/device/app-route/sla-class", get(steering::sla_classes))
        .route(
            "/device/policy/approutepolicyfilter",
            get(steering::app_route_counters),
        )
        .route("/device/policy/datapolicyfilter", get(steering::data_counters))
        .route("/device/tunnel/statistics", get(tunnels::statistics))
        .route("/device/action/status/tasks", get(tasks::running))
        .route(
            "/device/action/status/tasks/activeCount",
            get(tasks::active_count),
        )
        .route("/device/action/status/{id}", get(tasks::status))
        .nest("/template", templates())
        .fallback(no_path)
        .method_not_allowed_fallback(no_method)
        .with_state(app)
}

fn templates() -> Router<Arc<App>> {
    let lists = Router::new()
        .route("/", get(objects::all_lists))
        .route("/{kind}", get(objects::lists).post(objects::create_list))
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
    Router::new()
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

/// A body of JSON, said to be so or of nothing else; an empty one counts as an empty object.
struct JsonBody(Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let media_type = request.headers().get(header::CONTENT_TYPE).cloned();
        let body: Body = request.into_body();
        let bytes = axum::body::to_bytes(body, BODY_LIMIT)
            .await
            .map_err(Refusal::Unreadable)?;
        if bytes.is_empty() {
            return Ok(Self(json!({})));
        }
        if let Some(given) = media_type.filter(|given| !is_json(given)) {
            let given = String::from_utf8_lossy(given.as_bytes()).into_owned();
            return Err(Refusal::MediaType(given));
        }
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(Refusal::Malformed)
    }
}

/// Parameters, a charset say, make no difference.
fn is_json(media_type: &HeaderValue) -> bool {
    let essence = media_type.as_bytes().split(|octet| *octet == b';').next();
    essence.is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(b"application/json"))
}
