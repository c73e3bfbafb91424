//! What a rule costs at most, as upstream estimates it from the sizes that its schema allows.
//!
//! Owns the walk over a rule; `calls` owns what functions cost. The estimate is upstream's to the unit where it can be:
//! whoever writes a definition meets the same limits.

use kube_cel::cel::common::ast::operators::{INDEX, OPT_INDEX, OPT_SELECT};
use kube_cel::cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, ListExpr, LiteralValue, MapExpr, SelectExpr,
};
use kube_cel::cel::parser::Expression;

use super::functions;
use super::sizes::{Place, Size};

/// What a new list and a new map cost.
const LIST_COST: u64 = 10;
const MAP_COST: u64 = 30;

/// The type of a part of a rule, as far as costs depend on it.
#[derive(Debug, Clone)]
pub(super) enum Kind<'a> {
    Any,
    /// A number, a truth, a time.
    Scalar,
    Text,
    Bytes,
    List(Box<Kind<'a>>),
    Map(Box<Kind<'a>>),
    /// A value with fields.
    Object(Place<'a>),
    Optional(Box<Kind<'a>>),
    /// A value that is compared at once, as an address.
    Atom,
    /// Any other.
    Other,
}

impl<'a> Kind<'a> {
    fn of(place: Place<'a>) -> Self {
        let Place::Of(schema, _) = place else {
            return match place {
                Place::Metadata => Kind::Object(place),
                _ => Kind::Text,
            };
        };
        let inside = || Box::new(place.inside().map_or(Kind::Any, Kind::of));
        match (schema.type_name.as_str(), schema.format.as_str()) {
            _ if schema.is_int_or_string => Kind::Any,
            ("array", _) => Kind::List(inside()),
            ("object", _) if place.keys().is_some() => Kind::Map(inside()),
            ("object", _) => Kind::Object(place),
            ("string", "byte") => Kind::Bytes,
            ("string", "duration" | "date" | "date-time") => Kind::Scalar,
            ("string", _) => Kind::Text,
            ("boolean" | "integer" | "number", _) => Kind::Scalar,
            _ => Kind::Any,
        }
    }

    fn field(&self, name: &str) -> Self {
        match self {
            Kind::Object(place) => place.field(name).map_or(Kind::Any, Kind::of),
            Kind::Map(value) => (**value).clone(),
            Kind::Optional(inner) => Kind::Optional(Box::new(inner.field(name))),
            _ => Kind::Any,
        }
    }

    /// What is in a list, a map or an optional value.
    pub(super) fn inside(&self) -> Self {
        match self {
            Kind::List(inner) | Kind::Map(inner) | Kind::Optional(inner) => (**inner).clone(),
            _ => Kind::Any,
        }
    }

    /// Of two that are alike, the one that is known.
    pub(super) fn or(&self, other: &Self) -> Self {
        match (self, other) {
            (Kind::Any, other) => other.clone(),
            (Kind::List(one), Kind::List(other)) => Kind::List(Box::new(one.or(other))),
            (known, _) => known.clone(),
        }
    }

    fn is_scalar(&self) -> bool {
        match self {
            Kind::Scalar => true,
            Kind::Optional(inner) => inner.is_scalar(),
            _ => false,
        }
    }
}

/// Where a value is read from.
#[derive(Debug, Clone, Copy)]
pub(super) enum At<'a> {
    /// Nowhere: it is computed.
    Nowhere,
    Place(Place<'a>),
    /// From something that the schema does not say.
    Unsaid,
}

/// What is known of a part of a rule.
#[derive(Debug, Clone)]
pub(super) struct Known<'a> {
    pub(super) cost: u64,
    pub(super) kind: Kind<'a>,
    pub(super) at: At<'a>,
    pub(super) size: Option<Size>,
    /// The sizes of the keys and of the values in it.
    pub(super) inside: Option<(Size, Size)>,
}

impl<'a> Known<'a> {
    /// A value that is computed.
    pub(super) fn computed(cost: u64, kind: Kind<'a>, size: Option<Size>) -> Self {
        Known::read(cost, kind, At::Nowhere, size)
    }

    fn read(cost: u64, kind: Kind<'a>, at: At<'a>, size: Option<Size>) -> Self {
        let said = match at {
            At::Place(place) => Some(Size::at_most(place.elements_max())),
            At::Nowhere | At::Unsaid => None,
        };
        let scalar = || kind.is_scalar().then(|| Size::exactly(1));
        let size = size.or(said).or_else(scalar);
        Known {
            cost,
            kind,
            at,
            size,
            inside: None,
        }
    }

    pub(super) fn size(&self) -> Size {
        self.size.unwrap_or(Size::UNKNOWN)
    }

    /// The size of each element of a list, by the schema.
    pub(super) fn element_size(&self) -> Size {
        match self.at {
            At::Place(place) => place.inside().map(|inner| Size::at_most(inner.elements_max())),
            At::Nowhere | At::Unsaid => None,
        }
        .unwrap_or(Size::UNKNOWN)
    }
}

/// The estimate of a rule on the values of a schema.
#[derive(Debug)]
pub(super) struct Estimate<'a> {
    root: Place<'a>,
    old_is_optional: bool,
    variables: Vec<(String, Known<'a>)>,
}

impl<'a> Estimate<'a> {
    pub(super) fn new(root: Place<'a>, old_is_optional: bool) -> Self {
        Estimate {
            root,
            old_is_optional,
            variables: Vec::new(),
        }
    }

    pub(super) fn of(&mut self, expression: &Expression) -> Known<'a> {
        match &expression.expr {
            Expr::Literal(literal) => Self::literal(literal),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(unrolled) => self.comprehension(unrolled),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Struct(_) | Expr::Unspecified => Known::computed(0, Kind::Any, None),
        }
    }

    fn literal(literal: &LiteralValue) -> Known<'a> {
        let (kind, size) = match literal {
            LiteralValue::String(text) => (Kind::Text, text.inner().chars().count()),
            LiteralValue::Bytes(bytes) => (Kind::Bytes, bytes.inner().len()),
            LiteralValue::Null => (Kind::Other, 1),
            _ => (Kind::Scalar, 1),
        };
        Known::computed(0, kind, Some(Size::exactly(size as u64)))
    }

    fn name(&self, name: &str) -> Known<'a> {
        let mut variables = self.variables.iter().rev();
        if let Some((_, variable)) = variables.find(|(variable, _)| variable == name) {
            let found = Known::read(1, variable.kind.clone(), variable.at, None);
            return Known {
                size: found.size.or(variable.size),
                inside: variable.inside,
                ..found
            };
        }
        let kind = match name {
            "self" => Kind::of(self.root),
            "oldSelf" if self.old_is_optional => Kind::Optional(Box::new(Kind::of(self.root))),
            "oldSelf" => Kind::of(self.root),
            _ => Kind::Other,
        };
        Known::read(1, kind, At::Place(self.root), None)
    }

    fn select(&mut self, select: &SelectExpr) -> Known<'a> {
        let operand = self.of(&select.operand);
        if select.test {
            return Known::computed(operand.cost, Kind::Scalar, None);
        }
        let step = u64::from(matches!(operand.kind, Kind::Map(_) | Kind::Object(_)));
        let kind = operand.kind.field(&select.field);
        let at = self.step(operand.at, |place| place.field(&select.field));
        Known::read(operand.cost.saturating_add(step), kind, at, None)
    }

    /// Upstream takes what is in a computed value for the root.
    fn step(&self, at: At<'a>, step: impl FnOnce(Place<'a>) -> Option<Place<'a>>) -> At<'a> {
        match at {
            At::Nowhere => At::Place(self.root),
            At::Place(place) => step(place).map_or(At::Unsaid, At::Place),
            At::Unsaid => At::Unsaid,
        }
    }

    fn call(&mut self, call: &CallExpr) -> Known<'a> {
        let mut name = call.func_name.clone();
        let mut target = call.target.as_deref();
        if let Some(Expr::Ident(space)) = target.map(|target| &target.expr)
            && functions::is_global(&format!("{space}.{name}"))
        {
            name = format!("{space}.{name}");
            target = None;
        }
        let arguments: Vec<Known<'a>> = call.args.iter().map(|argument| self.of(argument)).collect();
        let target = target.map(|target| self.of(target));
        match (name.as_str(), &arguments[..]) {
            (INDEX, [range, index]) => {
                let at = self.step(range.at, Place::inside);
                let size = range.inside.map(|(_, value)| value);
                let cost = range.cost.saturating_add(index.cost).saturating_add(1);
                Known::read(cost, range.kind.inside(), at, size)
            }
            (OPT_INDEX | OPT_SELECT, [operand, index]) => {
                let inner = match (&operand.kind, call.args.last().map(|last| &last.expr)) {
                    (Kind::Object(_), Some(Expr::Literal(LiteralValue::String(field)))) => {
                        operand.kind.field(field.inner())
                    }
                    (Kind::Optional(inner), Some(Expr::Literal(LiteralValue::String(field)))) => {
                        inner.field(field.inner())
                    }
                    (other, _) => other.inside(),
                };
                let cost = operand.cost.saturating_add(index.cost).saturating_add(1);
                Known::computed(cost, Kind::Optional(Box::new(inner)), None)
            }
            (name, arguments) => super::calls::known(name, target.as_ref(), arguments, &call.args),
        }
    }

    fn list(&mut self, list: &ListExpr) -> Known<'a> {
        let elements: Vec<Known<'a>> = list.elements.iter().map(|element| self.of(element)).collect();
        let kind = elements.first().map_or(Kind::Any, |first| first.kind.clone());
        let cost = sum(&elements).saturating_add(LIST_COST);
        let size = Some(Size::exactly(elements.len() as u64));
        Known {
            inside: Some((Size::exactly(1), united(&elements))),
            ..Known::computed(cost, Kind::List(Box::new(kind)), size)
        }
    }

    fn map(&mut self, map: &MapExpr) -> Known<'a> {
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for entry in &map.entries {
            if let EntryExpr::MapEntry(entry) = &entry.expr {
                keys.push(self.of(&entry.key));
                values.push(self.of(&entry.value));
            }
        }
        let kind = values.first().map_or(Kind::Any, |first| first.kind.clone());
        let cost = sum(&keys).saturating_add(sum(&values)).saturating_add(MAP_COST);
        let size = Some(Size::exactly(values.len() as u64));
        Known {
            inside: Some((united(&keys), united(&values))),
            ..Known::computed(cost, Kind::Map(Box::new(kind)), size)
        }
    }

    fn comprehension(&mut self, unrolled: &ComprehensionExpr) -> Known<'a> {
        let range = self.of(&unrolled.iter_range);
        let start = self.of(&unrolled.accu_init);
        let outside = self.variables.len();
        self.variables.push((unrolled.accu_var.clone(), start.clone()));
        self.bind_entry(&range, unrolled);
        let condition = self.of(&unrolled.loop_cond);
        let step = self.of(&unrolled.loop_step);
        self.variables.truncate(outside + 1);
        self.variables[outside].1.kind = start.kind.or(&step.kind);
        let result = self.of(&unrolled.result);
        self.variables.truncate(outside);
        let loops = range
            .size()
            .max
            .saturating_mul(step.cost.saturating_add(condition.cost));
        let before = range.cost.saturating_add(start.cost).saturating_add(result.cost);
        let (size, inside) = match &unrolled.accu_init.expr {
            Expr::List(_) | Expr::Map(_) => (Some(range.size()), step.inside),
            _ => (start.size, None),
        };
        Known {
            inside,
            ..Known::computed(before.saturating_add(loops), result.kind, size)
        }
    }

    /// The variables of a loop.
    fn bind_entry(&mut self, range: &Known<'a>, unrolled: &ComprehensionExpr) {
        let is_list = matches!(range.kind, Kind::List(_));
        let value = Known {
            size: range.inside.map(|(_, value)| value),
            ..Known::read(0, range.kind.inside(), self.step(range.at, Place::inside), None)
        };
        let key_kind = match &range.kind {
            Kind::Map(_) => Kind::Text,
            Kind::List(_) => Kind::Scalar,
            _ => Kind::Any,
        };
        let key = Known {
            size: range.inside.map(|(key, _)| key),
            ..Known::read(0, key_kind, self.step(range.at, Place::keys), None)
        };
        match &unrolled.iter_var2 {
            Some(second) => {
                self.variables.push((unrolled.iter_var.clone(), key));
                self.variables.push((second.clone(), value));
            }
            None => {
                let entry = if is_list { value } else { key };
                self.variables.push((unrolled.iter_var.clone(), entry));
            }
        }
    }
}

pub(super) fn sum(parts: &[Known<'_>]) -> u64 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(part.cost))
}

fn united(parts: &[Known<'_>]) -> Size {
    let sizes = parts.iter().map(Known::size);
    sizes.reduce(Size::or).unwrap_or(Size::exactly(0))
}
