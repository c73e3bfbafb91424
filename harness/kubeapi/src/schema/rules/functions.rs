//! The names of what rules can call.

/// Functions by their whole names.
const GLOBAL: &str = "\
    base64.decode base64.encode bytes cidr double duration format.byte format.date format.datetime \
    format.dns1035Label format.dns1035LabelPrefix format.dns1123Label format.dns1123LabelPrefix \
    format.dns1123Subdomain format.dns1123SubdomainPrefix format.labelValue format.named \
    format.qualifiedName format.uri format.uuid int ip ip.isCanonical isCIDR isCIDRv4 isCIDRv6 isIP isIPv4 \
    isIPv6 isQuantity isSemver isURL jsonpatch.escapeKey lists.range math.abs math.bitAnd math.bitNot \
    math.bitOr math.bitShiftLeft math.bitShiftRight math.bitXor math.ceil math.floor math.greatest \
    math.isFinite math.isInf math.isNaN math.least math.round math.sign math.sqrt math.trunc max min \
    optional.none optional.of optional.ofNonZeroValue quantity semver sets.contains sets.equivalent \
    sets.intersects size string strings.quote timestamp type uint url";

/// Functions behind a value.
const MEMBERS: &str = "\
    add asApproximateFloat asInteger charAt compareTo contains containsCIDR containsIP distinct endsWith family \
    find findAll first flatten format getDate getDayOfMonth getDayOfWeek getDayOfYear getEscapedPath \
    getFullYear getHost getHostname getHours getMilliseconds getMinutes getMonth getPort getQuery getScheme \
    getSeconds hasValue indexOf isGlobalUnicast isGreaterThan isInteger isLessThan isLinkLocalMulticast \
    isLinkLocalUnicast isLoopback isSorted isUnspecified join last lastIndexOf lowerAscii major masked \
    matches max min minor or orValue patch prefixLength replace reverse sign size slice \
    sort split startsWith string sub substring sum trim upperAscii validate value";

/// Those behind a text alone.
const OF_STRINGS: &str = "\
    charAt endsWith find findAll format lowerAscii matches replace split startsWith substring trim \
    upperAscii";

pub(super) fn is_global(name: &str) -> bool {
    has(GLOBAL, name)
}

pub(super) fn is_member(name: &str) -> bool {
    has(MEMBERS, name)
}

pub(super) fn is_of_strings(name: &str) -> bool {
    has(OF_STRINGS, name)
}

fn has(names: &str, name: &str) -> bool {
    names.split_ascii_whitespace().any(|one| one == name)
}

#[cfg(test)]
mod tests {
    use kube_cel::cel::ExecutionError;

    use super::super::{FUNCTIONS, parse};
    use super::*;

    /// Whether a call with the wrong arguments fails for another reason than its name.
    fn is_there(call: &str) -> bool {
        let expression = parse(call).expect("a call");
        let outcome = FUNCTIONS.with(|functions| expression.run(functions));
        !matches!(outcome, Err(ExecutionError::UndeclaredReference(_)))
    }

    #[test]
    fn every_function_that_is_named_is_there() {
        for name in GLOBAL.split_ascii_whitespace() {
            assert!(is_there(&format!("{name}('')")), "{name}");
        }
        for name in MEMBERS.split_ascii_whitespace() {
            assert!(is_there(&format!("''.{name}('')")), "{name}");
        }
        for name in OF_STRINGS.split_ascii_whitespace() {
            assert!(is_member(name), "{name}");
        }
        assert!(!is_there("shout('')") && !is_there("''.shout('')"));
    }
}
