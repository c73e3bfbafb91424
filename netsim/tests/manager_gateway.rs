//! What stands between the socket and the resources of a Manager: sessions, limits, faults of requests.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod manager_support;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use manager_support::{
    DEADLINE, MemoryEdges, PASSWORD, Session, USERNAME, client, client_builder, config, log_in, url,
};
use netsim::manager::faults::{ExpiryShape, Fault, GatewayAnswer, Requests};
use netsim::manager::limits::Limits;
use netsim::manager::{Config, Manager};
use reqwest::{Client, Method, Response, Version};
use rstest::rstest;
use serde_json::{Value, json};

const LISTS: &str = "/dataservice/template/policy/list/site";

async fn start(config: Config) -> Manager {
    Manager::start(config, Arc::new(MemoryEdges::default()))
        .await
        .unwrap()
}

async fn get(manager: &Manager, client: &Client, path: &str) -> Response {
    client.get(url(manager, path)).send().await.unwrap()
}

fn requests(count: u32, path: &str) -> Requests {
    Requests {
        count: Some(count),
        path: Some(path.to_owned()),
        ..Requests::default()
    }
}

fn site_list() -> Value {
    json!({"name": "l", "description": "", "type": "site", "entries": [{"siteId": "1"}]})
}

/// The names of the site lists, asked by a client that no fault strikes any more.
async fn list_names(session: &Session<'_>) -> Vec<Value> {
    let lists = session
        .ok("GET", "/template/policy/list/site", &Value::Null)
        .await;
    let rows = lists["data"].as_array().unwrap();
    rows.iter().map(|row| row["name"].clone()).collect()
}

#[tokio::test]
async fn e2e_more_requests_than_the_limit_wait_as_they_are_told() {
    let limits = Limits {
        requests_per_second: NonZeroU32::new(10),
        ..Limits::PRODUCT
    };
    let manager = start(Config { limits, ..config() }).await;
    let session = Session::new(&manager).await;
    let mut refused = None;
    for _ in 0..200 {
        let answer = get(&manager, &session.client, LISTS).await;
        if answer.status() != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("200 requests of a few milliseconds are more than 10 a second");
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "1");
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["error"]["type"], "error", "{body}");

    // The lab's own paths are not the product's.
    for _ in 0..20 {
        assert_eq!(
            get(&manager, &session.client, "/pathproof/v1/faults")
                .await
                .status(),
            200
        );
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(get(&manager, &session.client, LISTS).await.status(), 200);
}

#[tokio::test]
async fn e2e_bulk_statistics_have_a_limit_a_minute() {
    let manager = start(Config {
        limits: Limits::PRODUCT,
        ..config()
    })
    .await;
    let session = Session::new(&manager).await;
    let path = "/dataservice/data/device/statistics/approutestatsstatistics";
    for _ in 0..48 {
        assert_ne!(get(&manager, &session.client, path).await.status(), 429);
    }
    let refused = get(&manager, &session.client, path).await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=2).contains(&wait), "a token drips each 1.25 s, not {wait}");
    assert_eq!(get(&manager, &session.client, LISTS).await.status(), 200);
}

#[tokio::test]
async fn e2e_the_hundred_and_first_session_ends_the_first() {
    let manager = start(config()).await;
    let first = Session::new(&manager).await;
    let mut last = None;
    for _ in 0..100 {
        last = Some(Session::new(&manager).await);
    }
    let page = get(&manager, &first.client, LISTS).await.text().await.unwrap();
    assert!(page.contains("<html>"), "{page}");
    assert_eq!(list_names(&last.unwrap()).await, Vec::<Value>::new());
}

#[tokio::test]
async fn e2e_a_cookie_that_nobody_issued_shows_the_configured_expiry() {
    let expiry = ExpiryShape::Redirect;
    let manager = start(Config { expiry, ..config() }).await;
    let ask = |path: &str| {
        client(&manager)
            .get(url(&manager, path))
            .header("cookie", "JSESSIONID=x")
    };
    let answer = ask(LISTS).send().await.unwrap();
    assert_eq!(answer.status(), 302);
    assert_eq!(answer.headers()["location"], "/welcome.html");
    let token = ask("/dataservice/client/token").send().await.unwrap();
    assert!(token.text().await.unwrap().contains("<html>"));
}

#[tokio::test]
async fn e2e_the_server_is_ready_when_its_time_has_come() {
    let ready_after = Duration::from_millis(300);
    let begun = Instant::now();
    let manager = start(Config {
        ready_after,
        ..config()
    })
    .await;
    let client = client(&manager);
    loop {
        let asked = Instant::now();
        let answer = get(&manager, &client, "/dataservice/client/server/ready").await;
        let answer: Value = answer.json().await.unwrap();
        if answer["isServerReady"] == true {
            break;
        }
        assert!(asked - begun < DEADLINE, "{answer}");
    }
    assert!(begun.elapsed() >= ready_after);
}

#[rstest]
#[case::http1(Version::HTTP_11)]
#[case::http2(Version::HTTP_2)]
#[tokio::test]
async fn e2e_a_cut_reply_ends_in_its_middle_and_the_request_is_done(#[case] version: Version) {
    let manager = start(config()).await;
    let builder = client_builder(&manager);
    let builder = if version == Version::HTTP_2 {
        builder
    } else {
        builder.http1_only()
    };
    let client = builder.build().unwrap();
    let token = log_in(&manager, &client).await;
    let id = manager.faults().inject(Fault::CutReplies {
        requests: requests(1, LISTS),
    });
    let request = client.post(url(&manager, LISTS)).header("X-XSRF-TOKEN", token);
    let mut answer = request.json(&site_list()).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
    let promised = answer.content_length().unwrap();
    let (came, error) = until_cut(&mut answer).await;
    assert_eq!(came, promised / 2, "{error}");
    assert!(!manager.faults().heal(id), "its one time is over");
    assert_eq!(list_names(&Session::new(&manager).await).await, [json!("l")]);
    assert_eq!(
        get(&manager, &client, LISTS).await.status(),
        200,
        "a new connection"
    );
}

/// How much of a body came, and why no more.
async fn until_cut(answer: &mut Response) -> (u64, String) {
    let mut octets = 0;
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => octets += chunk.len() as u64,
            Ok(None) => panic!("the whole reply came"),
            Err(error) => return (octets, error.to_string()),
        }
    }
}

#[tokio::test]
async fn e2e_a_reply_without_a_body_is_lost_whole() {
    let manager = start(config()).await;
    let session = Session::new(&manager).await;
    let list = session
        .ok("POST", "/template/policy/list/site", &site_list())
        .await;
    manager.faults().inject(Fault::CutReplies {
        requests: Requests {
            count: Some(1),
            method: Some("DELETE".to_owned()),
            ..Requests::default()
        },
    });
    let path = format!("{LISTS}/{}", list["listId"].as_str().unwrap());
    let request = session.client.delete(url(&manager, &path));
    let error = request
        .header("X-XSRF-TOKEN", &session.token)
        .send()
        .await
        .unwrap_err();
    assert!(!error.is_timeout(), "{error:?}");
    assert_eq!(list_names(&session).await, Vec::<Value>::new());
}

#[tokio::test]
async fn e2e_a_request_that_the_gateway_answers_is_not_done() {
    let manager = start(config()).await;
    let session = Session::new(&manager).await;
    manager.faults().inject(Fault::AnswerRequests {
        answer: GatewayAnswer::BadGateway,
        requests: requests(1, LISTS),
    });
    let (status, _) = session
        .send("POST", "/template/policy/list/site", Some(&site_list()))
        .await;
    assert_eq!(status, 502);
    assert_eq!(list_names(&session).await, Vec::<Value>::new());
    let (status, _) = session
        .send("POST", "/template/policy/list/site", Some(&site_list()))
        .await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn e2e_faults_strike_logins_of_all_kinds_and_never_the_lab() {
    let manager = start(config()).await;
    let strange = client(&manager);
    manager.faults().inject(Fault::AnswerRequests {
        answer: GatewayAnswer::Unavailable,
        requests: Requests::default(),
    });
    for path in ["/j_security_check", "/jwt/login", "/logout", "/", "/nothing"] {
        let answer = strange.post(url(&manager, path)).send().await.unwrap();
        assert_eq!(answer.status(), 503, "{path}");
        assert_eq!(answer.headers()["retry-after"], "1");
    }
    let ask = |method, path: &str| {
        let request = strange.request(method, url(&manager, path));
        request.basic_auth(USERNAME, Some(PASSWORD))
    };
    let faults: Value = ask(Method::GET, "/pathproof/v1/faults")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(faults[0]["felt"], 5);
    let healed = ask(Method::DELETE, "/pathproof/v1/faults").send().await.unwrap();
    assert_eq!(healed.json::<Value>().await.unwrap(), json!({"healed": 1}));
    assert_eq!(get(&manager, &strange, "/").await.status(), 200);
}

#[tokio::test]
async fn e2e_a_late_request_is_done_late() {
    let manager = start(config()).await;
    let session = Session::new(&manager).await;
    manager.faults().inject(Fault::DelayRequests {
        by_ms: 200,
        requests: requests(1, LISTS),
    });
    let begun = Instant::now();
    session
        .ok("POST", "/template/policy/list/site", &site_list())
        .await;
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(list_names(&session).await, [json!("l")]);
}

#[tokio::test]
async fn e2e_a_late_request_is_late_no_longer_than_its_fault() {
    let manager = start(config()).await;
    let session = Session::new(&manager).await;
    let id = manager.faults().inject(Fault::DelayRequests {
        by_ms: 3_600_000,
        requests: requests(1, LISTS),
    });
    let heal = async {
        while manager.faults().in_force()[0].felt == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(manager.faults().heal(id));
    };
    let (names, ()) = tokio::join!(list_names(&session), heal);
    assert_eq!(names, Vec::<Value>::new());
}

#[tokio::test]
async fn e2e_the_password_opens_the_lab_alone() {
    let manager = start(config()).await;
    let strange = client(&manager);
    let ask = |path: &str, password: &'static str| {
        let request = strange.get(url(&manager, path));
        request.basic_auth(USERNAME, Some(password)).send()
    };
    assert_eq!(ask("/pathproof/v1/state", PASSWORD).await.unwrap().status(), 200);
    let refused = ask("/pathproof/v1/state", "wrong").await.unwrap();
    assert_eq!(refused.status(), 401);
    assert!(refused.headers().contains_key("www-authenticate"));
    let product = ask("/dataservice/device", PASSWORD).await.unwrap();
    assert!(product.text().await.unwrap().contains("<html>"));
}

#[tokio::test]
async fn e2e_expired_sessions_are_opened_again() {
    let manager = start(config()).await;
    let session = Session::new(&manager).await;
    manager.faults().inject(Fault::ExpireSessions {
        shape: Some(ExpiryShape::Forbidden),
    });
    let (status, body) = session.send("GET", "/device", None).await;
    assert_eq!(status, 403);
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("SessionTokenFilter"), "{message}");
    log_in(&manager, &session.client).await;
    session.ok("GET", "/device", &Value::Null).await;
}

#[tokio::test]
async fn e2e_many_clients_at_once_are_each_their_own() {
    let manager = Arc::new(start(config()).await);
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..20 {
        let manager = manager.clone();
        clients.spawn(async move {
            let session = Session::new(&manager).await;
            let list = json!({
                "name": format!("l{number}"), "description": "", "type": "site", "entries": [{"siteId": "1"}],
            });
            session.ok("POST", "/template/policy/list/site", &list).await;
            let answer = session
                .client
                .post(url(&manager, "/logout"))
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 302);
            session.token
        });
    }
    let tokens: std::collections::BTreeSet<String> = clients.join_all().await.into_iter().collect();
    assert_eq!(tokens.len(), 20);
    assert_eq!(list_names(&Session::new(&manager).await).await.len(), 20);
}

#[tokio::test]
async fn e2e_a_refusal_reaches_a_client_that_sends_a_large_body() {
    let manager = start(config()).await;
    let session = Session::new(&manager).await;
    let path = url(&manager, "/dataservice/template/policy/list/site");
    for _ in 0..20 {
        let body = "x".repeat(1 << 20);
        let sent = session.client.post(&path).body(body).send().await;
        assert_eq!(sent.unwrap().status(), 403);
    }
}
