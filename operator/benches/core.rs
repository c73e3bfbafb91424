//! How long the pure core takes for 10,000 Services with 100,000 endpoints: cold, and for one endpoint that changes.
//!
//! `cargo bench -p sdwan-operator --bench core`

#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use sdwan_operator::core::{
    Change, Cluster, Color, Compiler, Conventions, EndpointState, Intent, Objects, Owner, Scope, ServiceKind,
    ServicePort, ServiceRef, ServiceView, Settings, SlicePort, SliceView, Tunnel, View, diff, render,
};

const SERVICES: u32 = 10_000;
const ENDPOINTS_EACH: u32 = 10;
const CHANGES: u32 = 200;

fn main() {
    // Few classes: all Services at one port. Many: 500 ports, times the colors.
    for ports in [1, 500] {
        measure(ports);
    }
    println!("peak memory of all of this: {}", peak_memory());
}

/// As the kernel has it; see proc_pid_status(5).
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.unwrap_or("not known").trim().to_owned()
}

fn measure(ports: u16) {
    let view = view(ports);
    let started = Instant::now();
    let mut compiler = Compiler::of(&view);
    let policy = compiler.compiled().policy;
    let compiled = started.elapsed();
    let desired = render(&policy, &scope(), &Owner::default(), &Objects::default());
    let change_set = diff(&desired, &Objects::default());
    let cold = started.elapsed();
    let mut observed = change_set.applied_to(Objects::default());

    let mut changes: Vec<_> = (0..CHANGES)
        .map(|round| {
            let slice = slice(round * 37 % SERVICES, ports, round + 1);
            let started = Instant::now();
            compiler.apply(Change::Slice(slice));
            let policy = compiler.compiled().policy;
            let desired = render(&policy, &scope(), &Owner::default(), &observed);
            let change_set = diff(&desired, &observed);
            let took = started.elapsed();
            let edits = change_set.edit.len();
            assert!(
                (1..=2).contains(&edits),
                "one endpoint for another: {edits} edits"
            );
            observed = change_set.applied_to(std::mem::take(&mut observed));
            took
        })
        .collect();
    changes.sort_unstable();
    let figures = [
        ("cold compile", compiled),
        ("cold compile, render and diff", cold),
        ("one change, p50", percentile(&changes, 50)),
        ("one change, p99", percentile(&changes, 99)),
    ];
    println!("{} classes, {} lists", policy.rules.len(), observed.lists.len());
    for (name, figure) in figures {
        println!("  {name}: {:.2} ms", figure.as_secs_f64() * 1e3);
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

fn scope() -> Scope {
    Scope {
        sites: ["100", "200"].map(str::to_owned).into(),
        ..Scope::default()
    }
}

fn view(ports: u16) -> View {
    View {
        conventions: Conventions {
            clusters: [(Cluster::default(), 10)].into(),
            ..Conventions::default()
        },
        services: (0..SERVICES).map(service).collect(),
        slices: (0..SERVICES).map(|index| slice(index, ports, 0)).collect(),
        ..View::default()
    }
}

fn service(index: u32) -> ServiceView {
    let color = Color::all()
        .nth(index as usize % 22)
        .expect("there are 22 colors");
    ServiceView {
        service: name(index),
        uid: format!("00000000-0000-0000-0000-{index:012}"),
        created: Some(i64::from(index)),
        kind: ServiceKind::Endpoints,
        ports: vec![ServicePort {
            name: "http".to_owned(),
            number: 80,
        }],
        intent: Some(Ok(Intent {
            all: Settings {
                tunnel: Some(Tunnel::Color(color)),
                ..Settings::default()
            },
            ..Intent::default()
        })),
    }
}

/// The slice of a Service; its last endpoint has another address in each round.
fn slice(index: u32, ports: u16, round: u32) -> SliceView {
    let host = |endpoint: u32| {
        let replaced = if endpoint == 0 { round << 20 } else { 0 };
        let number = 0x0a00_0000 + index * ENDPOINTS_EACH + endpoint + replaced;
        (IpAddr::from(number.to_be_bytes()), EndpointState::Ready)
    };
    let port = 8000 + u16::try_from(index % u32::from(ports)).expect("a remainder of 16 bits");
    SliceView {
        name: format!("service-{index}-abcde"),
        service: name(index),
        endpoints: (0..ENDPOINTS_EACH).map(host).collect(),
        ports: vec![SlicePort {
            name: "http".to_owned(),
            protocol: "TCP".to_owned(),
            port,
        }],
    }
}

fn name(index: u32) -> ServiceRef {
    ServiceRef {
        cluster: Cluster::default(),
        kube_namespace: format!("team-{}", index % 100),
        name: format!("service-{index}"),
    }
}
