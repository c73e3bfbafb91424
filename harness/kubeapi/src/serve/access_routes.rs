//! Questions about users and rights, and tokens of ServiceAccounts: what is answered and not stored.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::resource_routes::{media_type, object_in, read};
use super::{Shared, json};
use crate::access::{Lifetime, ReviewedUser, TokenRequest, User, review_access, review_rules};
use crate::api::Target;
use crate::object;
use crate::status::{FieldError, FieldRule, Status};

const AUTHENTICATION: &str = "authentication.k8s.io/v1";
const AUTHORIZATION: &str = "authorization.k8s.io/v1";

const TOKEN_SECONDS: i64 = 3600;
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route(
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            post(who_am_i),
        )
        .route("/apis/authentication.k8s.io/v1/tokenreviews", post(token_review))
        .route(
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            post(own_access),
        )
        .route(
            "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
            post(own_rules),
        )
        .route("/apis/authorization.k8s.io/v1/subjectaccessreviews", post(access))
        .route(
            "/apis/authorization.k8s.io/v1/namespaces/{namespace}/localsubjectaccessreviews",
            post(local_access),
        )
        .route(
            "/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
            post(token),
        )
}

async fn who_am_i(Extension(user): Extension<Arc<User>>, request: Request) -> Result<Response, Status> {
    let question = Question::read(request, AUTHENTICATION, "SelfSubjectReview").await?;
    Ok(question.answer(json!({"userInfo": *user})))
}

async fn own_access(
    State(shared): State<Arc<Shared>>,
    Extension(user): Extension<Arc<User>>,
    request: Request,
) -> Result<Response, Status> {
    let question = Question::read(request, AUTHORIZATION, "SelfSubjectAccessReview").await?;
    let answer = review_access(
        &shared.api.rules,
        ReviewedUser::Requester(&user),
        &question.0["spec"],
    )?;
    Ok(question.answer(answer))
}

async fn access(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Status> {
    let question = Question::read(request, AUTHORIZATION, "SubjectAccessReview").await?;
    let answer = review_access(&shared.api.rules, ReviewedUser::Named, &question.0["spec"])?;
    Ok(question.answer(answer))
}

async fn local_access(
    State(shared): State<Arc<Shared>>,
    Path(namespace): Path<String>,
    request: Request,
) -> Result<Response, Status> {
    let question = Question::read(request, AUTHORIZATION, "LocalSubjectAccessReview").await?;
    let whom = ReviewedUser::NamedIn(&namespace);
    let answer = review_access(&shared.api.rules, whom, &question.0["spec"])?;
    Ok(question.answer(answer))
}

async fn own_rules(
    State(shared): State<Arc<Shared>>,
    Extension(user): Extension<Arc<User>>,
    request: Request,
) -> Result<Response, Status> {
    let question = Question::read(request, AUTHORIZATION, "SelfSubjectRulesReview").await?;
    let namespace = object::text(&question.0, "/spec/namespace");
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let answer = review_rules(&shared.api.rules, &user, namespace);
    Ok(question.answer(answer))
}

async fn token_review(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Status> {
    #[derive(Deserialize)]
    struct Spec {
        token: String,
        #[serde(default)]
        audiences: Vec<String>,
    }
    let question = Question::read(request, AUTHENTICATION, "TokenReview").await?;
    let Spec { token, audiences } = question.spec()?;
    let now = Timestamp::now().as_second();
    let found = shared
        .authenticator
        .review(&shared.api.store, &token, &audiences, now);
    Ok(question.answer(match found {
        Some((user, audiences)) => json!({"authenticated": true, "user": user, "audiences": audiences}),
        None => json!({"user": {}, "error": "invalid bearer token"}),
    }))
}

async fn token(
    State(shared): State<Arc<Shared>>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Status> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Spec {
        audiences: Option<Vec<String>>,
        expiration_seconds: Option<i64>,
        bound_object_ref: Option<Value>,
    }
    let mut question = Question::read(request, AUTHENTICATION, "TokenRequest").await?;
    let Spec {
        audiences,
        expiration_seconds,
        bound_object_ref,
    } = question.spec()?;
    let seconds = expiration_seconds.unwrap_or(TOKEN_SECONDS);
    check_token_seconds(seconds)?;
    if bound_object_ref.is_some() {
        return Err(Status::bad_request(
            "spec.boundObjectRef: tokens are bound to their ServiceAccount alone here",
        ));
    }
    let resource = shared.api.resources.of_kind("v1", "ServiceAccount")?;
    let account = shared.api.get(&Target::new(&resource, &namespace, &name))?;
    let now = Timestamp::now();
    let until = now + SignedDuration::from_secs(seconds);
    let request = TokenRequest {
        audiences: audiences.unwrap_or_default(),
        lifetime: Lifetime {
            from: now.as_second(),
            until: until.as_second(),
        },
    };
    let token = shared.authenticator.issue(&account, &request);
    question.0["metadata"]["name"] = json!(name);
    question.0["metadata"]["namespace"] = json!(namespace);
    question.0["spec"]["expirationSeconds"] = json!(seconds);
    Ok(question.answer(json!({
        "token": token, "expirationTimestamp": object::whole_seconds(until),
    })))
}

fn check_token_seconds(seconds: i64) -> Result<(), Status> {
    let expected = match seconds {
        TOKEN_SECONDS_MIN..=TOKEN_SECONDS_MAX => return Ok(()),
        ..TOKEN_SECONDS_MIN => "may not specify a duration less than 10 minutes",
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let rule = FieldRule::Limit {
        value: json!(seconds),
        expected: expected.to_owned(),
    };
    let error = FieldError::new("spec.expirationSeconds", rule);
    Err(Status::unprocessable(
        "TokenRequest",
        "authentication.k8s.io",
        "",
        &[error],
    ))
}

/// The body of a question; it goes back with the answer as its `status`.
struct Question(Value);

impl Question {
    async fn read(request: Request, api_version: &str, kind: &str) -> Result<Self, Status> {
        let (parts, body) = request.into_parts();
        let mut body = object_in(kind, &media_type(&parts.headers), &read(body).await?)?;
        for (field, expected) in [("apiVersion", api_version), ("kind", kind)] {
            let found = object::text(&body, &format!("/{field}")).to_owned();
            if !found.is_empty() && found != expected {
                let message =
                    format!("{field} in the data ({found}) does not match the expected \"{expected}\"");
                return Err(Status::bad_request(message));
            }
            object::map_mut(&mut body, "metadata")?;
            body[field] = json!(expected);
        }
        Ok(Question(body))
    }

    fn spec<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Status> {
        let spec = match &self.0["spec"] {
            Value::Null => &json!({}),
            spec => spec,
        };
        T::deserialize(spec).map_err(|error| Status::bad_request(format!("spec: {error}")))
    }

    fn answer(mut self, status: Value) -> Response {
        self.0["status"] = status;
        json(StatusCode::CREATED, &self.0)
    }
}
