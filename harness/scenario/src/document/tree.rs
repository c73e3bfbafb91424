//! From parser events to the tree.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{
    ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span as EventSpan, StrInput, Tag, options,
};

use super::scalar::Meaning;
use super::{Entry, Key, Node, Notes, Scalar, Source, Span, Value};
use crate::diagnostic::Diagnostic;

/// Most nodes that a file may have once its aliases are followed: a bound on memory for hostile files.
const NODES_MAX: usize = 100_000;

/// Reads a text into one tree for each of its documents; empty documents are left out.
///
/// Returns `None` after a syntax error. Problems that leave a tree to go on with are noted, and it is returned.
pub(crate) fn parse(source: &Source, text: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<Vec<Node>> {
    let mut notes = Notes::new(source, diagnostics);
    let parser = Parser::new_from_str_with_options(text, options! { emit_comments: false });
    let mut builder = Builder {
        parser,
        anchors: HashMap::new(),
        nodes: 0,
        notes: &mut notes,
    };
    match builder.documents() {
        Ok(documents) => Some(documents),
        Err(Stop::Syntax(error)) => {
            note_syntax_error(&mut notes, &error);
            None
        }
        Err(Stop::Noted) => None,
    }
}

/// Why a file is not read further.
enum Stop {
    Syntax(ScanError),
    Noted,
}

struct Builder<'t, 'n, 'a> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    notes: &'n mut Notes<'a>,
}

impl<'t> Builder<'t, '_, '_> {
    fn documents(&mut self) -> Result<Vec<Node>, Stop> {
        let mut documents = Vec::new();
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => documents.push(self.node(event, span)?),
            }
        }
        documents
            .retain(|node| !matches!(&node.value, Value::Scalar(scalar) if scalar.meaning == Meaning::Null));
        Ok(documents)
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, EventSpan)>, Stop> {
        self.parser.next_event().transpose().map_err(Stop::Syntax)
    }

    fn node(&mut self, event: Event<'t>, event_span: EventSpan) -> Result<Node, Stop> {
        let mut span = self.span(event_span);
        self.refuse_tag(event.tag(), span);
        self.count(1, span)?;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let scalar = match style {
                    ScalarStyle::Plain => Scalar::plain(text.into_owned()),
                    _ => Scalar::quoted(text.into_owned()),
                };
                (anchor, Value::Scalar(scalar))
            }
            Event::SequenceStart(_, anchor, _) => (anchor, Value::Sequence(self.items()?)),
            Event::MappingStart(_, anchor, _) => {
                let entries = self.entries()?;
                if let Some(first) = entries.first().filter(|_| span.width == 0) {
                    span = first.key.span;
                }
                (anchor, Value::Mapping(entries))
            }
            Event::Alias(id) => return self.alias(id, span),
            _ => return Err(self.refuse(span, "expected a value", "write a scalar, a list or a mapping")),
        };
        let node = Node { span, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn items(&mut self) -> Result<Vec<Node>, Stop> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::SequenceEnd {
                break;
            }
            items.push(self.node(event, span)?);
        }
        Ok(items)
    }

    fn entries(&mut self) -> Result<Vec<Entry>, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::MappingEnd {
                break;
            }
            let key = self.node(event, span)?;
            let Some((event, span)) = self.next()? else { break };
            let value = self.node(event, span)?;
            let Value::Scalar(Scalar { text, .. }) = key.value else {
                self.notes.error(
                    key.span,
                    format!("expected a key, found {}", key.describe()),
                    "a key is one word",
                );
                continue;
            };
            if text == "<<" {
                let message = "merge keys (`<<`) are not part of the scenario language";
                self.notes.error(key.span, message, "write the keys out");
            } else if let Some(first) = entries.iter().find(|entry| entry.key.text == text) {
                let hint = format!(
                    "`{text}` is already on line {}; rename or remove one",
                    first.key.span.line
                );
                self.notes
                    .error(key.span, format!("duplicate key `{text}`"), hint);
            } else {
                entries.push(Entry {
                    key: Key { text, span: key.span },
                    value,
                });
            }
        }
        Ok(entries)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<Node, Stop> {
        // An anchor is known once its node is complete, so an alias inside its own anchor finds nothing.
        let Some(node) = self.anchors.get(&id).cloned() else {
            return Err(self.refuse(
                span,
                "an alias must not stand inside the value it refers to",
                "write it out",
            ));
        };
        self.count(size(&node), span)?;
        Ok(node)
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        let message = format!("expected at most {NODES_MAX} values in a file, found more");
        Err(self.refuse(span, &message, "split the file, or use fewer aliases"))
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, span: Span) {
        if let Some(tag) = tag {
            let message = format!(
                "tags such as `{}` are not part of the scenario language",
                tag.original()
            );
            self.notes
                .error(span, message, "remove the tag; quote a value to make it a string");
        }
    }

    fn refuse(&mut self, span: Span, message: &str, hint: &str) -> Stop {
        self.notes.error(span, message, hint);
        Stop::Noted
    }

    fn span(&self, span: EventSpan) -> Span {
        place(self.notes.source, &span.start, &span.end)
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(_) => 1,
        Value::Sequence(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Mapping(entries) => 1 + entries.iter().map(|entry| 1 + size(&entry.value)).sum::<usize>(),
    }
}

/// The span between two markers, cut off at the end of its first line.
fn place(source: &Source, start: &Marker, end: &Marker) -> Span {
    let line = start.line().max(1);
    let end_column = if end.line() == line {
        end.col()
    } else {
        source.line_length(line)
    };
    Span {
        line,
        column: start.col() + 1,
        width: end_column.saturating_sub(start.col()),
    }
}

fn note_syntax_error(notes: &mut Notes<'_>, error: &ScanError) {
    let marker = error.marker();
    let mut span = Span {
        line: marker.line().max(1),
        column: marker.col() + 1,
        width: 1,
    };
    if let Some(tab) = tab_in_indentation(notes.source, span.line) {
        notes.error(
            tab,
            "a tab in the indentation",
            "indent with spaces; YAML allows no tabs there",
        );
        return;
    }
    // The scanner notices some mistakes only at the start of the next line, or behind the end of the text.
    if span.line > notes.source.lines.len() {
        span.line = notes.source.lines.len().max(1);
        span.column = notes.source.line_length(span.line) + 1;
    }
    let hint = syntax_hint(error.kind()).map(ToOwned::to_owned);
    notes.push(span, format!("YAML syntax: {}", error.info()), hint);
}

fn syntax_hint(kind: &ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::UnknownAnchor => Some("declare it first, as in `key: &name value`"),
        ErrorKind::MappingValueNotAllowed => {
            Some("quote a value that holds `: `; begin a mapping on a new line")
        }
        ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::UnclosedFlowCollection { .. } => Some("a `[` or `{` before this place is not closed"),
        _ => None,
    }
}

/// The first tab in the white space that begins the line or, as the scanner may stop a line early or late, a
/// neighbour of it.
fn tab_in_indentation(source: &Source, line: usize) -> Option<Span> {
    [line, line + 1, line - 1]
        .into_iter()
        .filter(|line| *line > 0)
        .find_map(|line| {
            let text = source.lines.get(line - 1)?;
            let indentation = text.chars().take_while(|c| c.is_whitespace());
            let column = indentation.enumerate().find(|(_, c)| *c == '\t')?.0 + 1;
            Some(Span {
                line,
                column,
                width: 1,
            })
        })
}
