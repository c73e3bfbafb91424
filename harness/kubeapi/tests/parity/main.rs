//! API cases with one set of expectations for two servers: this crate's, and Kubernetes' own.
//!
//! `cases/*.yaml` are the cases, `kubectl/*.yaml` those that the real kubectl plays, README.md their language. Every
//! case is a test against this crate's server; where `KUBEBUILDER_ASSETS` names a folder with `kube-apiserver` and
//! `etcd`, it is another against those, else it is ignored with the reason; as are kubectl's where there is none.
//! Definitions that others publish are played as well where `PARITY_DEFINITIONS` names a file with them. A case marked
//! `pending` is known to fail here: it is a failure when it no longer does.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod case;
mod embedded;
mod installed;
mod kubectl;
mod pattern;
mod player;

use std::env;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use case::{Case, Steps, Subject};
use embedded::Embedded;
use kubectl::Cluster;
use libtest_mimic::{Arguments, Failed, Trial};
use player::Endpoint;
use tokio::runtime::Runtime;
use upstream::{ASSETS, Upstream};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = Arc::new(Runtime::new().unwrap());
    // Whoever names one test, as nextest does for each, waits for no other subject.
    let filter = arguments.filter.as_ref().filter(|_| arguments.exact);
    let subject = filter.map(|test| test.split("::").nth(1));
    let is_wanted = |name: &str| subject.is_none_or(|subject| subject == Some(name));
    let (mut requests, lines) = (case::load(is_wanted), case::load(is_wanted));
    match env::var_os(installed::DEFINITIONS) {
        Some(file) => requests.push(installed::load(Path::new(&file))),
        None => eprintln!(
            "skipped: published definitions: {} is not set",
            installed::DEFINITIONS
        ),
    }
    let mut trials = pattern::trials();
    let no_kubectl = kubectl::missing();
    if let Some(reason) = &no_kubectl {
        eprintln!("skipped: kubectl: {reason}");
    }

    let mut play = |side: Side<'_>, servers: Option<Servers>| {
        let (endpoint, cluster) = servers.unzip();
        trials.extend(side.trials(&requests, endpoint, player::play));
        let side = Side {
            is_ignored: side.is_ignored || no_kubectl.is_some(),
            ..side
        };
        trials.extend(side.trials(&lines, cluster, kubectl::play));
    };

    // A list of them needs no server.
    let embedded = (!arguments.list).then(|| runtime.block_on(Embedded::start()));
    let side = Side {
        name: "kubeapi",
        runtime: &runtime,
        is_ignored: false,
    };
    play(side, embedded.as_ref().map(Embedded::servers));

    let assets = assets();
    let upstream = match &assets {
        Ok(folder) if !arguments.list => {
            // It ends with the thread that starts it, which is this one.
            let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kube-apiserver");
            Some(runtime.block_on(Upstream::start(folder, &home)).unwrap())
        }
        _ => None,
    };
    if let Err(reason) = &assets {
        eprintln!("skipped: kube-apiserver: {reason}");
    }
    let side = Side {
        name: "kube-apiserver",
        is_ignored: assets.is_err(),
        ..side
    };
    let servers = upstream.as_ref().map(|server| {
        let endpoint = Endpoint::new(&server.url, &server.authority, &server.token);
        let cluster = Cluster {
            kubeconfig: server.kubeconfig(),
            has_controllers: false,
        };
        (Arc::new(endpoint), Arc::new(cluster))
    });
    play(side, servers);
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(upstream);
    conclusion.exit_code()
}

/// The folder with the programs of the real server, or why it is not started.
fn assets() -> Result<PathBuf, String> {
    // It runs each test in a process of its own, and each of those would start a server.
    if env::var_os("NEXTEST").is_some() {
        return Err("nextest would start one for each case: `cargo xtask api-parity`".to_owned());
    }
    let folder = env::var_os(ASSETS).ok_or_else(|| format!("{ASSETS} is not set"))?;
    Ok(folder.into())
}

/// What the cases of a side are played against: requests, and kubectl.
type Servers = (Arc<Endpoint>, Arc<Cluster>);

/// One of the two servers.
#[derive(Clone, Copy)]
struct Side<'a> {
    name: &'static str,
    runtime: &'a Arc<Runtime>,
    /// Whether it cannot run.
    is_ignored: bool,
}

impl Side<'_> {
    /// A test for each case, which is played against the server; `None` where that does not run.
    fn trials<S, E, F>(
        self,
        subjects: &[Subject<S>],
        server: Option<Arc<E>>,
        play: fn(Vec<S>, Arc<E>) -> F,
    ) -> Vec<Trial>
    where
        S: Steps + Clone + Send + 'static,
        E: Send + Sync + 'static,
        F: Future<Output = Result<(), String>> + 'static,
    {
        let cases = subjects
            .iter()
            .flat_map(|subject| subject.cases.iter().map(move |case| (subject, case)));
        let trial = |(subject, case): (&Subject<S>, &Case<S>)| {
            let name = format!("{}::{}::{}", self.name, subject.name, case.name);
            let pending = case.pending.clone().filter(|_| self.name == "kubeapi");
            let kind = if pending.is_some() { "pending" } else { "" };
            let steps = Vec::from_iter(subject.before.iter().chain(&case.steps).cloned());
            let (server, runtime) = (server.clone(), Arc::clone(self.runtime));
            let played = move || {
                let server = server.ok_or("the server does not run")?;
                match (runtime.block_on(play(steps, server)), pending) {
                    (played, None) => played.map_err(Failed::from),
                    (Err(_), Some(_)) => Ok(()),
                    (Ok(()), Some(reason)) => {
                        Err(format!("passes, though marked as pending: {reason}").into())
                    }
                }
            };
            Trial::test(name, played)
                .with_kind(kind)
                .with_ignored_flag(self.is_ignored)
        };
        cases.map(trial).collect()
    }
}
