//! Changing the steering of an edge: milliseconds until the kernel has carried the transaction out.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use ipnet::IpNet;
use netsim::fabric::nft::diff::SetChange;
use netsim::fabric::nft::{Chain, Elements, Expression, Family, Field, Set, Socket, Table};
use netsim::fabric::{Forwarding, Host};

use crate::figure::{Baseline, Better, Figure, Target, median};
use crate::nodes::milliseconds;
use crate::sites::{Pair, endpoints, policy};
use crate::tools::{self, Measured};

const REPETITIONS: u32 = 11;
const TABLE: &str = "sdwan";
const SET: &str = "endpoints";

/// Measures whole policies through an edge, and single changes by netlink.
pub async fn measure() -> Result<Vec<Figure>> {
    let pair = Pair::build().await?;
    let edge = &pair.edges[0];
    let by_nft = Nft::open().await?;
    let mut direct = Direct::open().await?;
    let mut times: [Vec<f64>; 7] = Default::default();
    let mut tool: [Vec<Measured>; 3] = Default::default();
    for turn in 0..REPETITIONS {
        // Two halves in turn, so that every endpoint changes.
        let half = turn % 2 * 50_000;
        let whole = policy(endpoints(half, 10_000));
        let mut hundred = endpoints(half, 10_000);
        hundred.splice(..100, endpoints(200_000, 100));
        let hundred = policy(hundred);
        let most = policy(endpoints(0, 100_000));
        let one_more = policy(endpoints(0, 100_001));
        edge.apply(&policy(endpoints(100_000 - half, 10_000))).await?;
        times[0].push(timed(edge.apply(&whole)).await?);
        times[1].push(timed(edge.apply(&hundred)).await?);
        edge.apply(&most).await?;
        times[2].push(timed(edge.apply(&one_more)).await?);
        times[3].push(direct.replace(half, 10_000)?);
        times[4].push(direct.change(half..half + 100, 200_000..200_100)?);
        times[5].push(direct.replace(0, 100_000)?);
        times[6].push(direct.change(0..0, 200_000..200_001)?);
        tool[0].push(by_nft.replace(half, 10_000));
        tool[1].push(by_nft.change(half..half + 100, 200_000..200_100));
        // Filling a set by the tool takes half a second: once is enough.
        if turn == 0 {
            by_nft.replace(0, 100_000).ok();
            tool[2].extend((0..REPETITIONS).map(|n| by_nft.change(0..0, 200_000 + n..200_001 + n)));
        }
    }
    let by_nft = tool.map(|times| times.into_iter().collect::<Result<Vec<_>, _>>().map(median));
    Ok(figures(times.map(median), &by_nft))
}

fn figures(ours: [f64; 7], by_nft: &[Measured; 3]) -> Vec<Figure> {
    let beside = |tool: usize| tools::baseline("nft -f", &by_nft[tool], Better::Less);
    let figure = |name, figure, target, baseline| Figure {
        name,
        figure,
        unit: "ms",
        target,
        baseline,
    };
    let most = Target::AtMost;
    vec![
        figure("replace-10k", ours[3], most(15.0), beside(0)),
        figure("replace-10k-policy", ours[0], most(15.0), Baseline::None),
        figure("change-100-of-10k", ours[4], most(0.5), beside(1)),
        figure("change-100-of-10k-policy", ours[1], Target::None, Baseline::None),
        figure("replace-100k", ours[5], Target::None, Baseline::None),
        figure("add-1-to-100k", ours[6], most(0.1), beside(2)),
        figure("add-1-to-100k-policy", ours[2], Target::None, Baseline::None),
    ]
}

async fn timed<E: std::error::Error + Send + Sync + 'static>(
    work: impl Future<Output = Result<(), E>>,
) -> Result<f64> {
    let start = Instant::now();
    work.await?;
    Ok(milliseconds(start))
}

fn addresses(numbers: std::ops::Range<u32>) -> Elements {
    let count = numbers.end - numbers.start;
    let keys = endpoints(numbers.start, count)
        .into_iter()
        .filter_map(|prefix| match prefix {
            IpNet::V4(prefix) => Some(u32::from(prefix.addr())),
            IpNet::V6(_) => None,
        });
    Elements::Addresses(keys.map(|key| key..=key).collect())
}

/// A table with one set and one rule, changed by netlink without a policy.
struct Direct {
    socket: Socket,
    /// Held for its namespace.
    _host: Host,
}

impl Direct {
    async fn open() -> Result<Self> {
        let host = Host::create("direct", Forwarding::On).await?;
        let socket = Socket::open(host.netns())?;
        Ok(Self { socket, _host: host })
    }

    fn replace(&mut self, first: u32, count: u32) -> Result<f64> {
        let table = table(addresses(first..first + count));
        let start = Instant::now();
        self.socket.replace_table(&table)?;
        Ok(milliseconds(start))
    }

    fn change(&mut self, remove: std::ops::Range<u32>, add: std::ops::Range<u32>) -> Result<f64> {
        let change = SetChange {
            set: SET.to_owned(),
            holds_ranges: false,
            remove: addresses(remove),
            add: addresses(add),
        };
        let start = Instant::now();
        self.socket.change_elements((Family::Ipv4, TABLE), &change)?;
        Ok(milliseconds(start))
    }
}

fn table(elements: Elements) -> Table {
    let rule = vec![
        Expression::In(Field::DestinationAddress, SET.to_owned()),
        Expression::Count,
        Expression::SetMark {
            mask: u32::MAX,
            value: 1000,
        },
    ];
    Table {
        family: Family::Ipv4,
        name: TABLE,
        sets: vec![Set {
            name: SET.to_owned(),
            elements,
        }],
        chains: vec![Chain {
            name: "prerouting".to_owned(),
            prerouting: Some(-150),
            rules: vec![rule],
        }],
    }
}

/// The same table, changed by the nft tool.
struct Nft {
    host: Host,
}

impl Nft {
    async fn open() -> Result<Self> {
        let host = Host::create("nft", Forwarding::On).await?;
        Ok(Self { host })
    }

    fn replace(&self, first: u32, count: u32) -> Measured {
        let list = list(first..first + count);
        self.run(&format!(
            "table ip {TABLE} {{}}\ndelete table ip {TABLE}\n\
             table ip {TABLE} {{\n set {SET} {{ type ipv4_addr; elements = {{ {list} }}; }}\n\
             chain prerouting {{ type filter hook prerouting priority -150;\n\
             ip daddr @{SET} counter meta mark set 1000\n }}\n}}\n"
        ))
    }

    fn change(&self, remove: std::ops::Range<u32>, add: std::ops::Range<u32>) -> Measured {
        let mut script = String::new();
        for (verb, numbers) in [("delete", remove), ("add", add)] {
            if !numbers.is_empty() {
                writeln!(script, "{verb} element ip {TABLE} {SET} {{ {} }}", list(numbers))
                    .map_err(|error| error.to_string())?;
            }
        }
        self.run(&script)
    }

    fn run(&self, script: &str) -> Measured {
        let nft = tools::find("nft")?;
        let inside = self.host.netns().run(|| {
            let mut command = Command::new(nft);
            command.args(["-f", "-"]);
            let start = Instant::now();
            tools::run(command, script).map(|_| milliseconds(start))
        });
        inside
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("{error:#}"))
    }
}

fn list(numbers: std::ops::Range<u32>) -> String {
    let Elements::Addresses(ranges) = addresses(numbers) else {
        return String::new();
    };
    let texts = ranges
        .iter()
        .map(|range| Ipv4Addr::from(*range.start()).to_string());
    texts.collect::<Vec<_>>().join(", ")
}
