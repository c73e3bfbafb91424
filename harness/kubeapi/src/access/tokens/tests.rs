use serde_json::json;

use super::*;

fn store_with(uid: &str) -> Store {
    let store = Store::new(8);
    let account = json!({"metadata": {"namespace": "default", "name": "op", "uid": uid}});
    store.write(|state| state.put(&"serviceaccounts".into(), account));
    store
}

fn account(uid: &str) -> Value {
    json!({"metadata": {"namespace": "default", "name": "op", "uid": uid}})
}

fn request(audiences: &[&str]) -> TokenRequest {
    TokenRequest {
        audiences: audiences.iter().map(|&audience| audience.to_owned()).collect(),
        lifetime: Lifetime {
            from: 1000,
            until: 4600,
        },
    }
}

#[test]
fn a_token_says_whose_it_is() {
    let token = Authenticator::new().issue(&account("u1"), &request(&[]));
    let claims = token.split('.').nth(1).expect("three parts");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64");
    let mut claims: Value = serde_json::from_slice(&claims).expect("json");
    claims["jti"].take();
    assert_eq!(
        claims,
        json!({
            "aud": [ISSUER], "iss": ISSUER, "exp": 4600, "iat": 1000, "nbf": 1000, "jti": null,
            "sub": "system:serviceaccount:default:op",
            "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "op", "uid": "u1"}},
        })
    );
}

#[test]
fn a_token_is_good_while_it_lasts_and_its_service_account_is_there() {
    let authenticator = Authenticator::new();
    let token = authenticator.issue(&account("u1"), &request(&[]));
    let store = store_with("u1");
    for (now, good) in [(999, false), (1000, true), (4599, true), (4600, false)] {
        assert_eq!(
            authenticator.user_of(&store, &token, now).is_some(),
            good,
            "at {now}"
        );
    }
    let user = authenticator.user_of(&store, &token, 1000).expect("good");
    assert_eq!(
        (user.name.as_str(), user.uid.as_str()),
        ("system:serviceaccount:default:op", "u1")
    );
    assert_eq!(
        authenticator.user_of(&store_with("u2"), &token, 1000),
        None,
        "made anew"
    );
    assert_eq!(
        authenticator.user_of(&Store::new(8), &token, 1000),
        None,
        "deleted"
    );
    assert_eq!(
        Authenticator::new().user_of(&store, &token, 1000),
        None,
        "another run's"
    );
}

#[test]
fn a_token_for_others_is_not_for_this_api() {
    let authenticator = Authenticator::new();
    let store = store_with("u1");
    let token = authenticator.issue(&account("u1"), &request(&["vault"]));
    assert_eq!(authenticator.user_of(&store, &token, 1000), None);
    let asked = ["other".to_owned(), "vault".to_owned()];
    let (_, audiences) = authenticator
        .review(&store, &token, &asked, 1000)
        .expect("good for one");
    assert_eq!(audiences, ["vault"]);
}

#[test]
fn only_what_was_signed_here_is_accepted() {
    let authenticator = Authenticator::new();
    let store = store_with("u1");
    let token = authenticator.issue(&account("u1"), &request(&[]));
    for at in 0..token.len() {
        let mut other = token.clone().into_bytes();
        other[at] = if other[at] == b'A' { b'B' } else { b'A' };
        let other = String::from_utf8(other).expect("ascii");
        assert_eq!(authenticator.user_of(&store, &other, 1000), None, "at {at}");
    }
    let body = token.split('.').nth(1).expect("three parts");
    let unsigned = format!("{}.{body}", encode(r#"{"alg":"none"}"#));
    let signature = encode(hmac::sign(&authenticator.key, unsigned.as_bytes()));
    for form in [
        "",
        ".",
        "..",
        "a.b.c",
        &format!("{unsigned}."),
        &format!("{unsigned}.{signature}"),
    ] {
        assert_eq!(authenticator.user_of(&store, form, 1000), None, "{form}");
    }
}

#[test]
fn the_administrator_is_a_master() {
    let authenticator = Authenticator::new();
    let user = authenticator.user_of(&Store::new(8), authenticator.administrator_token(), 0);
    assert!(user.is_some_and(|user| user.is_master()));
    assert!(!format!("{authenticator:?}").contains(authenticator.administrator_token()));
}
