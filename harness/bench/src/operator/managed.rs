//! A Manager over edges in memory, and when the operator asked it for what.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use netsim::manager::dry::{self, DryEdges};
use netsim::manager::limits::Limits;
use netsim::manager::{Activities, Activity, Config, Device, Event, Manager, SecretString};
use tokio::time::timeout;

use super::cluster::COLORS;

pub(super) const USERNAME: &str = "admin";
pub(super) const PASSWORD: &str = "not a secret";
/// WAN edges, each at a site of its own.
const EDGES: u16 = 10;
/// The longest wait for the operator.
const DEADLINE: Duration = Duration::from_secs(120);

/// A running Manager; it ends with this.
pub(super) struct Managed {
    manager: Manager,
    edges: Arc<DryEdges>,
    activities: Activities,
}

impl Managed {
    pub(super) async fn start(limits: Limits) -> Result<Self> {
        let with_colors = |device| Device {
            colors: COLORS.map(str::to_owned).to_vec(),
            ..device
        };
        let devices: Vec<Device> = dry::devices(EDGES).into_iter().map(with_colors).collect();
        let edges = Arc::new(DryEdges::new(&devices));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let password = SecretString::from(PASSWORD);
        let config = Config {
            limits,
            ..Config::new(vec![listener], USERNAME.to_owned(), password, devices)
        };
        let manager = Manager::start(config, edges.clone()).await?;
        Ok(Self {
            activities: manager.activity(),
            manager,
            edges,
        })
    }

    pub(super) fn url(&self) -> String {
        format!("https://{}", self.manager.address())
    }

    /// Who signed its certificate, as PEM.
    pub(super) fn authority(&self) -> &str {
        self.manager.ca_pem()
    }

    /// When the edges had the first policy, which has to be for so many endpoints.
    pub(super) async fn programmed(&mut self, endpoints: usize) -> Result<SystemTime> {
        let done = self.next(|event| matches!(event, Event::TaskDone { .. })).await?;
        let in_force = self.edges.in_force();
        let policy = in_force.values().next().context("an edge without a policy")?;
        let sequences = policy.data.iter().flat_map(|data| data.sequences.iter());
        let requests = sequences.filter_map(|sequence| sequence.matching.destination_prefixes.as_ref());
        let steered: usize = requests.map(|prefixes| prefixes.len()).sum();
        ensure!(
            steered == endpoints,
            "{steered} of {endpoints} endpoints are steered"
        );
        Ok(done)
    }

    /// When the next activation was asked for.
    pub(super) async fn activation(&mut self) -> Result<SystemTime> {
        self.next(is_activation).await
    }

    /// When activations were asked for, of those that nobody has waited for.
    pub(super) fn activations(&mut self) -> Vec<SystemTime> {
        let passed = std::iter::from_fn(|| self.activities.try_next());
        let asked = passed.filter(|activity| is_activation(&activity.event));
        asked.map(|activity| activity.at).collect()
    }

    async fn next(&mut self, is_it: impl Fn(&Event) -> bool) -> Result<SystemTime> {
        let found = async {
            while let Some(Activity { at, event }) = self.activities.next().await {
                match event {
                    event if is_it(&event) => return Ok(at),
                    Event::TaskFailed { reason, .. } => bail!("an activation failed: {reason}"),
                    _ => {}
                }
            }
            bail!("the Manager ended")
        };
        timeout(DEADLINE, found).await.context("wait for the operator")?
    }
}

fn is_activation(event: &Event) -> bool {
    matches!(event, Event::PushStarted { .. })
}
