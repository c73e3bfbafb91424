//! One rule of a role: what it allows, and whether a set of rules covers it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Action, ResourceAction};

const ANY: &str = "*";

/// `rbac.authorization.k8s.io/v1 PolicyRule`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rule {
    #[serde(deserialize_with = "list")]
    pub(crate) verbs: Vec<String>,
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub(crate) api_groups: Vec<String>,
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub(crate) resources: Vec<String>,
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub(crate) resource_names: Vec<String>,
    #[serde(
        rename = "nonResourceURLs",
        deserialize_with = "list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) non_resource_urls: Vec<String>,
}

/// A list that may be null.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The rules of a role.
pub(crate) fn rules_of(role: &Value) -> Result<Vec<Rule>, serde_json::Error> {
    let rules = role.get("rules").unwrap_or(&Value::Null);
    Ok(Option::deserialize(rules)?.unwrap_or_default())
}

impl Rule {
    /// Everything on every object.
    pub(super) fn all_resources() -> Self {
        let any = || vec![ANY.to_owned()];
        Rule {
            verbs: any(),
            api_groups: any(),
            resources: any(),
            ..Rule::default()
        }
    }

    /// Everything on every other path.
    pub(super) fn all_paths() -> Self {
        let any = || vec![ANY.to_owned()];
        Rule {
            verbs: any(),
            non_resource_urls: any(),
            ..Rule::default()
        }
    }

    pub(crate) fn allows(&self, action: &Action) -> bool {
        match action {
            Action::Resource(action) => {
                has_or_any(&self.verbs, &action.verb)
                    && has_or_any(&self.api_groups, &action.group)
                    && self
                        .resources
                        .iter()
                        .any(|resource| is_resource(resource, action))
                    && (self.resource_names.is_empty() || self.resource_names.contains(&action.name))
            }
            Action::Path { verb, path } => {
                has_or_any(&self.verbs, verb)
                    && self.non_resource_urls.iter().any(|url| covers_path(url, path))
            }
        }
    }

    /// Whether everything that `other` allows is allowed by this rule. Both speak of objects or both of paths.
    fn covers(&self, other: &Rule) -> bool {
        let names = self.resource_names.is_empty()
            || (!other.resource_names.is_empty() && has_all(&self.resource_names, &other.resource_names));
        let covers_resource = |resource: &String| {
            let of_any = resource
                .split_once('/')
                .map(|(_, subresource)| format!("*/{subresource}"));
            let mut own = self.resources.iter();
            own.any(|own| own == ANY || own == resource || Some(own) == of_any.as_ref())
        };
        let covers_url = |url: &String| self.non_resource_urls.iter().any(|own| covers_path(own, url));
        names
            && (self.verbs.iter().any(|verb| verb == ANY) || has_all(&self.verbs, &other.verbs))
            && (self.api_groups.iter().any(|group| group == ANY)
                || has_all(&self.api_groups, &other.api_groups))
            && other.resources.iter().all(covers_resource)
            && other.non_resource_urls.iter().all(covers_url)
    }

    /// The rules that each allow one thing, and together what this one allows.
    fn single(&self) -> Vec<Rule> {
        let one = |text: &String| vec![text.clone()];
        let mut single = Vec::new();
        for (group, resource) in pairs(&self.api_groups, &self.resources) {
            for verb in &self.verbs {
                let rule = Rule {
                    verbs: one(verb),
                    api_groups: one(group),
                    resources: one(resource),
                    ..Rule::default()
                };
                let named = self.resource_names.iter().map(|name| Rule {
                    resource_names: one(name),
                    ..rule.clone()
                });
                single.extend(named);
                if self.resource_names.is_empty() {
                    single.push(rule);
                }
            }
        }
        single.extend(
            pairs(&self.non_resource_urls, &self.verbs).map(|(url, verb)| Rule {
                verbs: one(verb),
                non_resource_urls: one(url),
                ..Rule::default()
            }),
        );
        single
    }
}

/// What of `wanted` no rule of `held` covers, in few rules.
pub(super) fn missing(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let single = wanted.iter().flat_map(Rule::single);
    let uncovered = single.filter(|rule| !held.iter().any(|own| own.covers(rule)));
    let mut compact: Vec<Rule> = Vec::new();
    for rule in uncovered {
        // Rules on the same whole resource become one.
        let is_whole = |rule: &Rule| rule.resource_names.is_empty() && !rule.resources.is_empty();
        let same = compact.iter_mut().find(|known| {
            let is_same = known.api_groups == rule.api_groups && known.resources == rule.resources;
            is_same && is_whole(known) && is_whole(&rule)
        });
        match same {
            Some(known) => known.verbs.extend(rule.verbs),
            None => compact.push(rule),
        }
    }
    compact
}

/// As in the message on rights that are missing: `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let said = parts.iter().filter(|(_, values)| !values.is_empty());
        let said: Vec<String> = said
            .map(|(name, values)| format!("{name}:{}", quoted(values)))
            .collect();
        write!(f, "{{{}}}", said.join(", "))
    }
}

/// Strings as Go prints a list of them: `["a" "b"]`.
pub(super) fn quoted(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

fn is_resource(rule: &str, action: &ResourceAction) -> bool {
    if rule == ANY {
        return true;
    }
    if action.subresource.is_empty() {
        return rule == action.resource;
    }
    rule.split_once('/').is_some_and(|(resource, subresource)| {
        subresource == action.subresource && (resource == ANY || resource == action.resource)
    })
}

/// A trailing `*` stands for any rest.
fn covers_path(url: &str, path: &str) -> bool {
    url == path || (url.ends_with('*') && path.starts_with(url.trim_end_matches('*')))
}

fn has_or_any(list: &[String], wanted: &str) -> bool {
    list.iter().any(|entry| entry == ANY || entry == wanted)
}

fn has_all(list: &[String], wanted: &[String]) -> bool {
    wanted.iter().all(|entry| list.contains(entry))
}

fn pairs<'a>(first: &'a [String], second: &'a [String]) -> impl Iterator<Item = (&'a String, &'a String)> {
    first
        .iter()
        .flat_map(move |one| second.iter().map(move |other| (one, other)))
}
