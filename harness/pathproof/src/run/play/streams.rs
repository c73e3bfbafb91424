//! Streams: their clients and servers, and which backend each goes to.
//!
//! Owns the choice of backends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use netsim::fabric::Host;
use scenario::model::{PodRef, ServiceRef};
use scenario::plan::StreamPlan;
use serde_json::json;

use super::backend::{Backend, Backends, Said};
use super::{PlayError, Player};
use crate::lab::clusters;
use crate::probe::agent::{self, Client};

/// How long a Service may take to have a ready endpoint.
const ENDPOINT_DEADLINE: Duration = Duration::from_secs(5);

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
        let number = u16::try_from(position).expect("a plan has far fewer than 65536 streams");
        let context = self.context.clone();
        let client = Client::connect(pod.netns(), number, stream.clone(), backend.address, context).await;
        let client = client.map_err(|source| PlayError::Agent {
            flow: stream.flow.clone(),
            source,
        })?;
        let info = &mut self.played.streams[position];
        info.client = client.local.to_string();
        info.server = client.remote.to_string();
        Ok(client)
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
        let said = |cluster: usize, name: Option<String>, service: &ServiceRef| {
            Said::by(&self.lab.clusters[cluster].api, name, service)
        };
        let at = self.plan.cluster(stream.to.cluster.as_deref());
        let own = said(at, stream.to.cluster.clone(), &stream.to)?;
        let mesh = &self.plan.cluster_mesh;
        let others = mesh.iter().filter(|other| mesh.contains(&at) && **other != at);
        let others = others.filter_map(|other| {
            let name = self.plan.clusters[*other].name.clone();
            said(*other, Some(name), &stream.to)
        });
        Some(Backends::of(stream, &own, &others.collect::<Vec<_>>()))
    }
}
