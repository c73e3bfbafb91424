//! Streams: their clients and servers, and which backend each goes to.
//!
//! Owns the choice of backends. Invariant: a stream keeps its backend as long as that is ready, as a connected socket
//! does with Cilium's socket load balancing, and when it is not goes to another one, as an application does whose
//! socket is terminated. Without any it stays where it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use kubeapi::WriteEvent;
use netsim::fabric::Host;
use scenario::model::PodRef;
use scenario::plan::StreamPlan;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

use super::backend::{Backend, Backends, Said};
use super::{PlayError, Player};
use crate::lab::clusters;
use crate::probe::agent;
use crate::probe::client::{Client, Connection};

/// How long a Service may take to have a ready endpoint.
const ENDPOINT_DEADLINE: Duration = Duration::from_secs(5);
/// Between two attempts of a stream to connect to another backend.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// A stream that was started.
pub(super) struct Running {
    /// Its position in the plan.
    position: usize,
    backend: Backend,
    /// Takes the connections that the client is to go on with.
    next: UnboundedSender<Connection>,
    /// What connects it to `backend`, when that is not the first one.
    connecting: Option<AbortHandle>,
}

/// Whether a write can change who serves whom.
pub(super) fn concerns_backends(write: &WriteEvent) -> bool {
    matches!(
        write.resource.as_str(),
        "services" | "endpointslices.discovery.k8s.io"
    )
}

impl Player<'_> {
    pub(super) async fn start(&mut self, flows: &[String]) -> Result<(), PlayError> {
        self.log_step("start", &json!(flows));
        let by_flow = self.plan.streams_by_flow();
        let mut clients = Vec::new();
        for flow in flows {
            for position in by_flow.get(flow.as_str()).into_iter().flatten() {
                clients.push(self.connect(*position).await?);
            }
        }
        // All are connected before any sends, so that the flows start together.
        for client in clients {
            self.played.agents.spawn(client.run());
        }
        Ok(())
    }

    async fn connect(&mut self, position: usize) -> Result<Client, PlayError> {
        let stream = &self.plan.streams[position];
        let backend = self.ready_backend(position).await?;
        self.serve(stream, &backend)?;
        let pod = self.pod(&stream.flow, &stream.from)?;
        let ports = &self.context.ports;
        let connection =
            Connection::open(pod.netns(), stream.protocol, backend.address, ports, stream.dscp).await;
        let connection = connection.map_err(|source| PlayError::Agent {
            flow: stream.flow.clone(),
            source,
        })?;
        let info = &mut self.played.streams[position];
        info.client = connection.local.to_string();
        info.server = connection.remote.to_string();
        let (sender, next) = unbounded_channel();
        self.running.push(Running {
            position,
            backend,
            next: sender,
            connecting: None,
        });
        Ok(Client {
            stream: u16::try_from(position).expect("a plan has far fewer than 65536 streams"),
            plan: stream.clone(),
            context: self.context.clone(),
            connection,
            next,
        })
    }

    /// Has a backend answer the probes of a stream.
    fn serve(&mut self, stream: &StreamPlan, backend: &Backend) -> Result<(), PlayError> {
        let server = self.pod(&stream.flow, &backend.pod)?;
        let port = backend.address.port();
        if self.servers.insert((backend.pod.clone(), stream.protocol, port)) {
            let serving = agent::serve(server.netns(), stream.protocol, port, self.context.clone());
            let serving = serving.map_err(|source| PlayError::Agent {
                flow: stream.flow.clone(),
                source,
            })?;
            self.played.agents.spawn(serving);
        }
        Ok(())
    }

    fn pod(&mut self, flow: &str, pod: &PodRef) -> Result<Arc<Host>, PlayError> {
        let host = clusters::pod_of(&self.lab.clusters, self.plan, pod);
        let host = host.ok_or_else(|| PlayError::NoPod {
            flow: flow.to_owned(),
            pod: pod.to_string(),
        })?;
        self.played.receivers.insert(pod.clone(), Arc::clone(&host));
        Ok(host)
    }

    /// Translates a Service port to a backend, as Cilium's socket load balancing does at connect(2): only pod
    /// addresses are ever on a wire.
    async fn ready_backend(&self, position: usize) -> Result<Backend, PlayError> {
        let stream = &self.plan.streams[position];
        let deadline = Instant::now() + ENDPOINT_DEADLINE;
        loop {
            let backends = self.backends(stream);
            if let Some(backend) = backends.as_ref().and_then(|backends| backends.choose(position)) {
                return Ok(backend.clone());
            }
            if Instant::now() > deadline {
                return Err(PlayError::NoEndpoint {
                    flow: stream.flow.clone(),
                    service: stream.to.to_string(),
                    port: stream.service_port,
                    protocol: stream.protocol,
                });
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The backends of a stream; `None` when its Service is gone.
    fn backends(&self, stream: &StreamPlan) -> Option<Backends> {
        let said = |cluster: usize| {
            let names = &self.plan.clusters;
            let name = stream.to.cluster.as_ref().map(|_| names[cluster].name.clone());
            Said::by(&self.lab.clusters[cluster].api, name, &stream.to)
        };
        let at = self.plan.cluster(stream.to.cluster.as_deref());
        let own = said(at)?;
        let mesh = self.plan.cluster_mesh.iter().copied();
        let is_member = self.plan.cluster_mesh.contains(&at);
        let others = mesh.filter(|other| is_member && *other != at);
        let others: Vec<Said> = others.filter_map(said).collect();
        Some(Backends::of(stream, &own, &others))
    }

    /// Has streams whose backend is not ready any more go to another one.
    pub(super) fn rebalance(&mut self) -> Result<(), PlayError> {
        // Of what has changed already one look is enough.
        while let Some(Some(_)) = self.changes.next().now_or_never() {}
        for index in 0..self.running.len() {
            let running = &self.running[index];
            let Some(backends) = self.backends(&self.plan.streams[running.position]) else {
                continue;
            };
            if backends.contains(&running.backend) {
                continue;
            }
            if let Some(backend) = backends.choose(running.position) {
                self.reconnect(index, backend.clone())?;
            }
        }
        Ok(())
    }

    fn reconnect(&mut self, index: usize, backend: Backend) -> Result<(), PlayError> {
        let plan = self.plan;
        let stream = &plan.streams[self.running[index].position];
        self.serve(stream, &backend)?;
        let pod = self.pod(&stream.flow, &stream.from)?;
        let running = &mut self.running[index];
        let detail = json!({
            "flow": stream.flow, "protocol": stream.protocol, "port": stream.service_port,
            "from": running.backend.address, "to": backend.address, "pod": backend.pod.to_string(),
        });
        self.log.note("flow", "reconnect", detail);
        if let Some(earlier) = running.connecting.take() {
            earlier.abort();
        }
        let (next, ports) = (running.next.clone(), Arc::clone(&self.context.ports));
        let (protocol, address, dscp) = (stream.protocol, backend.address, stream.dscp);
        running.backend = backend;
        // The way there may be cut: time goes on meanwhile.
        running.connecting = Some(self.played.agents.spawn(async move {
            loop {
                if let Ok(connection) = Connection::open(pod.netns(), protocol, address, &ports, dscp).await {
                    next.send(connection).ok();
                    return;
                }
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
        }));
        Ok(())
    }
}
