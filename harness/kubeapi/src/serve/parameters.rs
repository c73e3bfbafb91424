//! Reading the query: options of lists, watches and writes, with upstream's rules on what goes together.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::Query;
use axum::http::Uri;
use serde_json::{Value, json};

use crate::api::{DeleteOptions, Effect, ListRequest, VersionMatch, WatchStart};
use crate::decoding::FieldValidation;
use crate::managed_fields::OnConflict;
use crate::resources::Resource;
use crate::selector::{FieldSelector, LabelSelector, Selector};
use crate::status::{FieldError, FieldRule, Reason, Status};
use crate::table::IncludeObject;

/// A client that names no deadline gets one between half an hour and a whole one, so that they do not all
/// reconnect at once.
const DEFAULT_WATCH_SECONDS: std::ops::Range<u64> = 1800..3600;

/// As far as a timer is set: a month. Who asks for more is asked to come again then.
const MAX_WATCH_SECONDS: u64 = 30 * 24 * 3600;

/// The kind of the options of reads.
const LIST: &str = "ListOptions";

/// As upstream, of a field manager's name.
const MANAGER_MAX_BYTES: usize = 128;

/// The query of one request.
#[derive(Debug)]
pub(super) struct Parameters(HashMap<String, String>);

/// What a watch request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WatchRequest {
    pub(super) start: WatchStart,
    pub(super) bookmarks: Bookmarks,
    pub(super) timeout: Duration,
}

/// Which bookmarks the client understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bookmarks {
    None,
    Periodic,
    /// Also one that marks the end of the existing objects.
    PeriodicAndInitial,
}

impl Parameters {
    pub(super) fn of(uri: &Uri) -> Result<Self, Status> {
        let Query(pairs) =
            Query::try_from_uri(uri).map_err(|error| Status::bad_request(error.body_text()))?;
        Ok(Parameters(pairs))
    }

    /// Makes it the query of a watch.
    pub(super) fn watch_anyway(&mut self) {
        self.0.insert("watch".to_owned(), "true".to_owned());
    }

    pub(super) fn is_watch(&self) -> bool {
        self.flag("watch").unwrap_or(false)
    }

    pub(super) fn effect(&self, options: &str) -> Result<Effect, Status> {
        match self.text("dryRun") {
            None => Ok(Effect::Persist),
            Some("All") => Ok(Effect::DryRun),
            Some(other) => Err(unsupported(options, "dryRun", json!([other]), &["All"])),
        }
    }

    /// The field manager of a write: the named one, or else the program in front of the User-Agent.
    pub(super) fn manager(&self, options: &str, user_agent: &str) -> Result<String, Status> {
        let named = self.text("fieldManager").unwrap_or_default();
        let error = if named.len() > MANAGER_MAX_BYTES {
            FieldError::new(
                "fieldManager",
                FieldRule::TooLong {
                    bytes_max: MANAGER_MAX_BYTES,
                },
            )
        } else if let Some((at, control)) = named.char_indices().find(|(_, c)| c.is_control()) {
            let shown: String = named.chars().map(escaped).collect();
            let why = format!(
                "invalid character U+{:04X} (at position {at})",
                u32::from(control)
            );
            FieldError::invalid("fieldManager", shown, why)
        } else if named.is_empty() {
            return Ok(program(user_agent));
        } else {
            return Ok(named.to_owned());
        };
        Err(Status::invalid_option(options, error))
    }

    /// The field manager of an apply, which must be named.
    pub(super) fn applier(&self) -> Result<String, Status> {
        if self.text("fieldManager").is_none() {
            let what = "apply patch";
            let error = FieldError::new("fieldManager", FieldRule::RequiredFor { what });
            return Err(Status::invalid_option("PatchOptions", error));
        }
        self.manager("PatchOptions", "")
    }

    /// What an apply does about conflicts.
    pub(super) fn on_conflict(&self) -> OnConflict {
        match self.flag("force") {
            Some(true) => OnConflict::Force,
            _ => OnConflict::Refuse,
        }
    }

    /// Refuses `force`, which only an apply takes.
    pub(super) fn refuse_force(&self) -> Result<(), Status> {
        if self.flag("force").is_none() {
            return Ok(());
        }
        let why = "may not be specified for non-apply patch";
        let error = FieldError::new("force", FieldRule::Forbidden { why });
        Err(Status::unprocessable("PatchOptions", "meta.k8s.io", "", &[error]))
    }

    pub(super) fn field_validation(&self, options: &str) -> Result<FieldValidation, Status> {
        match self.text("fieldValidation") {
            None | Some("Warn") => Ok(FieldValidation::Warn),
            Some("Ignore") => Ok(FieldValidation::Ignore),
            Some("Strict") => Ok(FieldValidation::Strict),
            Some(other) => {
                let supported = ["", "Ignore", "Strict", "Warn"];
                Err(unsupported(options, "fieldValidation", json!(other), &supported))
            }
        }
    }

    pub(super) fn include_object(&self) -> Result<IncludeObject, Status> {
        match self.text("includeObject") {
            None | Some("Metadata") => Ok(IncludeObject::Metadata),
            Some("None") => Ok(IncludeObject::None),
            Some("Object") => Ok(IncludeObject::Object),
            Some(other) => Err(Status::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: \
                 must be 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }

    /// The options of a delete that has no body.
    pub(super) fn delete_options(&self) -> Result<DeleteOptions, Status> {
        let mut options = DeleteOptions::default();
        options.grace_period_seconds = self.number("gracePeriodSeconds")?;
        options.propagation_policy = self.text("propagationPolicy").map(str::to_owned);
        options.orphan_dependents = self.flag("orphanDependents");
        Ok(options)
    }

    pub(super) fn selector(&self, resource: &Resource) -> Result<Selector, Status> {
        let labels = LabelSelector::parse(self.text("labelSelector").unwrap_or_default())?;
        let fields = self.text("fieldSelector").unwrap_or_default();
        let fields = FieldSelector::parse(fields, &resource.selectable)?;
        Ok(Selector { labels, fields })
    }

    /// The name that a field selector asks for, if it asks for one.
    pub(super) fn selected_name(&self) -> Option<&str> {
        let terms = self.text("fieldSelector")?.split(',');
        terms
            .filter_map(|term| term.split_once("==").or_else(|| term.split_once('=')))
            .find(|(field, value)| *field == "metadata.name" && !value.is_empty())
            .map(|(_, value)| value)
    }

    pub(super) fn list(&self, resource: &Resource, namespace: Option<&str>) -> Result<ListRequest, Status> {
        if self.text("sendInitialEvents").is_some() {
            return Err(forbidden_option(
                "sendInitialEvents",
                "sendInitialEvents is forbidden for list",
            ));
        }
        Ok(ListRequest {
            namespace: namespace.map(str::to_owned),
            selector: self.selector(resource)?,
            limit: self.number::<usize>("limit")?.unwrap_or(0),
            continue_token: self.text("continue").map(str::to_owned),
            version: self.version_match()?,
        })
    }

    pub(super) fn watch(&self) -> Result<WatchRequest, Status> {
        let initial = self.flag("sendInitialEvents");
        let matching = self.text("resourceVersionMatch");
        match (initial, matching) {
            (None, None) | (Some(_), Some("NotOlderThan")) => {}
            (None, Some(_)) => {
                let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                return Err(forbidden_option("resourceVersionMatch", why));
            }
            (Some(_), _) => {
                let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
                return Err(forbidden_option("resourceVersionMatch", why));
            }
        }
        let revision = self.revision().map_err(|why| Status::new(Reason::Unknown, why))?;
        let start = match (initial, revision) {
            (Some(true), _) | (None, None | Some(0)) => WatchStart::Existing,
            (Some(false), None | Some(0)) => WatchStart::Newest,
            (_, Some(revision)) => WatchStart::After(revision),
        };
        let bookmarks = match (self.flag("allowWatchBookmarks"), initial) {
            (Some(true), Some(true)) => Bookmarks::PeriodicAndInitial,
            (Some(true), _) => Bookmarks::Periodic,
            _ => Bookmarks::None,
        };
        let seconds = match self.number::<u64>("timeoutSeconds")? {
            None | Some(0) => rand::random_range(DEFAULT_WATCH_SECONDS),
            Some(seconds) => seconds.min(MAX_WATCH_SECONDS),
        };
        Ok(WatchRequest {
            start,
            bookmarks,
            timeout: Duration::from_secs(seconds),
        })
    }

    fn version_match(&self) -> Result<VersionMatch, Status> {
        let revision = self
            .revision()
            .map_err(|why| Status::bad_request(format!("invalid resource version: {why}")))?;
        let Some(matching) = self.text("resourceVersionMatch") else {
            if self.text("continue").is_some() && revision.is_some_and(|revision| revision != 0) {
                let message = "specifying resource version is not allowed when using continue";
                return Err(Status::bad_request(message));
            }
            return Ok(revision.map_or(VersionMatch::Newest, VersionMatch::NotOlderThan));
        };
        if self.text("continue").is_some() {
            let why = "resourceVersionMatch is forbidden when continue is provided";
            return Err(forbidden_option("resourceVersionMatch", why));
        }
        match (matching, revision) {
            (_, None) => {
                let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                Err(forbidden_option("resourceVersionMatch", why))
            }
            ("NotOlderThan", Some(revision)) => Ok(VersionMatch::NotOlderThan(revision)),
            ("Exact", Some(0)) => {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                Err(forbidden_option("resourceVersionMatch", why))
            }
            ("Exact", Some(revision)) => Ok(VersionMatch::Exact(revision)),
            (other, _) => {
                let supported = ["Exact", "NotOlderThan", ""];
                Err(unsupported(
                    LIST,
                    "resourceVersionMatch",
                    json!(other),
                    &supported,
                ))
            }
        }
    }

    /// The value, unless it is empty.
    fn text(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// As upstream: a bare `?watch` and anything that is not a false value mean yes.
    fn flag(&self, name: &str) -> Option<bool> {
        self.0
            .get(name)
            .map(|value| !matches!(value.to_lowercase().as_str(), "false" | "0"))
    }

    /// The resource version, or why it is none.
    fn revision(&self) -> Result<Option<u64>, String> {
        let why = |text: &str| {
            let syntax = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
            FieldError::invalid("resourceVersion", text, syntax).to_string()
        };
        let parse = |text: &str| text.parse().map_err(|_| why(text));
        self.text("resourceVersion").map(parse).transpose()
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Status> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
            })
        };
        self.text(name).map(parse).transpose()
    }
}

/// As Go quotes it.
fn escaped(character: char) -> String {
    match character {
        '\u{0}'..='\u{1f}' | '\u{7f}' => format!("\\x{:02x}", u32::from(character)),
        other => other.escape_debug().to_string(),
    }
}

fn program(user_agent: &str) -> String {
    let program = user_agent.split('/').next().unwrap_or_default();
    let mut printable: String = program.chars().filter(|c| !c.is_control()).collect();
    while printable.len() > MANAGER_MAX_BYTES {
        printable.pop();
    }
    printable
}

fn unsupported(options: &str, field: &str, value: Value, supported: &[&str]) -> Status {
    let supported = supported.iter().map(|&value| value.to_owned()).collect();
    Status::invalid_option(
        options,
        FieldError::new(field, FieldRule::Unsupported { value, supported }),
    )
}

fn forbidden_option(field: &str, why: &'static str) -> Status {
    Status::invalid_option(LIST, FieldError::new(field, FieldRule::Forbidden { why }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str) -> Parameters {
        let uri: Uri = format!("/?{query}").parse().expect("a uri");
        Parameters::of(&uri).expect("a query")
    }

    #[test]
    fn list_versions_follow_upstream_validation() {
        for (query, expected) in [
            ("", Ok(VersionMatch::Newest)),
            ("resourceVersion=", Ok(VersionMatch::Newest)),
            ("resourceVersion=0", Ok(VersionMatch::NotOlderThan(0))),
            (
                "resourceVersion=7&resourceVersionMatch=Exact",
                Ok(VersionMatch::Exact(7)),
            ),
            ("resourceVersion=0&resourceVersionMatch=Exact", Err(422)),
            ("resourceVersionMatch=NotOlderThan", Err(422)),
            ("resourceVersion=7&resourceVersionMatch=Newest", Err(422)),
            (
                "resourceVersion=7&resourceVersionMatch=Exact&continue=x",
                Err(422),
            ),
            ("resourceVersion=seven", Err(400)),
        ] {
            let found = parameters(query).version_match().map_err(|status| status.code());
            assert_eq!(found, expected, "{query}");
        }
    }

    #[test]
    fn watch_starts_follow_upstream_validation() {
        for (query, expected) in [
            ("watch", Ok(WatchStart::Existing)),
            ("watch=1&resourceVersion=0", Ok(WatchStart::Existing)),
            ("watch=1&resourceVersion=5", Ok(WatchStart::After(5))),
            ("watch=1&sendInitialEvents=true", Err(422)),
            ("watch=1&resourceVersionMatch=NotOlderThan", Err(422)),
            (
                "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=5",
                Ok(WatchStart::Existing),
            ),
            (
                "sendInitialEvents=false&resourceVersionMatch=NotOlderThan",
                Ok(WatchStart::Newest),
            ),
        ] {
            let found = parameters(query)
                .watch()
                .map(|watch| watch.start)
                .map_err(|status| status.code());
            assert_eq!(found, expected, "{query}");
        }
    }

    #[test]
    fn a_writer_is_called_by_its_name_or_else_by_its_program() {
        let long = "é".repeat(100);
        for (query, user_agent, expected) in [
            ("fieldManager=me", "kubectl/v1.34.0 (linux/amd64)", Ok("me")),
            ("fieldManager=", "kubectl/v1.34.0 (linux/amd64)", Ok("kubectl")),
            ("", "a\tb", Ok("ab")),
            ("", "", Ok("")),
            ("", &long, Ok(&long[..128])),
            ("fieldManager=a%09b", "kubectl", Err(422)),
        ] {
            let found = parameters(query).manager("UpdateOptions", user_agent);
            let found = found.map_err(|status| status.code());
            assert_eq!(found.as_deref(), expected.as_deref(), "{query} {user_agent}");
        }
    }

    #[test]
    fn a_watch_without_a_deadline_gets_one() {
        let timeout = parameters("watch=1").watch().expect("valid").timeout;
        assert!((1800..3600).contains(&timeout.as_secs()));
        for (asked, found) in [("5", 5), ("18446744073709551615", MAX_WATCH_SECONDS)] {
            let request = parameters(&format!("watch=1&timeoutSeconds={asked}")).watch();
            assert_eq!(request.expect("valid").timeout.as_secs(), found);
        }
    }
}
