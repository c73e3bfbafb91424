//! A Manager with edges in memory, and a REST client besides the operator's: the network's other administrators.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use netsim::manager::limits::Limits;
use netsim::manager::{Config, Device, Manager, SecretString, dry};
use sdwan_operator::manager::{Credentials, LoginKind, ManagerClient, Password, Patience, Trust, Url};
use serde_json::Value;

use crate::edges::WatchedEdges;

const USERNAME: &str = "admin";
const PASSWORD: &str = "not a secret";

/// A Manager and its edges.
pub struct Wan {
    /// The Manager.
    pub manager: Manager,
    /// Its edges.
    pub edges: Arc<WatchedEdges>,
}

impl Wan {
    /// So many sites, 100, 200 and so on, with service VPNs 10 and 20, and TLOCs of these colors.
    ///
    /// # Panics
    /// When the Manager does not start.
    pub async fn start(sites: u16, colors: &[&str]) -> Self {
        Self::configured(sites, colors, |_| {}).await
    }

    /// The same with another configuration; without limits of requests unless that says so.
    ///
    /// # Panics
    /// When the Manager does not start.
    pub async fn configured(sites: u16, colors: &[&str], configure: impl FnOnce(&mut Config)) -> Self {
        // Only the first call has an effect.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut devices: Vec<Device> = dry::devices(sites);
        for device in &mut devices {
            device.colors = colors.iter().map(|color| (*color).to_owned()).collect();
        }
        let edges = Arc::new(WatchedEdges::new(&devices));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let password = SecretString::from(PASSWORD);
        let mut config = Config::new(vec![listener], USERNAME.to_owned(), password, devices);
        config.limits = Limits::NONE;
        configure(&mut config);
        let manager = Manager::start(config, edges.clone()).await;
        Self {
            manager: manager.expect("a Manager"),
            edges,
        }
    }

    /// What the operator speaks to the Manager with.
    ///
    /// # Panics
    /// When the client cannot be made.
    pub fn client(&self, login: LoginKind, patience: Patience) -> ManagerClient {
        let credentials = Credentials {
            username: USERNAME.to_owned(),
            password: Password::Given(PASSWORD.to_owned().into()),
            login,
        };
        let trust = Trust::Ca(self.manager.ca_pem().as_bytes().to_vec());
        let url: Url = self.url().parse().expect("a URL");
        ManagerClient::new(&url, credentials, &trust, patience).expect("a client")
    }

    /// `https://address:port`.
    pub fn url(&self) -> String {
        format!("https://{}", self.manager.address())
    }

    /// Logs somebody else in.
    ///
    /// # Panics
    /// When they are refused.
    pub async fn rest(&self) -> Rest {
        let ca = reqwest::Certificate::from_pem(self.manager.ca_pem().as_bytes()).expect("a certificate");
        let http = reqwest::Client::builder()
            .tls_certs_only([ca])
            .cookie_store(true)
            .timeout(Duration::from_secs(10))
            .build()
            .expect("a client");
        let form = [("j_username", USERNAME), ("j_password", PASSWORD)];
        let login = http
            .post(format!("{}/j_security_check", self.url()))
            .form(&form)
            .send();
        let page = login.await.expect("an answer").text().await.expect("a text");
        assert_eq!(page, "", "the login was refused");
        let base = format!("{}/dataservice", self.url());
        let token = http.get(format!("{base}/client/token")).send().await;
        let token = token.expect("an answer").text().await.expect("a token");
        Rest { http, base, token }
    }
}

/// Somebody with a session of their own.
#[derive(Debug)]
pub struct Rest {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Rest {
    /// Sends a request to a path below `/dataservice`; the answer is its status and its JSON, null without any.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let method = method.parse().expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        request = request.header("X-XSRF-TOKEN", &self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// Sends a request that is done; the answer is its JSON.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn done(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.send(method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }
}
