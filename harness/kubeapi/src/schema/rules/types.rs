//! The types of what a rule says, as far as a schema tells them.
//!
//! Owns the problems that upstream's compiler finds with a rule before it is ever run: fields that the schema does not
//! have, names that nothing has, operands and results of the wrong type. What is not known here has any type.

use kube_cel::cel::common::ast::operators::{
    ADD, CONDITIONAL, DIVIDE, EQUALS, GREATER, GREATER_EQUALS, IN, INDEX, LESS, LESS_EQUALS, LOGICAL_AND,
    LOGICAL_NOT, LOGICAL_OR, MODULO, MULTIPLY, NEGATE, NOT_EQUALS, NOT_STRICTLY_FALSE, OPT_INDEX, OPT_SELECT,
    SUBSTRACT,
};
use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, SelectExpr};
use kube_cel::cel::parser::Expression;

use super::super::{Additional, Position, Schema, TYPE_AND_METADATA};
use super::two_variables::MAP_INSERT;
use super::{functions, values};

/// The type of a part of a rule.
#[derive(Debug, Clone, Copy)]
pub(super) enum Type<'a> {
    Any,
    Bool,
    Int,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    /// As a schema says: an object, a map or a list.
    Of(&'a Schema, Position),
    /// The metadata of an object, of which rules see names alone.
    Metadata,
}

impl PartialEq for Type<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Type::Of(one, _), Type::Of(other, _)) => std::ptr::eq(*one, *other),
            (Type::Any, Type::Any) | (Type::Metadata, Type::Metadata) => true,
            _ => self.name().is_some() && self.name() == other.name(),
        }
    }
}

impl<'a> Type<'a> {
    /// The type of what a schema is about.
    pub(super) fn of(schema: &'a Schema, position: Position) -> Self {
        match (schema.type_name.as_str(), schema.format.as_str()) {
            _ if schema.is_int_or_string => Type::Any,
            ("boolean", _) => Type::Bool,
            ("integer", _) => Type::Int,
            ("number", _) => Type::Double,
            ("string", "date" | "date-time" | "datetime") => Type::Timestamp,
            ("string", "duration") => Type::Duration,
            ("string", "byte") => Type::Bytes,
            ("string", _) => Type::String,
            ("object" | "array", _) => Type::Of(schema, position),
            _ => Type::Any,
        }
    }

    /// Its name, where it is one of a single value.
    fn name(self) -> Option<&'static str> {
        match self {
            Type::Bool => Some("bool"),
            Type::Int => Some("int"),
            Type::Double => Some("double"),
            Type::String => Some("string"),
            Type::Bytes => Some("bytes"),
            Type::Timestamp => Some("timestamp"),
            Type::Duration => Some("duration"),
            Type::Any | Type::Of(..) | Type::Metadata => None,
        }
    }

    fn is_known_and_not(self, other: Type<'_>) -> bool {
        self != Type::Any && self != other
    }

    /// What is in a list, or behind the keys of a map.
    fn inside(self) -> Type<'a> {
        let inner = match self {
            Type::Of(schema, _) => match (&schema.additional_properties, schema.items()) {
                (Some(Additional::Of(inner)), _) => Some(&**inner),
                (_, items) => items,
            },
            _ => None,
        };
        inner.map_or(Type::Any, |inner| Type::of(inner, Position::Inside))
    }

    fn is_list(self) -> bool {
        matches!(self, Type::Of(schema, _) if schema.type_name == "array")
    }

    fn is_map(self) -> bool {
        matches!(self, Type::Of(schema, _) if schema.additional_properties.is_some())
    }
}

/// The problems of a rule, and its type.
#[derive(Debug)]
pub(super) struct Check<'a> {
    /// What `self` and `oldSelf` are.
    own: Type<'a>,
    /// `oldSelf` may be absent.
    old_is_optional: bool,
    variables: Vec<(String, Type<'a>)>,
    pub(super) problems: Vec<String>,
}

impl<'a> Check<'a> {
    pub(super) fn new(own: Type<'a>, old_is_optional: bool) -> Self {
        Check {
            own,
            old_is_optional,
            variables: Vec::new(),
            problems: Vec::new(),
        }
    }

    pub(super) fn type_of(&mut self, expression: &Expression) -> Type<'a> {
        match &expression.expr {
            Expr::Literal(literal) => match literal {
                LiteralValue::Boolean(_) => Type::Bool,
                LiteralValue::Int(_) => Type::Int,
                LiteralValue::Double(_) => Type::Double,
                LiteralValue::String(_) => Type::String,
                LiteralValue::Bytes(_) => Type::Bytes,
                LiteralValue::UInt(_) | LiteralValue::Null => Type::Any,
            },
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::List(list) => {
                for element in &list.elements {
                    self.type_of(element);
                }
                Type::Any
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => Type::Any,
        }
    }

    fn name(&mut self, name: &str) -> Type<'a> {
        if let Some((_, found)) = self.variables.iter().rev().find(|(variable, _)| variable == name) {
            return *found;
        }
        match name {
            "self" => self.own,
            "oldSelf" if self.old_is_optional => Type::Any,
            "oldSelf" => self.own,
            name => {
                if !values::TYPES.contains(&name) {
                    self.problem(format!("undeclared reference to '{name}' (in container '')"));
                }
                Type::Any
            }
        }
    }

    fn select(&mut self, select: &SelectExpr) -> Type<'a> {
        let operand = self.type_of(&select.operand);
        let field = select.field.as_str();
        let found = match operand {
            Type::Any => Some(Type::Any),
            Type::Metadata => matches!(field, "name" | "generateName").then_some(Type::String),
            Type::Of(..) if operand.is_map() => Some(operand.inside()),
            Type::Of(schema, position) if schema.type_name == "object" => field_of(schema, position, field),
            _ => {
                let name = operand.name().unwrap_or("list");
                self.problem(format!("type '{name}' does not support field selection"));
                return Type::Any;
            }
        };
        if found.is_none() {
            self.problem(format!("undefined field '{field}'"));
        }
        match select.test {
            true => Type::Bool,
            false => found.unwrap_or(Type::Any),
        }
    }

    fn call(&mut self, call: &CallExpr) -> Type<'a> {
        if let Some(Expr::Ident(space)) = call.target.as_ref().map(|target| &target.expr)
            && functions::is_global(&format!("{space}.{}", call.func_name))
        {
            call.args.iter().for_each(|argument| {
                self.type_of(argument);
            });
            return Type::Any;
        }
        let target = call.target.as_ref().map(|target| self.type_of(target));
        let arguments: Vec<Type<'a>> = call.args.iter().map(|argument| self.type_of(argument)).collect();
        match (target, arguments.as_slice()) {
            (None, &[one, other]) => self.binary(&call.func_name, one, other),
            (None, &[condition, one, other]) if call.func_name == CONDITIONAL => {
                self.expect_bool(CONDITIONAL, condition);
                if one == other { one } else { Type::Any }
            }
            (None, &[one])
                if [LOGICAL_NOT, NEGATE, NOT_STRICTLY_FALSE].contains(&call.func_name.as_str()) =>
            {
                one
            }
            (target, arguments) => self.function(&call.func_name, target, arguments),
        }
    }

    fn binary(&mut self, operator: &str, one: Type<'a>, other: Type<'a>) -> Type<'a> {
        let names = one.name().zip(other.name());
        let is_number = |operand| matches!(operand, Type::Int | Type::Double);
        match operator {
            LOGICAL_AND | LOGICAL_OR => {
                self.expect_bool(operator, one);
                self.expect_bool(operator, other);
                Type::Bool
            }
            LESS | LESS_EQUALS | GREATER | GREATER_EQUALS | EQUALS | NOT_EQUALS => {
                let are_ordered =
                    is_number(one) && is_number(other) && ![EQUALS, NOT_EQUALS].contains(&operator);
                if let Some((left, right)) = names.filter(|_| one != other && !are_ordered) {
                    self.no_overload(operator, left, right);
                }
                Type::Bool
            }
            ADD | SUBSTRACT | MULTIPLY | DIVIDE | MODULO => {
                let is_time = |operand| matches!(operand, Type::Timestamp | Type::Duration);
                if let Some((left, right)) =
                    names.filter(|_| one != other && !(is_time(one) && is_time(other)))
                {
                    self.no_overload(operator, left, right);
                }
                if one == other && !is_time(one) {
                    one
                } else {
                    Type::Any
                }
            }
            INDEX => one.inside(),
            IN => Type::Bool,
            OPT_INDEX | OPT_SELECT => Type::Any,
            function => self.function(function, None, &[one, other]),
        }
    }

    fn function(&mut self, name: &str, target: Option<Type<'a>>, arguments: &[Type<'a>]) -> Type<'a> {
        if !functions::is_global(name) && !functions::is_member(name) && name != MAP_INSERT {
            self.problem(format!("undeclared reference to '{name}' (in container '')"));
            return Type::Any;
        }
        if let Some(found) = target.and_then(Type::name)
            && functions::is_of_strings(name)
            && found != "string"
        {
            let arguments: Vec<&str> = arguments.iter().map(|one| one.name().unwrap_or("dyn")).collect();
            self.problem(format!(
                "found no matching overload for '{name}' applied to '{found}.({})'",
                arguments.join(", ")
            ));
        }
        match name {
            "size" | "int" => Type::Int,
            "string" | "lowerAscii" | "upperAscii" | "trim" | "replace" | "substring" | "join" => {
                Type::String
            }
            "double" => Type::Double,
            "startsWith" | "endsWith" | "matches" | "isIP" | "isCIDR" | "isURL" | "isQuantity"
            | "hasValue" | "isSorted" => Type::Bool,
            _ => Type::Any,
        }
    }

    /// `all`, `exists`, `map` and their like, which the parser has unrolled.
    fn comprehension(&mut self, unrolled: &ComprehensionExpr) -> Type<'a> {
        let outside = self.variables.len();
        let range = self.type_of(&unrolled.iter_range);
        if let Some(name) = range.name() {
            self.problem(format!(
                "expression of type '{name}' cannot be range of a comprehension"
            ));
        }
        let element = match range.is_map() {
            true => Type::String,
            false => range.inside(),
        };
        let start = self.type_of(&unrolled.accu_init);
        if let Some(value) = &unrolled.iter_var2 {
            let key = match range.is_list() {
                true => Type::Int,
                false => element,
            };
            self.variables.push((unrolled.iter_var.clone(), key));
            self.variables.push((value.clone(), range.inside()));
        } else {
            self.variables.push((unrolled.iter_var.clone(), element));
        }
        self.variables.push((unrolled.accu_var.clone(), start));
        self.type_of(&unrolled.loop_step);
        let result = self.type_of(&unrolled.result);
        self.variables.truncate(outside);
        result
    }

    fn expect_bool(&mut self, operator: &str, operand: Type<'a>) {
        if operand.is_known_and_not(Type::Bool) {
            let found = operand.name().unwrap_or("object");
            self.problem(format!(
                "expected type 'bool' but found '{found}' as operand of '{operator}'"
            ));
        }
    }

    fn no_overload(&mut self, operator: &str, one: &str, other: &str) {
        self.problem(format!(
            "found no matching overload for '{operator}' applied to '({one}, {other})'"
        ));
    }

    fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }
}

fn field_of<'a>(schema: &'a Schema, position: Position, field: &str) -> Option<Type<'a>> {
    if TYPE_AND_METADATA.contains(&field) && position.owns(schema, field) {
        return Some(match field {
            "metadata" => Type::Metadata,
            _ => Type::String,
        });
    }
    let mut properties = schema.properties.iter();
    let (_, found) = properties.find(|(name, _)| values::escaped(name) == field)?;
    Some(Type::of(found, Position::Inside))
}
