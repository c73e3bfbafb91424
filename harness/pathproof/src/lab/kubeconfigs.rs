//! The kubeconfigs in a run folder: those for people, and those that the operator gets.
//!
//! Owns their names. `kubeconfig` is for people, of the administrator of the first cluster; with several there is
//! `kubeconfig-<cluster>` for each. The operator's are called the same with `operator-` before it where it runs as a
//! ServiceAccount, and are these where it does not.

use super::LabError;
use super::clusters::Cluster;
use super::embedded::write;
use super::operator::OperatorCluster;
use crate::implementation::ServiceAccount;
use crate::record::folder::RunFolder;

/// Writes those for people.
///
/// # Errors
/// [`LabError::File`].
pub fn for_people(folder: &RunFolder, clusters: &[Cluster]) -> Result<(), LabError> {
    if clusters.len() > 1 {
        for cluster in clusters {
            write(folder, &name(clusters, cluster), &cluster.kubeconfig())?;
        }
    }
    write(folder, "kubeconfig", &clusters[0].kubeconfig()).map(drop)
}

/// The clusters as the operator gets them, whose kubeconfigs it writes if they are not those for people.
///
/// # Errors
/// [`LabError::Token`] and [`LabError::File`].
pub fn for_operator(
    folder: &RunFolder,
    clusters: &[Cluster],
    service_account: Option<&ServiceAccount>,
) -> Result<Vec<OperatorCluster>, LabError> {
    let of = |cluster: &Cluster| {
        let mut kubeconfig = name(clusters, cluster);
        if let Some(account) = service_account {
            kubeconfig.insert_str(0, "operator-");
            write(folder, &kubeconfig, &cluster.kubeconfig_of(account)?)?;
        }
        Ok(OperatorCluster {
            name: cluster.name.clone(),
            kubeconfig,
            service_vpn: cluster.service_vpn,
        })
    };
    clusters.iter().map(of).collect()
}

fn name(clusters: &[Cluster], cluster: &Cluster) -> String {
    match clusters.len() {
        1 => "kubeconfig".to_owned(),
        _ => format!("kubeconfig-{}", cluster.name),
    }
}
