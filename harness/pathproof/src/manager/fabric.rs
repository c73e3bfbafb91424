//! A Manager of a lab's WAN, without Kubernetes and without a timeline.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use futures::future::BoxFuture;
use netsim::capabilities::raise_open_files;
use netsim::impair::Backend;
use netsim::netns::Netns;
use netsim::netns::private::{self, PrivateError};
use scenario::Diagnostics;
use scenario::model::{Scenario, Topology};
use scenario::plan::{Plan, plan};
use verdict::ExitCode;

use super::{ManagerArgs, exit_code, values};
use crate::lab::embedded::netns_inode;
use crate::lab::wan::sessions_up;
use crate::lab::{LabError, Wan, WanOptions, limits};
use crate::record::events::EventLog;
use crate::record::folder::RunFolder;
use crate::run::host::Files;
use crate::run::inside::in_runtime;

/// Addresses do not vary with the seed, and nothing else of a WAN does.
const SEED: u64 = 1;

/// How much WAN there is.
pub(super) struct Size {
    pub(super) edges: usize,
    pub(super) up: usize,
    pub(super) sessions: usize,
}

/// Brings the WAN of a topology up and serves its Manager until interrupted.
pub(super) fn serve(file: &Path, arguments: &ManagerArgs, password: &str) -> anyhow::Result<ExitCode> {
    let topology = match topology(&file.to_string_lossy()) {
        Ok(topology) => topology,
        Err(diagnostics) => {
            eprintln!("{diagnostics}");
            return Ok(ExitCode::Usage);
        }
    };
    let idle = Scenario::idle(topology);
    let plan = plan(&idle, SEED)?;
    let service_vpns = plan.service_vpns.iter().copied().collect();
    values::check(&arguments.tenants, &service_vpns)?;
    limits::check(&plan)?;
    raise_open_files();
    limits::demand(&idle, &plan, 0).check()?;
    let listener = arguments.listener()?;
    let folder = RunFolder::create(&arguments.out, "manager")?;
    let host_netns = netns_inode("/proc/self/ns/net").context("find the host's network namespace")?;
    let ended = private::run(|signals| {
        in_runtime(
            || signals.unblock(),
            async |interrupted| {
                let served = hold(
                    &plan,
                    (host_netns, &folder),
                    arguments,
                    (listener, password),
                    interrupted,
                );
                served.await.unwrap_or_else(|error| refused(&error))
            },
        )
    });
    folder.discard()?;
    ended.map(exit_code).or_else(|error| match error {
        PrivateError::Killed { .. } => Ok(ExitCode::Lab),
        error => Err(error.into()),
    })
}

/// The topology of a file, which may be a scenario.
fn topology(file: &str) -> Result<Topology, Diagnostics> {
    scenario::read_topology(&Files, file).or_else(|of_topology| {
        let is_scenario = std::fs::read_to_string(file)
            .is_ok_and(|text| text.lines().any(|line| line.trim_end() == "kind: Scenario"));
        if is_scenario {
            scenario::read(&Files, file).map(|scenario| scenario.topology)
        } else {
            Err(of_topology)
        }
    })
}

async fn hold(
    plan: &Plan,
    (host_netns, folder): (u64, &RunFolder),
    arguments: &ManagerArgs,
    (listener, password): (TcpListener, &str),
    mut interrupted: BoxFuture<'static, ()>,
) -> anyhow::Result<u8> {
    let log = EventLog::create(&folder.join("events.jsonl")).context("create events.jsonl")?;
    let log = Arc::new(log);
    let options = WanOptions {
        sabotage: None,
        impairments: Backend::of(&Netns::current()?)?,
        host_netns,
    };
    let config = |devices| Ok(arguments.config(vec![listener], password, devices));
    let up = async {
        let wan = Wan::up(plan, &options, &log, config).await?;
        wan.settle(plan).await?;
        Ok::<_, LabError>(wan)
    };
    let wan = tokio::select! {
        biased;
        () = &mut interrupted => return Ok(ExitCode::Interrupted.code()),
        wan = up => wan?,
    };
    let (up, sessions) = sessions_up(&wan.prober);
    let edges = wan.network.edges.len();
    arguments.announce(&wan.manager, folder, password, Some(Size { edges, up, sessions }))?;
    interrupted.await;
    wan.manager.shutdown().await;
    Ok(ExitCode::Pass.code())
}

fn refused(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<LabError>().is_some_and(LabError::is_lacking) {
        eprintln!("skipped: this machine cannot {error:#}");
        return ExitCode::NothingSelected.code();
    }
    super::failed(error)
}
