//! YAML text as a tree in which every node knows its place.
//!
//! Owns the syntax of YAML 1.2 as it is accepted here: anchors and aliases are followed, tags and merge keys are
//! refused, a key occurs once. Knows nothing of scenarios (see [`crate::resolve`]). It is a tree of its own, not
//! serde, because one reading must report every problem, each at its own line and column.

mod json;
mod scalar;
mod tree;

use thiserror::Error;

pub(crate) use json::to_json;
pub(crate) use scalar::{Meaning, Scalar};
pub(crate) use tree::parse;

use crate::diagnostic::Diagnostic;

/// Where texts come from: files, or a map in tests.
pub trait Sources {
    /// The text at a path; references in it are relative to the path's folder.
    ///
    /// # Errors
    /// When there is no such text or it cannot be read.
    fn text(&self, path: &str) -> Result<String, SourceError>;
}

/// Why there is no text at a path.
#[derive(Debug, Error)]
pub enum SourceError {
    /// Nothing is there.
    #[error("there is no such file")]
    NotFound,
    /// It is there but cannot be read, or is not UTF-8.
    #[error("{0}")]
    Io(#[source] std::io::Error),
}

impl From<std::io::Error> for SourceError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::NotFound {
            Self::NotFound
        } else {
            Self::Io(error)
        }
    }
}

/// A place in a text, within one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// 1-based.
    pub(crate) line: usize,
    /// 1-based, in characters.
    pub(crate) column: usize,
    /// In characters.
    pub(crate) width: usize,
}

/// A node of the tree.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Where it begins; a mapping in block style is placed at its first key.
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) value: Node,
}

/// A key and its place.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// One file: its name and lines, to place diagnostics in.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) file: String,
    lines: Vec<String>,
}

impl Source {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        Self {
            file: file.to_owned(),
            lines: text.lines().map(ToOwned::to_owned).collect(),
        }
    }

    /// The characters that the span covers.
    pub(crate) fn slice(&self, span: Span) -> String {
        let line = self.lines.get(span.line - 1).map_or("", String::as_str);
        line.chars().skip(span.column - 1).take(span.width).collect()
    }

    fn line_length(&self, line: usize) -> usize {
        self.lines
            .get(line - 1)
            .map_or(0, |text| text.trim_end().chars().count())
    }
}

/// Takes note of the problems in one file.
pub(crate) struct Notes<'a> {
    pub(crate) source: &'a Source,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl<'a> Notes<'a> {
    pub(crate) fn new(source: &'a Source, diagnostics: &'a mut Vec<Diagnostic>) -> Self {
        Self { source, diagnostics }
    }

    /// How many problems there are so far, in all files.
    pub(crate) fn count(&self) -> usize {
        self.diagnostics.len()
    }

    /// Notes a problem with a hint.
    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.push(span, message.into(), Some(hint.into()));
    }

    /// Notes a problem.
    pub(crate) fn push(&mut self, span: Span, message: String, hint: Option<String>) {
        self.diagnostics.push(Diagnostic {
            file: self.source.file.clone(),
            line: span.line,
            column: span.column,
            message,
            snippet: Some(self.source.lines.get(span.line - 1).cloned().unwrap_or_default()),
            width: span.width.max(1),
            hint,
        });
    }
}

impl Node {
    /// The node in words, for `found …`.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) => scalar.describe(),
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
        }
    }

    /// The value at the end of a path of keys, when there is one.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| match &node.value {
            Value::Mapping(entries) => entries.iter().find(|e| e.key.text == *key).map(|e| &e.value),
            _ => None,
        })
    }

    /// The entries of a mapping.
    pub(crate) fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The text of a string.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => scalar.string(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
