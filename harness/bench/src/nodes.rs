//! Building and tearing down labs: milliseconds for each node.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::Result;
use netsim::fabric::Host;

use crate::figure::{Baseline, Better, Figure, Target, median};
use crate::sites::Star;
use crate::tools::{self, Measured};

/// How often a lab of 100 nodes is built.
const REPETITIONS: usize = 5;
/// The kernel's rest between two labs.
const SETTLE: Duration = Duration::from_millis(500);
/// How long a lab may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(60);

/// Milliseconds that a lab took.
struct Lifetime {
    build: f64,
    drop: f64,
    gone: f64,
}

/// Measures labs of 100 and 1,000 nodes.
pub async fn measure() -> Result<Vec<Figure>> {
    let (mut small, mut moved, mut in_place) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..REPETITIONS {
        small.push(lifetime(100).await?);
        // It takes seconds, and the lab is quick: three times are enough.
        if turn < 3 {
            moved.push(ip_processes(100, Peer::Moved));
            in_place.push(ip_processes(100, Peer::InPlace));
        }
    }
    let large = vec![lifetime(1000).await?, lifetime(1000).await?];
    let by_ip = |way, times: Vec<Measured>| {
        let middle = times.into_iter().collect::<Result<Vec<_>, _>>().map(median);
        tools::baseline(way, &middle, Better::Less)
    };
    let moved = by_ip("one `ip` per command", moved);
    let in_place = by_ip("the same, no link moved", in_place);
    Ok(figures(&small, &large, moved, in_place))
}

fn figures(small: &[Lifetime], large: &[Lifetime], moved: Baseline, in_place: Baseline) -> Vec<Figure> {
    let middle = |labs: &[Lifetime], of: fn(&Lifetime) -> f64| median(labs.iter().map(of).collect());
    let by_mininet = |seconds: fn(&Mininet) -> f64, scale: f64| {
        let measured = mininet().as_ref().map(|run| seconds(run) * scale);
        tools::baseline("mininet", &measured.map_err(Clone::clone), Better::Less)
    };
    let build = middle(small, |lab| lab.build / 100.0);
    let gone = middle(small, |lab| lab.gone);
    let per_node = |name, figure, target, baseline| Figure {
        name,
        figure,
        unit: "ms/node",
        target,
        baseline,
    };
    let whole = |name, figure, target, baseline| Figure {
        name,
        figure,
        unit: "ms",
        target,
        baseline,
    };
    let most = Target::AtMost;
    vec![
        per_node("build-100", build, most(1.2), Baseline::None),
        per_node("build-100-vs-ip", build, Target::Ratio(20.0), moved),
        per_node("build-100-vs-ip-in-place", build, Target::None, in_place),
        per_node(
            "build-100-vs-mininet",
            build,
            Target::Ratio(15.0),
            by_mininet(|run| run.build, 10.0),
        ),
        per_node(
            "build-1000",
            middle(large, |lab| lab.build / 1000.0),
            most(2.5),
            Baseline::None,
        ),
        whole(
            "teardown-100-returns",
            middle(small, |lab| lab.drop),
            most(5.0),
            Baseline::None,
        ),
        whole("teardown-100-gone", gone, most(150.0), Baseline::None),
        whole(
            "teardown-100-vs-mininet",
            gone,
            Target::None,
            by_mininet(|run| run.stop, 1000.0),
        ),
    ]
}

async fn lifetime(nodes: u32) -> Result<Lifetime> {
    // The kernel still takes the last lab down, under the lock that the next one needs.
    tokio::time::sleep(SETTLE).await;
    let start = Instant::now();
    let star = Star::build(nodes).await?;
    let build = milliseconds(start);
    let start = Instant::now();
    // The router stays to see the links to the hosts go.
    drop(star.hosts);
    let drop = milliseconds(start);
    wait_for_links_to_go(star.edge.host(), "host")?;
    Ok(Lifetime {
        build,
        drop,
        gone: milliseconds(start),
    })
}

/// Waits until a router has none of its links that are named so any more.
pub fn wait_for_links_to_go(router: &Host, name: &str) -> Result<()> {
    let deadline = Instant::now() + GONE_WITHIN;
    router.netns().run(|| {
        while std::fs::read_to_string("/proc/thread-self/net/dev")?.contains(name) {
            anyhow::ensure!(
                Instant::now() < deadline,
                "the hosts are not gone after {GONE_WITHIN:?}"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    })?
}

/// Where the far end of a link is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// Beside the near end, and moved, as most scripts do.
    Moved,
    /// In its namespace, as we do.
    InPlace,
}

/// The same nodes without steering and neighbours, by one `ip` process for each command.
fn ip_processes(nodes: u32, peer: Peer) -> Measured {
    tools::find("ip")?;
    tools::find("unshare")?;
    let mut script = String::from("set -e\nmount -t tmpfs tmpfs /run\nip link set lo up\n");
    for n in 0..nodes {
        let (third, fourth) = (n / 64, n % 64 * 4);
        let link = match peer {
            Peer::Moved => format!(
                "ip link add v{n} type veth peer name p{n}\n\
                 ip link set p{n} netns h{n} name eth0\n"
            ),
            Peer::InPlace => format!("ip link add v{n} type veth peer name eth0 netns h{n}\n"),
        };
        write!(
            script,
            "ip netns add h{n}\n{link}\
             ip addr add 10.0.{third}.{gateway}/30 dev v{n}\n\
             ip link set v{n} up\n\
             ip -n h{n} link set lo up\n\
             ip -n h{n} addr add 10.0.{third}.{host}/30 dev eth0\n\
             ip -n h{n} link set eth0 up\n\
             ip -n h{n} route add default via 10.0.{third}.{gateway}\n",
            gateway = fourth + 1,
            host = fourth + 2,
        )
        .map_err(|error| error.to_string())?;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--propagation", "private", "sh"]);
    let start = Instant::now();
    tools::run(command, &script).map_err(|error| format!("{error:#}"))?;
    Ok(milliseconds(start) / f64::from(nodes))
}

/// Seconds that mininet took for one switch and 100 hosts.
#[derive(Debug, Clone, Copy)]
pub struct Mininet {
    build: f64,
    /// For pinging all pairs.
    pub ping_all: f64,
    stop: f64,
}

/// Runs mininet, once in a run of this program.
pub fn mininet() -> &'static Result<Mininet, String> {
    static RUN: OnceLock<Result<Mininet, String>> = OnceLock::new();
    RUN.get_or_init(|| {
        let mn = tools::find("mn")?;
        // Its library belongs to the interpreter that its own program names.
        let script = std::fs::read_to_string(mn).map_err(|error| error.to_string())?;
        let python = script.lines().next().and_then(|line| line.strip_prefix("#!"));
        let python = python.map(str::trim).ok_or("`mn` names no interpreter")?;
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--pid", "--fork", "--mount-proc", python, "-"]);
        let output = tools::run(command, include_str!("mininet.py")).map_err(|error| {
            let text = format!("{error:#}");
            text.lines().last().unwrap_or_default().to_owned()
        })?;
        parse(&String::from_utf8_lossy(&output.stdout)).map_err(|error| error.to_string())
    })
}

fn parse(text: &str) -> Result<Mininet> {
    let seconds = text
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<Vec<f64>, _>>()?;
    let &[build, ping_all, stop] = seconds.as_slice() else {
        anyhow::bail!("mininet printed `{}`, three numbers were expected", text.trim());
    };
    Ok(Mininet {
        build,
        ping_all,
        stop,
    })
}

/// Milliseconds since `start`.
pub fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}
