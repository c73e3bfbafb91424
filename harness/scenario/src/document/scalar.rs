//! What a plain scalar means: the core schema of YAML 1.2.
//!
//! Words that YAML 1.1 (which `kubectl` follows) and YAML 1.2 read differently, such as `no` and `0644`, have no
//! meaning here; they must be quoted or spelled out.

/// A scalar and what it means.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    /// Its text, quotes and escapes resolved.
    pub(crate) text: String,
    pub(crate) meaning: Meaning,
}

/// The type of a scalar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Meaning {
    String,
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    /// YAML 1.1 and 1.2 disagree; the first is how to spell what YAML 1.1 reads.
    Ambiguous(&'static str),
}

impl Scalar {
    /// A scalar in quotes or block style, which is always a string.
    pub(crate) fn quoted(text: String) -> Self {
        Self {
            text,
            meaning: Meaning::String,
        }
    }

    /// A scalar without quotes.
    pub(crate) fn plain(text: String) -> Self {
        let meaning = plain_meaning(&text);
        Self { text, meaning }
    }

    /// Its text, when it is a string.
    pub(crate) fn string(&self) -> Option<&str> {
        (self.meaning == Meaning::String).then_some(self.text.as_str())
    }

    /// The scalar in words, for `found …`.
    pub(crate) fn describe(&self) -> String {
        let kind = match self.meaning {
            Meaning::Null => return "nothing".to_owned(),
            Meaning::String => "string",
            Meaning::Boolean(_) => "boolean",
            Meaning::Integer(_) => "integer",
            Meaning::Float(_) => "number",
            Meaning::Ambiguous(_) => "ambiguous word",
        };
        let mut shown: String = self.text.chars().take(60).collect();
        if shown.len() < self.text.len() {
            shown.push('…');
        }
        format!(
            "the {kind} `{}`",
            shown
                .escape_debug()
                .to_string()
                .replace("\\'", "'")
                .replace("\\\"", "\"")
        )
    }
}

fn plain_meaning(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "true" | "True" | "TRUE" => return Meaning::Boolean(true),
        "false" | "False" | "FALSE" => return Meaning::Boolean(false),
        _ => {}
    }
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "on" => return Meaning::Ambiguous("`true`"),
        "n" | "no" | "off" => return Meaning::Ambiguous("`false`"),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return number(text, digits);
    }
    Meaning::String
}

fn number(text: &str, digits: &str) -> Meaning {
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let is_octal_form = digits.len() > 1 && digits.starts_with('0') && is_digits(digits);
    let is_base_form = ["0x", "0o", "0b"].iter().any(|base| digits.starts_with(base));
    let has_underscores = digits.contains('_') && is_digits(&digits.replace('_', ""));
    let is_sexagesimal = digits.contains(':') && digits.split(':').all(is_digits);
    if is_octal_form || is_base_form || has_underscores || is_sexagesimal {
        return Meaning::Ambiguous("a decimal number");
    }
    if is_digits(digits) {
        return text.parse().map_or(Meaning::String, Meaning::Integer);
    }
    let (mantissa, exponent) = digits
        .split_once(['e', 'E'])
        .map_or((digits, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_float = (is_digits(whole) || (whole.is_empty() && is_digits(fraction)))
        && (fraction.is_empty() || is_digits(fraction))
        && exponent.is_none_or(|e| is_digits(e.strip_prefix(['-', '+']).unwrap_or(e)));
    match text.parse::<f64>() {
        Ok(float) if is_float && float.is_finite() => Meaning::Float(float),
        _ => Meaning::String,
    }
}
