//! All clusters of the mesh as one view.
//!
//! Owns which of them were seen. Invariant: a cluster counts once everything in it was listed; from then on, what was
//! last known of it stays, however long it cannot be reached.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, select_all};
use tokio::time::timeout;
use tracing::warn;

use super::changes::Changes;
use super::reconciler::Knowledge;
use super::watch::Watches;
use crate::core::{AnnotationPrefix, Cluster, Compiler};
use crate::server::{Check, Telemetry};

/// The watches of all clusters.
pub(super) struct Clusters {
    members: Vec<(Cluster, Watches)>,
}

impl Clusters {
    pub(super) fn start(
        clusters: &[(Cluster, kube::Client)],
        prefix: &AnnotationPrefix,
        changes: &Arc<Changes>,
    ) -> Self {
        let members = clusters.iter().map(|(cluster, kubernetes)| {
            let watches = Watches::start(kubernetes, cluster, prefix, changes);
            (cluster.clone(), watches)
        });
        Self {
            members: members.collect(),
        }
    }

    /// Waits until all clusters were seen, or one was and the others take longer than this.
    pub(super) async fn seen(&self, patience: Duration) {
        let one = select_all(
            self.members
                .iter()
                .map(|(_, watches)| Box::pin(watches.complete())),
        );
        let all = join_all(self.members.iter().map(|(_, watches)| watches.complete()));
        one.await;
        if timeout(patience, all).await.is_err() {
            let unseen: Vec<_> = self.unseen().map(Cluster::as_str).collect();
            warn!(
                ?unseen,
                "going on without these clusters, what is on the Manager is kept"
            );
        }
    }

    /// Whether the view is all that there is.
    pub(super) fn knowledge(&self) -> Knowledge {
        match self.unseen().next() {
            None => Knowledge::Whole,
            Some(_) => Knowledge::Part,
        }
    }

    /// The clusters that were not seen yet.
    fn unseen(&self) -> impl Iterator<Item = &Cluster> {
        let unseen = self.members.iter().filter(|(_, watches)| !watches.is_complete());
        unseen.map(|(cluster, _)| cluster)
    }

    /// Tells the compiler what has changed since the last time in the clusters that were seen.
    pub(super) fn update(&self, compiler: &mut Compiler) {
        self.members
            .iter()
            .for_each(|(_, watches)| watches.update(compiler));
    }

    /// Says which clusters were seen, and whether the watches live.
    pub(super) fn report(&self, telemetry: &Telemetry) {
        for (cluster, watches) in &self.members {
            let (seen, trouble) = (watches.is_complete(), watches.trouble());
            let failure = match (seen, trouble.as_deref()) {
                (true, None) => None,
                (true, Some(why)) => Some(format!("unreachable, what was last known is kept: {why}")),
                (false, why) => {
                    let why = why.unwrap_or("not listed yet");
                    Some(format!("not seen yet, what is on the Manager is kept: {why}"))
                }
            };
            let check = Check::Cluster(cluster.as_str().to_owned());
            telemetry.health.note(check, failure.map_or(Ok(()), Err));
            telemetry
                .metrics
                .cluster(cluster.as_str(), seen, trouble.is_none());
            if watches.have_ended() {
                telemetry.health.ended("a watch");
            }
        }
    }
}
