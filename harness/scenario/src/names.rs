//! Which words are names, and which known name a mistyped one is nearest to.

/// Whether the text is a DNS label (RFC 1123): at most 63 of `a-z 0-9 -`, no hyphen at either end.
pub(crate) fn is_dns_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether the text is a DNS label that begins with a letter, as names of flows, events and assertions must:
/// `500ms` in a timeline is then never the name of an event.
pub(crate) fn is_identifier(text: &str) -> bool {
    is_dns_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Whether the text is a DNS subdomain (RFC 1123): labels joined by points, at most 253 characters.
pub(crate) fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// Whether the text is the key of a Kubernetes annotation: `[prefix/]name`.
pub(crate) fn is_annotation_key(text: &str) -> bool {
    let (prefix, name) = text
        .split_once('/')
        .map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let ends_well = |c: char| c.is_ascii_alphanumeric();
    prefix.is_none_or(is_dns_subdomain)
        && (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && name.starts_with(ends_well)
        && name.ends_with(ends_well)
}

/// Whether the text names a Kubernetes resource as RBAC does: `plural[.group][/subresource]`.
pub(crate) fn is_resource(text: &str) -> bool {
    let (resource, subresource) = text
        .split_once('/')
        .map_or((text, None), |(resource, subresource)| {
            (resource, Some(subresource))
        });
    is_dns_subdomain(resource) && subresource.is_none_or(is_dns_label)
}

/// Whether the text can stand for names: a DNS label in which `*` and `?` are wildcards.
pub(crate) fn is_glob(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'*' | b'?');
    (1..=63).contains(&text.len()) && text.bytes().all(inner)
}

/// Whether a name matches a glob: `*` is any run of characters, `?` any one.
pub(crate) fn glob_matches(glob: &str, name: &str) -> bool {
    let (glob, name) = (glob.as_bytes(), name.as_bytes());
    let (mut g, mut n) = (0, 0);
    // Where to go on when a `*` must take one more character; only the last `*` ever needs it.
    let mut retry = None;
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                g += 1;
                retry = Some((g, n));
            }
            Some(b'?') => (g, n) = (g + 1, n + 1),
            Some(b) if *b == name[n] => (g, n) = (g + 1, n + 1),
            _ => {
                let Some((after_star, taken)) = retry else {
                    return false;
                };
                (g, n) = (after_star, taken + 1);
                retry = Some((g, n));
            }
        }
    }
    glob[g..].iter().all(|b| *b == b'*')
}

/// The candidate that a mistyped name most likely meant, if one is near.
pub(crate) fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let limit = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A hint for an unknown name: the nearest known one, else all of them. `kind` is a plural such as `sites`.
pub(crate) fn suggestion<'c>(
    name: &str,
    kind: &str,
    known: impl IntoIterator<Item = &'c str> + Clone,
) -> String {
    if let Some(candidate) = nearest(name, known.clone()) {
        return format!("did you mean `{candidate}`?");
    }
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() {
        format!("there are no {kind}")
    } else {
        format!("known {kind}: {}", known.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("*", "default", true)]
    #[case("biz*", "bizinternet", true)]
    #[case("*net", "bizinternet", true)]
    #[case("b*z*t", "bizinternet", true)]
    #[case("near-?", "near-1", true)]
    #[case("near-?", "near-12", false)]
    #[case("near", "near-1", false)]
    #[case("*-1", "near-12-1", true)]
    #[case("a*b", "aXbXc", false)]
    #[case("", "", true)]
    fn globs_match_whole_names(#[case] glob: &str, #[case] name: &str, #[case] matches: bool) {
        assert_eq!(glob_matches(glob, name), matches);
    }

    #[rstest]
    #[case("a", true)]
    #[case("3g", true)]
    #[case("near-1", true)]
    #[case("", false)]
    #[case("Near", false)]
    #[case("-near", false)]
    #[case("near-", false)]
    #[case("near_1", false)]
    #[case("a23456789012345678901234567890123456789012345678901234567890123", true)]
    #[case("a234567890123456789012345678901234567890123456789012345678901234", false)]
    fn dns_labels_follow_rfc_1123(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(is_dns_label(text), valid);
    }

    #[rstest]
    #[case("policy.sdwan.cisco.com/tunnel", true)]
    #[case("tunnel", true)]
    #[case("a/b/c", false)]
    #[case("/tunnel", false)]
    #[case("policy.sdwan.cisco.com/", false)]
    #[case("two words", false)]
    fn annotation_keys_have_an_optional_prefix(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(is_annotation_key(text), valid);
    }

    #[test]
    fn a_suggestion_is_the_nearest_name_or_all() {
        assert_eq!(
            suggestion("tunel", "keys", ["name", "tunnel"]),
            "did you mean `tunnel`?"
        );
        assert_eq!(
            suggestion("xyz", "sites", ["near", "far"]),
            "known sites: near, far"
        );
        assert_eq!(suggestion("xyz", "sites", []), "there are no sites");
    }
}
