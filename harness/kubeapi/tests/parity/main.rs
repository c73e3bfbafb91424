//! API cases with one set of expectations for two servers: this crate's, and Kubernetes' own.
//!
//! `cases/*.yaml` are the cases, README.md their language. Every case is a test against this crate's server; where
//! `KUBEBUILDER_ASSETS` names a folder with `kube-apiserver` and `etcd`, it is another against those, else it is
//! ignored with the reason. A case marked `pending` is known to fail here: it is a failure when it no longer does.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod case;
mod embedded;
mod pattern;
mod player;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use case::{Case, Subject};
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
    let subjects = case::load(|name| subject.is_none_or(|subject| subject == Some(name)));
    let mut trials = pattern::trials();

    // A list of them needs no server.
    let embedded = (!arguments.list).then(|| runtime.block_on(embedded::start()));
    let side = Side {
        name: "kubeapi",
        runtime: &runtime,
        endpoint: embedded.as_ref().map(|server| &server.endpoint),
        ignored: false,
    };
    trials.extend(side.trials(&subjects));

    let assets = assets();
    let upstream = match &assets {
        Ok(folder) if !arguments.list => {
            // It ends with the thread that starts it, which is this one.
            let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kube-apiserver");
            Some(runtime.block_on(Upstream::start(folder, &home)).unwrap())
        }
        _ => None,
    };
    let endpoint = upstream
        .as_ref()
        .map(|server| Arc::new(Endpoint::new(&server.url, &server.authority, &server.token)));
    let side = Side {
        name: "kube-apiserver",
        endpoint: endpoint.as_ref(),
        ignored: assets.is_err(),
        ..side
    };
    let reason = assets.err().unwrap_or_default();
    if !reason.is_empty() {
        eprintln!("skipped: kube-apiserver: {reason}");
    }
    trials.extend(side.trials(&subjects));
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

/// One of the two servers.
#[derive(Clone, Copy)]
struct Side<'a> {
    name: &'static str,
    runtime: &'a Arc<Runtime>,
    /// `None` where the server does not run.
    endpoint: Option<&'a Arc<Endpoint>>,
    /// Whether it cannot run.
    ignored: bool,
}

impl Side<'_> {
    fn trials(self, subjects: &[Subject]) -> impl Iterator<Item = Trial> {
        subjects.iter().flat_map(move |subject| {
            let cases = subject.cases.iter();
            cases.map(move |case| self.trial(subject, case))
        })
    }

    fn trial(self, subject: &Subject, case: &Case) -> Trial {
        let name = format!("{}::{}::{}", self.name, subject.name, case.name);
        let pending = case.pending.clone().filter(|_| self.name == "kubeapi");
        let kind = if pending.is_some() { "pending" } else { "" };
        let steps = subject.before.iter().chain(&case.steps).cloned();
        let (steps, endpoint) = (Vec::from_iter(steps), self.endpoint.cloned());
        let runtime = Arc::clone(self.runtime);
        let play = move || {
            let endpoint = endpoint.ok_or("the server does not run")?;
            let played = runtime.block_on(player::play(&steps, &endpoint));
            match (played, pending) {
                (played, None) => played.map_err(Failed::from),
                (Err(_), Some(_)) => Ok(()),
                (Ok(()), Some(reason)) => Err(format!("passes, though marked as pending: {reason}").into()),
            }
        };
        Trial::test(name, play)
            .with_kind(kind)
            .with_ignored_flag(self.ignored)
    }
}
