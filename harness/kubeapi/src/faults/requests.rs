//! Which requests a fault is about.
//!
//! Pure. Invariant: requests are told apart by what kube-apiserver authorizes them by, and by nothing else.

use std::fmt;
use std::str::FromStr;

use super::FaultError;

/// Which requests a fault strikes: those that all given words fit. Requests for paths that are no resource (`/version`,
/// discovery) have no resource and no namespace, and of verbs only `get`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    /// How many; all until healed unless given.
    pub count: Option<u32>,
    /// Any of these verbs; all where there are none.
    pub verbs: Vec<Verb>,
    /// Any of these resources, as `kubectl` and RBAC name them: `services`, `leases.coordination.k8s.io`, `pods/status`.
    /// A resource does not stand for its subresources. All where there are none.
    pub resources: Vec<String>,
    /// Those in this namespace.
    pub namespace: Option<String>,
    /// Those of the user of this name, for instance `system:serviceaccount:default:operator`.
    pub user: Option<String>,
}

/// What a request asks to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// `GET` of an object, or of a path that is no resource.
    Get,
    /// `GET` of a collection.
    List,
    /// `GET` of the changes to a collection.
    Watch,
    /// `POST`.
    Create,
    /// `PUT`.
    Update,
    /// `PATCH`, also server-side apply.
    Patch,
    /// `DELETE` of an object.
    Delete,
    /// `DELETE` of a collection.
    DeleteCollection,
}

/// What a request asks, as far as faults care.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) verb: Option<Verb>,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Empty where nobody is known to ask.
    pub(crate) user: String,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Verb; 8] = [
        Verb::Get,
        Verb::List,
        Verb::Watch,
        Verb::Create,
        Verb::Update,
        Verb::Patch,
        Verb::Delete,
        Verb::DeleteCollection,
    ];
    /// Those that change objects.
    pub const WRITES: [Verb; 5] = [
        Verb::Create,
        Verb::Update,
        Verb::Patch,
        Verb::Delete,
        Verb::DeleteCollection,
    ];

    /// As rules of RBAC name it.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Verb {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let known = Verb::ALL.into_iter().find(|verb| verb.name() == text);
        known.ok_or_else(|| FaultError::new("verb", text, one_of(&Verb::ALL)))
    }
}

impl Requests {
    pub(super) fn has_verb(&self, verb: Verb) -> bool {
        self.verbs.is_empty() || self.verbs.contains(&verb)
    }

    pub(super) fn fit(&self, asked: &Asked) -> bool {
        let is_asked = |given: &String| asked.is_of(given);
        (self.resources.is_empty() || self.resources.iter().any(is_asked))
            && self
                .namespace
                .as_ref()
                .is_none_or(|given| *given == asked.namespace)
            && self.user.as_ref().is_none_or(|given| *given == asked.user)
    }

    pub(super) fn check(&self, strikeable: &[Verb]) -> Result<(), FaultError> {
        if self.count == Some(0) {
            return Err(FaultError::new(
                "requests.count",
                "0",
                "a number from 1".to_owned(),
            ));
        }
        for (position, verb) in self.verbs.iter().enumerate() {
            if !strikeable.contains(verb) {
                let place = format!("requests.verbs[{position}]");
                return Err(FaultError::new(place, verb.name(), one_of(strikeable)));
            }
        }
        for (position, name) in self.resources.iter().enumerate() {
            if !is_resource(name) {
                let place = format!("requests.resources[{position}]");
                let form = "a plural such as `services`, `leases.coordination.k8s.io` or `pods/status`";
                return Err(FaultError::new(place, name, form.to_owned()));
            }
        }
        for (place, name) in [("namespace", &self.namespace), ("user", &self.user)] {
            if name.as_deref() == Some("") {
                let form = format!("the name of a {place}, or none");
                return Err(FaultError::new(format!("requests.{place}"), "", form));
            }
        }
        Ok(())
    }
}

impl Asked {
    /// Whether it asks for the resource of that name.
    fn is_of(&self, name: &str) -> bool {
        let (resource, subresource) = name.split_once('/').unwrap_or((name, ""));
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        (plural, group, subresource) == (&*self.resource, &*self.group, &*self.subresource)
    }
}

/// A plural, its group if it has one, and a subresource if one is meant.
fn is_resource(name: &str) -> bool {
    let is_word = |word: &str| {
        let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !word.is_empty() && word.chars().all(is_allowed)
    };
    let (resource, subresource) = match name.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource)),
        None => (name, None),
    };
    resource.split('.').all(is_word) && subresource.is_none_or(is_word)
}

fn one_of(verbs: &[Verb]) -> String {
    let names: Vec<&str> = verbs.iter().map(|verb| verb.name()).collect();
    format!("one of {}", names.join(", "))
}
