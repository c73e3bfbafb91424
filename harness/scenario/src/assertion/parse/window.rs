//! When: the windows of send times.

use std::time::Duration;

use super::{Mentioned, ParseError, Parser, found};
use crate::assertion::Window;

impl Parser<'_> {
    pub(super) fn window(&mut self) -> Result<Window, ParseError> {
        const FORM: &str = "`always`, `within`, `from` or `during`";
        let token = self.word(FORM)?;
        match token.text {
            "always" => Ok(Window::Always),
            "during" => {
                let phase = self.name("the name of a phase")?;
                self.mention(phase, Mentioned::Phase(phase.text.to_owned()));
                Ok(Window::During(phase.text.to_owned()))
            }
            "within" => {
                let limit = self.duration()?;
                self.expect("of")?;
                let event = self.event()?;
                let until = if self.accept("until") {
                    Some(self.event()?)
                } else {
                    None
                };
                Ok(Window::Within { limit, event, until })
            }
            "from" => {
                let event = self.event()?;
                let delay = if self.accept("+") {
                    self.duration()?
                } else {
                    Duration::ZERO
                };
                let until = if self.accept("until") {
                    Some(self.event()?)
                } else {
                    None
                };
                let margin = if until.is_some() && self.accept("-") {
                    self.duration()?
                } else {
                    Duration::ZERO
                };
                Ok(Window::From {
                    event,
                    delay,
                    until,
                    margin,
                })
            }
            _ => Err(found(token, FORM, &["always", "within", "from", "during"])),
        }
    }
}
