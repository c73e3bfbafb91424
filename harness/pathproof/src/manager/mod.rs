//! `pathproof manager`: the Manager emulation by itself, for whoever writes a client of it.
//!
//! Owns the options and the folder with the certificate authority. Two kinds of edges stand behind it: those of a lab's
//! WAN (`fabric`) or edges in memory. Invariant: nothing is created before the options and the topology are known to
//! be good, and nothing is left when it ends.

mod announce;
mod fabric;
mod values;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgGroup, Args};
use netsim::manager::dry::{self, DryEdges};
use netsim::manager::limits::Limits;
use netsim::manager::{Config, Device, Distribution, Manager, PushDelay, SecretString, Tenant};
use verdict::ExitCode;

use crate::lab::embedded::{self, ManagerAccess};
use crate::record::folder::RunFolder;
use crate::run::inside::in_runtime;
use announce::{Announcement, Format};
pub use values::UnfitTenants;
use values::{CONTROLLERS_MAX, Expiry, Template};

/// Most octets of a password.
const PASSWORD_MAX: usize = 1024;

/// The options of `pathproof manager`. Whatever a [`Config`] offers belongs here and into `config`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("edges").required(true).args(["topology", "dry"]))]
pub struct ManagerArgs {
    /// Where it listens: an address of this machine, and a port, or 0 for a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0", value_parser = values::address)]
    listen: SocketAddr,
    /// Manages the WAN of this topology or scenario, in private namespaces: edges that steer, tunnels that are probed.
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// Manages edges in memory, which remember their policy and carry nothing. Their tunnels are made up: always up, no
    /// loss, 10 ms, no jitter, no traffic.
    #[arg(long)]
    dry: bool,
    /// How many edges `--dry` has: sites 100, 200 and so on, service VPNs 10 and 20, biz-internet and default.
    #[arg(long, default_value_t = 2, value_name = "N", conflicts_with = "topology",
          value_parser = clap::value_parser!(u16).range(1..=i64::from(dry::SITES_MAX)))]
    sites: u16,
    /// The one user; without a colon, which HTTP Basic cannot carry.
    #[arg(long, default_value = "admin", value_name = "NAME", value_parser = values::user_name)]
    username: String,
    /// The first line of this file is the password; made for this run unless given.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// From the acceptance of an activation to the programming of each edge: 2s, or anything from 1s..3s, for each edge
    /// another.
    #[arg(long, default_value = "0ms", value_name = "DURATION[..DURATION]", value_parser = values::push_delay)]
    push_delay: Distribution,
    /// How many Controllers there are: vsmart1, vsmart2 and so on.
    #[arg(long, default_value_t = 1, value_name = "N",
          value_parser = clap::value_parser!(u8).range(1..=i64::from(CONTROLLERS_MAX)))]
    controllers: u8,
    /// A tenant, and the service VPNs that are its own on all edges, as in red=10; once for each tenant. With tenants
    /// the user is their provider, who has the other service VPNs and can speak for each tenant.
    #[arg(long = "tenant", value_name = "ID=VPN[,VPN]", value_parser = values::tenant)]
    tenants: Vec<Tenant>,
    /// Requests of all clients in a second, of which more are refused with status 429, or none for no limit; the product
    /// has 100. Statistics in bulk have the product's 48 in a minute and 2 at a time besides, and no limit with none.
    #[arg(long, default_value = "100", value_name = "N|none", value_parser = values::rate_limit)]
    rate_limit: Limits,
    /// Between two rows of statistics of a tunnel, which has none of a time without a hello; the product has 10m.
    #[arg(long, default_value = "1s", value_name = "DURATION", value_parser = values::interval)]
    statistics_interval: Duration,
    /// For so long after the start `/dataservice/client/server/ready` says that the Manager is not ready; requests are
    /// answered all the same.
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = values::duration)]
    ready_after: Duration,
    /// An edge that tells nothing for so long counts as one that does not answer.
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = values::interval)]
    edge_patience: Duration,
    /// How the Controllers are configured, which decides how their template is attached again: by attachfeature, or by
    /// attachcli.
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    controller_template: Template,
    /// How clients with a cookie find out that their session has expired, as after 30 min without a request, or by the
    /// fault expireSessions without a shape of its own.
    #[arg(long, value_enum, default_value_t, value_name = "SHAPE")]
    expiry: Expiry,
    /// Prints one line of JSON when it is up, for scripts.
    #[arg(long)]
    json: bool,
    /// Where the folder with the certificate authority goes, as run folders do.
    #[arg(long, default_value = crate::cli::DEFAULT_OUT, value_name = "DIR")]
    out: PathBuf,
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file cannot be read.
    #[error("read the password file `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The file system's answer.
        #[source]
        source: io::Error,
    },
    /// Its first line is none.
    #[error(
        "take the first line of `{}` as the password: it has {octets} octets, 1 to {PASSWORD_MAX} are accepted",
        path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// How many octets it has.
        octets: usize,
    },
}

/// Serves until interrupted.
///
/// # Errors
/// When it could not begin.
pub fn serve(arguments: &ManagerArgs) -> anyhow::Result<ExitCode> {
    let password = arguments.password()?;
    match &arguments.topology {
        Some(file) => fabric::serve(file, arguments, &password),
        None => serve_dry(arguments, &password),
    }
}

fn serve_dry(arguments: &ManagerArgs, password: &str) -> anyhow::Result<ExitCode> {
    let devices = dry::devices(arguments.sites);
    let service_vpns = devices.iter().flat_map(|device| device.service_vpns.clone());
    values::check(&arguments.tenants, &service_vpns.collect())?;
    let listener = arguments.listener()?;
    let folder = RunFolder::create(&arguments.out, "manager-dry")?;
    let code = in_runtime(
        || {},
        async |interrupted| {
            let edges = Arc::new(DryEdges::new(&devices));
            let config = arguments.config(vec![listener], password, devices.clone());
            let manager = match Manager::start(config, edges).await {
                Ok(manager) => manager,
                Err(error) => return failed(&error.into()),
            };
            if let Err(error) = arguments.announce(&manager, &folder, password, None) {
                return failed(&error);
            }
            interrupted.await;
            manager.shutdown().await;
            ExitCode::Pass.code()
        },
    );
    folder.discard()?;
    Ok(exit_code(code))
}

impl ManagerArgs {
    fn password(&self) -> Result<String, PasswordError> {
        let Some(path) = &self.password_file else {
            return Ok(uuid::Uuid::new_v4().simple().to_string());
        };
        let text = std::fs::read_to_string(path).map_err(|source| PasswordError::File {
            path: path.clone(),
            source,
        })?;
        let line = text.lines().next().unwrap_or_default();
        if !(1..=PASSWORD_MAX).contains(&line.len()) {
            return Err(PasswordError::Length {
                path: path.clone(),
                octets: line.len(),
            });
        }
        Ok(line.to_owned())
    }

    fn listener(&self) -> anyhow::Result<TcpListener> {
        TcpListener::bind(self.listen).with_context(|| format!("listen on {}", self.listen))
    }

    fn config(&self, listeners: Vec<TcpListener>, password: &str, devices: Vec<Device>) -> Config {
        let username = self.username.clone();
        Config {
            push_delay: PushDelay {
                distribution: self.push_delay,
                ..PushDelay::default()
            },
            controllers: values::controllers(self.controllers),
            tenants: self.tenants.clone(),
            limits: self.rate_limit,
            statistics_interval: self.statistics_interval,
            expiry: self.expiry.into(),
            ready_after: self.ready_after,
            edge_patience: self.edge_patience,
            controller_template: self.controller_template.into(),
            ..Config::new(listeners, username, SecretString::from(password), devices)
        }
    }

    /// Leaves in the folder what clients need, and says that the Manager is up.
    fn announce(
        &self,
        manager: &Manager,
        folder: &RunFolder,
        password: &str,
        wan: Option<fabric::Size>,
    ) -> anyhow::Result<()> {
        let access = ManagerAccess {
            url: format!("https://{}", manager.address()),
            ca: embedded::write(folder, "manager-ca.pem", manager.ca_pem())?,
            username: self.username.clone(),
            password: password.to_owned(),
        };
        access.admit(folder)?;
        let announcement = Announcement {
            access: &access,
            password_file: self.password_file.as_deref(),
            folder: folder.path(),
            edges: match wan {
                Some(size) => announce::Edges::Fabric(size),
                None => announce::Edges::Dry(self.sites),
            },
            tenants: &self.tenants,
        };
        announcement.print(if self.json { Format::Json } else { Format::Text });
        Ok(())
    }
}

fn failed(error: &anyhow::Error) -> u8 {
    eprintln!("error: failed to {error:#}");
    ExitCode::Lab.code()
}

/// The exit code that the inner process or the runtime ended with.
fn exit_code(code: u8) -> ExitCode {
    let codes = [ExitCode::Pass, ExitCode::NothingSelected, ExitCode::Interrupted];
    let known = codes.into_iter().find(|known| known.code() == code);
    known.unwrap_or(ExitCode::Lab)
}

/// A path for people, as short as it is from here.
fn shown(path: &Path) -> String {
    crate::cli::quoted(&path.display().to_string())
}
