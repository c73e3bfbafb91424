//! What the Manager's tests share: a Manager on loopback, edges in memory, and clients that trust it.
#![allow(dead_code, reason = "each test binary uses its part")]
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use netsim::bfd::{State as SessionState, Statistics, Timing, Totals};
use netsim::fabric::edge::{Counted, OriginatedRoute, SequenceCount};
use netsim::fabric::host::PacketCount;
use netsim::fabric::nft::RuleCount;
use netsim::manager::limits::Limits;
use netsim::manager::{Config, Device, Manager, SecretString};
use netsim::policy::{ApplyError, EdgePolicy, Edges};
use netsim::telemetry::{
    PolicyReport, RouteReport, RoutingReport, Telemetry, TelemetryError, TlocReport, TunnelReport, VpnReport,
};
use reqwest::header::HeaderMap;
use reqwest::{Client, ClientBuilder};
use serde_json::Value;

/// The name and password of the one user.
pub const USERNAME: &str = "admin";
pub const PASSWORD: &str = "not a secret";
/// No wait in a test is longer.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// Edges that remember what they were told.
#[derive(Default)]
pub struct MemoryEdges {
    state: Mutex<State>,
}

/// How an edge tells nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// It says that it cannot.
    Refuses,
    /// It does not answer.
    Hangs,
}

#[derive(Default)]
struct State {
    in_force: BTreeMap<u32, EdgePolicy>,
    applied: Vec<(u32, Instant)>,
    refusing: Option<u32>,
    silent: Option<(u32, Silence)>,
    /// How often more hellos and packets were counted.
    rounds: u32,
    held: Option<Arc<tokio::sync::Notify>>,
}

impl MemoryEdges {
    /// What the edge of a site follows.
    pub fn in_force(&self, site_id: u32) -> Option<EdgePolicy> {
        self.state.lock().unwrap().in_force.get(&site_id).cloned()
    }

    /// How many policies all edges have taken.
    pub fn applied(&self) -> usize {
        self.state.lock().unwrap().applied.len()
    }

    /// When the last of them was taken.
    pub fn last_applied(&self) -> Instant {
        self.state
            .lock()
            .unwrap()
            .applied
            .last()
            .expect("nothing applied")
            .1
    }

    /// The edge of this site refuses from now on; none does with `None`.
    pub fn refuse(&self, site_id: Option<u32>) {
        self.state.lock().unwrap().refusing = site_id;
    }

    /// All edges count as many hellos and packets once more.
    pub fn count_on(&self) {
        self.state.lock().unwrap().rounds += 1;
    }

    /// The edge of this site tells nothing from now on; all do with `None`.
    pub fn silence(&self, silent: Option<(u32, Silence)>) {
        self.state.lock().unwrap().silent = silent;
    }

    async fn heed(&self, site_id: u32) -> Result<(), TelemetryError> {
        let silent = self.state.lock().unwrap().silent;
        match silent.filter(|(site, _)| *site == site_id) {
            None => Ok(()),
            Some((_, Silence::Hangs)) => std::future::pending().await,
            Some((_, Silence::Refuses)) => Err(TelemetryError {
                site_id,
                reason: "no kernel there".to_owned(),
            }),
        }
    }

    /// Edges take no policy until the answer is notified.
    pub fn hold(&self) -> Arc<tokio::sync::Notify> {
        let gate = Arc::new(tokio::sync::Notify::new());
        self.state.lock().unwrap().held = Some(gate.clone());
        gate
    }

    /// Edges take policies again, including those that wait.
    pub fn release(&self) {
        if let Some(gate) = self.state.lock().unwrap().held.take() {
            gate.notify_waiters();
        }
    }
}

#[async_trait]
impl Edges for MemoryEdges {
    async fn apply(&self, policy: &EdgePolicy) -> Result<(), ApplyError> {
        let gate = self.state.lock().unwrap().held.clone();
        if let Some(gate) = gate {
            let notified = gate.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.state.lock().unwrap().held.is_some() {
                notified.await;
            }
        }
        let mut state = self.state.lock().unwrap();
        if state.refusing == Some(policy.site_id) {
            return Err(ApplyError {
                site_id: policy.site_id,
                reason: "no space left".to_owned(),
            });
        }
        state.in_force.insert(policy.site_id, policy.clone());
        state.applied.push((policy.site_id, Instant::now()));
        Ok(())
    }
}

/// A tunnel after so many times of what was counted on it.
fn counted(mut tunnel: TunnelReport, rounds: u32) -> TunnelReport {
    let times = u64::from(rounds);
    let totals = &mut tunnel.totals;
    totals.answered *= times;
    totals.lost *= times;
    totals.latency *= rounds;
    totals.pairs *= times;
    totals.variation *= rounds;
    let traffic = &mut tunnel.traffic;
    for count in [
        &mut traffic.received,
        &mut traffic.sent,
        &mut traffic.received_octets,
        &mut traffic.sent_octets,
    ] {
        *count *= times;
    }
    tunnel
}

/// At each site the tunnel over biz-internet is up, and the one over default went down after a flap.
#[async_trait]
impl Telemetry for MemoryEdges {
    async fn tunnels(&self, site_id: u32) -> Result<Vec<TunnelReport>, TelemetryError> {
        self.heed(site_id).await?;
        let address = |site: u32, transport: u8| Ipv4Addr::new(100, 64 + transport, 0, site as u8);
        let remote = if site_id == 1 { 2 } else { 1 };
        let tunnel = |transport, color: &str| TunnelReport {
            remote_site_id: remote,
            color: color.to_owned(),
            carried: netsim::encap::Choice::VXLAN,
            underlay: (
                address(site_id, transport).into(),
                address(remote, transport).into(),
            ),
            met: BTreeSet::new(),
            port: 4789 + u16::from(transport),
            mtu: 1450,
            timing: Timing {
                hello: Duration::from_secs(1),
                multiplier: 7,
            },
            state: SessionState::Up,
            state_for: Duration::from_secs(3723),
            transitions: 0,
            statistics: Statistics {
                total: 100,
                lost: 2,
                latency: Some(Duration::from_micros(12_600)),
                latency_p50: Some(Duration::from_micros(12_500)),
                latency_p99: Some(Duration::from_micros(40_250)),
                jitter: Some(Duration::from_micros(1_400)),
            },
            totals: Totals {
                answered: 588,
                lost: 12,
                latency: Duration::from_micros(12_600) * 588,
                pairs: 587,
                variation: Duration::from_micros(1_400) * 587,
            },
            hellos_sent: 603,
            echoes_received: 590,
            traffic: PacketCount {
                unsent: 0,
                received: 10,
                sent: 20,
                received_octets: 1000,
                sent_octets: 2000,
            },
        };
        let down = TunnelReport {
            state: SessionState::Down,
            transitions: 3,
            statistics: Statistics {
                total: 100,
                lost: 100,
                ..Statistics::default()
            },
            totals: Totals {
                lost: 600,
                ..Totals::default()
            },
            echoes_received: 0,
            ..tunnel(1, "default")
        };
        let rounds = self.state.lock().unwrap().rounds + 1;
        Ok(vec![
            counted(tunnel(0, "biz-internet"), rounds),
            counted(down, rounds),
        ])
    }

    async fn policy(&self, site_id: u32) -> Result<PolicyReport, TelemetryError> {
        self.heed(site_id).await?;
        let policy = self.in_force(site_id).unwrap_or(EdgePolicy::none(site_id));
        let mut counts = Vec::new();
        let mut count = |of: Counted, ids: Vec<u16>| {
            let sequences = ids.into_iter().map(Some).chain([None]);
            counts.extend(sequences.map(|sequence| SequenceCount {
                of,
                sequence,
                count: RuleCount {
                    packets: 7,
                    octets: 700,
                },
            }));
        };
        for (position, of) in policy.app_route.iter().enumerate() {
            let ids = of.sequences.iter().map(|sequence| sequence.id).collect();
            count(Counted::AppRoute(position), ids);
        }
        for (position, of) in policy.data.iter().enumerate() {
            let ids = of.sequences.iter().map(|sequence| sequence.id).collect();
            count(Counted::Data(position), ids);
        }
        Ok(PolicyReport { policy, counts })
    }

    /// Site n has 10.n.0.0/24 in service VPN 10, leaked into VPN 20; the tunnel over biz-internet leads to the other
    /// site's.
    async fn routing(&self, site_id: u32) -> Result<RoutingReport, TelemetryError> {
        self.heed(site_id).await?;
        let prefix = |site: u32| format!("10.{site}.0.0/24").parse().unwrap();
        let tloc = |transport: u8, color: &str| TlocReport {
            color: color.to_owned(),
            carried: netsim::encap::Choice::VXLAN,
            address: Ipv4Addr::new(100, 64 + transport, 0, site_id as u8).into(),
            port: 4789 + u16::from(transport),
        };
        let route = |color: &str, up: bool| RouteReport {
            prefix: prefix(3 - site_id),
            system_ip: Ipv4Addr::new(10, 255, 0, 3 - site_id as u8),
            color: color.to_owned(),
            hops: 1,
            resolved: up,
            chosen: up,
            installed: up,
        };
        let vpn = |service_vpn: u16, leaked_from: Option<u16>| VpnReport {
            service_vpn,
            originated: vec![OriginatedRoute {
                prefix: prefix(site_id),
                leaked_from,
            }],
            received: vec![route("biz-internet", true), route("default", false)],
        };
        Ok(RoutingReport {
            tlocs: vec![tloc(0, "biz-internet"), tloc(1, "default")],
            vpns: vec![vpn(10, None), vpn(20, Some(10))],
        })
    }
}

/// A Manager of two sites with service VPNs 10 and 20.
pub async fn start(push_delay: Duration) -> (Manager, Arc<MemoryEdges>) {
    let edges = Arc::new(MemoryEdges::default());
    let config = Config {
        push_delay: push_delay.into(),
        ..config()
    };
    (Manager::start(config, edges.clone()).await.unwrap(), edges)
}

/// What [`start`] starts, without a push delay, and without a limit of requests: tests ask as fast as they can.
pub fn config() -> Config {
    let config = Config::new(
        vec![TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()],
        USERNAME.to_owned(),
        SecretString::from(PASSWORD),
        vec![device(1), device(2)],
    );
    Config {
        limits: Limits::SESSIONS_ONLY,
        ..config
    }
}

/// The edge of a site.
pub fn device(site_id: u8) -> Device {
    Device {
        host_name: format!("edge-{site_id}"),
        system_ip: Ipv4Addr::new(10, 255, 0, site_id),
        site_id: site_id.into(),
        service_vpns: vec![10, 20],
        colors: vec!["biz-internet".to_owned(), "default".to_owned()],
    }
}

/// A client with its own cookies that trusts the Manager and follows no redirect.
pub fn client(manager: &Manager) -> Client {
    client_builder(manager).build().unwrap()
}

/// The same, to be changed.
pub fn client_builder(manager: &Manager) -> ClientBuilder {
    // Only the first call has an effect; tests of one binary share the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ca = reqwest::Certificate::from_pem(manager.ca_pem().as_bytes()).unwrap();
    ClientBuilder::new()
        .tls_certs_only([ca])
        .cookie_store(true)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(DEADLINE)
}

/// The address of a path.
pub fn url(manager: &Manager, path: &str) -> String {
    format!("https://{}{path}", manager.address())
}

/// Logs a client in and gives its XSRF token.
pub async fn log_in(manager: &Manager, client: &Client) -> String {
    let form = [("j_username", USERNAME), ("j_password", PASSWORD)];
    let answer = client
        .post(url(manager, "/j_security_check"))
        .form(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), "", "the login was refused");
    let token = client
        .get(url(manager, "/dataservice/client/token"))
        .send()
        .await
        .unwrap();
    token.text().await.unwrap()
}

/// A logged-in client that speaks JSON.
pub struct Session<'a> {
    pub manager: &'a Manager,
    pub client: Client,
    pub token: String,
    /// Sent with every request, besides the token.
    pub headers: HeaderMap,
}

impl<'a> Session<'a> {
    /// Logs in.
    pub async fn new(manager: &'a Manager) -> Self {
        let client = client(manager);
        let token = log_in(manager, &client).await;
        Self {
            manager,
            client,
            token,
            headers: HeaderMap::new(),
        }
    }

    /// Sends a request and gives status and body; a body that is not JSON is `null`.
    pub async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self
            .client
            .request(method, url(self.manager, &format!("/dataservice{path}")));
        request = request
            .headers(self.headers.clone())
            .header("X-XSRF-TOKEN", &self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (
            status,
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null),
        )
    }

    /// Sends a request that has to succeed.
    pub async fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = (!body.is_null()).then_some(body);
        let (status, answer) = self.send(method, path, body).await;
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    }

    /// Follows a task to its end and gives its last status.
    pub async fn follow(&self, task: &Value) -> Value {
        let path = format!("/device/action/status/{}", task["id"].as_str().unwrap());
        let end = Instant::now() + DEADLINE;
        loop {
            let status = self.ok("GET", &path, &Value::Null).await;
            if status["summary"]["status"] == "done" {
                return status;
            }
            assert!(Instant::now() < end, "the task does not end: {status}");
            tokio::task::yield_now().await;
        }
    }
}
