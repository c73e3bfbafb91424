//! The WAN edges as the Manager programs them.
//!
//! Owns the way from the Manager to the fabric, the log of it, and the sabotage of it.

use std::sync::Arc;

use async_trait::async_trait;
use netsim::bfd::Prober;
use netsim::fabric::choices::CHOICE_MASK;
use netsim::fabric::nft::{Chain, Expression, Family, NftError, Socket, Table};
use netsim::fabric::{Edge, Families};
use netsim::policy::{ApplyError, EdgePolicy, Edges};
use serde_json::json;

use super::carriage::Outside;
use super::network::Network;
use super::sabotage::Sabotage;
use crate::record::events::EventLog;

/// Octets of the longest bare TCP acknowledgement: IPv4 and TCP headers with all options (RFC 9293 section 3.1).
const ACKNOWLEDGEMENT_MAX: u16 = 20 + 60;
/// After the steering, which has priority -150.
const AFTER_STEERING: i32 = -140;

/// All edges of a lab.
#[derive(Debug)]
pub struct LabEdges {
    edges: Vec<Arc<Edge>>,
    /// Of each edge, what its tunnels look like on the underlay.
    outside: Vec<Vec<Outside>>,
    prober: Arc<Prober>,
    log: Arc<EventLog>,
    /// The one site whose edge heeds the Manager; `None`: all do.
    heeding_site: Option<u32>,
}

impl LabEdges {
    /// The edges of a network, sabotaged or not.
    ///
    /// # Errors
    /// When the nftables table of a leak is refused.
    pub fn new(
        network: &Network,
        prober: Arc<Prober>,
        log: Arc<EventLog>,
        sabotage: Option<Sabotage>,
    ) -> Result<Self, NftError> {
        let edges = network.edges.clone();
        if let Some(Sabotage::Leak(one_in)) = sabotage {
            for edge in &edges {
                let families: &[Family] = match edge.host().families() {
                    Families::Ipv4 => &[Family::Ipv4],
                    Families::Both => &[Family::Ipv4, Family::Ipv6],
                };
                let tables: Vec<Table> = families
                    .iter()
                    .map(|family| leak(one_in.get(), *family))
                    .collect();
                Socket::open(edge.host().netns())?.replace_tables(&tables)?;
            }
        }
        let heeding_site = (sabotage == Some(Sabotage::OneDirection))
            .then(|| edges.first().map(|edge| edge.site_id()))
            .flatten();
        Ok(Self {
            edges,
            outside: network.outside.clone(),
            prober,
            log,
            heeding_site,
        })
    }

    /// The edges, in the order of the plan.
    pub(super) fn edges(&self) -> &[Arc<Edge>] {
        &self.edges
    }

    /// Of each edge, what its tunnels look like on the underlay.
    pub(super) fn outside(&self) -> &[Vec<Outside>] {
        &self.outside
    }

    /// Their sessions.
    pub(super) fn prober(&self) -> &Prober {
        &self.prober
    }
}

/// A table that takes the mark from one in so many steered probes: they go where unsteered packets go.
///
/// Bare TCP acknowledgements do not count: they are no probes, so nobody could name one that leaked.
fn leak(one_in: u32, family: Family) -> Table {
    let rule = vec![
        Expression::Marked(CHOICE_MASK),
        Expression::LongerThan(ACKNOWLEDGEMENT_MAX),
        Expression::OneIn(one_in),
        Expression::SetMark {
            mask: CHOICE_MASK,
            value: 0,
        },
    ];
    let chain = Chain {
        name: "leak".to_owned(),
        prerouting: Some(AFTER_STEERING),
        rules: vec![rule],
    };
    Table {
        family,
        name: "sabotage",
        sets: Vec::new(),
        chains: vec![chain],
    }
}

#[async_trait]
impl Edges for LabEdges {
    async fn apply(&self, policy: &EdgePolicy) -> Result<(), ApplyError> {
        let site_id = policy.site_id;
        let edge = self.edges.iter().find(|edge| edge.site_id() == site_id);
        let edge = edge.ok_or_else(|| ApplyError {
            site_id,
            reason: "no edge stands there".to_owned(),
        })?;
        if self.heeding_site.is_some_and(|heeding| heeding != site_id) {
            self.log.note("edge", "ignored", json!({ "site": site_id }));
            return Ok(());
        }
        let applied = edge.apply(policy).await;
        let what = if applied.is_ok() { "applied" } else { "refused" };
        let sequences: usize = policy.data.iter().map(|data| data.sequences.len()).sum();
        self.log
            .note("edge", what, json!({ "site": site_id, "sequences": sequences }));
        applied
    }
}
