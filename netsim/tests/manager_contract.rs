//! Plays every contract file against the emulation, over HTTPS.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod manager_support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use manager_support::{DEADLINE, MemoryEdges, PASSWORD, USERNAME, client, config, log_in, url};
use netsim::manager::{Config, Manager, Tenant};
use reqwest::{Client, Method};
use rstest::rstest;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    name: String,
    about: String,
    sessions: Vec<String>,
    #[serde(default)]
    tenants: BTreeMap<String, BTreeSet<u16>>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    #[serde(default)]
    session: String,
    request: Request,
    response: Response,
    #[serde(default)]
    until: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<Value>,
    form: Option<BTreeMap<String, String>>,
    text: Option<String>,
    /// The text gets spaces at its end until it has so many octets.
    #[serde(default)]
    padded_to: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Response {
    status: u16,
    json: Option<Value>,
    text: Option<String>,
    #[serde(default)]
    contains: Vec<String>,
    #[serde(default)]
    lacks: Vec<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// Captured values, by name.
#[derive(Clone)]
struct Captures(BTreeMap<String, String>);

/// Clients by session; the nameless one has not logged in.
struct Clients(BTreeMap<String, (Client, Option<String>)>);

struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: String,
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_emulation_answers_as(#[files("contract/manager/*.json")] file: PathBuf) {
    let exchange: Exchange = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(file.file_stem().unwrap(), exchange.name.as_str());
    assert!(!exchange.about.is_empty() && !exchange.steps.is_empty());
    if let Err(problem) = play(&exchange).await {
        panic!("{}: {problem}", file.display());
    }
}

async fn play(exchange: &Exchange) -> Result<(), String> {
    let config = Config {
        tenants: tenants(exchange),
        ..config()
    };
    let manager = Manager::start(config, Arc::new(MemoryEdges::default()))
        .await
        .map_err(|error| error.to_string())?;
    let mut clients = BTreeMap::from([(String::new(), (client(&manager), None))]);
    for session in &exchange.sessions {
        let client = client(&manager);
        let token = log_in(&manager, &client).await;
        clients.insert(session.clone(), (client, Some(token)));
    }
    let clients = Clients(clients);
    let basic = STANDARD.encode(format!("{USERNAME}:{PASSWORD}"));
    let known = [("username", USERNAME), ("password", PASSWORD), ("basic", &basic)];
    let mut captures = Captures(
        known
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    );
    for (step, number) in exchange.steps.iter().zip(1..) {
        let Request { method, path, .. } = &step.request;
        let place = |problem| format!("step {number} ({method} {path}): {problem}");
        play_step(step, &manager, &clients, &mut captures)
            .await
            .map_err(place)?;
    }
    Ok(())
}

fn tenants(exchange: &Exchange) -> Vec<Tenant> {
    let tenant = |(id, service_vpns): (&String, &BTreeSet<u16>)| Tenant {
        id: id.clone(),
        name: id.clone(),
        service_vpns: service_vpns.clone(),
    };
    exchange.tenants.iter().map(tenant).collect()
}

async fn play_step(
    step: &Step,
    manager: &Manager,
    clients: &Clients,
    captures: &mut Captures,
) -> Result<(), String> {
    let end = Instant::now() + DEADLINE;
    loop {
        let answer = clients.send(step, manager, captures).await?;
        let mut tried = captures.clone();
        match fits(&step.response, &answer, &mut tried) {
            Ok(()) => {
                *captures = tried;
                return Ok(());
            }
            Err(problem) if !step.until || Instant::now() > end => {
                return Err(format!("{problem}\nstatus {}: {}", answer.status, answer.body));
            }
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

impl Clients {
    async fn send(&self, step: &Step, manager: &Manager, captures: &Captures) -> Result<Answer, String> {
        let (client, token) = self.0.get(&step.session).ok_or("no such session")?;
        let method = Method::from_bytes(step.request.method.as_bytes()).map_err(|error| error.to_string())?;
        let mut request = client.request(method, url(manager, &captures.fill(&step.request.path)?));
        if let Some(token) = token {
            request = request.header("X-XSRF-TOKEN", token);
        }
        for (name, value) in &step.request.headers {
            request = request.header(name, captures.fill(value)?);
        }
        if let Some(body) = &step.request.json {
            request = request.json(&captures.fill_json(body)?);
        }
        if let Some(text) = &step.request.text {
            let missing = step.request.padded_to.saturating_sub(text.len());
            request = request
                .body(text.clone() + &" ".repeat(missing))
                .header("content-type", "application/json");
        }
        if let Some(form) = &step.request.form {
            let pairs = form.iter().map(|(key, value)| Ok((key, captures.fill(value)?)));
            request = request.form(&pairs.collect::<Result<BTreeMap<_, _>, String>>()?);
        }
        let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Answer {
            status,
            headers,
            body: answer.text().await.map_err(|error| error.to_string())?,
        })
    }
}

impl Captures {
    /// Replaces each `$name`; a name is made of letters and digits.
    fn fill(&self, text: &str) -> Result<String, String> {
        let mut parts = text.split('$');
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part
                .find(|c: char| !c.is_ascii_alphanumeric())
                .unwrap_or(part.len());
            let (name, rest) = part.split_at(end);
            filled += self
                .0
                .get(name)
                .ok_or_else(|| format!("nothing captured as ${name}"))?;
            filled += rest;
        }
        Ok(filled)
    }

    fn fill_json(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => Value::String(self.fill(text)?),
            Value::Array(values) => values
                .iter()
                .map(|value| self.fill_json(value))
                .collect::<Result<_, _>>()?,
            Value::Object(object) => {
                let pairs = object
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), self.fill_json(value)?)));
                Value::Object(pairs.collect::<Result<_, String>>()?)
            }
            other => other.clone(),
        })
    }

    /// Captures a text, or compares it with what was captured.
    fn capture(&mut self, name: &str, found: &str) -> Result<(), String> {
        match self.0.get(name) {
            Some(known) if known != found => Err(format!("${name} is `{known}`, found `{found}`")),
            Some(_) => Ok(()),
            None => {
                self.0.insert(name.to_owned(), found.to_owned());
                Ok(())
            }
        }
    }
}

fn fits(pattern: &Response, answer: &Answer, captures: &mut Captures) -> Result<(), String> {
    if answer.status != pattern.status {
        return Err(format!("expected status {}", pattern.status));
    }
    for (name, part) in &pattern.headers {
        let mut values = answer
            .headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok());
        if !values.any(|value| value.contains(part)) {
            return Err(format!("header {name} does not contain `{part}`"));
        }
    }
    match pattern.text.as_deref() {
        Some(text) if text.starts_with('$') => captures.capture(&text[1..], &answer.body)?,
        Some(text) if text != answer.body => return Err(format!("expected the text `{text}`")),
        _ => {}
    }
    let json: Option<Value> = serde_json::from_str(&answer.body).ok();
    if let Some(pattern) = &pattern.json {
        value_fits(pattern, json.as_ref().ok_or("expected JSON")?, "", captures)?;
    }
    let preview = json.as_ref().and_then(|json| json["preview"].as_str());
    let text = preview.unwrap_or(&answer.body);
    for part in &pattern.contains {
        if !text.contains(&captures.fill(part)?) {
            return Err(format!("does not contain `{part}`"));
        }
    }
    match pattern.lacks.iter().find(|part| text.contains(part.as_str())) {
        Some(part) => Err(format!("contains `{part}`")),
        None => Ok(()),
    }
}

fn value_fits(pattern: &Value, found: &Value, place: &str, captures: &mut Captures) -> Result<(), String> {
    match (pattern, found) {
        (Value::String(any), _) if any == "*" => Ok(()),
        (Value::String(name), Value::String(found)) if name.starts_with('$') => captures
            .capture(&name[1..], found)
            .map_err(|problem| format!("{place}: {problem}")),
        (Value::Object(pattern), Value::Object(found)) => pattern.iter().try_for_each(|(key, pattern)| {
            let place = format!("{place}.{key}");
            let found = found.get(key).ok_or_else(|| format!("{place}: missing"))?;
            value_fits(pattern, found, &place, captures)
        }),
        (Value::Array(pattern), Value::Array(found)) if pattern.len() == found.len() => {
            let mut pairs = pattern.iter().zip(found).enumerate();
            pairs.try_for_each(|(index, (pattern, found))| {
                value_fits(pattern, found, &format!("{place}[{index}]"), captures)
            })
        }
        _ if pattern == found => Ok(()),
        _ => Err(format!("{place}: expected {pattern}, found {found}")),
    }
}

#[rstest]
#[case::missing_key(r#"{"a": 1}"#, r#"{"b": 1}"#)]
#[case::another_value(r#"{"a": 1}"#, r#"{"a": 2}"#)]
#[case::shorter_array("[1, 2]", "[1]")]
#[case::longer_array("[]", "[1]")]
#[case::captured_otherwise(r#"["$id"]"#, r#"["other"]"#)]
#[case::capture_of_a_number(r#"["$new"]"#, "[1]")]
fn patterns_can_fail(#[case] pattern: &str, #[case] found: &str) {
    let mut captures = Captures(BTreeMap::from([("id".to_owned(), "known".to_owned())]));
    let [pattern, found] = [pattern, found].map(|text| serde_json::from_str::<Value>(text).unwrap());
    assert!(value_fits(&pattern, &found, "", &mut captures).is_err());
}
