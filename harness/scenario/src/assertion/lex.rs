//! Words and symbols of an assertion, with their byte offsets.

/// One token; `text` is a slice of the assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) text: &'t str,
    pub(super) offset: usize,
}

/// Splits an assertion into words and the symbols `! . | / @ + - -> ..`.
///
/// A word is a run of letters, digits and `_ - * ? %`. A hyphen inside a word belongs to it (`be-stays` is one
/// name), so only a hyphen that begins a word is the minus sign; that of an arrow belongs to the arrow. A point belongs to a word that begins with a
/// digit (`1.5s`), else it is a symbol (`biz.both`). Any other character is a token of its own, for the parser
/// to refuse.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if first.is_whitespace() {
            rest = &rest[first.len_utf8()..];
            continue;
        } else if is_word(first) && first != '-' {
            let is_number = first.is_ascii_digit();
            let end = rest.find(|c| !(is_word(c) || (is_number && c == '.')));
            end.into_iter().chain(rest.find("->")).min().unwrap_or(rest.len())
        } else if rest.starts_with("->") || rest.starts_with("..") {
            2
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        tokens.push(Token {
            text: token,
            offset: text.len() - rest.len(),
        });
        rest = after;
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '*' | '?' | '%')
}
