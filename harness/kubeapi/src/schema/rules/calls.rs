//! What the functions and operators of a rule cost, and how large their results are.

use kube_cel::cel::common::ast::operators::{
    ADD, CONDITIONAL, EQUALS, GREATER, GREATER_EQUALS, IN, LESS, LESS_EQUALS, LOGICAL_AND, LOGICAL_OR,
    NOT_EQUALS,
};
use kube_cel::cel::common::ast::{Expr, LiteralValue};
use kube_cel::cel::parser::Expression;

use super::cost::{Kind, Known, sum};
use super::sizes::Size;
use super::two_variables::MAP_INSERT;

/// What one character of a text costs that is gone through.
const PER_CHARACTER: f64 = 0.1;
/// What one character of a regular expression costs, for each character that it is held against.
const PER_PATTERN_CHARACTER: f64 = 0.25;
/// The length of the patterns behind named formats.
const FORMAT_PATTERN: f64 = 128.0;
/// The bytes of two addresses that are compared, and of one.
const ADDRESSES: u64 = 32;
const ADDRESS: u64 = 16;

/// What is known of a call by what is known of its parts.
pub(super) fn known<'a>(
    name: &str,
    target: Option<&Known<'a>>,
    arguments: &[Known<'a>],
    written: &[Expression],
) -> Known<'a> {
    let parts = sum(arguments).saturating_add(target.map_or(0, |target| target.cost));
    let found = operator(name, arguments).unwrap_or_else(|| function(name, target, arguments, written));
    let cost = match name {
        // Of two branches, one is taken.
        CONDITIONAL => parts.saturating_sub(arguments[1..].iter().map(|one| one.cost).min().unwrap_or(0)),
        _ => parts,
    };
    Known {
        cost: found.cost.saturating_add(cost),
        ..found
    }
}

fn operator<'a>(name: &str, arguments: &[Known<'a>]) -> Option<Known<'a>> {
    let scalar = |cost| Some(Known::computed(cost, Kind::Scalar, None));
    match (name, arguments) {
        (LOGICAL_AND | LOGICAL_OR, _) => scalar(0),
        (CONDITIONAL, [_, one, other]) => Some(Known {
            inside: both_inside(one, other),
            ..Known::computed(0, one.kind.or(&other.kind), Some(one.size().or(other.size())))
        }),
        (ADD, [one, other]) => Some(added(one, other)),
        (EQUALS | NOT_EQUALS, [one, other]) => match (name, &one.kind, &other.kind) {
            (EQUALS, Kind::Atom, Kind::Atom) => scalar(1),
            _ => scalar(compared(one, other)),
        },
        (LESS | LESS_EQUALS | GREATER | GREATER_EQUALS, [one, other]) => match one.kind.or(&other.kind) {
            Kind::Text | Kind::Bytes => scalar(compared(one, other)),
            Kind::Any => scalar(compared(one, other).max(1)),
            _ => scalar(1),
        },
        (IN, [_, range]) => match range.kind {
            Kind::List(_) => scalar(range.size().max),
            Kind::Any => scalar(range.size().max.max(1)),
            _ => scalar(1),
        },
        ("dyn", [argument]) => Some(Known {
            inside: argument.inside,
            ..Known::computed(1, Kind::Any, argument.size)
        }),
        _ => None,
    }
}

/// The cost of going through the shorter of two values.
fn compared(one: &Known<'_>, other: &Known<'_>) -> u64 {
    scaled(one.size().max.min(other.size().max), PER_CHARACTER)
}

fn added<'a>(one: &Known<'a>, other: &Known<'a>) -> Known<'a> {
    let kind = one.kind.or(&other.kind);
    let size = one.size().plus(other.size());
    let joined = scaled(size.max, PER_CHARACTER);
    let (cost, size) = match kind {
        Kind::Text | Kind::Bytes => (joined, Some(size)),
        Kind::List(_) => (1, Some(size)),
        Kind::Any => (joined.max(1), Some(size)),
        _ => (1, None),
    };
    Known {
        inside: both_inside(one, other),
        ..Known::computed(cost, kind, size)
    }
}

fn both_inside(one: &Known<'_>, other: &Known<'_>) -> Option<(Size, Size)> {
    let ((key, value), (other_key, other_value)) = one.inside.zip(other.inside)?;
    Some((key.or(other_key), value.or(other_value)))
}

fn function<'a>(
    name: &str,
    target: Option<&Known<'a>>,
    arguments: &[Known<'a>],
    written: &[Expression],
) -> Known<'a> {
    let (cost, size) = match target {
        Some(target) => of_member(name, target, arguments, written),
        None => of_global(name, arguments),
    }
    .unwrap_or((1, None));
    Known::computed(cost, kind(name, target, arguments), size)
}

type Estimated = Option<(u64, Option<Size>)>;

fn of_global(name: &str, arguments: &[Known<'_>]) -> Estimated {
    let first = arguments.first()?;
    let size = first.size();
    let read = scaled(size.max, PER_CHARACTER);
    let product = |other: &Known<'_>| size.max.saturating_mul(other.size().max);
    Some(match (name, arguments) {
        ("cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver", _) => {
            (read, None)
        }
        ("ip.isCanonical", _) => (scaled(size.max, 2.0 * PER_CHARACTER), None),
        ("url" | "jsonpatch.escapeKey", [_]) => (read, Some(size)),
        ("strings.quote", [_]) => (read, Some(size.plus(size).plus(Size::exactly(2)))),
        ("string", [_]) if matches!(first.kind, Kind::Bytes) => (read, Some(size)),
        ("string", [_]) if matches!(first.kind, Kind::Any) => (read.max(1), None),
        ("bytes", [_]) if matches!(first.kind, Kind::Text) => {
            (read, Some(size.times(Size { min: 1, max: 4 })))
        }
        ("sets.contains" | "sets.intersects", [_, other]) => (product(other).saturating_add(1), None),
        ("sets.equivalent", [_, other]) => (product(other).saturating_mul(2).saturating_add(1), None),
        _ => return None,
    })
}

fn of_member(name: &str, target: &Known<'_>, arguments: &[Known<'_>], written: &[Expression]) -> Estimated {
    let size = target.size();
    let read = scaled(size.max, PER_CHARACTER);
    let read_twice = scaled(size.max, 2.0 * PER_CHARACTER);
    let matched = |pattern: &Known<'_>| {
        let characters = scaled(size.max.saturating_add(1), PER_CHARACTER);
        characters.saturating_mul(scaled(pattern.size().max, PER_PATTERN_CHARACTER))
    };
    Some(match (name, arguments) {
        ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", _) => match &target.kind {
            Kind::List(inner) => {
                let each = match **inner {
                    Kind::Text | Kind::Bytes => scaled(target.element_size().max, PER_CHARACTER),
                    _ => 0,
                };
                (size.max.saturating_mul(each.saturating_add(1)), None)
            }
            _ => (read, None),
        },
        ("lowerAscii" | "upperAscii" | "substring" | "trim", _) => (read, Some(size)),
        ("replace", [from, to, ..]) => (read_twice, Some(replaced(size, from.size(), to.size()))),
        ("split", _) => {
            let pieces = written.get(1).and_then(literal).unwrap_or(size.max);
            (read_twice, Some(Size::at_most(pieces)))
        }
        ("join", _) => {
            let size = joined(target, arguments.first());
            (scaled(size.max, PER_CHARACTER), Some(size))
        }
        ("find" | "findAll", [pattern, ..]) => (matched(pattern), Some(Size::at_most(size.max))),
        ("matches", [pattern]) => (matched(pattern), None),
        ("contains", [part]) => (read.saturating_mul(scaled(part.size().max, PER_CHARACTER)), None),
        ("startsWith" | "endsWith", [part]) => (scaled(part.size().max, PER_CHARACTER), None),
        ("containsIP", [other]) => (
            scaled(ADDRESSES, PER_CHARACTER).saturating_add(parsed(other)),
            None,
        ),
        ("containsCIDR", [other]) => {
            let compared = scaled(ADDRESSES, PER_CHARACTER) + scaled(ADDRESS, PER_CHARACTER) + 1;
            (compared.saturating_add(parsed(other)), None)
        }
        ("validate", [text]) => {
            let read = scaled(text.size().max, PER_CHARACTER);
            (scaled(read, FORMAT_PATTERN * PER_PATTERN_CHARACTER), None)
        }
        ("format", _) => (read, None),
        _ => return None,
    })
}

/// What an address costs that is still a text.
fn parsed(other: &Known<'_>) -> u64 {
    match other.kind {
        Kind::Text | Kind::Any => scaled(other.size().max, PER_CHARACTER),
        _ => 0,
    }
}

fn joined(list: &Known<'_>, separator: Option<&Known<'_>>) -> Size {
    let size = list.size();
    let between = Size {
        min: size.min.saturating_sub(1),
        max: size.max.saturating_sub(1),
    };
    let separators = separator.map_or(Size::exactly(0), |separator| separator.size().times(between));
    size.times(list.element_size()).plus(separators)
}

/// The length of a text in which some parts are replaced by others.
fn replaced(text: Size, from: Size, to: Size) -> Size {
    let (count_max, kept_max) = match from.min {
        // Nothing is found before each character, and behind the last.
        0 => (text.max.saturating_add(1), text.max),
        least if to.max <= least => (0, text.max),
        least => (text.max.div_ceil(least), 0),
    };
    let (count_min, kept_min) = match from.max {
        0 => (text.min.saturating_add(1), text.min),
        most if most <= to.min => (0, text.min),
        most => (text.min.div_ceil(most), 0),
    };
    let count = Size {
        min: count_min,
        max: count_max,
    };
    count.times(to).plus(Size {
        min: kept_min,
        max: kept_max,
    })
}

fn literal(expression: &Expression) -> Option<u64> {
    match &expression.expr {
        Expr::Literal(LiteralValue::Int(number)) => Some(number.inner().cast_unsigned()),
        _ => None,
    }
}

fn kind<'a>(name: &str, target: Option<&Known<'a>>, arguments: &[Known<'a>]) -> Kind<'a> {
    let list = |of| Kind::List(Box::new(of));
    let own = || target.map_or(Kind::Any, |target| target.kind.clone());
    let first = || arguments.first().map_or(Kind::Any, |first| first.kind.clone());
    match name {
        "string"
        | "lowerAscii"
        | "upperAscii"
        | "trim"
        | "replace"
        | "substring"
        | "join"
        | "charAt"
        | "find"
        | "format"
        | "getScheme"
        | "getHost"
        | "getHostname"
        | "getPort"
        | "getEscapedPath"
        | "strings.quote"
        | "jsonpatch.escapeKey" => Kind::Text,
        "split" | "findAll" => list(Kind::Text),
        "getQuery" => Kind::Map(Box::new(list(Kind::Text))),
        "bytes" | "base64.decode" => Kind::Bytes,
        "validate" => Kind::Optional(Box::new(list(Kind::Text))),
        "ip" | "cidr" | "masked" | "quantity" | "semver" | "add" | "sub" => Kind::Atom,
        "url" | "type" | "format.named" => Kind::Other,
        "min" | "max" | "sum" | "value" | "orValue" => own().inside(),
        "first" | "last" => Kind::Optional(Box::new(own().inside())),
        "or" | "slice" | "flatten" | "reverse" | "distinct" | "sort" => own(),
        "lists.range" => list(Kind::Scalar),
        "optional.of" | "optional.ofNonZeroValue" => Kind::Optional(Box::new(first())),
        "optional.none" => Kind::Optional(Box::new(Kind::Any)),
        MAP_INSERT => match arguments {
            [_, _, value] => Kind::Map(Box::new(value.kind.clone())),
            _ => arguments.last().map_or(Kind::Any, |last| last.kind.clone()),
        },
        _ if name.starts_with('_') && arguments.iter().all(|one| matches!(one.kind, Kind::Any)) => Kind::Any,
        _ => Kind::Scalar,
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as upstream: rounded up, and at most the greatest number"
)]
fn scaled(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}
