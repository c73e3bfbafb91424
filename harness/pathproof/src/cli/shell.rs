//! Commands that a person can paste into a shell.

use std::path::Path;

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// This program as it can be typed in the working directory.
pub(crate) fn itself() -> String {
    let words = std::env::args().next().unwrap_or_else(|| "pathproof".to_owned());
    let relative = std::env::current_dir().ok().and_then(|here| {
        let path = Path::new(&words).strip_prefix(here).ok()?;
        Some(format!("./{}", path.display()))
    });
    relative.unwrap_or(words)
}
