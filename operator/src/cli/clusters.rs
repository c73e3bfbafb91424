//! The clusters of the mesh: their flag, their kubeconfigs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use kube::config::{KubeConfigOptions, Kubeconfig};
use sdwan_operator::core::Cluster;

use super::read_failure;

/// A cluster as it is given.
#[derive(Debug, Clone)]
pub(super) struct ClusterArg {
    name: String,
    kubeconfig: Option<PathBuf>,
    service_vpn: Option<u16>,
}

/// Clients of the clusters given, or of the only one, and their service VPNs.
pub(super) async fn connect(
    given: Vec<ClusterArg>,
    kubeconfig: Option<&Path>,
    service_vpn: u16,
) -> anyhow::Result<(Vec<(Cluster, kube::Client)>, BTreeMap<Cluster, u16>)> {
    let mut clusters = Vec::new();
    let mut service_vpns = BTreeMap::new();
    for member in members(given) {
        let cluster = Cluster::from(member.name.as_str());
        let kubeconfig = member.kubeconfig.as_deref().or(kubeconfig);
        clusters.push((cluster.clone(), kubernetes_client(kubeconfig).await?));
        let service_vpn = member.service_vpn.unwrap_or(service_vpn);
        if service_vpns.insert(cluster, service_vpn).is_some() {
            return Err(anyhow!(
                "use --cluster: two clusters have the name `{}`",
                member.name
            ));
        }
    }
    Ok((clusters, service_vpns))
}

/// The clusters given, or the only one, which needs no name.
fn members(given: Vec<ClusterArg>) -> Vec<ClusterArg> {
    if !given.is_empty() {
        return given;
    }
    vec![ClusterArg {
        name: String::new(),
        kubeconfig: None,
        service_vpn: None,
    }]
}

async fn kubernetes_client(kubeconfig: Option<&Path>) -> anyhow::Result<kube::Client> {
    let config = match kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).with_context(|| read_failure("kubeconfig", path))?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("use kubeconfig `{}`", path.display()))?
        }
        None => kube::Config::infer()
            .await
            .context("find a cluster: give --kubeconfig")?,
    };
    kube::Client::try_from(config).context("set up the Kubernetes client")
}

/// Reads what `--cluster` has.
pub(super) fn parse_cluster(text: &str) -> Result<ClusterArg, String> {
    let accepted =
        "accepted: a name, its kubeconfig and service VPN (1-65530), such as blue=/etc/blue.yaml,vpn=20";
    let (name, rest) = text.split_once('=').ok_or(accepted)?;
    let (path, service_vpn) = match rest.rsplit_once(",vpn=") {
        Some((path, id)) => match id.parse() {
            Ok(id @ 1..=65530) => (path, Some(id)),
            _ => return Err(accepted.to_owned()),
        },
        None => (rest, None),
    };
    if name.is_empty() {
        return Err(accepted.to_owned());
    }
    Ok(ClusterArg {
        name: name.to_owned(),
        kubeconfig: (!path.is_empty()).then(|| path.into()),
        service_vpn,
    })
}
