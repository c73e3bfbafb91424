//! A Manager of edges in memory with one object of every kind, asked without a connection.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, header};
use secrecy::SecretString;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::routes::{DEFINITION, GROUP, LIST, PROFILE, VSMART, filled};
use crate::manager::definition::DefinitionBody;
use crate::manager::dry::{self, DryEdges};
use crate::manager::limits::Limits;
use crate::manager::push_delay::Distribution;
use crate::manager::rest::XSRF_HEADER;
use crate::manager::serve::Peer;
use crate::manager::{Config, Manager, Tenant};

/// The edge that is to follow the policy group; the policy is for the others.
pub(super) const EDGE: &str = "C8K-10.255.0.3";
pub(super) const TENANT: &str = "blue";
pub(super) const USER: &str = "admin";
pub(super) const PASSWORD: &str = "not a secret";
const TASKS: &str = "/dataservice/device/action/status";
/// As often a task is asked for at once, and then every millisecond.
const TURNS: usize = 200;
const TURNS_MAX: usize = 10_000;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Definition,
    Policy,
    Profile,
    Parcel,
    Group,
}

impl Kind {
    /// The key of its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Policy => "policyName",
            _ => "name",
        }
    }

    /// Where one is added, by the names of its path.
    fn collection(self) -> String {
        match self {
            Self::List => format!("{LIST}/{{kind}}"),
            Self::Definition => format!("{DEFINITION}/{{kind}}"),
            Self::Policy => VSMART.to_owned(),
            Self::Profile => format!("{PROFILE}/{{type}}"),
            Self::Parcel => format!("{PROFILE}/{{type}}/{{profile}}/{{kind}}"),
            Self::Group => GROUP.to_owned(),
        }
    }
}

/// An object that is right, and where it is.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) kind: Kind,
    /// What the names in its path stand for: of a list `kind` and `id`.
    pub(super) names: Vec<(&'static str, String)>,
    pub(super) body: Value,
}

impl Object {
    /// What a name in its path stands for.
    pub(super) fn named(&self, name: &str) -> &str {
        let mut names = self.names.iter();
        names
            .find(|(known, _)| *known == name)
            .map_or("", |(_, value)| value)
    }

    /// The same with another id.
    pub(super) fn with_id(mut self, id: String) -> Self {
        self.names.retain(|(name, _)| *name != "id");
        self.names.push(("id", id));
        self
    }

    /// A path with what its names stand for.
    pub(super) fn at(&self, path: &str) -> String {
        filled(
            path,
            self.names.iter().map(|(name, value)| (*name, value.as_str())),
        )
    }

    /// Where it can be read as it was written.
    pub(super) fn read(&self) -> String {
        match self.kind {
            Kind::Policy => self.at(&format!("{VSMART}/definition/{{id}}")),
            kind => self.at(&format!("{}/{{id}}", kind.collection())),
        }
    }
}

/// A request as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
    /// Besides the cookie and, if there is one, the body's type.
    pub(super) header: Option<(&'static str, &'static str)>,
    /// Whether it has the session's token.
    pub(super) has_token: bool,
}

impl Sent {
    /// Of a client that does nothing odd.
    pub(super) fn new(method: &'static str, path: &str, body: Vec<u8>) -> Self {
        Self {
            method,
            path: path.to_owned(),
            body,
            header: None,
            has_token: true,
        }
    }

    /// Its body, which is JSON.
    pub(super) fn body(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} {} {:?} {body}", self.method, self.path, self.header)
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    /// `null` if it is no JSON.
    pub(super) json: Value,
}

/// A session.
#[derive(Debug, Default)]
pub(super) struct Client {
    cookie: String,
    token: String,
}

/// A Manager and what its clients know of it.
pub(super) struct World {
    pub(super) manager: Manager,
    pub(super) edges: Arc<DryEdges>,
    pub(super) objects: Vec<Object>,
    /// The last task and the last edit, if there were any.
    pub(super) task: String,
    pub(super) process: String,
    /// The template of the Controllers, and the first of them.
    pub(super) template: String,
    pub(super) controller: String,
    /// A fault that strikes nothing.
    pub(super) fault: String,
    /// A token to have another for.
    pub(super) refresh: String,
    pub(super) client: Client,
}

impl World {
    /// A Manager that has just come up, with a client that has made everything; no policy is in force.
    pub(super) async fn new() -> Self {
        Self::pushing_for(Duration::ZERO).await
    }

    /// As [`World::new`]; each edge takes so long to be programmed.
    pub(super) async fn pushing_for(delay: Duration) -> Self {
        let devices = dry::devices(3);
        let edges = Arc::new(DryEdges::new(&devices));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let password = SecretString::from(PASSWORD);
        let mut config = Config::new(vec![listener], USER.to_owned(), password, devices);
        config.limits = Limits::SESSIONS_ONLY;
        config.push_delay.distribution = Distribution::Fixed(delay);
        config.tenants.push(Tenant {
            id: TENANT.to_owned(),
            name: TENANT.to_owned(),
            service_vpns: BTreeSet::from([20]),
        });
        let manager = Manager::start(config, edges.clone()).await.unwrap();
        let mut world = Self {
            manager,
            edges,
            objects: Vec::new(),
            task: "vsmart_policy_config-1".to_owned(),
            process: "none".to_owned(),
            template: String::new(),
            controller: String::new(),
            fault: String::new(),
            refresh: String::new(),
            client: Client::default(),
        };
        world.client = world.log_in().await;
        world.fill_classic().await;
        world.fill_groups().await;
        world.learn().await;
        world
    }

    /// A new session.
    pub(super) async fn log_in(&self) -> Client {
        let sent = Sent {
            header: Some(("content-type", "application/x-www-form-urlencoded")),
            ..Sent::new("POST", "/j_security_check", form().into_bytes())
        };
        let answer = self.send_as(&Client::default(), &sent).await;
        let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
        let mut client = Client::default();
        cookie.split(';').next().unwrap().clone_into(&mut client.cookie);
        let token = Sent::new("GET", "/dataservice/client/token?json=true", Vec::new());
        let answer = self.send_as(&client, &token).await.json;
        answer["token"].as_str().unwrap().clone_into(&mut client.token);
        client
    }

    async fn learn(&mut self) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let first = async |path| self.ok("GET", path, None).await["data"][0].clone();
        let template = first("/dataservice/template/device?feature=all").await;
        let controller = first("/dataservice/template/policy/vsmart/connectivity/status").await;
        let fault = json!({"fault": "delayRequests", "byMs": 1, "requests": {"path": "/nowhere"}});
        let fault = self.ok("POST", "/pathproof/v1/faults", Some(&fault)).await;
        let login = json!({"username": USER, "password": PASSWORD});
        let tokens = self.ok("POST", "/jwt/login", Some(&login)).await;
        self.template = text(&template["templateId"]);
        self.controller = text(&controller["deviceUUID"]);
        self.fault = fault["id"].to_string();
        self.refresh = text(&tokens["refresh"]);
    }

    /// Sends a request.
    pub(super) async fn send(&self, sent: &Sent) -> Answer {
        self.send_as(&self.client, sent).await
    }

    /// Sends a request in a session.
    pub(super) async fn send_as(&self, client: &Client, sent: &Sent) -> Answer {
        let mut request = Request::builder()
            .method(sent.method)
            .uri(&sent.path)
            .extension(peer());
        if sent.header.is_none_or(|(name, _)| name != "cookie") {
            request = request.header(header::COOKIE, &client.cookie);
        }
        if sent.has_token {
            request = request.header(XSRF_HEADER, &client.token);
        }
        if let Some((name, value)) = sent.header {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(sent.body.clone())).unwrap();
        let (parts, body) = (self.manager.router.clone().oneshot(request).await.unwrap()).into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
            json: serde_json::from_slice(&body).unwrap_or(Value::Null),
        }
    }

    /// Sends a request that has to succeed.
    pub(super) async fn ok(&self, method: &'static str, path: &str, body: Option<&Value>) -> Value {
        let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let answer = self.send(&Sent::new(method, path, body)).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text);
        answer.json
    }

    /// The methods that are served at a path.
    pub(super) async fn methods(&self, path: &str) -> Vec<String> {
        let answer = self.send(&Sent::new("TRACE", path, Vec::new())).await;
        let allowed = answer.headers.get(header::ALLOW);
        let allowed = allowed.unwrap_or_else(|| panic!("{path}: {}", answer.status));
        let methods = allowed.to_str().unwrap().split(',');
        let methods = methods.filter(|method| *method != "HEAD");
        methods.map(ToOwned::to_owned).collect()
    }

    /// Everything that clients can find out about objects, and what the edges follow.
    pub(super) async fn state(&self) -> Value {
        let mut state = json!({
            "lists": self.ok("GET", LIST, None).await,
            "policies": self.ok("GET", VSMART, None).await,
            "edges": json!(*self.edges.in_force()),
            "stored": self.stored(),
        });
        for kind in ["data", "approute"] {
            let rows = self.ok("GET", &format!("{DEFINITION}/{kind}"), None).await;
            state[kind] = self
                .each(&rows["data"], "definitionId", &format!("{DEFINITION}/{kind}"))
                .await;
        }
        for kind in ["policy-object", "application-priority"] {
            let below = format!("{PROFILE}/{kind}");
            let rows = self.ok("GET", &below, None).await;
            state[kind] = self.each(&rows, "profileId", &below).await;
        }
        let groups = self.ok("GET", GROUP, None).await;
        let mut devices = Vec::new();
        for group in groups.as_array().unwrap() {
            let below = format!("{GROUP}/{}/device", group["id"].as_str().unwrap());
            devices.push(self.ok("GET", &format!("{below}/associate"), None).await);
            devices.push(self.ok("GET", &format!("{below}/variables"), None).await);
        }
        state["groups"] = groups;
        state["devices"] = Value::from(devices);
        state
    }

    /// The definitions of all other kinds, as they are kept: to ask for each would take most of the time.
    fn stored(&self) -> Value {
        let store = self.manager.apps[0].store();
        let stored = (store.objects().definitions())
            .filter(|definition| matches!(definition.body, DefinitionBody::Stored(_)));
        let stored = stored.map(|definition| (definition.id.to_string(), json!(definition.as_written)));
        Value::Object(stored.collect())
    }

    /// What the rows of a collection are the rows of.
    async fn each(&self, rows: &Value, id: &str, below: &str) -> Value {
        let mut whole = Vec::new();
        for row in rows.as_array().unwrap() {
            let id = row[id].as_str().unwrap();
            whole.push(self.ok("GET", &format!("{below}/{id}"), None).await);
        }
        Value::from(whole)
    }

    /// Follows a task to its end and gives its last status.
    pub(super) async fn follow(&self, task: &str) -> Value {
        let path = format!("{TASKS}/{task}");
        for turn in 0..TURNS_MAX {
            let status = self.ok("GET", &path, None).await;
            if status["summary"]["status"] == "done" {
                return status;
            }
            if turn < TURNS {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        panic!("task {task} does not end");
    }

    /// A task under way.
    pub(super) async fn running(&self) -> Option<String> {
        let running = self.ok("GET", &format!("{TASKS}/tasks"), None).await;
        running["runningTasks"][0]["processId"]
            .as_str()
            .map(str::to_owned)
    }

    /// Adds an object and gives its id.
    pub(super) async fn create(&mut self, kind: Kind, names: &[(&'static str, &str)], body: Value) -> String {
        let names = names.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let object = Object {
            kind,
            names: names.collect(),
            body,
        };
        let answer = self
            .ok("POST", &object.at(&kind.collection()), Some(&object.body))
            .await;
        let id = id_of(&answer).expect("a new object has an id");
        self.objects.push(object.with_id(id.clone()));
        id
    }
}

/// A login by form.
pub(super) fn form() -> String {
    format!("j_username={USER}&j_password={}", PASSWORD.replace(' ', "+"))
}

/// The id that the answer to a creation gives.
pub(super) fn id_of(answer: &Value) -> Option<String> {
    let keys = ["listId", "definitionId", "policyId", "parcelId", "id"];
    let mut ids = keys.into_iter().filter_map(|key| answer[key].as_str());
    ids.next().map(str::to_owned)
}

fn peer() -> Peer {
    Peer(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))
}
