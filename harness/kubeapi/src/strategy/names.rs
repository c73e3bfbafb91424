//! The syntax of names, labels and keys, with what upstream says of those that break it.
//!
//! Every rule returns its complaints about one text, none if it keeps the rule.

/// What every rule has been given in upstream's words: the forms, and examples of them.
struct Form {
    told: &'static str,
    examples: &'static [&'static str],
    regex: &'static str,
}

const LABEL_MAX: usize = 63;
const PORT_NAME_MAX: usize = 15;
const SUBDOMAIN_MAX: usize = 253;

const LABEL: Form = Form {
    told: "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
           and end with an alphanumeric character",
    examples: &["my-name", "123-abc"],
    regex: "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
};
const SERVICE_LABEL: Form = Form {
    told: "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
           character, and end with an alphanumeric character",
    examples: &["my-name", "abc-123"],
    regex: "[a-z]([-a-z0-9]*[a-z0-9])?",
};
const SUBDOMAIN: Form = Form {
    told: "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
           start and end with an alphanumeric character",
    examples: &["example.com"],
    regex: r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
};
const QUALIFIED_NAME: Form = Form {
    told: "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
           character",
    examples: &["MyName", "my.name", "123-abc"],
    regex: "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]",
};
const LABEL_VALUE: Form = Form {
    told: "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
           start and end with an alphanumeric character",
    examples: &["MyValue", "my_value", "12345"],
    regex: "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
};
const CONFIG_KEY: Form = Form {
    told: "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    examples: &["key.name", "KEY_NAME", "key-name"],
    regex: "[-._a-zA-Z0-9]+",
};

impl Form {
    fn complaint(&self) -> String {
        let examples: Vec<String> = self
            .examples
            .iter()
            .map(|example| format!("'{example}', "))
            .collect();
        let (told, regex) = (self.told, self.regex);
        format!(
            "{told} (e.g. {}regex used for validation is '{regex}')",
            examples.join(" or ")
        )
    }
}

/// RFC 1123 subdomain.
pub(super) fn subdomain(name: &str) -> Vec<String> {
    let keeps = name.split('.').all(is_label_of_any_length);
    complaints(name, SUBDOMAIN_MAX, keeps, &SUBDOMAIN)
}

/// RFC 1123 label.
pub(super) fn label(name: &str) -> Vec<String> {
    let keeps = is_label_of_any_length(name);
    if !keeps && name.len() <= SUBDOMAIN_MAX && name.split('.').all(is_label_of_any_length) {
        let mut complaints = too_long(name, LABEL_MAX);
        complaints.push("must not contain dots".to_owned());
        return complaints;
    }
    complaints(name, LABEL_MAX, keeps, &LABEL)
}

/// RFC 1035 label: as an RFC 1123 one, and it starts with a letter.
pub(crate) fn service_label(name: &str) -> Vec<String> {
    let keeps = is_label_of_any_length(name) && name.starts_with(|c: char| c.is_ascii_lowercase());
    complaints(name, LABEL_MAX, keeps, &SERVICE_LABEL)
}

/// Anything that can stand in a path.
pub(super) fn path_segment(name: &str) -> Vec<String> {
    match name {
        "." | ".." => vec![format!("may not be '{name}'")],
        _ => ['/', '%']
            .into_iter()
            .filter(|&illegal| name.contains(illegal))
            .map(|illegal| format!("may not contain '{illegal}'"))
            .collect(),
    }
}

/// A name with an optional subdomain in front of it, as the keys of labels have it.
pub(super) fn qualified_name(key: &str) -> Vec<String> {
    let parts: Vec<&str> = key.split('/').collect();
    let (prefix, name) = match parts[..] {
        [name] => (None, name),
        [prefix, name] => (Some(prefix), name),
        _ => {
            let complaint = QUALIFIED_NAME.complaint();
            return vec![format!(
                "a qualified name {complaint} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    let mut found: Vec<String> = match prefix {
        None => Vec::new(),
        Some("") => vec!["prefix part must be non-empty".to_owned()],
        Some(prefix) => subdomain(prefix)
            .into_iter()
            .map(|complaint| format!("prefix part {complaint}"))
            .collect(),
    };
    if name.is_empty() {
        found.push("name part must be non-empty".to_owned());
    }
    let of_name = complaints(name, LABEL_MAX, is_name_part(name), &QUALIFIED_NAME);
    found.extend(
        of_name
            .into_iter()
            .map(|complaint| format!("name part {complaint}")),
    );
    found
}

/// A name of a port of a container.
pub(super) fn port_name(name: &str) -> Vec<String> {
    let is_of = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let rules = [
        (name.len() <= PORT_NAME_MAX, "must be no more than 15 characters"),
        (
            !name.is_empty() && name.bytes().all(is_of),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (
            name.bytes().any(|byte| byte.is_ascii_lowercase()),
            "must contain at least one letter (a-z)",
        ),
        (!name.contains("--"), "must not contain consecutive hyphens"),
        (
            !name.starts_with('-') && !name.ends_with('-'),
            "must not begin or end with a hyphen",
        ),
    ];
    let broken = rules.into_iter().filter(|(keeps, _)| !keeps);
    broken.map(|(_, complaint)| complaint.to_owned()).collect()
}

pub(super) fn label_value(value: &str) -> Vec<String> {
    complaints(
        value,
        LABEL_MAX,
        value.is_empty() || is_name_part(value),
        &LABEL_VALUE,
    )
}

/// A key of a ConfigMap or a Secret, which may become the name of a file.
pub(super) fn config_key(key: &str) -> Vec<String> {
    let keeps = !key.is_empty() && key.bytes().all(is_name_byte);
    let mut found = complaints(key, SUBDOMAIN_MAX, keeps, &CONFIG_KEY);
    match key {
        "." | ".." => found.push(format!("must not be '{key}'")),
        _ if key.starts_with("..") => found.push("must not start with '..'".to_owned()),
        _ => {}
    }
    found
}

fn complaints(text: &str, bytes_max: usize, keeps: bool, form: &Form) -> Vec<String> {
    let mut found = too_long(text, bytes_max);
    if !keeps {
        found.push(form.complaint());
    }
    found
}

fn too_long(text: &str, bytes_max: usize) -> Vec<String> {
    let complaint = || format!("must be no more than {bytes_max} characters");
    (text.len() > bytes_max).then(complaint).into_iter().collect()
}

pub(crate) fn is_subdomain(name: &str) -> bool {
    name.len() <= SUBDOMAIN_MAX && name.split('.').all(is_label_of_any_length)
}

fn is_label_of_any_length(name: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.bytes().all(|byte| alphanumeric(&byte) || byte == b'-')
        && name.as_bytes().first().is_some_and(alphanumeric)
        && name.as_bytes().last().is_some_and(alphanumeric)
}

fn is_name_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && text.bytes().all(is_name_byte)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_form_and_length() {
        let long = "x".repeat(64);
        type Rule = fn(&str) -> Vec<String>;
        for (rule, name, expected) in [
            (subdomain as Rule, "a.b-c.0", None),
            (subdomain, "a..b", Some("a lowercase RFC 1123 subdomain must")),
            (subdomain, "", Some("a lowercase RFC 1123 subdomain must")),
            (label, "0-a", None),
            (label, "a.b", Some("must not contain dots")),
            (label, "A", Some("a lowercase RFC 1123 label must")),
            (label, &long, Some("must be no more than 63 characters")),
            (service_label, "1a", Some("a DNS-1035 label must")),
            (path_segment, "a:b", None),
            (path_segment, "..", Some("may not be '..'")),
            (path_segment, "a%b", Some("may not contain '%'")),
            (qualified_name, "Example_1", None),
            (qualified_name, "example.com/Name", None),
            (qualified_name, "a/b/c", Some("a qualified name must")),
            (qualified_name, "/b", Some("prefix part must be non-empty")),
            (
                qualified_name,
                "A/b",
                Some("prefix part a lowercase RFC 1123 subdomain must"),
            ),
            (qualified_name, "a/", Some("name part must be non-empty")),
            (
                qualified_name,
                &long,
                Some("name part must be no more than 63 characters"),
            ),
            (label_value, "", None),
            (label_value, "-", Some("a valid label must")),
            (port_name, "http-2", None),
            (port_name, "80", Some("must contain at least one letter")),
            (port_name, "Web", Some("must contain only alpha-numeric")),
            (port_name, "a--b", Some("must not contain consecutive")),
            (port_name, &long, Some("must be no more than 15")),
            (config_key, "a_B-c.d", None),
            (config_key, "..a", Some("must not start with '..'")),
            (config_key, "a b", Some("a valid config key must")),
        ] {
            let found = rule(name);
            let starts = |expected: &str| found.first().is_some_and(|told| told.starts_with(expected));
            match expected {
                None => assert!(found.is_empty(), "{name}: {found:?}"),
                Some(expected) => assert!(starts(expected), "{name}: {found:?}"),
            }
        }
    }

    #[test]
    fn complaints_name_the_examples_and_the_regex() {
        assert_eq!(
            label("A"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
              and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
              '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
    }
}
