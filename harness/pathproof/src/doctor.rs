//! What this machine can run: `pathproof doctor`.
//!
//! Owns the table of it and the verdict on the core profile. What the kernel can do is found out by
//! [`netsim::capabilities`]; here programs for other providers are looked for besides. Nothing is installed or
//! changed.

use std::fmt::Write as _;
use std::path::PathBuf;

use netsim::capabilities::{Capabilities, Capability, Limit, Need, ProbeError, probe};
use netsim::encap::Ability;
use serde::Serialize;
use tabled::builder::Builder;
use tabled::settings::object::Segment;
use tabled::settings::{Padding, Style};
use verdict::ExitCode;

/// Programs that other providers need, and which.
const PROGRAMS: [(&str, &str); 4] = [
    ("docker", "provider kind: runs the nodes"),
    ("kind", "provider kind: makes the clusters"),
    ("helm", "provider kind: installs Cilium"),
    ("kubectl", "looking at a lab, and provider kind"),
];

/// Everything that `doctor` says.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// Whether the core profile can run on the embedded lab.
    pub core: bool,
    /// The kernel and its limits.
    pub capabilities: Capabilities,
    /// Programs of other providers.
    pub programs: Vec<Program>,
}

/// A program that another provider needs.
#[derive(Debug, Serialize)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub needed_for: String,
    /// Where it is on PATH, if it is.
    pub path: Option<PathBuf>,
}

/// Finds out what this machine can run.
///
/// # Errors
/// [`ProbeError`].
///
/// # Panics
/// When the process has more than one thread.
pub fn examine() -> Result<Findings, ProbeError> {
    let capabilities = probe()?;
    let programs = PROGRAMS.iter().map(|(name, needed_for)| Program {
        name: (*name).to_owned(),
        needed_for: (*needed_for).to_owned(),
        path: on_path(name),
    });
    Ok(Findings {
        core: capabilities.can_run_core(),
        capabilities,
        programs: programs.collect(),
    })
}

impl Findings {
    /// The exit code that says whether the core profile can run: [`ExitCode::Pass`], or [`ExitCode::Lab`] as a run
    /// would end.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        if self.core { ExitCode::Pass } else { ExitCode::Lab }
    }

    /// The tables: what can be done, its limits, programs, and the verdict.
    #[must_use]
    pub fn tables(&self) -> String {
        let mut text = format!("kernel {}\n", self.capabilities.kernel);
        section(
            &mut text,
            "this machine can",
            self.capabilities.items.iter().map(item_row),
        );
        section(
            &mut text,
            "limits",
            self.capabilities.limits.iter().map(limit_row),
        );
        section(
            &mut text,
            "programs of other providers",
            self.programs.iter().map(program_row),
        );
        let verdict = if self.core {
            "the core profile can run on the embedded lab"
        } else {
            "the core profile cannot run on the embedded lab: see the lines marked MISSING"
        };
        writeln!(text, "\n{verdict}").expect("a String takes everything");
        text
    }
}

fn item_row(item: &Capability) -> Vec<String> {
    let (word, reason) = match (&item.ability, item.need) {
        (Ability::Available, _) => ("ok", ""),
        (Ability::Missing(reason), Need::Core) => ("MISSING", reason.as_str()),
        (Ability::Missing(reason), Need::Optional) => ("no", reason.as_str()),
    };
    let need = match item.need {
        Need::Core => "core",
        Need::Optional => "optional",
    };
    [word, &item.name, need, &item.needed_for, reason]
        .map(str::to_owned)
        .into()
}

fn limit_row(limit: &Limit) -> Vec<String> {
    let value = limit
        .value
        .map_or_else(|| "unknown".to_owned(), |value| limit.amount(value));
    vec![
        limit.name.clone(),
        value,
        limit.bounds.clone(),
        limit.raise.clone(),
    ]
}

fn program_row(program: &Program) -> Vec<String> {
    let path = program.path.as_ref().map(|path| path.display().to_string());
    vec![
        if path.is_some() { "ok" } else { "no" }.to_owned(),
        program.name.clone(),
        program.needed_for.clone(),
        path.unwrap_or_else(|| "not on PATH".to_owned()),
    ]
}

fn section(text: &mut String, title: &str, rows: impl Iterator<Item = Vec<String>>) {
    let mut table = Builder::new();
    for row in rows {
        table.push_record(row);
    }
    let mut rendered = table.build();
    rendered
        .with(Style::empty())
        .modify(Segment::all(), Padding::new(2, 0, 0, 0));
    write!(text, "\n{title}\n").expect("a String takes everything");
    for line in rendered.to_string().lines() {
        *text += line.trim_end();
        text.push('\n');
    }
}

/// Where a program is on PATH.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(need: Need, ability: Ability) -> Findings {
        let item = Capability {
            name: "veth".to_owned(),
            needed_for: "links".to_owned(),
            need,
            ability,
        };
        let capabilities = Capabilities {
            kernel: "6.1".to_owned(),
            items: vec![item],
            limits: Vec::new(),
        };
        Findings {
            core: capabilities.can_run_core(),
            capabilities,
            programs: Vec::new(),
        }
    }

    #[test]
    fn a_missing_core_capability_is_the_verdict_and_an_optional_one_is_not() {
        let missing = || Ability::Missing("unknown device type (`modprobe veth`)".to_owned());
        let core = findings(Need::Core, missing());
        assert_eq!(core.exit_code(), ExitCode::Lab);
        assert!(
            core.tables()
                .contains("MISSING  veth  core  links  unknown device type (`modprobe veth`)")
        );
        assert!(core.tables().contains("cannot run"));
        let optional = findings(Need::Optional, missing());
        assert_eq!(optional.exit_code(), ExitCode::Pass);
        assert!(optional.tables().contains("  no  veth  optional  links  unknown"));
        assert_eq!(
            findings(Need::Core, Ability::Available).exit_code(),
            ExitCode::Pass
        );
    }
}
