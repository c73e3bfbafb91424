//! The REST API: paths, authentication, bodies.
//!
//! Owns the translation between HTTP and the rest of the Manager, and no rule of its own. Invariant: nothing under
//! `/dataservice` or `/pathproof` but whether the server is ready is answered without a session, and nothing is written
//! without its XSRF token; to `/pathproof` the user's password is as good.

mod asked;
mod authenticate;
mod bulk_data;
mod definition_bulk;
mod devices;
mod faults;
mod feature_profiles;
mod front;
mod jwt;
mod login;
mod objects;
mod omp;
mod policies;
mod policy_groups;
mod previews;
mod refusal;
mod rows;
mod sites;
mod statistics;
mod steering;
mod stored;
mod tasks;
mod templates;
mod tenants;
mod transports;
mod tunnels;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, OriginalUri, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware;
use axum::routing::{MethodRouter, delete, get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::app::App;
use super::definition::Definition;
use super::gateway::Gateway;
use super::list::List;
use super::vsmart_policy::VsmartPolicy;
#[cfg(test)]
pub(super) use authenticate::XSRF_HEADER;
use refusal::Refusal;
use tenants::Views;

type Shared = State<Arc<App>>;
type SharedGateway = State<Arc<Gateway>>;
type Answer = Result<Json<Value>, Refusal>;

/// The whole API: the provider's, and what tenants see of it.
pub(super) fn router(provider: &Arc<App>, tenants: &[Arc<App>]) -> Router {
    let gateway = provider.gateway.clone();
    let of_tenant = |app: &Arc<App>| {
        let tenant = app.tenant.as_ref()?;
        Some((tenant.id.clone(), resources(Router::new(), app.clone())))
    };
    let views = Views {
        provider: of_provider(provider.clone()),
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
    let all = product.nest("/pathproof", own(provider.clone()));
    all.layer(middleware::from_fn(front::receive))
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

/// What is under `/dataservice` for the provider.
pub(super) fn of_provider(app: Arc<App>) -> Router {
    let tenants = Router::new()
        .route("/tenant", get(tenants::all))
        .route("/tenant/{id}/vsessionid", post(tenants::speak_for));
    resources(tenants, app)
}

/// What is under `/dataservice`, added to these routes.
fn resources(routes: Router<Arc<App>>, app: Arc<App>) -> Router {
    routes
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
        .nest("/v1/feature-profile/sdwan", feature_profiles::routes())
        .merge(policy_groups::routes())
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
        .route("/device/bfd/sites/summary", get(sites::summary))
        .route("/device/bfd/sites/detail", get(sites::detail))
        .route(
            "/device/bfd/state/device/tlocInterfaceMap",
            get(tunnels::interfaces),
        )
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
        .route("/transport/summary/{type}", get(transports::summary))
}

fn templates() -> Router<Arc<App>> {
    use stored::{create, delete, one, replace};
    let lists = Router::new()
        .route("/", get(objects::all_lists))
        .route("/{kind}", get(objects::lists).post(create::<List>))
        .route("/{kind}/preview", post(previews::unsaved::<List>))
        .route("/{kind}/preview/{id}", get(previews::stored::<List>))
        .route(
            "/{kind}/{id}",
            get(one::<List>).put(replace::<List>).delete(delete::<List>),
        );
    let definitions = Router::new()
        .route("/{kind}", get(objects::definitions).post(create::<Definition>))
        .route("/{kind}/bulk", put(definition_bulk::replace_all))
        .route("/{kind}/multiple/{id}", put(definition_bulk::replace_multiple))
        .route("/{kind}/preview", post(previews::unsaved::<Definition>))
        .route("/{kind}/preview/{id}", get(previews::stored::<Definition>))
        .route(
            "/{kind}/{id}",
            get(one::<Definition>)
                .put(replace::<Definition>)
                .delete(delete::<Definition>),
        );
    let policies = Router::new()
        .route("/", get(policies::all).post(create::<VsmartPolicy>))
        .route("/connectivity/status", get(devices::controllers))
        .route("/definition/{id}", get(policies::definition))
        .route("/central/{id}", put(policies::replace_central))
        .route("/activate/{id}", post(policies::activate))
        .route("/activate/central/{id}", post(policies::activate))
        .route("/deactivate/{id}", post(policies::deactivate))
        .route(
            "/{id}",
            get(one::<VsmartPolicy>)
                .put(replace::<VsmartPolicy>)
                .delete(delete::<VsmartPolicy>),
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
        .route("/policy/assembly/vsmart", post(previews::unsaved::<VsmartPolicy>))
        .route(
            "/policy/assembly/vsmart/{id}",
            get(previews::stored::<VsmartPolicy>),
        )
        .route(
            "/lock/{process_id}",
            put(tasks::extend_lock).delete(tasks::release_lock),
        )
}

/// Routes that are served with a slash at their end, too: clients of the product's newer resources write some with it.
fn with_slashes<const N: usize>(routes: [(&str, MethodRouter<Arc<App>>); N]) -> Router<Arc<App>> {
    routes.into_iter().fold(Router::new(), |router, (path, methods)| {
        router
            .route(path, methods.clone())
            .route(&format!("{path}/"), methods)
    })
}

async fn no_path(OriginalUri(uri): OriginalUri) -> Refusal {
    Refusal::NoPath(uri.path().to_owned())
}

async fn no_method(method: Method, OriginalUri(uri): OriginalUri) -> Refusal {
    Refusal::Method {
        method: method.to_string(),
        path: uri.path().to_owned(),
    }
}

/// A body of JSON, said to be so or of nothing else; an empty one counts as an empty object. Its size is known to be within
/// the limit.
struct JsonBody(Value);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let media_type = request.headers().get(header::CONTENT_TYPE).cloned();
        let body: Body = request.into_body();
        let bytes = axum::body::to_bytes(body, usize::MAX)
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
