use super::*;

fn asked(verb: Verb, resource: &str, subresource: &str) -> Asked {
    Asked {
        verb: Some(verb),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: "default".to_owned(),
        user: "me".to_owned(),
        ..Asked::default()
    }
}

fn lease(verb: Verb) -> Asked {
    Asked {
        group: "coordination.k8s.io".to_owned(),
        ..asked(verb, "leases", "")
    }
}

fn path(verb: Option<Verb>) -> Asked {
    Asked {
        verb,
        ..Asked::default()
    }
}

fn unavailable(requests: Requests) -> Fault {
    Fault::Answer {
        with: Answer::ServiceUnavailable,
        requests,
    }
}

fn of_resource(name: &str) -> Requests {
    Requests {
        resources: vec![name.to_owned()],
        ..Requests::default()
    }
}

fn of_verbs(verbs: &[Verb]) -> Requests {
    Requests {
        verbs: verbs.to_vec(),
        ..Requests::default()
    }
}

#[test]
fn every_word_given_must_fit() {
    let service = asked(Verb::Patch, "services", "");
    let with = |change: fn(&mut Requests)| {
        let mut requests = Requests::default();
        change(&mut requests);
        unavailable(requests).strikes(&service)
    };
    assert!(with(|_| {}));
    assert!(with(|requests| requests.verbs = vec![Verb::Get, Verb::Patch]));
    assert!(!with(|requests| requests.verbs = vec![Verb::Get]));
    assert!(with(|requests| requests.namespace = Some("default".to_owned())));
    assert!(!with(|requests| requests.namespace = Some("shop".to_owned())));
    assert!(with(|requests| requests.user = Some("me".to_owned())));
    assert!(!with(|requests| requests.user = Some("you".to_owned())));
    assert!(!with(|requests| {
        requests.verbs = vec![Verb::Patch];
        requests.user = Some("you".to_owned());
    }));
}

#[test]
fn resources_are_named_with_group_and_subresource() {
    for (name, asked, expected) in [
        ("services", asked(Verb::Get, "services", ""), true),
        ("services", asked(Verb::Get, "services", "status"), false),
        ("services/status", asked(Verb::Get, "services", "status"), true),
        ("leases", lease(Verb::Get), false),
        ("leases.coordination.k8s.io", lease(Verb::Get), true),
        ("services", path(Some(Verb::Get)), false),
    ] {
        let fault = unavailable(of_resource(name));
        assert_eq!(fault.check(), Ok(()), "{name}");
        assert_eq!(fault.strikes(&asked), expected, "{name} {asked:?}");
    }
}

#[test]
fn a_path_that_is_no_resource_is_read_at_most() {
    let everything = unavailable(Requests::default());
    assert!(everything.strikes(&path(Some(Verb::Get))));
    assert!(everything.strikes(&path(None)));
    assert!(unavailable(of_verbs(&[Verb::Get])).strikes(&path(Some(Verb::Get))));
    assert!(!unavailable(of_verbs(&Verb::ALL)).strikes(&path(None)));
}

#[test]
fn a_fault_strikes_only_what_it_is_about() {
    let all = Requests::default;
    let cut = Fault::CutReplies { requests: all() };
    let conflict = Fault::Answer {
        with: Answer::Conflict,
        requests: all(),
    };
    let drop = Fault::DropWatches { requests: all() };
    for (fault, struck) in [
        (&cut, &Verb::ALL[..]),
        (&conflict, &[Verb::Update, Verb::Patch, Verb::Delete]),
        (&drop, &[Verb::Watch]),
        (&Fault::Down, &[]),
    ] {
        for verb in Verb::ALL {
            let expected = struck.contains(&verb) && !(verb == Verb::Watch && *fault == cut);
            assert_eq!(
                fault.strikes(&asked(verb, "services", "")),
                expected,
                "{fault:?} {verb}"
            );
        }
    }
}

#[test]
fn a_fault_that_could_never_strike_is_refused() {
    let delay = |by| Fault::Delay {
        by,
        requests: Requests::default(),
    };
    let ahead = |by, requests| Fault::SkewLeases {
        clock: Skew::Ahead(by),
        requests,
    };
    let second = Duration::from_secs(1);
    let no_requests = Requests {
        count: Some(0),
        ..Requests::default()
    };
    let nobody = Requests {
        user: Some(String::new()),
        ..Requests::default()
    };
    for (fault, message) in [
        (delay(Duration::ZERO), "by is `0ns`; from 1ms to 60s is accepted"),
        (
            delay(Duration::from_secs(61)),
            "by is `61s`; from 1ms to 60s is accepted",
        ),
        (
            ahead(Duration::from_secs(3601), Requests::default()),
            "clock is `3601s`; from 1ms to 3600s is accepted",
        ),
        (
            ahead(second, of_resource("services")),
            "requests.resources[0] is `services`; `leases.coordination.k8s.io` is accepted",
        ),
        (
            ahead(second, of_verbs(&[Verb::Update, Verb::Delete])),
            "requests.verbs[1] is `delete`; one of create, update, patch is accepted",
        ),
        (
            Fault::CutReplies {
                requests: of_verbs(&[Verb::Watch]),
            },
            "requests.verbs[0] is `watch`; \
             one of get, list, create, update, patch, delete, deletecollection is accepted",
        ),
        (
            unavailable(no_requests),
            "requests.count is `0`; a number from 1 is accepted",
        ),
        (
            unavailable(of_resource("v1/Services")),
            "requests.resources[0] is `v1/Services`; \
             a plural such as `services`, `leases.coordination.k8s.io` or `pods/status` is accepted",
        ),
        (
            unavailable(nobody),
            "requests.user is ``; the name of a user, or none is accepted",
        ),
    ] {
        assert_eq!(
            fault.check().map_err(|error| error.to_string()),
            Err(message.to_owned())
        );
    }
    for name in ["", ".", "services.", "/status", "pods/", "pods/status/x", "a b"] {
        assert!(unavailable(of_resource(name)).check().is_err(), "{name}");
    }
    for by in [DELAY.0, DELAY.1] {
        assert_eq!(delay(by).check(), Ok(()));
    }
}

#[test]
fn verbs_read_back_as_they_are_written() {
    for verb in Verb::ALL {
        assert_eq!(verb.to_string().parse(), Ok(verb));
    }
    assert_eq!(
        "PATCH".parse::<Verb>().map_err(|error| error.to_string()),
        Err(
            "verb is `PATCH`; one of get, list, watch, create, update, patch, delete, deletecollection is accepted"
                .to_owned()
        )
    );
}

#[test]
fn an_answer_has_the_code_and_the_reason_of_kubernetes() {
    let service = Asked {
        name: "web".to_owned(),
        ..asked(Verb::Patch, "services", "")
    };
    for (answer, code, reason) in [
        (Answer::TooManyRequests, 429, "TooManyRequests"),
        (Answer::InternalError, 500, "InternalError"),
        (Answer::ServiceUnavailable, 503, "ServiceUnavailable"),
        (Answer::GatewayTimeout, 504, "Timeout"),
        (Answer::Conflict, 409, "Conflict"),
    ] {
        let status = answer.status(&service).to_json();
        assert_eq!(
            (&status["code"], &status["reason"]),
            (&code.into(), &reason.into())
        );
    }
    let conflict = Answer::Conflict.status(&service);
    assert!(
        conflict
            .message
            .starts_with("Operation cannot be fulfilled on services \"web\": the object has been modified")
    );
}
