use insta::assert_snapshot;
use rstest::rstest;
use verdict::{Outcome, RunRecord};

use crate::testing::{broken, failing, inconclusive, passing, record, skipped};
use crate::{Colour, human, json, junit, summary};

#[test]
fn a_pass_is_short() {
    assert_snapshot!(human(&passing(), Colour::Plain));
}

#[test]
fn a_failure_is_told_in_full_at_the_end() {
    assert_snapshot!(human(&failing(), Colour::Plain));
}

#[test]
fn an_inconclusive_verdict_names_its_reason() {
    assert_snapshot!(human(&inconclusive(), Colour::Plain));
}

#[test]
fn a_skipped_scenario_says_why() {
    assert_snapshot!(human(&skipped(), Colour::Plain));
}

#[test]
fn a_broken_lab_is_told_with_its_causes() {
    assert_snapshot!(human(&broken(), Colour::Plain));
}

#[test]
fn colour_changes_nothing_but_status_words() {
    let coloured = human(&failing(), Colour::Ansi);
    assert!(coloured.contains("\u{1b}[1;31mFAIL\u{1b}[0m"));
    let mut stripped = coloured;
    for code in ["1;31", "1;32", "1;33", "0"] {
        stripped = stripped.replace(&format!("\u{1b}[{code}m"), "");
    }
    assert_eq!(stripped, human(&failing(), Colour::Plain));
}

#[test]
fn several_runs_are_summed_up_line_by_line() {
    let runs = [passing(), failing(), inconclusive(), skipped(), broken()];
    assert_snapshot!(summary(&runs, Colour::Plain));
}

#[test]
fn every_status_word_has_its_colour() {
    let runs = [passing(), failing(), inconclusive(), skipped(), broken()];
    assert_snapshot!(summary(&runs, Colour::Ansi));
}

#[test]
fn no_run_at_all_is_no_pass() {
    let nothing = "\n   Summary [   0.000s] 0 runs: nothing was selected\n";
    assert_eq!(summary(&[], Colour::Plain), nothing);
}

#[test]
fn junit_has_a_suite_for_each_scenario_and_a_case_for_each_assertion() {
    let runs = [passing(), failing(), inconclusive(), skipped(), broken()];
    assert_snapshot!(junit(&runs).unwrap());
}

#[test]
fn junit_does_not_pass_a_scenario_that_claims_nothing() {
    let xml = junit(&[record("demo", Vec::new(), 0)]).unwrap();
    assert!(
        xml.contains(r#"<error message="the scenario claims nothing" type="inconclusive"></error>"#),
        "{xml}"
    );
}

#[rstest]
#[case::passing(passing())]
#[case::failing(failing())]
#[case::skipped(skipped())]
#[case::broken(broken())]
fn reports_follow_from_the_kept_json(#[case] record: RunRecord) {
    let kept: RunRecord = serde_json::from_str(&json(&record).unwrap()).unwrap();
    assert_eq!(human(&kept, Colour::Plain), human(&record, Colour::Plain));
    assert_eq!(junit(&[kept]).unwrap(), junit(&[record]).unwrap());
}

#[test]
fn json_ends_with_a_newline_and_begins_with_the_schema() {
    let text = json(&passing()).unwrap();
    assert!(text.starts_with("{\n  \"schema\": \"pathproof.dev/run/v1alpha2\","));
    assert!(text.ends_with("}\n"));
}

#[test]
fn whatever_did_not_pass_comes_with_its_evidence_and_the_command_that_repeats_it() {
    let record = failing();
    let text = human(&record, Colour::Plain);
    let blocks = record
        .verdicts
        .unwrap()
        .assertions
        .into_iter()
        .filter(|v| v.outcome != Outcome::Pass)
        .count();
    assert_eq!(
        text.matches(&format!("  evidence   {}\n", record.run.folder))
            .count(),
        blocks
    );
    assert_eq!(
        text.matches(&format!("  repeat     {}\n", record.run.repeat))
            .count(),
        blocks
    );
}

#[test]
fn of_many_tunnels_those_that_carried_nothing_are_counted_and_not_named() {
    let mut record = passing();
    let verdicts = record.verdicts.as_mut().unwrap();
    let idle = ["gold", "lte", "mpls"].map(|tunnel| (tunnel.to_owned(), 0));
    verdicts.assertions[0].per_tunnel.extend(idle.clone());
    for totals in &mut verdicts.totals {
        totals.per_tunnel.extend(idle.clone());
    }
    let text = human(&record, Colour::Plain);
    assert!(text.contains(", 3 others 0\n"), "{text}");
    assert!(!text.contains("mpls"), "{text}");
}
