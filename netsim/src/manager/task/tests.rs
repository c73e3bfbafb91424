use rstest::rstest;

use super::*;
use crate::manager::Controller;

fn controllers() -> impl Iterator<Item = Target> {
    let second = Controller {
        host_name: "vsmart2".to_owned(),
        system_ip: "172.16.255.6".parse().unwrap(),
    };
    [Controller::default(), second]
        .into_iter()
        .map(|controller| controller.target())
}

fn accepted() -> Task {
    Task::accept("t".to_owned(), Work::PushVsmartPolicy, &Caller::test("a"))
}

fn running() -> Task {
    let mut task = accepted();
    task.queue(controllers());
    task.start(1_700_000_000_100);
    task
}

#[test]
fn an_accepted_task_has_no_data_yet() {
    let status = accepted().status();
    assert_eq!(status.get("data"), None);
    assert_eq!(status["summary"]["status"], "scheduled");
    assert_eq!(status["isCancelEnabled"], true);
}

#[test]
fn a_queued_task_is_scheduled_everywhere() {
    let mut task = accepted();
    task.queue(controllers());
    let status = task.status();
    assert_eq!(status["summary"]["status"], "scheduled");
    assert_eq!(status["summary"]["count"], json!({"Scheduled": 2}));
    assert_eq!(status["data"][1]["statusId"], "scheduled");
}

#[test]
fn a_running_task_is_in_progress_everywhere() {
    let status = running().status();
    assert_eq!(status["summary"]["status"], "in_progress");
    assert_eq!(status["summary"]["count"], json!({"In progress": 2}));
    assert_eq!(status["summary"]["total"], 2);
    assert_eq!(status["data"][0]["statusId"], "in_progress");
    assert_eq!(status["data"][0]["host-name"], "vsmart1");
    assert_eq!(status["validation"]["statusId"], "validation_success");
}

#[rstest]
#[case::success(RowStatus::Success, "success", "Success", "Done - Push vSmart Policy")]
#[case::failure(RowStatus::Failure, "failure", "Failure", "Done - Push vSmart Policy")]
#[case::offline(
    RowStatus::SuccessScheduled,
    "success_scheduled",
    "Done - Scheduled",
    "Done - Scheduled"
)]
fn done_says_nothing_of_how_it_ended(
    #[case] end: RowStatus,
    #[case] id: &str,
    #[case] text: &str,
    #[case] current: &str,
) {
    let mut task = running();
    task.end(1_700_000_000_500, |controller| {
        match controller.host_name.as_str() {
            "vsmart1" => (RowStatus::Success, "there".to_owned()),
            _ => (end, "the end".to_owned()),
        }
    });
    let status = task.status();
    assert_eq!(status["summary"]["status"], "done");
    assert_eq!(status["isCancelEnabled"], false);
    assert_eq!(status["data"][0]["statusId"], "success");
    let row = &status["data"][1];
    assert_eq!(
        [&row["statusId"], &row["status"], &row["currentActivity"]],
        [id, text, current]
    );
    assert_eq!(row["activity"][1], "[14-Nov-2023 22:13:20 UTC] the end");
}

#[test]
fn the_summary_counts_rows_by_their_status() {
    let mut task = running();
    task.end(0, |controller| match controller.host_name.as_str() {
        "vsmart1" => (RowStatus::SuccessScheduled, String::new()),
        _ => (RowStatus::Success, String::new()),
    });
    assert_eq!(
        task.status()["summary"]["count"],
        json!({"Done - Scheduled": 1, "Success": 1})
    );
}

#[test]
fn a_cancelled_task_cannot_be_cancelled_again() {
    let mut task = running();
    assert_eq!(task.status()["isCancelEnabled"], true);
    task.cancel();
    assert_eq!(task.status()["isCancelEnabled"], false);
    assert!(task.is_running());
}

#[test]
fn a_refused_task_has_no_rows_and_a_failed_validation() {
    let status = Task::refuse("t".to_owned(), Work::PushVsmartPolicy, &Caller::test("a"), "busy").status();
    assert_eq!(status["data"], json!([]));
    assert_eq!(status["summary"]["status"], "done");
    assert_eq!(status["summary"]["count"], json!({}));
    assert_eq!(status["validation"]["statusId"], "validation_failure");
    assert_eq!(
        status["validation"]["activity"],
        json!(["[14-Nov-2023 22:13:20 UTC] busy"])
    );
}
