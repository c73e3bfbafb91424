//! JUnit XML for CI systems: a suite for each scenario, a case for each assertion.
//!
//! `Fail` is a `failure`, `Inconclusive` an `error` of type `inconclusive`, a lab that broke an `error` of type
//! `lab`, and a scenario that could not run here is `skipped`. Carries no time of day and no random id.

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use verdict::{AssertionVerdict, Outcome, RunInfo, RunOutcome, RunRecord};

use crate::ReportError;
use crate::findings::{block, headline, measured};

/// The content of `junit.xml` for these runs.
///
/// # Errors
/// When a record cannot be written as XML.
pub fn junit(records: &[RunRecord]) -> Result<String, ReportError> {
    let mut report = Report::new("pathproof");
    report.set_time(records.iter().map(RunRecord::took).sum());
    report.add_test_suites(records.iter().map(suite));
    report.to_string().map_err(ReportError::Junit)
}

fn suite(record: &RunRecord) -> TestSuite {
    let run = &record.run;
    let mut suite = TestSuite::new(&*run.scenario);
    suite.set_time(record.took());
    let seed = run.seed.to_string();
    let environment = &run.environment;
    suite.add_properties([
        ("purpose", &*run.purpose),
        ("seed", &seed),
        ("kernel", &environment.kernel),
        ("user", &environment.user),
        ("pathproof", &environment.pathproof),
        ("impairments", &environment.impairments),
        ("operator-user", &environment.operator_user),
        ("evidence", &run.folder),
        ("repeat", &run.repeat),
    ]);
    let encapsulations = environment.encapsulations.iter();
    suite.add_properties(
        encapsulations
            .map(|(transport, how)| Property::new(format!("encapsulation.{transport}"), how.as_str())),
    );
    match (&record.verdicts, &record.outcome) {
        (Some(verdicts), _) if !verdicts.assertions.is_empty() => {
            suite.add_test_cases(verdicts.assertions.iter().map(|verdict| case(verdict, run)));
        }
        (_, outcome) => {
            suite.add_test_case(whole_run(outcome, run));
        }
    }
    suite
}

fn case(verdict: &AssertionVerdict, run: &RunInfo) -> TestCase {
    let status = match verdict.outcome {
        Outcome::Pass => TestCaseStatus::success(),
        Outcome::Fail => non_success(
            NonSuccessKind::Failure,
            "fail",
            &headline(verdict),
            &block(verdict, run),
        ),
        Outcome::Inconclusive { .. } => non_success(
            NonSuccessKind::Error,
            "inconclusive",
            &headline(verdict),
            &block(verdict, run),
        ),
    };
    let mut case = TestCase::new(&*verdict.name, status);
    case.set_classname(&*run.scenario);
    case.extra
        .insert("file".into(), verdict.place.file.as_str().into());
    case.extra
        .insert("line".into(), verdict.place.line.to_string().into());
    case.add_properties(figures(verdict).map(|(name, value)| Property::new(name, value)));
    case.set_system_out(format!("{}\n{}\n", verdict.text, measured(verdict)));
    case
}

fn figures(verdict: &AssertionVerdict) -> impl Iterator<Item = (String, String)> {
    let ms = |ns: u64| format!("{}.{:03}", ns / 1_000_000, ns % 1_000_000 / 1_000);
    let spending = &verdict.spending;
    let counts = [
        ("considered", verdict.considered),
        ("violations", verdict.violations),
        ("lost", spending.lost),
        ("duplicates", spending.duplicates),
        ("reordered", spending.reordered),
        ("misrouted", spending.misrouted),
    ];
    let times = [
        ("convergence_ms", verdict.convergence_ns),
        ("limit_ms", verdict.limit_ns),
        ("p99_ms", spending.p99_ns),
        ("gap_ms", spending.gap_ns),
        ("loss_ms", Some(spending.loss_ns)),
        ("misroute_ms", spending.misroute_ns),
    ];
    let tunnels = verdict
        .per_tunnel
        .iter()
        .map(|(tunnel, probes)| (format!("probes.{tunnel}"), probes.to_string()));
    let counts = counts
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count.to_string()));
    let times = times
        .into_iter()
        .filter_map(move |(name, ns)| ns.map(|ns| (name.to_owned(), ms(ns))));
    counts.chain(times).chain(tunnels)
}

/// The one case of a run without verdicts.
fn whole_run(outcome: &RunOutcome, run: &RunInfo) -> TestCase {
    let status = match outcome {
        RunOutcome::Skipped { reason } => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(&**reason);
            status
        }
        RunOutcome::Error { message } => {
            let first_line = message.lines().next().unwrap_or_default();
            non_success(NonSuccessKind::Error, "lab", first_line, message)
        }
        RunOutcome::Pass | RunOutcome::Fail | RunOutcome::Inconclusive => non_success(
            NonSuccessKind::Error,
            "inconclusive",
            "the scenario claims nothing",
            "",
        ),
    };
    let mut case = TestCase::new("run", status);
    case.set_classname(&*run.scenario);
    case
}

fn non_success(kind: NonSuccessKind, ty: &str, message: &str, description: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status
        .set_type(ty)
        .set_message(message)
        .set_description(description);
    status
}
