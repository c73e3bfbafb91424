//! Plays the steps of a case against a server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Method, Response};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::case::Step;
use crate::pattern::{Captures, Keys, fits};

/// Long enough for the slowest machine; nothing waits for it when all is well.
const DEADLINE: Duration = Duration::from_secs(30);
/// Between two tries of a step with `until`.
const PAUSE: Duration = Duration::from_millis(50);

/// An expectation yet to be written: the case goes on, fails, and says what was found.
pub const UNWRITTEN: &str = "?";

/// Where a server is, and how to speak to it as its administrator.
pub struct Endpoint {
    client: Client,
    url: String,
    token: String,
}

impl Endpoint {
    pub fn new(url: &str, authority_pem: &[u8], token: &str) -> Endpoint {
        // Only the first call has an effect; both servers are asked by one process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .tls_certs_only(Certificate::from_pem_bundle(authority_pem).unwrap())
            .user_agent("parity/1")
            .build()
            .unwrap();
        Endpoint {
            client,
            url: url.to_owned(),
            token: token.to_owned(),
        }
    }
}

/// Plays the steps in a namespace of their own.
pub async fn play(steps: Vec<Step>, endpoint: Arc<Endpoint>) -> Result<(), String> {
    let mut play = Play {
        endpoint: &endpoint,
        captures: Captures::of_a_case(),
        watches: BTreeMap::new(),
        unwritten: Vec::new(),
    };
    play.create_namespace().await?;
    for (step, number) in steps.iter().zip(1..) {
        let place = |problem| format!("step {number} ({}): {problem}", step.title());
        let unwritten = play.unwritten.len();
        play.step(step).await.map_err(place)?;
        for found in &mut play.unwritten[unwritten..] {
            *found = format!("step {number} is unwritten: {found}");
        }
    }
    match play.unwritten.is_empty() {
        true => Ok(()),
        false => Err(play.unwritten.join("\n")),
    }
}

struct Play<'a> {
    endpoint: &'a Endpoint,
    captures: Captures,
    watches: BTreeMap<String, Watch>,
    unwritten: Vec<String>,
}

/// What has come of a watch and was not read yet.
struct Watch {
    response: Response,
    received: Vec<u8>,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Play<'_> {
    async fn create_namespace(&self) -> Result<(), String> {
        let namespace = json!({"metadata": {"name": self.captures.0["ns"]}});
        let request = self
            .endpoint
            .client
            .post(format!("{}/api/v1/namespaces", self.endpoint.url));
        let answer = request
            .bearer_auth(&self.endpoint.token)
            .json(&namespace)
            .send()
            .await;
        let answer = answer.and_then(Response::error_for_status);
        answer
            .map(|_| ())
            .map_err(|error| format!("create the namespace: {error}"))
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        if let Some(name) = &step.of {
            let mut watch = self
                .watches
                .remove(name)
                .ok_or_else(|| format!("no watch `{name}` is open"))?;
            self.read_events(step, &mut watch).await?;
            self.watches.insert(name.clone(), watch);
            return Ok(());
        }
        let end = Instant::now() + DEADLINE;
        loop {
            let response = timeout(DEADLINE, self.send(step))
                .await
                .map_err(|_| "no answer came")??;
            if response.status().is_success() && (step.watch.is_some() || step.events.is_some()) {
                return self.watched(step, response).await;
            }
            let answer = Answer::read(response).await?;
            let mut captures = self.captures.clone();
            match self.answered(step, &answer, &mut captures) {
                Ok(()) => {
                    self.captures = captures;
                    return Ok(());
                }
                Err(problem) if !step.until || Instant::now() > end => {
                    let Answer {
                        status,
                        headers,
                        body,
                    } = answer;
                    return Err(format!("{problem}\nstatus {status}, {headers:?}\n{body}"));
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn send(&self, step: &Step) -> Result<Response, String> {
        let line = step.send.as_deref().unwrap_or_default();
        let (method, path) = line.split_once(' ').ok_or("`send` is a method and a path")?;
        let method = Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
        let url = self.endpoint.url.clone() + &self.captures.fill(path)?;
        let mut request = self
            .endpoint
            .client
            .request(method, url)
            .headers(self.headers(step)?);
        if let Some(body) = &step.json {
            request = request.body(self.captures.fill_json(body)?.to_string());
        }
        if let Some(text) = &step.text {
            request = request.body(self.captures.fill(text)?);
        }
        if let Some(raw) = &step.raw {
            request = request.body(raw.clone());
        }
        request.send().await.map_err(|error| format!("{error:?}"))
    }

    fn headers(&self, step: &Step) -> Result<HeaderMap, String> {
        let mut headers =
            BTreeMap::from([("authorization", Some(format!("Bearer {}", self.endpoint.token)))]);
        if let Some(user) = &step.user {
            headers.insert("impersonate-user", Some(self.captures.fill(user)?));
        }
        if step.json.is_some() || step.raw.is_some() || step.media_type.is_some() {
            let media_type = step.media_type.as_deref().unwrap_or("json");
            headers.insert("content-type", Some(format!("application/{media_type}")));
        }
        for (name, value) in &step.headers {
            let value = value
                .as_ref()
                .map(|value| self.captures.fill(value))
                .transpose()?;
            headers.insert(name, value);
        }
        let mut sent = HeaderMap::new();
        for group in &step.groups {
            let value =
                HeaderValue::from_str(&self.captures.fill(group)?).map_err(|error| error.to_string())?;
            sent.append("impersonate-group", value);
        }
        for (name, value) in headers {
            if let Some(value) = value {
                let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
                sent.append(
                    name,
                    HeaderValue::from_str(&value).map_err(|error| error.to_string())?,
                );
            }
        }
        Ok(sent)
    }

    fn answered(&mut self, step: &Step, answer: &Answer, captures: &mut Captures) -> Result<(), String> {
        if step.status.is_some_and(|status| status != answer.status) {
            return Err(format!("expected status {}", step.status.unwrap_or_default()));
        }
        for (name, pattern) in &step.with {
            fits(
                pattern,
                answer.header(name).as_ref(),
                name,
                Keys::Closed,
                captures,
            )?;
        }
        if let Some(pattern) = &step.says {
            fits(pattern, Some(&json!(answer.body)), "", Keys::Closed, captures)?;
        }
        for (pattern, keys) in step.patterns() {
            let found: Value =
                serde_json::from_str(&answer.body).map_err(|error| format!("expected JSON: {error}"))?;
            if pattern == UNWRITTEN {
                self.unwritten.push(found.to_string());
            } else {
                fits(&pattern, Some(&found), "", keys, captures)?;
            }
        }
        Ok(())
    }

    async fn watched(&mut self, step: &Step, response: Response) -> Result<(), String> {
        if step
            .status
            .is_some_and(|status| status != response.status().as_u16())
        {
            return Err(format!("expected another status than {}", response.status()));
        }
        let mut watch = Watch {
            response,
            received: Vec::new(),
        };
        self.read_events(step, &mut watch).await?;
        if let Some(name) = &step.watch {
            self.watches.insert(name.clone(), watch);
        }
        Ok(())
    }

    async fn read_events(&mut self, step: &Step, watch: &mut Watch) -> Result<(), String> {
        for (pattern, index) in step.events.iter().flatten().zip(0..) {
            let event = watch.next().await?;
            let event = event.ok_or_else(|| format!("the watch ended before event {index}, {pattern}"))?;
            if pattern == UNWRITTEN {
                self.unwritten.push(event.to_string());
            } else {
                let fitted = fits(
                    pattern,
                    Some(&event),
                    &format!("event {index}"),
                    Keys::Open,
                    &mut self.captures,
                );
                fitted.map_err(|problem| format!("{problem}\n{event}"))?;
            }
        }
        match if step.ends { watch.next().await? } else { None } {
            None => Ok(()),
            Some(more) => Err(format!("expected the end of the watch, found {more}")),
        }
    }
}

impl Watch {
    /// The next event, or `None` at the end.
    async fn next(&mut self) -> Result<Option<Value>, String> {
        loop {
            if let Some(end) = self.received.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|error| error.to_string());
            }
            let chunk = timeout(DEADLINE, self.response.chunk()).await;
            let chunk = chunk
                .map_err(|_| "no event came")?
                .map_err(|error| error.to_string())?;
            match chunk {
                Some(chunk) => self.received.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

impl Answer {
    async fn read(response: Response) -> Result<Answer, String> {
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: timeout(DEADLINE, response.text())
                .await
                .map_err(|_| "the answer has no end")?
                .map_err(|error| error.to_string())?,
        })
    }

    /// A header that came once as text, one that came more often as an array.
    fn header(&self, name: &str) -> Option<Value> {
        let values = self.headers.get_all(name).iter();
        let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        match values.as_slice() {
            [] => None,
            [value] => Some(json!(value)),
            values => Some(json!(values)),
        }
    }
}
