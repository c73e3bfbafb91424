//! Kubernetes' own API: kube-apiserver with etcd, of the folder that `KUBEBUILDER_ASSETS` names.

use std::path::Path;

use anyhow::{Context, Result};
use upstream::{ASSETS, Upstream};

use super::client::Endpoint;

/// A running server.
pub(super) struct Real {
    server: Upstream,
    endpoint: Endpoint,
}

impl Real {
    /// Why there is none to start.
    pub(super) fn missing() -> Option<String> {
        std::env::var_os(ASSETS)
            .is_none()
            .then(|| format!("{ASSETS} is not set"))
    }
}

impl super::Server for Real {
    /// It takes seconds, which differ little.
    const STARTS: usize = 3;

    async fn start() -> Result<Self> {
        let assets = std::env::var_os(ASSETS).context("a folder with kube-apiserver")?;
        // Beside the program that measures.
        let home = std::env::current_exe()?.with_file_name("kube-apiserver");
        let server = Upstream::start(Path::new(&assets), &home).await?;
        let endpoint = Endpoint {
            url: server.url.clone(),
            authority: server.authority.clone(),
            token: server.token.clone(),
        };
        Ok(Self { server, endpoint })
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Of both programs, for etcd holds what kube-apiserver only caches.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 octets")]
    fn memory(&mut self) -> Result<f64> {
        Ok(self.server.resident()? as f64 / f64::from(1 << 20))
    }
}
