//! From files to a [`Scenario`]: every reference followed, every value checked, every problem reported.
//!
//! Owns the language of the files, `scenarios/README.md`. Invariant: a scenario is returned only when there is
//! nothing to report. A problem is reported once: what depends on a broken part is not checked.

mod api;
mod assertions;
mod cidr;
mod events;
mod faults;
mod fields;
mod flows;
mod impair;
mod manager;
mod manifests;
mod reach;
mod timeline;
mod topology;

use std::collections::BTreeMap;

use fields::{Fields, label, set, string};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::{self, Entry, Node, Notes, Source, Sources, Span};
use crate::model::{Scenario, Topology};
use crate::names;

/// The version of the language.
pub const API_VERSION: &str = "pathproof.dev/v1alpha1";

const TOPOLOGY_FORM: &str = "the path of a Topology file, relative to this file";

/// Reads the scenario at a path and all that it refers to.
///
/// # Errors
/// With every problem found in the files, at least one.
pub fn read(sources: &dyn Sources, path: &str) -> Result<Scenario, Diagnostics> {
    let mut reading = Reading {
        sources,
        files: Vec::new(),
        diagnostics: Vec::new(),
    };
    let scenario = reading.root(path).and_then(|file| reading.scenario(&file));
    reading.finish(scenario)
}

/// Reads the topology at a path.
///
/// # Errors
/// With every problem found in the file, at least one.
pub fn read_topology(sources: &dyn Sources, path: &str) -> Result<Topology, Diagnostics> {
    let mut reading = Reading {
        sources,
        files: Vec::new(),
        diagnostics: Vec::new(),
    };
    let topology = reading.root(path).and_then(|file| reading.topology(&file));
    reading.finish(topology)
}

struct Reading<'s> {
    sources: &'s dyn Sources,
    /// Paths in the order of reading.
    files: Vec<String>,
    diagnostics: Vec<Diagnostic>,
}

/// A file that YAML could be read from.
struct File {
    source: Source,
    documents: Vec<Node>,
}

impl Reading<'_> {
    fn finish<T>(mut self, value: Option<T>) -> Result<T, Diagnostics> {
        if let (Some(value), true) = (value, self.diagnostics.is_empty()) {
            return Ok(value);
        }
        let order = |file: &String| self.files.iter().position(|known| known == file);
        self.diagnostics
            .sort_by_key(|d| (order(&d.file), d.line, d.column));
        self.diagnostics.dedup();
        Err(Diagnostics::new(self.diagnostics))
    }

    fn root(&mut self, path: &str) -> Option<File> {
        self.files.push(path.to_owned());
        match self.sources.text(path) {
            Ok(text) => self.parse(path, &text),
            Err(error) => {
                self.diagnostics.push(Diagnostic {
                    file: path.to_owned(),
                    line: 1,
                    column: 1,
                    message: format!("cannot read `{path}`: {error}"),
                    snippet: None,
                    width: 1,
                    hint: None,
                });
                None
            }
        }
    }

    /// The file that a reference in another file names.
    fn referenced(&mut self, from: &Source, reference: &Node, form: &str) -> Option<File> {
        let mut notes = Notes::new(from, &mut self.diagnostics);
        let path = relative_to(&from.file, string(&mut notes, reference, form)?);
        match self.sources.text(&path) {
            Ok(text) => {
                if !self.files.contains(&path) {
                    self.files.push(path.clone());
                }
                self.parse(&path, &text)
            }
            Err(error) => {
                let hint = format!("a path is relative to the folder of `{}`", from.file);
                notes.error(reference.span, format!("cannot read `{path}`: {error}"), hint);
                None
            }
        }
    }

    fn parse(&mut self, path: &str, text: &str) -> Option<File> {
        let source = Source::new(path, text);
        let documents = document::parse(&source, text, &mut self.diagnostics)?;
        Some(File { source, documents })
    }

    fn topology(&mut self, file: &File) -> Option<Topology> {
        let mut notes = Notes::new(&file.source, &mut self.diagnostics);
        let before = notes.count();
        let fields = record(&mut notes, file, "Topology", &topology::KEYS)?;
        let topology = topology::resolve(&mut notes, &fields)?;
        (notes.count() == before).then_some(topology)
    }

    fn scenario(&mut self, file: &File) -> Option<Scenario> {
        const KEYS: [&str; 9] = [
            "apiVersion",
            "kind",
            "metadata",
            "topology",
            "manifests",
            "flows",
            "events",
            "timeline",
            "assert",
        ];
        let source = &file.source;
        let mut notes = Notes::new(source, &mut self.diagnostics);
        let fields = record(&mut notes, file, "Scenario", &KEYS)?;
        let metadata = fields
            .required(&mut notes, "metadata")
            .and_then(|entry| metadata(&mut notes, entry));
        let topology_entry = fields.required(&mut notes, "topology");
        let manifests_entry = fields.required(&mut notes, "manifests");
        let flows_entry = fields.required(&mut notes, "flows");
        let timeline_entry = fields.required(&mut notes, "timeline");
        let assert_entry = fields.required(&mut notes, "assert");

        let topology = topology_entry
            .and_then(|entry| self.referenced(source, &entry.value, TOPOLOGY_FORM))
            .and_then(|file| self.topology(&file));
        let inventory = manifests_entry.map(|entry| self.manifests(source, entry, topology.as_ref()));
        let inventory = inventory.unwrap_or_default();

        let mut notes = Notes::new(source, &mut self.diagnostics);
        let flows = flows::resolve(&mut notes, flows_entry, &inventory);
        if let (Some(topology), true) = (&topology, inventory.is_complete) {
            reach::flows(&mut notes, &flows, &inventory.manifests, topology);
        }
        let events = events::resolve(
            &mut notes,
            fields.optional("events"),
            &inventory,
            topology.as_ref(),
        );
        if let Some(topology) = &topology {
            reach::events(&mut notes, &events, topology);
        }
        let timeline = timeline_entry
            .and_then(|entry| timeline::resolve(&mut notes, entry, &flows.names, &events.names));
        let declared = assertions::Declared {
            flows: flows_entry.map(|_| flows.names.as_slice()),
            events: &events.names,
            topology: topology.as_ref(),
            timeline: timeline.as_ref(),
        };
        let assertions = assert_entry.map(|entry| assertions::resolve(&mut notes, entry, &declared));

        let metadata = metadata?;
        Some(Scenario {
            name: metadata.name,
            purpose: metadata.purpose,
            profile: metadata.profile,
            features: metadata.features,
            topology: topology?,
            manifests: inventory.manifests,
            flows: flows.values,
            events: events.values,
            timeline: timeline?.steps,
            assertions: assertions?,
        })
    }
}

/// The one document of a file as a record of this kind.
fn record<'f>(notes: &mut Notes<'_>, file: &'f File, kind: &str, keys: &[&str]) -> Option<Fields<'f>> {
    let top = Span {
        line: 1,
        column: 1,
        width: 1,
    };
    let example = format!("apiVersion: {API_VERSION}, kind: {kind}");
    let Some(root) = file.documents.first() else {
        notes.error(
            top,
            format!("expected a {kind}, found an empty file"),
            format!("begin with {example}"),
        );
        return None;
    };
    if let Some(second) = file.documents.get(1) {
        let message = format!("expected one {kind} in the file, found a second document");
        notes.error(second.span, message, "put it into a file of its own");
    }
    // A file of another kind would only give a list of keys that this kind does not have.
    let other = root.at(&["kind"]).filter(|node| node.text() != Some(kind));
    if let Some(node) = other {
        let hint = match (kind, node.text()) {
            ("Scenario", Some("Topology")) => {
                "give a scenario that names this file as its `topology`".to_owned()
            }
            _ => format!("write {example}"),
        };
        notes.error(
            node.span,
            format!("expected the kind `{kind}`, found {}", node.describe()),
            hint,
        );
        return None;
    }
    let fields = Fields::of(notes, root.span, root, &format!("a {kind}"), keys)?;
    fields.required(notes, "kind");
    if let Some(entry) = fields.required(notes, "apiVersion")
        && entry.value.text() != Some(API_VERSION)
    {
        let message = format!(
            "expected the version `{API_VERSION}`, found {}",
            entry.value.describe()
        );
        notes.error(
            entry.value.span,
            message,
            format!("write apiVersion: {API_VERSION}"),
        );
    }
    Some(fields)
}

struct Metadata {
    name: String,
    purpose: String,
    profile: String,
    features: Vec<String>,
}

fn metadata(notes: &mut Notes<'_>, entry: &Entry) -> Option<Metadata> {
    const KEYS: [&str; 4] = ["name", "purpose", "profile", "features"];
    let fields = Fields::of(notes, entry.key.span, &entry.value, "`metadata`", &KEYS)?;
    let name = fields
        .required(notes, "name")
        .and_then(|e| label(notes, &e.value, "the name of the scenario"));
    let purpose = fields
        .required(notes, "purpose")
        .and_then(|e| purpose(notes, &e.value));
    let profile = fields
        .required(notes, "profile")
        .and_then(|e| label(notes, &e.value, "the name of a profile"));
    let is_feature = |notes: &mut Notes<'_>, node: &Node, text: &str| {
        let valid = text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if !valid {
            let message = format!("expected the name of a feature, found `{text}`");
            notes.error(
                node.span,
                message,
                "features are written as in `AnnotationSteering`",
            );
        }
        valid
    };
    let features = fields
        .optional("features")
        .map(|e| set(notes, &e.value, "names of features", is_feature));
    Some(Metadata {
        name: name?.to_owned(),
        purpose: purpose?.to_owned(),
        profile: profile?.to_owned(),
        features: features
            .unwrap_or_default()
            .into_iter()
            .map(ToOwned::to_owned)
            .collect(),
    })
}

fn purpose<'n>(notes: &mut Notes<'_>, node: &'n Node) -> Option<&'n str> {
    const FORM: &str = "one line that says what the scenario is for";
    let text = string(notes, node, FORM)?.trim();
    if text.is_empty() || text.contains('\n') {
        notes.error(
            node.span,
            format!("expected {FORM}, found {} lines", text.lines().count()),
            "use comments for more",
        );
        return None;
    }
    Some(text)
}

/// A declared set of things: all names, and the values that could be resolved.
struct Resolved<T> {
    names: Vec<Name>,
    values: BTreeMap<String, T>,
}

/// A declared name and its place.
struct Name {
    text: String,
    span: Span,
}

/// Notes a reference to something that is not declared.
fn unknown<'k>(
    notes: &mut Notes<'_>,
    span: Span,
    name: &str,
    kind: &fields::Kind,
    known: impl IntoIterator<Item = &'k str> + Clone,
) {
    let hint = names::suggestion(name, kind.plural, known);
    notes.error(span, format!("unknown {} `{name}`", kind.singular), hint);
}

/// A path that is written relative to the folder of a file, with `.` and `..` resolved.
fn relative_to(file: &str, reference: &str) -> String {
    if reference.starts_with('/') {
        return reference.to_owned();
    }
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let root = if file.starts_with('/') { "/" } else { "" };
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(reference.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("{root}{}", parts.join("/"))
}

#[cfg(test)]
mod tests;
