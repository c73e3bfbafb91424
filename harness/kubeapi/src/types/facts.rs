//! What upstream's types say of their fields beyond OpenAPI.
//!
//! Owns the reading of `fields.txt`, which `tests/parity/server/fields` prints: a line for each type, with its fields.
//! Behind the name of a field stand `!`, `?` or `~`, its [`Presence`]; the name of its type of text; and its values.

use std::collections::HashMap;
use std::sync::LazyLock;

/// When a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Always, and as zero where nothing sets it.
    OrZero,
    /// Always, and as null where nothing sets it.
    OrNull,
    /// When it is not zero or empty.
    UnlessZero,
    /// When something sets it.
    WhenSet,
}

/// What is known of a field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fact {
    /// `None` for what its type lets expect.
    pub(super) presence: Option<Presence>,
    /// The name of its type of text, or of that of its elements: `v1.ServiceType`.
    pub(super) text: Option<&'static str>,
    /// The values that it may have, between `|`.
    values: Option<&'static str>,
}

impl Fact {
    /// The values that it may have, if they are known.
    pub(crate) fn values(&self) -> Option<Vec<&'static str>> {
        self.values.map(|values| values.split('|').collect())
    }
}

/// What is known of a field of a definition.
pub(crate) fn of(definition: &str, field: &str) -> Option<Fact> {
    static FACTS: LazyLock<HashMap<&str, HashMap<&str, Fact>>> = LazyLock::new(|| {
        let lines = include_str!("fields.txt").lines();
        lines.map(|line| read(line.split(' '))).collect()
    });
    FACTS.get(definition)?.get(field).copied()
}

fn read(mut words: impl Iterator<Item = &'static str>) -> (&'static str, HashMap<&'static str, Fact>) {
    let definition = words.next().unwrap_or_default();
    (definition, words.map(fact).collect())
}

/// `name!:v1.Type=A|B`.
fn fact(word: &'static str) -> (&'static str, Fact) {
    let (word, values) = split(word, '=');
    let (word, text) = split(word, ':');
    let presence = match word.as_bytes().last() {
        Some(b'!') => Some(Presence::OrZero),
        Some(b'?') => Some(Presence::OrNull),
        Some(b'~') => Some(Presence::UnlessZero),
        _ => None,
    };
    let name = word.trim_end_matches(['!', '?', '~']);
    (
        name,
        Fact {
            presence,
            text,
            values,
        },
    )
}

fn split(word: &'static str, at: char) -> (&'static str, Option<&'static str>) {
    match word.split_once(at) {
        Some((before, behind)) => (before, Some(behind)),
        None => (word, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::catalogue;

    #[test]
    fn a_fact_is_read_whole() {
        let fact = of("io.k8s.api.core.v1.ServiceSpec", "type").expect("a fact");
        assert_eq!(
            (fact.presence, fact.text),
            (Some(Presence::UnlessZero), Some("v1.ServiceType"))
        );
        let values = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
        assert_eq!(fact.values(), Some(values.to_vec()));
        let fact = of("io.k8s.api.core.v1.Event", "source").expect("a fact");
        assert_eq!(
            (fact.presence, fact.text, fact.values()),
            (Some(Presence::OrZero), None, None)
        );
        assert_eq!(of("io.k8s.api.core.v1.PodSpec", "containerz"), None);
    }

    /// Types that upstream has taken away since, or that were misread, would stay without notice.
    #[test]
    fn every_fact_of_a_type_is_one_of_its_fields() {
        let definitions = &catalogue().definitions;
        let known = include_str!("fields.txt").lines().filter_map(|line| {
            let (definition, _) = line.split_once(' ')?;
            Some((line, &definitions.get(definition)?["properties"]))
        });
        let mut seen = 0;
        for (line, properties) in known {
            let (_, facts) = read(line.split(' '));
            for field in facts.keys() {
                assert!(properties[field].is_object(), "{field} in {line}");
                seen += 1;
            }
        }
        assert!(seen > 800, "{seen}");
    }
}
