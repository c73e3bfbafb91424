//! The data model of `cases/*.yaml`, and what `kubectl/*.yaml` have in common with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::pattern::Keys;

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject<S> {
    /// The name of the file, without `.yaml`.
    #[serde(skip)]
    pub name: String,
    /// One sentence.
    about: String,
    /// Steps that go before those of each case.
    #[serde(default = "Vec::new")]
    pub before: Vec<S>,
    pub cases: Vec<Case<S>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case<S> {
    /// What holds, as a statement.
    pub name: String,
    /// Why it does not hold of this crate's server yet.
    pub pending: Option<String>,
    pub steps: Vec<S>,
}

/// What a file has in the order in which it is done.
pub trait Steps: DeserializeOwned {
    /// The folder of the files.
    const FOLDER: &str;

    /// Refuses steps that cannot be taken or that expect nothing.
    fn check(steps: &[Self]) -> Result<(), String>;
}

/// A request and what is expected of its answer, or what is expected of a watch that was opened before.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Method and path.
    pub send: Option<String>,
    /// The user that the administrator impersonates.
    #[serde(rename = "as")]
    pub user: Option<String>,
    #[serde(default)]
    pub groups: Vec<String>,
    /// `null` takes a header away.
    #[serde(default)]
    pub headers: BTreeMap<String, Option<String>>,
    /// The media type of the body, without `application/`.
    #[serde(rename = "type")]
    pub media_type: Option<String>,
    pub json: Option<Value>,
    pub text: Option<String>,
    /// A JSON body that is sent as it is.
    #[serde(skip)]
    pub raw: Option<String>,

    pub status: Option<u16>,
    /// A pattern of the JSON answer, whose objects may have more keys.
    pub answer: Option<Value>,
    /// A pattern of the JSON answer, whose objects have no other keys.
    pub exactly: Option<Value>,
    /// A pattern of the Status that refuses the request, without what every one has.
    pub refused: Option<Map<String, Value>>,
    /// A pattern of the answer as text.
    pub says: Option<Value>,
    /// Patterns of the answer's headers.
    #[serde(default)]
    pub with: BTreeMap<String, Value>,
    /// Repeats the request until the answer fits.
    #[serde(default)]
    pub until: bool,

    /// Keeps the answer as a watch of this name.
    pub watch: Option<String>,
    /// The watch that `events` come from, if not from the answer to `send`.
    pub of: Option<String>,
    /// Patterns of the next events.
    pub events: Option<Vec<Value>>,
    /// The watch ends after `events`.
    #[serde(default)]
    pub ends: bool,
}

impl<S> Subject<S> {
    /// A subject that is not in a file.
    pub fn made(name: &str, cases: Vec<Case<S>>) -> Self {
        Self {
            name: name.to_owned(),
            about: String::new(),
            before: Vec::new(),
            cases,
        }
    }
}

impl Steps for Step {
    const FOLDER: &str = "cases";

    fn check(steps: &[Step]) -> Result<(), String> {
        for step in steps {
            if step.send.is_some() == step.of.is_some() {
                return Err("a step has `send` or `of`".to_owned());
            }
            // A request that only prepares is to succeed, which its status says.
            if step.status.is_none() && step.events.is_none() {
                return Err(format!("{} expects nothing", step.title()));
            }
        }
        Ok(())
    }
}

impl Step {
    /// The patterns of the JSON answer.
    pub fn patterns(&self) -> impl Iterator<Item = (Value, Keys)> {
        let refused = self.refused.clone().map(|mut status| {
            for (key, value) in [("kind", "Status"), ("apiVersion", "v1"), ("status", "Failure")] {
                status.insert(key.to_owned(), json!(value));
            }
            status.insert("metadata".to_owned(), json!({}));
            status.insert("code".to_owned(), json!(self.status));
            Value::Object(status)
        });
        let open = self.answer.clone().map(|pattern| (pattern, Keys::Open));
        let closed = self.exactly.clone().or(refused);
        open.into_iter()
            .chain(closed.map(|pattern| (pattern, Keys::Closed)))
    }

    pub fn title(&self) -> &str {
        self.send.as_deref().or(self.of.as_deref()).unwrap_or_default()
    }
}

/// The files of the subjects that are wanted, in order of their names.
pub fn load<S: Steps>(is_wanted: impl Fn(&str) -> bool) -> Vec<Subject<S>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/parity")
        .join(S::FOLDER);
    let files = fs::read_dir(&folder).unwrap();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let wanted = files.iter().filter(|file| is_wanted(name(file)));
    wanted.map(|file| read(file)).collect()
}

fn name(file: &Path) -> &str {
    file.file_stem().unwrap().to_str().unwrap()
}

fn read<S: Steps>(file: &Path) -> Subject<S> {
    let text = fs::read_to_string(file).unwrap();
    let mut subject: Subject<S> =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    subject.name = name(file).to_owned();
    assert!(!subject.about.is_empty(), "{}: about", file.display());
    let names: BTreeSet<_> = subject.cases.iter().map(|case| &case.name).collect();
    assert_eq!(
        names.len(),
        subject.cases.len(),
        "{}: one name twice",
        file.display()
    );
    for case in &subject.cases {
        if let Err(problem) = S::check(&case.steps) {
            panic!("{}: {}: {problem}", file.display(), case.name);
        }
    }
    subject
}
