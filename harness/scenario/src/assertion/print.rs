//! The printer of assertions, in the one canonical spelling.

use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

use super::{
    Amount, Clause, DirectionSelector, FlowSelector, Formula, PathPattern, PathStep, PatternKind, PointKind,
    PointPattern, PointSet, Quantifier, Window,
};
use crate::quantity::format_duration;

impl Display for Formula {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} {}", self.quantifier, self.flow)?;
        for clause in &self.clauses {
            write!(f, " {clause}")?;
        }
        if let Some(clause) = &self.unless {
            write!(f, " unless {clause}")?;
        }
        write!(f, " when {}", self.window)
    }
}

impl Display for Quantifier {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::All => f.write_str("all"),
            Self::No => f.write_str("no"),
            Self::Some => f.write_str("some"),
            Self::AtLeast(amount) => write!(f, "at least {amount}"),
            Self::AtMost(amount) => write!(f, "at most {amount}"),
        }
    }
}

impl Display for Amount {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(share) => write!(f, "{share}%"),
        }
    }
}

impl Display for FlowSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Flow(name, DirectionSelector::Request) => f.write_str(name),
            Self::Flow(name, DirectionSelector::Reply) => write!(f, "{name}.reply"),
            Self::Flow(name, DirectionSelector::Both) => write!(f, "{name}.both"),
            Self::Except(name) => write!(f, "!{name}"),
            Self::Any => f.write_str("any"),
        }
    }
}

impl Display for Clause {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Via { points, only: false } => write!(f, "via {points}"),
            Self::Via { points, only: true } => write!(f, "via {points} only"),
            Self::Avoiding(points) => write!(f, "avoiding {points}"),
            Self::At(points) => write!(f, "at {points}"),
            Self::Along(path) => write!(f, "along {path}"),
            Self::Delivered => f.write_str("delivered"),
            Self::Dropped(None) => f.write_str("dropped"),
            Self::Dropped(Some(points)) => write!(f, "dropped by {points}"),
            Self::Encapsulated(None) => f.write_str("encapsulated"),
            Self::Encapsulated(Some(carrier)) => write!(f, "encapsulated as {carrier}"),
            Self::Dscp(dscp) => write!(f, "dscp {dscp}"),
            Self::SamePath(event) => write!(f, "same path across {event}"),
        }
    }
}

impl Display for PointSet {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (index, point) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "|" };
            write!(f, "{separator}{point}")?;
        }
        Ok(())
    }
}

impl Display for PathPattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (index, step) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " -> " };
            match step {
                PathStep::Any => write!(f, "{separator}.."),
                PathStep::At(point) => write!(f, "{separator}{point}"),
                PathStep::Perhaps(point) => write!(f, "{separator}{point}?"),
            }?;
        }
        Ok(())
    }
}

impl Display for PatternKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Of(kind) => kind.fmt(f),
            Self::If => f.write_str("if"),
        }
    }
}

impl Display for PointPattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}/{}", self.kind, self.glob)?;
        self.service_vpn.map_or(Ok(()), |vpn| write!(f, "@{vpn}"))
    }
}

impl Display for PointKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Tunnel => "tunnel",
            Self::Underlay => "underlay",
            Self::Node => "node",
            Self::Inspection => "inspection",
        })
    }
}

impl Display for Window {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let until = |f: &mut Formatter<'_>, event: &Option<String>, margin: Duration| match event {
            Some(event) if margin.is_zero() => write!(f, " until {event}"),
            // The spaces matter: a hyphen inside a word belongs to the name.
            Some(event) => write!(f, " until {event} - {}", format_duration(margin)),
            None => Ok(()),
        };
        match self {
            Self::Always => f.write_str("always"),
            Self::During(phase) => write!(f, "during {phase}"),
            Self::Within {
                limit,
                event,
                until: end,
            } => {
                write!(f, "within {} of {event}", format_duration(*limit))?;
                until(f, end, Duration::ZERO)
            }
            Self::From {
                event,
                delay,
                until: end,
                margin,
            } => {
                write!(f, "from {event}")?;
                if !delay.is_zero() {
                    write!(f, "+{}", format_duration(*delay))?;
                }
                until(f, end, *margin)
            }
        }
    }
}

impl Display for super::Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Display for super::Encapsulation {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let name = Self::NAMES
            .iter()
            .find(|(_, encapsulation)| encapsulation == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}
