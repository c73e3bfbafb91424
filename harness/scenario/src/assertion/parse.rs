//! The parser of assertions: recursive descent over [`super::lex`]'s tokens, one token ahead. What is claimed is read
//! in [`clause`], when in [`window`].

mod clause;
mod window;

use std::ops::RangeInclusive;
use std::time::Duration;

use thiserror::Error;

use super::lex::{Token, tokens};
use super::{Amount, DirectionSelector, FlowSelector, Formula, PointPattern, Quantifier, Window};
use crate::names;
use crate::quantity::{QuantityError, parse_duration};

/// Why a text is no assertion.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ParseError {
    /// Where in the text, in bytes.
    pub offset: usize,
    /// Length of the offending part in bytes; 0 at the end of the text.
    pub length: usize,
    /// What was expected and what was found.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// A name that an assertion uses, for checking against what the scenario declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) what: Mentioned,
    pub(crate) offset: usize,
    pub(crate) length: usize,
}

/// What a [`Mention`] names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mentioned {
    Flow(String),
    Event(String),
    Phase(String),
    Points(PointPattern),
}

impl Formula {
    /// Reads an assertion.
    ///
    /// # Errors
    /// When the text does not follow the grammar of [`crate::assertion`].
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse_with_mentions(text).map(|(formula, _)| formula)
    }
}

/// Reads an assertion and lists the names in it, in the order of the text.
pub(crate) fn parse_with_mentions(text: &str) -> Result<(Formula, Vec<Mention>), ParseError> {
    let mut parser = Parser {
        tokens: tokens(text),
        next: 0,
        end: text.trim_end().len(),
        mentions: Vec::new(),
    };
    let formula = parser.formula()?;
    Ok((formula, parser.mentions))
}

const CLAUSE_WORDS: [&str; 9] = [
    "via",
    "avoiding",
    "at",
    "along",
    "delivered",
    "dropped",
    "encapsulated",
    "dscp",
    "same",
];
const CLAUSE_FORM: &str =
    "`via`, `avoiding`, `at`, `along`, `delivered`, `dropped`, `encapsulated`, `dscp` or `same path`";
const EVENT_FORM: &str = "the name of an event";

struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    next: usize,
    end: usize,
    mentions: Vec<Mention>,
}

impl<'t> Parser<'t> {
    fn formula(&mut self) -> Result<Formula, ParseError> {
        let quantifier = self.quantifier()?;
        let flow = self.flow()?;
        let mut clauses = vec![self.clause(CLAUSE_FORM)?];
        while self.peek().is_some_and(|t| CLAUSE_WORDS.contains(&t.text)) {
            clauses.push(self.clause(CLAUSE_FORM)?);
        }
        let unless = if self.accept("unless") {
            Some(self.exemption()?)
        } else {
            None
        };
        let window = if self.accept("when") {
            Some(self.window()?)
        } else {
            None
        };
        if self.peek().is_some() {
            return Err(self.unexpected(could_follow(unless.is_some(), window.as_ref())));
        }
        Ok(Formula {
            quantifier,
            flow,
            clauses,
            unless,
            window: window.unwrap_or(Window::Always),
        })
    }

    fn quantifier(&mut self) -> Result<Quantifier, ParseError> {
        const FORM: &str = "`all`, `no`, `some`, `at least` or `at most`";
        let token = self.word(FORM)?;
        match token.text {
            "all" => Ok(Quantifier::All),
            "no" => Ok(Quantifier::No),
            "some" => Ok(Quantifier::Some),
            "at" => {
                let bound = self.word("`least` or `most`")?;
                match bound.text {
                    "least" => self.amount().map(Quantifier::AtLeast),
                    "most" => self.amount().map(Quantifier::AtMost),
                    _ => Err(found(bound, "`least` or `most`", &["least", "most"])),
                }
            }
            _ => Err(found(token, FORM, &["all", "no", "some", "at"])),
        }
    }

    fn amount(&mut self) -> Result<Amount, ParseError> {
        const FORM: &str = "a number or a percentage such as `95%`";
        let token = self.word(FORM)?;
        let amount = match token.text.strip_suffix('%') {
            Some(number) => number.parse().ok().and_then(percent),
            None => token.text.parse().ok().map(Amount::Count),
        };
        amount
            .filter(|_| token.text.starts_with(|c: char| c.is_ascii_digit()))
            .ok_or_else(|| {
                let hint = token
                    .text
                    .ends_with('%')
                    .then(|| "a percentage is between 0% and 100%".to_owned());
                ParseError {
                    hint,
                    ..found(token, FORM, &[])
                }
            })
    }

    fn flow(&mut self) -> Result<FlowSelector, ParseError> {
        const FORM: &str = "the name of a flow, `!` and a name, or `any`";
        if self.accept("any") {
            return Ok(FlowSelector::Any);
        }
        if self.accept("!") {
            return self.flow_name("the name of a flow").map(FlowSelector::Except);
        }
        let name = self.flow_name(FORM)?;
        if !self.accept(".") {
            return Ok(FlowSelector::Flow(name, DirectionSelector::Request));
        }
        let suffix = self.word("`reply` or `both`")?;
        match suffix.text {
            "reply" => Ok(FlowSelector::Flow(name, DirectionSelector::Reply)),
            "both" => Ok(FlowSelector::Flow(name, DirectionSelector::Both)),
            _ => Err(found(suffix, "`reply` or `both`", &["reply", "both"])),
        }
    }

    fn flow_name(&mut self, form: &str) -> Result<String, ParseError> {
        let token = self.name(form)?;
        self.mention(token, Mentioned::Flow(token.text.to_owned()));
        Ok(token.text.to_owned())
    }

    fn event(&mut self) -> Result<String, ParseError> {
        let token = self.name(EVENT_FORM)?;
        self.mention(token, Mentioned::Event(token.text.to_owned()));
        Ok(token.text.to_owned())
    }

    fn duration(&mut self) -> Result<Duration, ParseError> {
        let token = self.word("a duration such as `500ms`")?;
        parse_duration(token.text).map_err(|error| {
            let hint = matches!(error, QuantityError::Duration(_))
                .then(|| "a duration is a number and one of the units us, ms, s, m".to_owned());
            ParseError {
                message: error.to_string(),
                hint,
                ..found(token, "", &[])
            }
        })
    }

    fn mention(&mut self, token: Token<'t>, what: Mentioned) {
        self.mentions.push(Mention {
            what,
            offset: token.offset,
            length: token.text.len(),
        });
    }

    fn peek(&self) -> Option<Token<'t>> {
        self.tokens.get(self.next).copied()
    }

    fn accept(&mut self, text: &str) -> bool {
        let accepted = self.peek().is_some_and(|token| token.text == text);
        self.next += usize::from(accepted);
        accepted
    }

    fn expect(&mut self, text: &str) -> Result<(), ParseError> {
        if self.accept(text) {
            Ok(())
        } else {
            Err(self.unexpected(&format!("`{text}`")))
        }
    }

    /// The next token, whatever it is.
    fn word(&mut self, form: &str) -> Result<Token<'t>, ParseError> {
        let token = self.peek().ok_or_else(|| self.unexpected(form))?;
        self.next += 1;
        Ok(token)
    }

    fn name(&mut self, form: &str) -> Result<Token<'t>, ParseError> {
        let token = self.word(form)?;
        if names::is_identifier(token.text) {
            Ok(token)
        } else {
            Err(found(token, form, &[]))
        }
    }

    fn unexpected(&self, form: &str) -> ParseError {
        match self.peek() {
            Some(token) => found(token, form, &candidates(form)),
            None => ParseError {
                offset: self.end,
                length: 0,
                message: format!("expected {form}, found the end of the assertion"),
                hint: None,
            },
        }
    }
}

/// What could have stood where a token was left over.
fn could_follow(has_unless: bool, window: Option<&Window>) -> &'static str {
    match window {
        Some(Window::Within { until: None, .. }) => "`until` or the end",
        Some(Window::From {
            until: None, delay, ..
        }) if delay.is_zero() => "`+`, `until` or the end",
        Some(Window::From { until: None, .. }) => "`until` or the end",
        Some(Window::From { margin, .. }) if margin.is_zero() => "`-` and a duration, or the end",
        Some(_) => "the end",
        None if has_unless => "`when` or the end",
        None => {
            "`via`, `avoiding`, `at`, `along`, `delivered`, `dropped`, `encapsulated`, `dscp`, `same path`, `unless`, `when` or the end"
        }
    }
}

fn found(token: Token<'_>, form: &str, known: &[&str]) -> ParseError {
    let hint =
        names::nearest(token.text, known.iter().copied()).map(|name| format!("did you mean `{name}`?"));
    ParseError {
        offset: token.offset,
        length: token.text.len(),
        message: format!("expected {form}, found `{}`", token.text),
        hint,
    }
}

/// The words in backquotes of a description of what was expected.
fn candidates(form: &str) -> Vec<&str> {
    form.split('`').skip(1).step_by(2).collect()
}

fn percent(value: f64) -> Option<Amount> {
    const RANGE: RangeInclusive<f64> = 0.0..=100.0;
    RANGE.contains(&value).then_some(Amount::Percent(value))
}
