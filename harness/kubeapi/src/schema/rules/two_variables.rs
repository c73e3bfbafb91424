//! The macros with two variables, which the parser does not know: `all(key, value, …)` and its like.
//!
//! Owns both forms of them: [`expanded`], which types and costs are read from, and [`runnable`], where the one variable
//! that the interpreter binds is an entry of the range, and stands for the two.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::cel::common::ast::operators::{
    ADD, CONDITIONAL, EQUALS, INDEX, LOGICAL_AND, LOGICAL_NOT, LOGICAL_OR, NOT_STRICTLY_FALSE,
};
use kube_cel::cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, ListExpr, LiteralValue, MapExpr, StructExpr,
};
use kube_cel::cel::extractors::Arguments;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::parser::Expression;
use kube_cel::cel::{Context, ExecutionError, ResolveResult, Value as CelValue};

/// The result so far, as the parser names it.
const SO_FAR: &str = "@result";
/// The entries of a list or map, as pairs.
const ENTRIES: &str = "@entries";
/// A map with another entry, or with those of another map.
pub(super) const MAP_INSERT: &str = "@mapInsert";

/// The expression with its macros unrolled.
pub(super) fn expanded(mut expression: Expression) -> Result<Expression, String> {
    let mut outcome = Ok(());
    for_each_part(
        &mut expression,
        &mut |part| match expanded(std::mem::take(part)) {
            Ok(unrolled) => *part = unrolled,
            Err(problem) => outcome = Err(problem),
        },
    );
    outcome?;
    let Expr::Call(call) = &mut expression.expr else {
        return Ok(expression);
    };
    let is_macro = match call.func_name.as_str() {
        "all" | "exists" | "existsOne" | "exists_one" => call.args.len() == 3,
        "transformList" | "transformMap" | "transformMapEntry" => matches!(call.args.len(), 3 | 4),
        _ => false,
    };
    let Some(range) = call.target.take_if(|_| is_macro) else {
        return Ok(expression);
    };
    let body = call.args.split_off(2);
    let names: Option<Vec<String>> = call.args.iter().map(name_of).collect();
    let Some([key, value]) = names.as_deref() else {
        return Err("ERROR: <input>: argument must be a simple name".to_owned());
    };
    let unrolled = Loop::of(&call.func_name, key, body);
    expression.expr = Expr::Comprehension(Box::new(ComprehensionExpr {
        iter_range: *range,
        iter_var: key.clone(),
        iter_var2: Some(value.clone()),
        accu_var: SO_FAR.to_owned(),
        accu_init: unrolled.start,
        loop_cond: unrolled.condition,
        loop_step: unrolled.step,
        result: unrolled.result,
    }));
    Ok(expression)
}

fn name_of(expression: &Expression) -> Option<String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name.clone()),
        _ => None,
    }
}

/// What a macro does with the entries.
struct Loop {
    start: Expression,
    condition: Expression,
    step: Expression,
    result: Expression,
}

impl Loop {
    fn of(name: &str, key: &str, mut body: Vec<Expression>) -> Self {
        let last = body.pop().unwrap_or_default();
        let filter = body.pop();
        let go_on = |so_far| call(NOT_STRICTLY_FALSE, [so_far]);
        let [start, condition, step, result] = match name {
            "all" => [
                truth(true),
                go_on(so_far()),
                call(LOGICAL_AND, [so_far(), last]),
                so_far(),
            ],
            "exists" => [
                truth(false),
                go_on(call(LOGICAL_NOT, [so_far()])),
                call(LOGICAL_OR, [so_far(), last]),
                so_far(),
            ],
            "existsOne" | "exists_one" => [
                whole(0),
                truth(true),
                call(CONDITIONAL, [last, call(ADD, [so_far(), whole(1)]), so_far()]),
                call(EQUALS, [so_far(), whole(1)]),
            ],
            other => {
                let (start, step) = match other {
                    "transformList" => (list([]), call(ADD, [so_far(), list([last])])),
                    "transformMap" => (empty_map(), call(MAP_INSERT, [so_far(), ident(key), last])),
                    _ => (empty_map(), call(MAP_INSERT, [so_far(), last])),
                };
                let step = match filter {
                    Some(filter) => call(CONDITIONAL, [filter, step, so_far()]),
                    None => step,
                };
                [start, truth(true), step, so_far()]
            }
        };
        Loop {
            start,
            condition,
            step,
            result,
        }
    }
}

/// The expression as the interpreter runs it: a loop has one variable.
pub(super) fn runnable(mut expression: Expression) -> Expression {
    for_each_part(&mut expression, &mut |part| {
        *part = runnable(std::mem::take(part))
    });
    if let Expr::Comprehension(unrolled) = &mut expression.expr
        && let Some(value) = unrolled.iter_var2.take()
    {
        let entry = format!("@entry{}", expression.id);
        let key = std::mem::replace(&mut unrolled.iter_var, entry.clone());
        for (at, name) in [(0, key), (1, value)] {
            let part = call(INDEX, [ident(&entry), whole(at)]);
            substitute(&mut unrolled.loop_step, &name, &part);
        }
        unrolled.iter_range = call(ENTRIES, [std::mem::take(&mut unrolled.iter_range)]);
    }
    expression
}

/// Puts `part` in place of the variable, except where a loop has one of the same name.
fn substitute(expression: &mut Expression, variable: &str, part: &Expression) {
    match &mut expression.expr {
        Expr::Ident(name) if name == variable => *expression = part.clone(),
        Expr::Comprehension(inner) if inner.iter_var == variable => {
            substitute(&mut inner.iter_range, variable, part);
            substitute(&mut inner.accu_init, variable, part);
        }
        _ => for_each_part(expression, &mut |inner| substitute(inner, variable, part)),
    }
}

fn for_each_part(expression: &mut Expression, change: &mut dyn FnMut(&mut Expression)) {
    match &mut expression.expr {
        Expr::Call(call) => {
            let target = call.target.as_deref_mut();
            target.into_iter().chain(&mut call.args).for_each(change);
        }
        Expr::Comprehension(unrolled) => {
            change(&mut unrolled.iter_range);
            change(&mut unrolled.accu_init);
            change(&mut unrolled.loop_cond);
            change(&mut unrolled.loop_step);
            change(&mut unrolled.result);
        }
        Expr::List(list) => list.elements.iter_mut().for_each(change),
        Expr::Map(MapExpr { entries }) | Expr::Struct(StructExpr { entries, .. }) => {
            for entry in entries {
                match &mut entry.expr {
                    EntryExpr::StructField(field) => change(&mut field.value),
                    EntryExpr::MapEntry(entry) => {
                        change(&mut entry.key);
                        change(&mut entry.value);
                    }
                }
            }
        }
        Expr::Select(select) => change(&mut select.operand),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn of(expr: Expr) -> Expression {
    Expression { id: 0, expr }
}

fn so_far() -> Expression {
    ident(SO_FAR)
}

fn ident(name: &str) -> Expression {
    of(Expr::Ident(name.to_owned()))
}

fn truth(truth: bool) -> Expression {
    of(Expr::Literal(LiteralValue::Boolean(truth.into())))
}

fn whole(number: i64) -> Expression {
    of(Expr::Literal(LiteralValue::Int(number.into())))
}

fn list<const N: usize>(elements: [Expression; N]) -> Expression {
    of(Expr::List(ListExpr::new(elements.into())))
}

fn empty_map() -> Expression {
    of(Expr::Map(MapExpr::default()))
}

fn call<const N: usize>(name: &str, arguments: [Expression; N]) -> Expression {
    of(Expr::Call(CallExpr {
        func_name: name.to_owned(),
        target: None,
        args: arguments.into(),
    }))
}

/// Adds what the runnable form calls.
pub(super) fn add_functions(context: &mut Context<'_>) {
    context.add_function(ENTRIES, entries);
    context.add_function(
        MAP_INSERT,
        |Arguments(arguments): Arguments| match &arguments[..] {
            [CelValue::Map(map), CelValue::Map(more)] => {
                let more = more.map.iter();
                inserted(map, more.map(|(key, value)| (key.clone(), value.clone())))
            }
            [CelValue::Map(map), key, value] => {
                let key = key
                    .clone()
                    .try_into()
                    .map_err(|_| ExecutionError::NoSuchOverload)?;
                inserted(map, [(key, value.clone())])
            }
            _ => Err(ExecutionError::NoSuchOverload),
        },
    );
}

fn entries(range: CelValue) -> ResolveResult {
    let pair = |key: CelValue, value: &CelValue| CelValue::List(Arc::new(vec![key, value.clone()]));
    let pairs = match &range {
        CelValue::List(elements) => (0..)
            .zip(&**elements)
            .map(|(at, value)| pair(CelValue::Int(at), value))
            .collect(),
        CelValue::Map(map) => map
            .map
            .iter()
            .map(|(key, value)| pair(key.into(), value))
            .collect(),
        _ => return Err(ExecutionError::NoSuchOverload),
    };
    Ok(CelValue::List(Arc::new(pairs)))
}

/// The map with more entries, of which it may have none.
fn inserted(map: &Map, more: impl IntoIterator<Item = (Key, CelValue)>) -> ResolveResult {
    let mut entries = HashMap::clone(&map.map);
    for (key, value) in more {
        let name = key.to_string();
        if entries.insert(key, value).is_some() {
            let problem = format!("insert failed: key {name} already exists");
            return Err(ExecutionError::function_error(MAP_INSERT, problem));
        }
    }
    Ok(CelValue::Map(Map {
        map: Arc::new(entries),
    }))
}
