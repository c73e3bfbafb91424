//! From an annotation to the first packet on the tunnel, in the embedded lab.
//!
//! Runs of a scenario that annotates a Service and takes the annotation away again, in turn, with a probe each
//! millisecond in both directions. Times are those of the capture at the tunnels.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::process::beside;

/// Runs, so that no capture grows too large.
const RUNS: u64 = 5;
/// Changes of each; every other one is an annotation.
const CHANGES: usize = 100;
/// Between two of them, longer than a round and the operator's least interval of 250 ms together.
const PACE_MS: u32 = 350;

/// The scenario's surroundings, those of the demo.
const FILES: [(&str, &str); 2] = [
    (
        "topology.yaml",
        include_str!("../../../../scenarios/topologies/two-sites.yaml"),
    ),
    (
        "manifests.yaml",
        include_str!("../../../../scenarios/manifests/business-and-best-effort.yaml"),
    ),
];

/// Milliseconds from each change to the first packet that follows it, sorted; the time to the next change at most.
pub(super) fn measure() -> Result<Vec<f64>> {
    let folder = tempfile::tempdir()?;
    for (name, text) in FILES {
        fs::write(folder.path().join(name), text)?;
    }
    fs::write(folder.path().join("scenario.yaml"), scenario()?)?;
    let mut latencies = Vec::new();
    for seed in 1..=RUNS {
        eprintln!("an annotation comes and goes in a lab, run {seed} of {RUNS}");
        latencies.extend(run(folder.path(), seed)?);
    }
    latencies.sort_by(f64::total_cmp);
    Ok(latencies)
}

fn scenario() -> Result<String> {
    let mut text = String::from(
        "apiVersion: pathproof.dev/v1alpha1
kind: Scenario
metadata:
  name: steered
  purpose: An annotation comes and goes, and traffic follows each time.
  profile: extended
topology: topology.yaml
manifests:
  - file: manifests.yaml
flows:
  biz: { from: pod/business-client, to: service/business, udp: 8081, rate: 1000pps, size: 64B }
assert:
  arrives: all biz.both via tunnel/* when always
events:
",
    );
    let mut timeline = String::from("start: [biz], 1s");
    for change in 0..CHANGES {
        let what = match change % 2 {
            0 => "set: { policy.sdwan.cisco.com/tunnel: biz-internet }",
            _ => "unset: [policy.sdwan.cisco.com/tunnel]",
        };
        writeln!(
            text,
            "  change-{change}: {{ kubectl: {{ annotate: service/business, {what} }} }}"
        )?;
        write!(timeline, ", change-{change}, {PACE_MS}ms")?;
    }
    writeln!(text, "timeline: [{timeline}, stop]")?;
    Ok(text)
}

/// Plays the scenario once.
fn run(folder: &Path, seed: u64) -> Result<Vec<f64>> {
    let runs = folder.join("runs");
    let output = Command::new(beside("pathproof")?)
        .args(["run", "--seed", &seed.to_string(), "--out"])
        .arg(&runs)
        .arg(folder.join("scenario.yaml"))
        .stdin(Stdio::null())
        .output()
        .context("start pathproof")?;
    ensure!(
        output.status.success(),
        "the run ended with {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let mut entries = fs::read_dir(&runs)?;
    let of_run = entries.next().context("a run without a folder")??.path();
    let record: Value = serde_json::from_slice(&fs::read(of_run.join("verdict.json"))?)?;
    fs::remove_dir_all(&runs)?;
    let transitions = record["verdicts"]["transitions"].as_array();
    let mut first: BTreeMap<&str, f64> = BTreeMap::new();
    for transition in transitions.context("a record without transitions")? {
        let event = transition["event"].as_str().context("a transition of no event")?;
        let after_ns = transition["first_on_new_path_ns"]
            .as_f64()
            .context("a transition at no time")?;
        let after_ms = after_ns / 1e6;
        first
            .entry(event)
            .and_modify(|first| *first = first.min(after_ms))
            .or_insert(after_ms);
    }
    // What traffic did not follow before the next change took longer than that.
    let late = std::iter::repeat_n(f64::from(PACE_MS), CHANGES.saturating_sub(first.len()));
    Ok(first.into_values().chain(late).collect())
}
