//! The command line.
//!
//! Owns flags, their environment fallbacks, and turning them into a running loop.

mod clusters;
mod manager;
mod manifests;
mod operations;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use sdwan_operator::controller::{self, Settings};
use sdwan_operator::core::{AnnotationPrefix, Conventions, Endpoints, Owner, PolicyName, ServiceType};
use sdwan_operator::manager::{Backend, Identity, ManagerClient};
use sdwan_operator::server::Telemetry;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use self::clusters::{ClusterArg, connect, parse_cluster};
use self::manager::ManagerArgs;
use self::operations::{ElectionArgs, serve};

/// Steers annotated Kubernetes Services onto SD-WAN tunnels.
///
/// The Manager's password is read from --manager-password-file, or else from the environment variable
/// SDWAN_MANAGER_PASSWORD. RUST_LOG sets the log level.
#[derive(Debug, Parser)]
#[command(version, subcommand_negates_reqs = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    /// Print what would be written to the Manager, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Format of what --dry-run prints on stdout
    #[arg(long, value_enum, value_name = "FORMAT", requires = "dry_run", default_value_t = Output::Text)]
    output: Output,

    /// Kubeconfig of the cluster [default: KUBECONFIG, ~/.kube/config, or the pod's service account]
    #[arg(long, env = "SDWAN_KUBECONFIG", value_name = "PATH")]
    kubeconfig: Option<PathBuf>,

    /// A cluster of the mesh; may be repeated. Without KUBECONFIG it is that of --kubeconfig; without vpn its service
    /// VPN is --service-vpn. The first one has the Lease and shows the tunnels [default: one without a name]
    #[arg(long, env = "SDWAN_CLUSTER", value_name = "NAME=[KUBECONFIG][,vpn=ID]", value_delimiter = ' ',
          value_parser = parse_cluster)]
    cluster: Vec<ClusterArg>,

    /// How often to ask the Manager how the tunnels are
    #[arg(long, env = "SDWAN_TUNNEL_POLL", value_name = "DURATION", default_value = "10s",
          value_parser = parse_duration)]
    tunnel_poll: Duration,

    /// How long to wait at the start for clusters that cannot be listed; then their rules are kept as they are
    #[arg(long, env = "SDWAN_CLUSTER_PATIENCE", value_name = "DURATION", default_value = "10s",
          value_parser = parse_duration)]
    cluster_patience: Duration,

    #[command(flatten)]
    manager: ManagerArgs,

    /// Service VPN of the cluster's pods (1-65530)
    #[arg(long, env = "SDWAN_SERVICE_VPN", value_name = "ID", default_value_t = 10,
          value_parser = clap::value_parser!(u16).range(1..=65530))]
    service_vpn: u16,

    /// Service VPN (1-65530) of the endpoints whose intent names this tenant; may be repeated
    #[arg(long, env = "SDWAN_TENANT", value_name = "NAME=VPN", value_delimiter = ',', value_parser = parse_tenant)]
    tenant: Vec<(String, u16)>,

    /// Which endpoints are steered: all, those that serve (also while they terminate), or those that are ready
    #[arg(long, env = "SDWAN_ENDPOINTS", value_name = "WHICH", default_value = "all", value_parser = parse_endpoints)]
    endpoints: Endpoints,

    /// Service of a site that inspects traffic: FW, IDS or IDP
    #[arg(long, env = "SDWAN_INSPECTION_SERVICE", value_name = "TYPE", default_value = "FW",
          value_parser = parse_service_type)]
    inspection_service: ServiceType,

    /// Prefix of the annotations that are read
    #[arg(long, env = "SDWAN_ANNOTATION_PREFIX", value_name = "DOMAIN",
          default_value_t = AnnotationPrefix::default())]
    annotation_prefix: AnnotationPrefix,

    /// Kind of objects on the Manager: a centralized policy, or a policy group (UX 2.0)
    #[arg(long, env = "SDWAN_BACKEND", value_enum, default_value_t = Backend::Classic)]
    backend: Backend,

    /// Name of the centralized policy on the Manager, which those of its definitions begin with
    #[arg(long, env = "SDWAN_POLICY_NAME", value_name = "NAME", default_value_t = PolicyName::default())]
    policy_name: PolicyName,

    /// Short name of this operator on the Manager: prefix of its lists, part of the mark of its objects
    #[arg(long, env = "SDWAN_OWNER", value_name = "NAME", default_value_t = Owner::default())]
    owner: Owner,

    /// How often to look for changes that others made on the Manager
    #[arg(long, env = "SDWAN_RESYNC", value_name = "DURATION", default_value = "30s",
          value_parser = parse_duration)]
    resync: Duration,

    /// Least time between two activations of the policy
    #[arg(long, env = "SDWAN_MIN_INTERVAL", value_name = "DURATION", default_value = "250ms",
          value_parser = parse_duration)]
    min_interval: Duration,

    #[command(flatten)]
    election: ElectionArgs,

    /// Address for /healthz, /readyz and /metrics, in plain HTTP [default: none]
    #[arg(long, env = "SDWAN_LISTEN", value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,

    /// File to write once the watches are complete and the first round has succeeded
    #[arg(long, env = "SDWAN_READY_FILE", value_name = "PATH")]
    ready_file: Option<PathBuf>,

    /// Format of the log on stderr
    #[arg(long, env = "SDWAN_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Print the definitions of the operator's resources, for kubectl apply
    Crds,
    /// Print what a cluster needs for the operator to work in it, for kubectl apply
    ///
    /// The definitions of its resources, its ServiceAccount in its namespace, and the roles of that: what a kubeconfig
    /// of the ServiceAccount needs, wherever the operator runs.
    Manifests,
    /// Remove from the Manager all that this operator has there, and leave what others have
    ///
    /// The operator's own policy is deactivated first, or its policy group taken from the edges. Stop the operator
    /// before.
    Uninstall,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl Cli {
    /// Installs the subscriber that writes the log to stderr.
    pub fn install_logging(&self) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Text => log.init(),
            LogFormat::Json => log.json().init(),
        }
    }

    /// Runs the operator until it is told to stop.
    ///
    /// # Errors
    /// If it cannot be started: unreadable files, no cluster configuration, unusable Manager settings.
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Some(Command::Crds) => {
                print!("{}", manifests::definitions()?);
                return Ok(());
            }
            Some(Command::Manifests) => {
                print!("{}{}", manifests::definitions()?, manifests::rights());
                return Ok(());
            }
            Some(Command::Uninstall) | None => {}
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("start the runtime")?;
        runtime.block_on(self.run_async())
    }

    async fn run_async(self) -> anyhow::Result<()> {
        rustls::crypto::ring::default_provider()
            .install_default()
            .map_err(|_| anyhow!("install the TLS crypto provider: another one is installed"))?;
        let manager = self.manager.client()?;
        let identity = Identity {
            backend: self.backend,
            owner: self.owner,
            policy_name: self.policy_name,
        };
        if let Some(Command::Uninstall) = self.command {
            return uninstall(&manager, &identity).await;
        }
        let (clusters, service_vpns) =
            connect(self.cluster, self.kubeconfig.as_deref(), self.service_vpn).await?;
        let kube_namespace = clusters[0].1.default_namespace().to_owned();
        let settings = Settings {
            conventions: Conventions {
                annotation_prefix: self.annotation_prefix,
                tenants: self.tenant.into_iter().collect(),
                clusters: service_vpns,
                endpoints: self.endpoints,
            },
            inspection: self.inspection_service,
            identity,
            resync: self.resync,
            min_interval: self.min_interval,
            cluster_patience: self.cluster_patience,
            tunnel_poll: self.tunnel_poll,
            contest: self.election.contest(&kube_namespace)?,
            ready_file: self.ready_file,
        };
        if self.dry_run {
            let plan = controller::dry_run(&clusters, manager, &settings).await?;
            match self.output {
                Output::Text => print!("{plan}"),
                Output::Json => println!("{}", serde_json::to_string_pretty(&plan)?),
            }
            return Ok(());
        }
        let mut interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
        let stop = async {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            };
            info!(signal = name, "stopping");
        };
        let telemetry = Arc::new(Telemetry::default());
        let server = serve(self.listen, telemetry.clone()).await?;
        tokio::select! {
            outcome = controller::run(clusters, manager, settings, telemetry, stop) => {
                outcome.context("write the ready file")
            }
            never = server => match never {},
        }
    }
}

async fn uninstall(manager: &ManagerClient, identity: &Identity) -> anyhow::Result<()> {
    let outcome = manager.uninstall(identity).await;
    if let Err(error) = manager.logout().await {
        warn!(error = &error as &dyn std::error::Error, "not logged out");
    }
    let uninstalled = outcome?;
    for what in &uninstalled.removed {
        println!("removed {what}");
    }
    for (what, error) in &uninstalled.left {
        println!("left {what}: {error}");
    }
    match uninstalled.left.len() {
        0 => Ok(()),
        left => Err(anyhow!("remove {left} objects that others use")),
    }
}

fn read_failure(what: &str, path: &Path) -> String {
    format!("read {what} `{}`", path.display())
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let accepted = "accepted: a positive duration such as 30s, 500ms or 5m";
    let duration: SignedDuration = text.parse().map_err(|_| accepted.to_owned())?;
    match Duration::try_from(duration) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(accepted.to_owned()),
    }
}

fn parse_tenant(text: &str) -> Result<(String, u16), String> {
    let (name, service_vpn) = text.split_once('=').unwrap_or_default();
    match service_vpn.parse() {
        Ok(service_vpn @ 1..=65530) if !name.is_empty() => Ok((name.to_owned(), service_vpn)),
        _ => Err("accepted: the tenant's name and its service VPN (1-65530), such as blue=20".to_owned()),
    }
}

fn parse_endpoints(text: &str) -> Result<Endpoints, String> {
    match text {
        "all" => Ok(Endpoints::All),
        "serving" => Ok(Endpoints::Serving),
        "ready" => Ok(Endpoints::Ready),
        _ => Err("accepted: all, serving, ready".to_owned()),
    }
}

fn parse_service_type(text: &str) -> Result<ServiceType, String> {
    let known = ServiceType::ALL
        .into_iter()
        .find(|service| service.as_str() == text);
    known.ok_or_else(|| "accepted: FW, IDS, IDP".to_owned())
}
