//! Answers of the Manager that are none, or that say "not you" or "not now".

use std::time::Instant;

use netsim::manager::Event;
use netsim::manager::faults::{ExpiryShape, Fault, GatewayAnswer, Requests};
use netsim::manager::limits::Limits;
use pathproof_trials::{Wan, settings};
use rstest::rstest;
use sdwan_operator::manager::{Backend, LoginKind};

use crate::steered;
use crate::support::admin::inventory;
use crate::support::{COLORS, Trial, events, eventually, failures, rounds, writing};

#[rstest]
#[case::login_page(LoginKind::Session, ExpiryShape::LoginPage)]
#[case::redirect(LoginKind::Session, ExpiryShape::Redirect)]
#[case::forbidden(LoginKind::Session, ExpiryShape::Forbidden)]
#[case::cookie(LoginKind::Session, ExpiryShape::Cookie)]
#[case::tokens(LoginKind::Jwt, ExpiryShape::LoginPage)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_expires_under_a_push_is_renewed_once(
    #[case] login: LoginKind,
    #[case] shape: ExpiryShape,
) {
    let trial = Trial::start().await;
    trial.service("business", &[("tunnel", "biz-internet")], &["10.0.2.5"]);
    let operator = trial.operator_by(login, trial.cluster.client().await, settings());
    trial.until_taken("10.0.2.5", "biz-internet").await;
    eventually("the round has ended", || rounds(&operator) > 0.0).await;

    let mut activities = trial.wan.manager.activity();
    let faults = trial.wan.manager.faults();
    let (by_ms, count) = (500, Some(1));
    faults.inject(Fault::DelayTasks { by_ms, count });
    trial.endpoints("business", &["10.0.2.6"]);
    while !matches!(activities.next().await.unwrap().event, Event::PushStarted { .. }) {}
    let shape = Some(shape);
    faults.inject(Fault::ExpireSessions { shape });
    let before = rounds(&operator);
    trial.until_taken("10.0.2.6", "biz-internet").await;
    eventually("the round has ended", || rounds(&operator) > before).await;
    let happened = events(&mut activities);
    let logins = happened
        .iter()
        .filter(|event| matches!(event, Event::LoggedIn { .. }));
    assert_eq!(logins.count(), 1, "{happened:?}");
    assert!(
        !happened
            .iter()
            .any(|event| matches!(event, Event::PushStarted { .. })),
        "it was pushed once"
    );
    operator.stop().await;
    inventory(&trial.wan.rest().await, Backend::Classic).await;
}

#[rstest]
#[case::too_many_requests(GatewayAnswer::TooManyRequests)]
#[case::internal_error(GatewayAnswer::InternalError)]
#[case::bad_gateway(GatewayAnswer::BadGateway)]
#[case::unavailable(GatewayAnswer::Unavailable)]
#[case::gateway_timeout(GatewayAnswer::GatewayTimeout)]
#[case::html(GatewayAnswer::Html)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_answers_in_the_managers_place_only_costs_time(#[case] answer: GatewayAnswer) {
    let trial = Trial::start().await;
    let operator = steered(&trial, settings()).await;
    let (since, faults) = (trial.wan.edges.count(), trial.wan.manager.faults());
    let methods = ["GET", "POST", "PUT", "DELETE"];
    for (method, color) in methods
        .into_iter()
        .zip(["mpls", "biz-internet"].into_iter().cycle())
    {
        faults.inject(Fault::AnswerRequests {
            answer,
            requests: Requests {
                count: Some(1),
                method: Some(method.to_owned()),
                ..Requests::default()
            },
        });
        trial.tunnel("business", color);
        trial.until_taken("10.0.2.5", color).await;
        eventually(&format!("{method} is answered"), || faults.in_force().is_empty()).await;
    }
    trial.never_left(since, "10.0.2.5", &["biz-internet", "mpls"]);
    operator.stop().await;
    inventory(&trial.wan.rest().await, Backend::Classic).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_is_made_up_for_whichever_it_is(
    #[values(Backend::Classic, Backend::PolicyGroups)] backend: Backend,
) {
    let trial = Trial::start().await;
    let operator = steered(&trial, writing(backend)).await;
    let (since, faults) = (trial.wan.edges.count(), trial.wan.manager.faults());
    let colors = ["biz-internet", "mpls"];
    for answers in 0_u32.. {
        eventually("the round has ended", || rounds(&operator) > f64::from(answers)).await;
        let (count, after) = (Some(1), Some(answers).filter(|answers| *answers > 0));
        let requests = Requests {
            count,
            after,
            ..Requests::default()
        };
        faults.inject(Fault::CutReplies { requests });
        let before = rounds(&operator);
        let color = colors[(answers as usize + 1) % 2];
        trial.tunnel("business", color);
        trial.until_taken("10.0.2.5", color).await;
        eventually("the round has ended", || rounds(&operator) > before).await;
        if faults.heal_all() > 0 {
            assert!(answers > 4, "only {answers} answers");
            break;
        }
    }
    trial.never_left(since, "10.0.2.5", &colors);
    operator.stop().await;
    inventory(&trial.wan.rest().await, backend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_products_limit_of_requests_delays_and_fails_nothing() {
    const SERVICES: u16 = 150;
    let wan = Wan::configured(2, &COLORS, |config| config.limits = Limits::PRODUCT).await;
    let trial = Trial::on(wan).await;
    // Each port is a class of its own, and so a list.
    for number in 1..=SERVICES {
        let name = format!("service-{number}");
        trial.service(&name, &[("tunnel", "mpls")], &[]);
        trial.slice(&name, "TCP", 8079 + number, &["10.0.2.5"]);
    }
    let started = Instant::now();
    let operator = trial.operator(settings()).await;
    trial.until_taken("10.0.2.5", "mpls").await;
    let in_time = f64::from(SERVICES - 100) / 100.0;
    assert!(
        started.elapsed().as_secs_f64() > in_time,
        "more than the product allows"
    );
    for kind in ["busy", "refused", "unclear"] {
        assert_eq!(failures(&operator, kind), 0.0, "{kind}");
    }
    operator.stop().await;
}
