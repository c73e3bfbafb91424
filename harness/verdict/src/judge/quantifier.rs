//! Quantifiers: how many probes may speak against a claim.

use scenario::assertion::{Amount, Quantifier};

/// Whether a claim is about every probe, so that one unseen probe could refute it.
pub(super) fn is_universal(quantifier: Quantifier) -> bool {
    !matches!(
        quantifier,
        Quantifier::Some | Quantifier::AtLeast(Amount::Count(_))
    )
}

/// `all` and `no`: not one violation is allowed, so that convergence has a meaning.
pub(super) fn is_strict(quantifier: Quantifier) -> bool {
    matches!(quantifier, Quantifier::All | Quantifier::No)
}

/// How many of `probes` may speak against a claim. Of `at least N` there are N probes or more.
pub(super) fn allowed(quantifier: Quantifier, probes: u64) -> u64 {
    match quantifier {
        Quantifier::All | Quantifier::No => 0,
        Quantifier::Some => probes.saturating_sub(1),
        Quantifier::AtLeast(Amount::Count(count)) => probes.saturating_sub(count),
        Quantifier::AtLeast(Amount::Percent(share)) => probes - share_of(share, probes).ceil() as u64,
        Quantifier::AtMost(Amount::Count(count)) => count,
        Quantifier::AtMost(Amount::Percent(share)) => share_of(share, probes).floor() as u64,
    }
}

/// A share of a count, rounded to a millionth of a probe: 32.2 percent of 500 is 161, not 161.00000000000003.
pub(super) fn share_of(percent: f64, probes: u64) -> f64 {
    let exact = percent.clamp(0.0, 100.0) * probes as f64 / 100.0;
    (exact * 1e6).round() / 1e6
}
