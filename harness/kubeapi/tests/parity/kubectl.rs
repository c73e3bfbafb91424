//! Plays the real `kubectl`, unmodified, against a server: the data model of `kubectl/*.yaml`, and their steps.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::case::Steps;
use crate::pattern::{Captures, Keys, fits};
use crate::player::UNWRITTEN;

/// Long enough for the slowest machine; nothing waits for it when all is well.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two tries of a step with `until`.
const PAUSE: Duration = Duration::from_millis(100);

/// What kubectl is to know of a server.
pub struct Cluster {
    pub kubeconfig: String,
    /// Whether it has nodes, and controllers that run pods.
    pub has_controllers: bool,
}

/// A line of shell and what is expected of it, or what is expected of one that still runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The line.
    run: Option<String>,
    /// Files that are there when it runs: texts, or values that are written as JSON.
    #[serde(default)]
    files: BTreeMap<String, Value>,
    /// Left out where there are no controllers.
    #[serde(default)]
    controllers: bool,
    /// Lets the line run on, under this name.
    starts: Option<String>,
    /// The line that `lines` come from, if not from `run`.
    of: Option<String>,

    /// The exit code.
    #[serde(default)]
    exit: i32,
    /// A pattern of what it prints.
    prints: Option<Value>,
    /// A pattern of the lines that it prints, with one blank between columns.
    lines: Option<Vec<Value>>,
    /// A pattern of what it prints as JSON.
    json: Option<Value>,
    /// A pattern of what it prints to stderr, which is nothing unless given.
    complains: Option<Value>,
    /// Repeats the line until all fits.
    #[serde(default)]
    until: bool,
}

impl Steps for Step {
    const FOLDER: &str = "kubectl";

    fn check(steps: &[Step]) -> Result<(), String> {
        for step in steps {
            if step.run.is_some() == step.of.is_some() {
                return Err("a step has `run` or `of`".to_owned());
            }
            if step.title().contains("--validate=false") {
                return Err(format!("{}: the server is to be asked", step.title()));
            }
        }
        match steps.iter().all(|step| step.controllers) {
            true => Err("nothing is left of it without controllers".to_owned()),
            false => Ok(()),
        }
    }
}

impl Step {
    fn title(&self) -> &str {
        self.run.as_deref().or(self.of.as_deref()).unwrap_or_default()
    }
}

/// Why kubectl cannot be played here, if so.
pub fn missing() -> Option<String> {
    let version = ["version", "--client", "--output=json"];
    let version = std::process::Command::new("kubectl").args(version).output();
    let version: Value = match version {
        Ok(output) => serde_json::from_slice(&output.stdout).unwrap_or_default(),
        Err(error) => return Some(format!("kubectl does not run: {error}")),
    };
    // Vendors have minor versions such as `32+`.
    let number = |field: &str| {
        version["clientVersion"][field]
            .as_str()?
            .trim_end_matches('+')
            .parse::<u32>()
            .ok()
    };
    let is_new = (number("major"), number("minor")) >= (Some(1), Some(32));
    (!is_new).then(|| format!("kubectl is older than 1.32: {}", version["clientVersion"]))
}

/// Plays the steps in a namespace of their own, which is the one that kubectl uses unless told otherwise.
pub async fn play(steps: Vec<Step>, cluster: Arc<Cluster>) -> Result<(), String> {
    let captures = Captures::of_a_case();
    let home = TempDir::new().map_err(|error| error.to_string())?;
    let mut play = Play {
        home,
        captures,
        running: BTreeMap::new(),
        unwritten: Vec::new(),
    };
    play.arrive(&cluster).await?;
    for (step, number) in steps.iter().zip(1..) {
        if step.controllers && !cluster.has_controllers {
            continue;
        }
        let place = |problem| format!("step {number} ({}): {problem}", step.title());
        play.step(step).await.map_err(place)?;
    }
    match play.unwritten.is_empty() {
        true => Ok(()),
        false => Err(play.unwritten.join("\n")),
    }
}

struct Play {
    home: TempDir,
    captures: Captures,
    running: BTreeMap<String, (Child, Lines<BufReader<ChildStdout>>)>,
    unwritten: Vec<String>,
}

impl Play {
    /// Makes the namespace and makes it the usual one.
    async fn arrive(&self, cluster: &Cluster) -> Result<(), String> {
        let config = self.home.path().join("config");
        fs::write(config, &cluster.kubeconfig).map_err(|error| error.to_string())?;
        let line = "kubectl create namespace $ns && kubectl config set-context --current --namespace=$ns";
        let output = self.command(line)?.output().await;
        let output = output.map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("create the namespace: {}", text(&output.stderr))),
        }
    }

    /// A line of shell, in the home of the case.
    fn command(&self, line: &str) -> Result<Command, String> {
        // It ends all that the line started, too.
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=1", &DEADLINE.as_secs().to_string(), "sh", "-c"])
            .arg(self.captures.fill(line)?)
            .env("KUBECONFIG", self.home.path().join("config"))
            .env("HOME", self.home.path())
            // What an editor could not store is left there.
            .env("TMPDIR", self.home.path())
            .env("KUBECACHEDIR", self.home.path().join("cache"))
            .env("TZ", "UTC")
            .env_remove("KUBECTL_EXTERNAL_DIFF")
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(command)
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        for (name, content) in &step.files {
            let content = match self.captures.fill_json(content)? {
                Value::String(text) => text,
                value => value.to_string(),
            };
            fs::write(self.home.path().join(name), content).map_err(|error| error.to_string())?;
        }
        if let Some(name) = step.of.as_ref().or(step.starts.as_ref()) {
            if step.starts.is_some() {
                self.start(name, step.title())?;
            }
            return self
                .next_lines(name, step.lines.as_deref().unwrap_or_default())
                .await;
        }
        let end = Instant::now() + DEADLINE;
        loop {
            let output = self.command(step.title())?.output().await;
            let output = output.map_err(|error| error.to_string())?;
            match self.printed(step, &output) {
                Err(_) if step.until && Instant::now() < end => sleep(PAUSE).await,
                Err(problem) => {
                    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
                    return Err(format!("{problem}\n{}\n{stdout}\n{stderr}", output.status));
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    fn start(&mut self, name: &str, line: &str) -> Result<(), String> {
        let child = self.command(line)?.spawn();
        let mut child = child.map_err(|error| error.to_string())?;
        let stdout = child.stdout.take().ok_or("its output is nobody's")?;
        let lines = BufReader::new(stdout).lines();
        self.running.insert(name.to_owned(), (child, lines));
        Ok(())
    }

    /// Holds the next lines of what still runs against as many patterns.
    async fn next_lines(&mut self, name: &str, patterns: &[Value]) -> Result<(), String> {
        let (_, lines) = self
            .running
            .get_mut(name)
            .ok_or_else(|| format!("nothing runs as `{name}`"))?;
        for pattern in patterns {
            let line = timeout(DEADLINE, lines.next_line()).await;
            let line = line.map_err(|_| format!("no line came for {pattern}"))?;
            let line = line.map_err(|error| error.to_string())?.ok_or("it ended")?;
            let line = json!(squeezed(&line));
            fits(pattern, Some(&line), "line", Keys::Open, &mut self.captures)?;
        }
        Ok(())
    }

    fn printed(&mut self, step: &Step, output: &Output) -> Result<(), String> {
        if output.status.code() != Some(step.exit) {
            return Err(format!("expected exit code {}", step.exit));
        }
        let stdout = text(&output.stdout);
        let lines = Vec::from_iter(stdout.lines().map(squeezed));
        let parsed = match &step.json {
            Some(_) => serde_json::from_str(&stdout).map_err(|error| format!("expected JSON: {error}"))?,
            None => Value::Null,
        };
        let complains = step.complains.clone().unwrap_or_else(|| json!(""));
        let expected = [
            ("stderr", Some(complains), json!(text(&output.stderr))),
            ("stdout", step.prints.clone(), json!(stdout)),
            ("lines", step.lines.clone().map(Value::Array), json!(lines)),
            ("", step.json.clone(), parsed),
        ];
        let mut captures = self.captures.clone();
        for (place, pattern, found) in expected {
            match pattern {
                Some(pattern) if pattern == UNWRITTEN => {
                    self.unwritten
                        .push(format!("{}: {place} is {found}", step.title()));
                }
                Some(pattern) => fits(&pattern, Some(&found), place, Keys::Open, &mut captures)?,
                None => {}
            }
        }
        self.captures = captures;
        Ok(())
    }
}

/// The columns of a line, one blank between them.
fn squeezed(line: &str) -> String {
    Vec::from_iter(line.split_whitespace()).join(" ")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
