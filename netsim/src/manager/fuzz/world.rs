//! A Manager of edges in memory with one object of every kind, asked without a connection.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use secrecy::SecretString;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::manager::dry::{self, DryEdges};
use crate::manager::limits::Limits;
use crate::manager::rest::XSRF_HEADER;
use crate::manager::serve::Peer;
use crate::manager::{Config, Manager};

const LISTS: &str = "/dataservice/template/policy/list";
const DEFINITIONS: &str = "/dataservice/template/policy/definition";
const VSMART: &str = "/dataservice/template/policy/vsmart";
/// Turns of the runtime that a push may take.
const TURNS_MAX: usize = 10_000;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Definition,
    Policy,
}

impl Kind {
    /// The key of its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::List | Self::Definition => "name",
            Self::Policy => "policyName",
        }
    }
}

/// An object that is right, and where it is.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) kind: Kind,
    /// Below that of its kind: `site`, `data`; empty for policies.
    pub(super) collection: &'static str,
    pub(super) id: String,
    pub(super) body: Value,
}

impl Object {
    /// Its path below that of its kind: `site/ID`, `data/ID`, `ID`.
    pub(super) fn place(&self) -> String {
        match self.collection {
            "" => self.id.clone(),
            collection => format!("{collection}/{}", self.id),
        }
    }

    /// Where it can be read as it was written.
    pub(super) fn read(&self) -> String {
        match self.kind {
            Kind::List => format!("{LISTS}/{}", self.place()),
            Kind::Definition => format!("{DEFINITIONS}/{}", self.place()),
            Kind::Policy => format!("{VSMART}/definition/{}", self.id),
        }
    }
}

/// A request as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
    /// Whether it has the session's token.
    pub(super) has_token: bool,
}

impl Sent {
    /// Its body, which is JSON.
    pub(super) fn body(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A Manager and its one client.
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
    cookie: String,
    token: String,
}

impl World {
    /// A Manager that has just come up, with a client that has made everything; no policy is in force.
    pub(super) async fn new() -> Self {
        let devices = dry::devices(2);
        let edges = Arc::new(DryEdges::new(&devices));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let password = SecretString::from("not a secret");
        let mut config = Config::new(vec![listener], "admin".to_owned(), password, devices);
        config.limits = Limits::SESSIONS_ONLY;
        let manager = Manager::start(config, edges.clone()).await.unwrap();
        let mut world = Self {
            manager,
            edges,
            objects: Vec::new(),
            task: "vsmart_policy_config-1".to_owned(),
            process: "none".to_owned(),
            template: String::new(),
            controller: String::new(),
            cookie: String::new(),
            token: String::new(),
        };
        world.log_in().await;
        world.fill().await;
        let first = async |path| world.ok("GET", path, None).await["data"][0].clone();
        let template = first("/dataservice/template/device?feature=all").await;
        let controller = first("/dataservice/template/policy/vsmart/connectivity/status").await;
        template["templateId"]
            .as_str()
            .unwrap()
            .clone_into(&mut world.template);
        controller["deviceUUID"]
            .as_str()
            .unwrap()
            .clone_into(&mut world.controller);
        world
    }

    async fn log_in(&mut self) {
        let form = "j_username=admin&j_password=not+a+secret";
        let request = Request::post("/j_security_check")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .extension(peer())
            .body(Body::from(form))
            .unwrap();
        let answer = self.manager.router.clone().oneshot(request).await.unwrap();
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().clone_into(&mut self.cookie);
        let token = self.ok("GET", "/dataservice/client/token?json=true", None).await;
        token["token"].as_str().unwrap().clone_into(&mut self.token);
    }

    /// Sends a request and gives status and body; a body that is not JSON is `null`.
    pub(super) async fn send(&self, sent: &Sent) -> (u16, Value) {
        let mut request = Request::builder()
            .method(sent.method)
            .uri(&sent.path)
            .extension(peer());
        request = request.header(header::COOKIE, &self.cookie);
        if sent.has_token {
            request = request.header(XSRF_HEADER, &self.token);
        }
        let request = request.body(Body::from(sent.body.clone())).unwrap();
        let answer = self.manager.router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Sends a request that has to succeed.
    pub(super) async fn ok(&self, method: &'static str, path: &str, body: Option<&Value>) -> Value {
        let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let sent = Sent {
            method,
            path: path.to_owned(),
            body,
            has_token: true,
        };
        let (status, answer) = self.send(&sent).await;
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    }

    /// Everything that clients can find out about objects, and what the edges follow.
    pub(super) async fn state(&self) -> Value {
        let mut state = json!({
            "lists": self.ok("GET", LISTS, None).await,
            "policies": self.ok("GET", VSMART, None).await,
            "edges": json!(*self.edges.in_force()),
        });
        for kind in ["data", "approute"] {
            let rows = self.ok("GET", &format!("{DEFINITIONS}/{kind}"), None).await;
            let mut whole = Vec::new();
            for row in rows["data"].as_array().unwrap() {
                let id = row["definitionId"].as_str().unwrap();
                whole.push(self.ok("GET", &format!("{DEFINITIONS}/{kind}/{id}"), None).await);
            }
            state[kind] = Value::from(whole);
        }
        state
    }

    /// Follows a task to its end and gives its last status.
    pub(super) async fn follow(&self, task: &str) -> Value {
        let path = format!("/dataservice/device/action/status/{task}");
        for _ in 0..TURNS_MAX {
            let status = self.ok("GET", &path, None).await;
            if status["summary"]["status"] == "done" {
                return status;
            }
            tokio::task::yield_now().await;
        }
        panic!("task {task} does not end");
    }

    async fn create(&mut self, kind: Kind, collection: &'static str, body: Value) -> String {
        let path = match kind {
            Kind::List => format!("{LISTS}/{collection}"),
            Kind::Definition => format!("{DEFINITIONS}/{collection}"),
            Kind::Policy => VSMART.to_owned(),
        };
        let answer = self.ok("POST", &path, Some(&body)).await;
        let id = id_of(&answer).expect("a new object has an id");
        self.objects.push(Object {
            kind,
            collection,
            id: id.clone(),
            body,
        });
        id
    }

    async fn list(&mut self, kind: &'static str, type_name: &str, entries: Value) -> String {
        let body = json!({"name": kind, "description": "", "type": type_name, "entries": entries});
        self.create(Kind::List, kind, body).await
    }

    /// One object of every kind, with all that it can say.
    async fn fill(&mut self) {
        let tier = |colors: &str| json!({"colorPreference": colors, "pathPreference": "all-paths"});
        let fallback = json!({"criteria": "loss", "lossVariance": "1"});
        let class = json!([{"loss": "1", "latency": "9", "fallbackBestTunnel": fallback}]);
        let group = json!([{"primaryPreference": tier("mpls lte"), "secondaryPreference": tier("red")}]);
        let hub = json!({"tloc": "10.255.0.1", "color": "mpls", "encap": "ipsec", "preference": "1"});
        let probe = json!([{"forwardingClass": "voice", "map": [{"color": "mpls", "dscp": 46}]}]);
        let sites = self.list("site", "site", json!([{"siteId": "100-200"}])).await;
        let vpns = self.list("vpn", "vpn", json!([{"vpn": "10"}])).await;
        let hosts = json!([{"ipPrefix": "10.1.0.0/16"}, {"ipPrefix": "10.2.0.5/32"}]);
        let hosts = self.list("dataprefix", "dataPrefix", hosts).await;
        let hosts6 = json!([{"ipv6Prefix": "fd00::/64"}]);
        let hosts6 = self.list("dataipv6prefix", "dataIpv6Prefix", hosts6).await;
        let class = self.list("sla", "sla", class).await;
        let group = self
            .list("preferredcolorgroup", "preferredColorGroup", group)
            .await;
        let hubs = self.list("tloc", "tloc", json!([hub])).await;
        self.list("appprobe", "appProbe", probe).await;
        self.list("color", "color", json!([{"color": "mpls"}])).await;
        self.list("app", "app", json!([{"app": "amazon"}, {"appFamily": "webmail"}]))
            .await;
        let conditions = json!([
            {"field": "sourceDataPrefixList", "ref": hosts}, {"field": "destinationIp", "value": "10.0.0.0/8"},
            {"field": "sourcePort", "value": "80 443"}, {"field": "protocol", "value": "6"},
            {"field": "dscp", "value": "46"},
        ]);
        let v6 = json!([{"field": "sourceDataIpv6PrefixList", "ref": hosts6}]);
        let data = data_definition(&conditions, &v6, (&group, &hubs));
        let data = self.create(Kind::Definition, "data", data).await;
        let app_route = app_route_definition(&conditions, (&class, &group));
        let app_route = self.create(Kind::Definition, "approute", app_route).await;
        let entry = json!({"siteLists": [sites], "vpnLists": [vpns]});
        let directed = json!({"direction": "service", "siteLists": [sites], "vpnLists": [vpns]});
        let assembly = json!([
            {"definitionId": app_route, "type": "appRoute", "entries": [entry]},
            {"definitionId": data, "type": "data", "entries": [directed]},
        ]);
        let body = json!({
            "policyName": "p", "policyDescription": "", "policyType": "feature",
            "policyDefinition": {"assembly": assembly, "regionRoleAssembly": []},
        });
        self.create(Kind::Policy, "", body).await;
    }
}

fn data_definition(conditions: &Value, v6: &Value, (group, hubs): (&str, &str)) -> Value {
    let sequence = |id: u16, entries: &Value, family: &str, field: Value| {
        let actions = json!([{"type": "set", "parameter": [field]}, {"type": "count", "parameter": "c"}]);
        json!({
            "sequenceId": id, "sequenceName": "x", "sequenceType": "data", "sequenceIpType": family,
            "baseAction": "accept", "match": {"entries": entries}, "actions": actions,
        })
    };
    let local = json!({"color": "mpls lte", "encap": "ipsec", "restrict": ""});
    let service = json!({"type": "IDS", "vpn": "10", "local": ""});
    let grouped = json!({"field": "preferredColorGroup", "ref": group, "colorRestrict": true});
    let sequences = [
        sequence(
            1,
            conditions,
            "ipv4",
            json!({"field": "localTlocList", "value": local}),
        ),
        sequence(2, v6, "ipv6", grouped),
        sequence(3, &json!([]), "all", json!({"field": "tlocList", "ref": hubs})),
        sequence(
            4,
            &json!([]),
            "all",
            json!({"field": "service", "value": service}),
        ),
    ];
    json!({
        "name": "d", "description": "", "type": "data", "defaultAction": {"type": "accept"}, "sequences": sequences,
    })
}

fn app_route_definition(conditions: &Value, (class, group): (&str, &str)) -> Value {
    let sequence = |id: u16, actions: Value| {
        json!({
            "sequenceId": id, "sequenceType": "appRoute", "sequenceIpType": "ipv4",
            "match": {"entries": conditions}, "actions": actions,
        })
    };
    let of_class = json!({"type": "slaClass", "parameter": [
        {"field": "name", "ref": class}, {"field": "preferredColorGroup", "ref": group}, {"field": "strict"},
    ]});
    let sequences = [
        sequence(1, json!([of_class, {"type": "count", "parameter": "c"}])),
        sequence(
            2,
            json!([{"type": "backupSlaPreferredColor", "parameter": "mpls"}]),
        ),
    ];
    json!({
        "name": "a", "description": "", "type": "appRoute",
        "defaultAction": {"type": "slaClass", "ref": class}, "sequences": sequences,
    })
}

/// The id that the answer to a creation gives.
pub(super) fn id_of(answer: &Value) -> Option<String> {
    let keys = ["listId", "definitionId", "policyId"];
    let mut ids = keys.into_iter().filter_map(|key| answer[key].as_str());
    ids.next().map(str::to_owned)
}

fn peer() -> Peer {
    Peer(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))
}
