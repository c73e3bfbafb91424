//! The user that the running request is made by, for the rules that depend on the writer.
//!
//! It goes along with the task of the request, so that the operations of `api` need not carry it through. Code that
//! runs outside a request (controllers, the client inside this process) has no requester and may write anything.

use std::future::Future;
use std::sync::Arc;

use super::User;

tokio::task_local! {
    static REQUESTER: Arc<User>;
}

/// Runs `request` in the name of `user`.
pub(crate) async fn on_behalf_of<F: Future>(user: Arc<User>, request: F) -> F::Output {
    REQUESTER.scope(user, request).await
}

/// The user of the running request, if there is one.
pub(super) fn requester() -> Option<Arc<User>> {
    REQUESTER.try_with(Arc::clone).ok()
}
