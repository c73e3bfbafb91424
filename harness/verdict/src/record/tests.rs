use rstest::rstest;

use crate::testing::Route::{Biz, Default as OnDefault, LostInBiz};
use crate::testing::{Route, assertion, biz_run, fire, steered_in};
use crate::{Environment, ExitCode, JudgeOptions, RunInfo, RunOutcome, RunRecord, StageTime, judge};

fn info() -> RunInfo {
    RunInfo {
        scenario: "demo".to_owned(),
        purpose: "business traffic takes bizinternet while its Service asks for it".to_owned(),
        file: "scenarios/core/demo.yaml".to_owned(),
        seed: 7,
        environment: Environment {
            kernel: "6.12.4".to_owned(),
            user: "root".to_owned(),
            pathproof: "0.1.0".to_owned(),
            impairments: "userspace".to_owned(),
            operator_user: "kubernetes-admin".to_owned(),
            encapsulations: std::collections::BTreeMap::new(),
        },
        stages: vec![StageTime {
            stage: "provision".to_owned(),
            took_ns: 181_200_000,
        }],
        folder: "runs/demo-7".to_owned(),
        repeat: "pathproof run scenarios/core/demo.yaml --seed 7".to_owned(),
    }
}

fn record(route: impl Fn(u64) -> Route, spoil: impl Fn(&mut crate::evidence::Evidence)) -> RunRecord {
    let mut evidence = biz_run(1_000, route);
    fire(&mut evidence, "annotate", 200);
    spoil(&mut evidence);
    let claim = "all biz via tunnel/bizinternet only when within 100ms of annotate";
    let verdicts = judge(
        &[assertion("steered", claim)],
        &evidence,
        &JudgeOptions::default(),
    );
    RunRecord::judged(info(), &evidence, verdicts)
}

fn passed() -> RunRecord {
    record(steered_in(240..1_000), |_| ())
}

fn failed() -> RunRecord {
    record(|ms| if ms == 502 { LostInBiz } else { OnDefault }, |_| ())
}

fn inconclusive() -> RunRecord {
    record(|_| Biz, |evidence| evidence.points[0].kernel_drops = 1)
}

fn skipped() -> RunRecord {
    RunRecord::skipped(info(), "needs kernel module wireguard".to_owned())
}

fn broken() -> RunRecord {
    RunRecord::broken(
        info(),
        "failed to create netns `near-1`: operation not permitted".to_owned(),
    )
}

#[rstest]
#[case::pass(passed())]
#[case::fail(failed())]
#[case::inconclusive(inconclusive())]
#[case::skipped(skipped())]
#[case::broken(broken())]
fn a_record_survives_its_json(#[case] record: RunRecord) {
    let json = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<RunRecord>(&json).unwrap(), record);
}

#[test]
fn the_form_of_a_record_is_kept() {
    let mut record = failed();
    record.points.truncate(1);
    insta::assert_json_snapshot!(record);
}

#[test]
fn a_scenario_that_claims_nothing_is_inconclusive() {
    let evidence = biz_run(100, |_| Biz);
    let verdicts = judge(&[], &evidence, &JudgeOptions::default());
    assert_eq!(
        RunRecord::judged(info(), &evidence, verdicts).outcome,
        RunOutcome::Inconclusive
    );
}

#[rstest]
#[case::pass(vec![passed(), skipped()], 0)]
#[case::fail(vec![passed(), broken(), failed(), inconclusive()], 1)]
#[case::inconclusive(vec![inconclusive(), passed()], 3)]
#[case::lab(vec![passed(), inconclusive(), broken()], 4)]
#[case::all_skipped(vec![skipped()], 5)]
#[case::none(vec![], 5)]
fn the_most_telling_run_sets_the_exit_code(#[case] runs: Vec<RunRecord>, #[case] code: u8) {
    assert_eq!(ExitCode::of_runs(&runs).code(), code);
}

#[test]
fn the_remaining_exit_codes_are_what_the_table_says() {
    let codes = [ExitCode::Usage, ExitCode::Bug, ExitCode::Interrupted].map(ExitCode::code);
    assert_eq!(codes, [2, 70, 130]);
}
