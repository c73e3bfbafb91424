//! Problems in scenario files, each with its place, its line and, where one is known, the way to mend it.
//!
//! Owns their text form. Invariant: the first line of a rendered [`Diagnostic`] is `file:line:column: message`.

use std::error::Error;
use std::fmt;

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as given to the reader.
    pub file: String,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// What is wrong: the value that was found and the form that is accepted.
    pub message: String,
    /// The text of the line; `None` when the file could not be read.
    pub snippet: Option<String>,
    /// How many characters of the line to mark, at least 1.
    pub width: usize,
    /// How to mend it.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        let gutter = self.line.to_string().len();
        if let Some(snippet) = &self.snippet {
            let before = snippet.chars().take(self.column - 1).map(cells).sum::<usize>();
            let marked = snippet
                .chars()
                .skip(self.column - 1)
                .take(self.width)
                .map(cells)
                .sum::<usize>()
                .max(1);
            let line = snippet.replace('\t', TAB);
            write!(f, "\n{:gutter$} |", "")?;
            write!(f, "\n{} | {}", self.line, line.trim_end())?;
            write!(f, "\n{:gutter$} | {:before$}{}", "", "", "^".repeat(marked))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n{:gutter$} = hint: {hint}", "")?;
        }
        Ok(())
    }
}

/// How a tab is shown, so that the marks stand under what they mark.
const TAB: &str = "    ";

fn cells(c: char) -> usize {
    if c == '\t' { TAB.len() } else { 1 }
}

/// Every problem that was found in one reading; never empty when it is returned as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    pub(crate) fn new(diagnostics: Vec<Diagnostic>) -> Self {
        Self(diagnostics)
    }

    /// The problems: file by file in the order of reading, each file from top to bottom.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'d> IntoIterator for &'d Diagnostics {
    type Item = &'d Diagnostic;
    type IntoIter = std::slice::Iter<'d, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n\n" };
            write!(f, "{separator}{diagnostic}")?;
        }
        Ok(())
    }
}

impl Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_shows_its_line_and_marks_its_place() {
        let diagnostic = Diagnostic {
            file: "scenarios/core/demo.yaml".to_owned(),
            line: 12,
            column: 5,
            message: "unknown key `tunel`".to_owned(),
            snippet: Some("    tunel: x".to_owned()),
            width: 5,
            hint: Some("did you mean `tunnel`?".to_owned()),
        };
        let expected = "\
scenarios/core/demo.yaml:12:5: unknown key `tunel`
   |
12 |     tunel: x
   |     ^^^^^
   = hint: did you mean `tunnel`?";
        assert_eq!(diagnostic.to_string(), expected);
    }

    #[test]
    fn tabs_do_not_move_the_marks() {
        let diagnostic = Diagnostic {
            file: "a.yaml".to_owned(),
            line: 1,
            column: 2,
            message: "m".to_owned(),
            snippet: Some("\tkey: value".to_owned()),
            width: 3,
            hint: None,
        };
        assert_eq!(
            diagnostic.to_string(),
            "a.yaml:1:2: m\n  |\n1 |     key: value\n  |     ^^^"
        );
    }
}
