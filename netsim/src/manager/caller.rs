//! Who makes a request, and when.

use std::net::IpAddr;

use super::session::SessionId;

/// An authenticated request's origin, as far as the store cares.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) session: SessionId,
    pub(super) user: String,
    pub(super) address: IpAddr,
    /// Milliseconds since the Unix epoch, as the product's timestamps are.
    pub(super) at_ms: u64,
}

#[cfg(test)]
impl Caller {
    /// A caller for tests, distinct by its session.
    pub(super) fn test(session: &str) -> Self {
        Self {
            session: SessionId::from(session),
            user: "admin".to_owned(),
            address: IpAddr::from([127, 0, 0, 1]),
            at_ms: 1_700_000_000_000,
        }
    }
}
