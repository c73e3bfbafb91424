//! What becomes of a request whose work panics.
//!
//! The invariant: it is answered as any other bug of the server, and its connection, with what else runs on it, goes on.

use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tracing::error;

use crate::status::{Reason, Status};

/// Answers for a request that panics.
pub(super) async fn outlive(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    // What requests share is behind locks whose owners say why it is whole after a panic.
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answer.unwrap_or_else(|_told_by_the_hook| {
        error!(%method, path, "request panicked");
        let message = "Internal error occurred: the request made the server panic";
        Status::new(Reason::InternalError, message).into_response()
    })
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware;
    use axum::routing::get;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_request_that_panics_is_answered_with_a_status() {
        async fn panics() -> Response {
            panic!("as a bug would")
        }
        let router = Router::new()
            .route("/", get(panics))
            .layer(middleware::from_fn(outlive));
        let request = Request::get("/").body(Body::empty()).expect("a request");
        let answer = router.oneshot(request).await.expect("an answer");
        assert_eq!(answer.status(), 500);
        let body = to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
        let status: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(status["kind"], "Status");
        assert_eq!(
            (status["code"].as_u64(), status["reason"].as_str()),
            (Some(500), Some("InternalError"))
        );
    }
}
