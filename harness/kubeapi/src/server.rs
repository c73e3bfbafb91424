//! One running API server: identity, listeners, controllers, first objects.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::{Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access::{self, Access, Authenticator, Lifetime, TokenRequest};
use crate::api::{Api, Effect, Target};
use crate::controllers;
use crate::faults::Faults;
use crate::kubelet::Kubelet;
use crate::local::Local;
use crate::serve::event_lines::EventLines;
use crate::serve::tls::{Authority, Identity, TlsError};
use crate::serve::{self, Shared};
use crate::status::Status;
use crate::store::State;
use crate::strategy::ServiceRanges;

/// How many changes a watch may fall behind before it has to list again.
const HISTORY: usize = 16_384;
/// How long the token in a kubeconfig is good.
const YEAR_SECONDS: i64 = 365 * 24 * 3600;
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(2);

/// What a server is started with.
#[derive(Debug)]
pub struct Config {
    /// The name of the cluster, its context and its user in the kubeconfig.
    pub cluster: String,
    /// Where to serve. The port of the first one goes into the kubeconfig.
    pub listeners: Vec<std::net::TcpListener>,
    /// The range Services get their IPv4 addresses from.
    pub service_cidr: Ipv4Net,
    /// The range they get their IPv6 addresses from, where the cluster is dual-stack.
    pub service_cidr_v6: Option<Ipv6Net>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// `Config::listeners` is empty.
    #[error("serve cluster `{cluster}`: expected at least one listener")]
    NoListener {
        /// The cluster.
        cluster: String,
    },
    /// A listener cannot be used.
    #[error("serve cluster `{cluster}` on its listeners")]
    Listener {
        /// The cluster.
        cluster: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The certificates could not be made.
    #[error("make the identity of cluster `{cluster}`")]
    Identity {
        /// The cluster.
        cluster: String,
        /// The failing step.
        #[source]
        source: IdentityError,
    },
    /// The first objects were refused, for instance because the service range is too small.
    #[error("create the first objects of cluster `{cluster}`")]
    FirstObjects {
        /// The cluster.
        cluster: String,
        /// The refusal.
        #[source]
        source: Status,
    },
}

/// Why the certificates of a server could not be made.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct IdentityError(#[from] TlsError);

/// A running API server. It stops when dropped.
#[derive(Debug)]
pub struct Server {
    cluster: String,
    address: SocketAddr,
    authority: Authority,
    shared: Arc<Shared>,
    listeners: JoinSet<()>,
    controllers: JoinSet<()>,
}

impl Server {
    /// Starts serving; when it returns, requests are answered and the default objects exist.
    ///
    /// # Errors
    /// When there is no listener, one cannot be used, no certificate can be made, or `service_cidr` has no room
    /// for the Service `default/kubernetes`.
    pub async fn start(config: Config, kubelet: Arc<dyn Kubelet>) -> Result<Server, StartError> {
        let Config {
            cluster,
            listeners,
            service_cidr,
            service_cidr_v6,
        } = config;
        let on_listener = |source| StartError::Listener {
            cluster: cluster.clone(),
            source,
        };
        let listeners = adopt(listeners).map_err(on_listener)?;
        let Some(first) = listeners.first() else {
            return Err(StartError::NoListener { cluster });
        };
        let address = first.local_addr().map_err(on_listener)?;
        let identity = Identity::generate(&cluster).map_err(|error| StartError::Identity {
            cluster: cluster.clone(),
            source: error.into(),
        })?;

        let ranges = ServiceRanges {
            v4: service_cidr,
            v6: service_cidr_v6,
        };
        let api = Arc::new(Api::new(ranges, HISTORY));
        let mut controller_tasks = JoinSet::new();
        controllers::spawn(&mut controller_tasks, &api, kubelet);
        create_first_objects(&api, address.port()).map_err(|source| StartError::FirstObjects {
            cluster: cluster.clone(),
            source,
        })?;
        // Nobody has seen what was before, so a version from then is another server's.
        api.store.write(State::compact);

        let shared = Arc::new(Shared {
            api,
            authenticator: Authenticator::new(),
            shutdown: CancellationToken::new(),
            lines: Arc::new(EventLines::new()),
        });
        let router = serve::router(Arc::clone(&shared));
        let mut listener_tasks = JoinSet::new();
        for listener in listeners {
            listener_tasks.spawn(serve::accept(
                listener,
                identity.acceptor.clone(),
                router.clone(),
                Arc::clone(&shared),
            ));
        }
        Ok(Server {
            cluster,
            address,
            authority: identity.authority,
            shared,
            listeners: listener_tasks,
            controllers: controller_tasks,
        })
    }

    /// A kubeconfig with everything in it, for `kubectl --kubeconfig` or any other client on this host. Its user may do
    /// everything.
    pub fn kubeconfig(&self) -> String {
        let user = json!({"token": self.shared.authenticator.administrator_token()});
        self.kubeconfig_of((&self.cluster, user), "default")
    }

    /// A kubeconfig with a client certificate for the user `user` of the groups `groups`, who may do what the roles bound
    /// to them say.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn kubeconfig_for_user(&self, user: &str, groups: &[&str]) -> Result<String, IdentityError> {
        let identity = self.authority.client(user, groups)?;
        let credentials = json!({
            "client-certificate-data": STANDARD.encode(identity.certificate_pem()),
            "client-key-data": STANDARD.encode(identity.key_pem()),
        });
        Ok(self.kubeconfig_of((user, credentials), "default"))
    }

    /// A kubeconfig with a token of the ServiceAccount, good for a year or until the ServiceAccount is deleted. Its
    /// namespace is that of the ServiceAccount.
    ///
    /// # Errors
    /// `NotFound` when there is no such ServiceAccount.
    pub fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<String, Status> {
        let api = &self.shared.api;
        let resource = api.resources.of_kind("v1", "ServiceAccount")?;
        let account = api.get(&Target::new(&resource, namespace, name))?;
        let now = Timestamp::now().as_second();
        let request = TokenRequest {
            audiences: Vec::new(),
            lifetime: Lifetime {
                from: now,
                until: now + YEAR_SECONDS,
            },
        };
        let token = self.shared.authenticator.issue(&account, &request);
        Ok(self.kubeconfig_of((name, json!({"token": token})), namespace))
    }

    fn kubeconfig_of(&self, (user, credentials): (&str, Value), namespace: &str) -> String {
        let cluster = &self.cluster;
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": cluster, "cluster": {
                "server": format!("https://127.0.0.1:{}", self.address.port()),
                "certificate-authority-data": STANDARD.encode(self.authority.pem()),
            }}],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": cluster, "context": {
                "cluster": cluster, "user": user, "namespace": namespace,
            }}],
            "current-context": cluster,
        });
        // Strings, lists and maps only: there is nothing YAML could not say.
        serde_saphyr::to_string(&config).unwrap_or_else(|_| config.to_string())
    }

    /// A client inside this process.
    pub fn local(&self) -> Local {
        Local::new(Arc::clone(&self.shared.api))
    }

    /// What users asked to do so far, each kind of request once; those of `system:masters` are left out.
    pub fn accesses(&self) -> Vec<Access> {
        self.shared.api.rules.accesses()
    }

    /// What goes wrong on purpose with the API as its clients on the network see it.
    pub fn faults(&self) -> Faults {
        self.shared.api.faults.clone()
    }

    pub(crate) fn api(&self) -> Arc<Api> {
        Arc::clone(&self.shared.api)
    }

    /// Ends every watch, lets open requests finish (2 s at most) and stops the controllers. Pods are not stopped.
    pub async fn shutdown(mut self) {
        self.controllers.abort_all();
        self.shared.shutdown.cancel();
        let finish = async { while self.listeners.join_next().await.is_some() {} };
        let _late_ones_are_aborted_by_drop = tokio::time::timeout(SHUTDOWN_DEADLINE, finish).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Streams that hyper runs on tasks of its own end by this; everything else by dropping the task sets.
        self.shared.shutdown.cancel();
    }
}

fn adopt(listeners: Vec<std::net::TcpListener>) -> io::Result<Vec<TcpListener>> {
    let adopt = |listener: std::net::TcpListener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    listeners.into_iter().map(adopt).collect()
}

/// What every cluster has.
pub(crate) fn create_first_objects(api: &Arc<Api>, port: u16) -> Result<(), Status> {
    let namespaces = api.resources.of_kind("v1", "Namespace")?;
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        api.create(
            &namespaces,
            "",
            json!({"metadata": {"name": name}}),
            Effect::Persist,
        )?;
        controllers::ensure_default(api, name);
    }
    create_default_roles(api)?;
    let services = api.resources.of_kind("v1", "Service")?;
    api.create(&services, "default", kubernetes_service(port), Effect::Persist)?;
    Ok(())
}

fn create_default_roles(api: &Arc<Api>) -> Result<(), Status> {
    let defaults = [
        ("ClusterRole", access::cluster_roles()),
        ("ClusterRoleBinding", access::cluster_role_bindings()),
    ];
    for (kind, objects) in defaults {
        let resource = api
            .resources
            .of_kind(&format!("{}/v1", access::RBAC_GROUP), kind)?;
        for object in objects {
            api.create(&resource, "", object, Effect::Persist)?;
        }
    }
    controllers::settle(api);
    Ok(())
}

/// It has no selector and so no endpoints: the API is on the management network, not behind a cluster IP.
fn kubernetes_service(port: u16) -> Value {
    json!({
        "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"ports": [{"name": "https", "port": 443, "targetPort": port}]},
    })
}
