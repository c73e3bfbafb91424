//! What is claimed: clauses, points and ways.

use super::{CLAUSE_WORDS, Mention, Mentioned, ParseError, Parser, found};
use crate::assertion::{
    Clause, Encapsulation, PathPattern, PathStep, PatternKind, PointKind, PointPattern, PointSet,
};
use crate::names;
use crate::quantity::DSCP_MAX;

impl Parser<'_> {
    pub(super) fn clause(&mut self, form: &str) -> Result<Clause, ParseError> {
        let token = self.word(form)?;
        match token.text {
            "via" => {
                let points = self.points()?;
                let only = self.accept("only");
                Ok(Clause::Via { points, only })
            }
            "avoiding" => self.points().map(Clause::Avoiding),
            "at" => self.points().map(Clause::At),
            "along" => self.path().map(Clause::Along),
            "delivered" => Ok(Clause::Delivered),
            "dropped" => {
                let by = if self.accept("by") {
                    Some(self.points()?)
                } else {
                    None
                };
                Ok(Clause::Dropped(by))
            }
            "encapsulated" => {
                let carrier = if self.accept("as") {
                    Some(self.encapsulation()?)
                } else {
                    None
                };
                Ok(Clause::Encapsulated(carrier))
            }
            "dscp" => self.dscp().map(Clause::Dscp),
            "same" => {
                self.expect("path")?;
                self.expect("across")?;
                self.event().map(Clause::SamePath)
            }
            _ => Err(found(token, form, &CLAUSE_WORDS)),
        }
    }

    /// The clause of `unless`, which is about one probe.
    pub(super) fn exemption(&mut self) -> Result<Clause, ParseError> {
        const FORM: &str = "a clause about one probe after `unless`";
        match self.peek().filter(|token| token.text == "same") {
            Some(token) => Err(found(token, FORM, &[])),
            None => self.clause(super::CLAUSE_FORM),
        }
    }

    fn points(&mut self) -> Result<PointSet, ParseError> {
        let mut points = vec![self.point()?];
        while self.accept("|") {
            points.push(self.point()?);
        }
        Ok(PointSet(points))
    }

    fn path(&mut self) -> Result<PathPattern, ParseError> {
        let mut steps = Vec::new();
        loop {
            let token = self.peek();
            steps.push(self.step()?);
            if let Some(token) = token.filter(|_| steps.len() > PathPattern::STEPS_MAX) {
                let form = format!("a way of at most {} steps", PathPattern::STEPS_MAX);
                return Err(found(token, &form, &[]));
            }
            if !self.accept("->") {
                return Ok(PathPattern(steps));
            }
        }
    }

    fn step(&mut self) -> Result<PathStep, ParseError> {
        if self.accept("..") {
            return Ok(PathStep::Any);
        }
        let (pattern, is_optional) = self.pattern(Question::Optional)?;
        Ok(if is_optional {
            PathStep::Perhaps(pattern)
        } else {
            PathStep::At(pattern)
        })
    }

    fn point(&mut self) -> Result<PointPattern, ParseError> {
        self.pattern(Question::Wildcard).map(|(pattern, _)| pattern)
    }

    /// A point, and whether the question mark at its end says that it may be missing.
    fn pattern(&mut self, question: Question) -> Result<(PointPattern, bool), ParseError> {
        const FORM: &str =
            "a point such as `tunnel/NAME`, `underlay/NAME`, `node/NAME`, `inspection/NAME` or `if/NAME`";
        const NAME_FORM: &str = "a name, in which `*` and `?` are wildcards";
        let token = self.word(FORM)?;
        let words = PatternKind::NAMES.map(|(word, _)| word);
        let kind = PatternKind::NAMES
            .into_iter()
            .find(|(word, _)| *word == token.text);
        let Some((_, kind)) = kind else {
            return Err(found(token, FORM, &words));
        };
        if !self.accept("/") {
            return Err(self.unexpected(&format!("`/` and a name after `{}`", token.text)));
        }
        let name = self.word(NAME_FORM)?;
        let (mut last, mut service_vpn) = (name, None);
        let (mut glob, mut is_optional) = question.strip(name.text);
        if kind == PatternKind::Of(PointKind::Tunnel) && !is_optional && self.accept("@") {
            const FORM: &str = "the number of a service VPN";
            last = self.word(FORM)?;
            let (number, optional) = question.strip(last.text);
            service_vpn = Some(number.parse().map_err(|_| found(last, FORM, &[]))?);
            (glob, is_optional) = (name.text, optional);
        }
        if !names::is_glob(glob) {
            return Err(found(name, NAME_FORM, &[]));
        }
        let pattern = PointPattern {
            kind,
            glob: glob.to_owned(),
            service_vpn,
        };
        self.mentions.push(Mention {
            what: Mentioned::Points(pattern.clone()),
            offset: token.offset,
            length: last.offset + last.text.len() - token.offset,
        });
        Ok((pattern, is_optional))
    }

    fn encapsulation(&mut self) -> Result<Encapsulation, ParseError> {
        const FORM: &str = "`vxlan`, `gre`, `esp` or `wireguard`";
        let token = self.word(FORM)?;
        let mut known = Encapsulation::NAMES.into_iter();
        let named = known.find(|(word, _)| *word == token.text);
        let words = Encapsulation::NAMES.map(|(word, _)| word);
        named
            .map(|(_, encapsulation)| encapsulation)
            .ok_or_else(|| found(token, FORM, &words))
    }

    fn dscp(&mut self) -> Result<u8, ParseError> {
        const FORM: &str = "a DSCP, a number from 0 to 63";
        let token = self.word(FORM)?;
        let number = token.text.parse().ok().filter(|dscp| *dscp <= DSCP_MAX);
        number.ok_or_else(|| found(token, FORM, &[]))
    }
}

/// What a question mark at the end of a point says.
#[derive(Clone, Copy)]
enum Question {
    /// Any one character.
    Wildcard,
    /// The point may be missing.
    Optional,
}

impl Question {
    fn strip(self, text: &str) -> (&str, bool) {
        match (self, text.strip_suffix('?')) {
            (Self::Optional, Some(rest)) => (rest, true),
            _ => (text, false),
        }
    }
}
