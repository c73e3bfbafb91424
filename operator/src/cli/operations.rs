//! Flags of replicas, and the address that probes and scrapers ask.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use sdwan_operator::controller::{Contest, Timing};
use sdwan_operator::server::{self, Telemetry};
use tokio::net::TcpListener;
use tracing::info;

use super::parse_duration;

#[derive(Debug, Args)]
pub(super) struct ElectionArgs {
    /// Write only while holding a Lease, so that several replicas can run
    #[arg(long, env = "SDWAN_LEADER_ELECT")]
    leader_elect: bool,

    /// Name of the Lease
    #[arg(
        long,
        env = "SDWAN_LEASE_NAME",
        value_name = "NAME",
        default_value = "sdwan-operator"
    )]
    lease_name: String,

    /// Kubernetes namespace of the Lease [default: the kubeconfig's or the pod's]
    #[arg(long, env = "SDWAN_LEASE_NAMESPACE", value_name = "NAME")]
    lease_namespace: Option<String>,

    /// This replica in the Lease; no two may have the same [default: host name and time of start]
    #[arg(long, env = "SDWAN_LEASE_IDENTITY", value_name = "NAME")]
    lease_identity: Option<String>,

    /// How long a Lease that is not renewed stays with its holder, in whole seconds
    #[arg(long, env = "SDWAN_LEASE_DURATION", value_name = "DURATION", default_value = "15s",
          value_parser = parse_duration)]
    lease_duration: Duration,

    /// How long a leader that cannot renew goes on leading
    #[arg(long, env = "SDWAN_LEASE_RENEW_DEADLINE", value_name = "DURATION", default_value = "10s",
          value_parser = parse_duration)]
    lease_renew_deadline: Duration,

    /// The pause between two attempts to take or renew the Lease
    #[arg(long, env = "SDWAN_LEASE_RETRY", value_name = "DURATION", default_value = "2s",
          value_parser = parse_duration)]
    lease_retry: Duration,
}

impl ElectionArgs {
    pub(super) fn contest(self, kube_namespace: &str) -> anyhow::Result<Option<Contest>> {
        if !self.leader_elect {
            return Ok(None);
        }
        Ok(Some(Contest {
            kube_namespace: self.lease_namespace.unwrap_or_else(|| kube_namespace.to_owned()),
            name: self.lease_name,
            identity: self.lease_identity.map_or_else(unique_identity, Ok)?,
            timing: Timing::new(self.lease_duration, self.lease_renew_deadline, self.lease_retry)?,
        }))
    }
}

/// The host's name, which is the pod's, and the time: a container that is started again is another contender.
fn unique_identity() -> anyhow::Result<String> {
    const PATH: &str = "/proc/sys/kernel/hostname";
    let host = std::fs::read_to_string(PATH).context("read the host name: give --lease-identity")?;
    Ok(format!(
        "{}_{:x}",
        host.trim_end(),
        Timestamp::now().as_nanosecond()
    ))
}

/// Binds at once, so that an address that cannot be had is an error, and answers when polled.
pub(super) async fn serve(
    listen: Option<SocketAddr>,
    telemetry: Arc<Telemetry>,
) -> anyhow::Result<impl Future<Output = Infallible>> {
    let listener = match listen {
        Some(address) => {
            let listener = TcpListener::bind(address)
                .await
                .with_context(|| format!("listen on {address}"))?;
            info!(address = %listener.local_addr().unwrap_or(address), "listening");
            Some(listener)
        }
        None => None,
    };
    Ok(async {
        match listener {
            Some(listener) => server::serve(listener, telemetry).await,
            None => std::future::pending().await,
        }
    })
}
