use proptest::prelude::*;

use super::*;

/// A field that holds octets.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("short");
    assert!(length < 0x80, "one octet of length");
    [&[number << 3 | 2, length], content].concat()
}

fn body(api_version: &str, kind: &str, content: &[u8]) -> Vec<u8> {
    let kind = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [
        MAGIC.to_vec(),
        field(1, &kind),
        field(2, content),
        field(3, b""),
        field(4, b""),
    ]
    .concat()
}

#[test]
fn an_object_is_as_its_json() {
    // As sent: texts that are empty are there, and so is the time that is none.
    let metadata = [
        field(1, b"op"),
        field(2, b""),
        field(3, b"default"),
        field(8, b""),
    ]
    .concat();
    let rule = [
        field(1, b"get"),
        field(1, b"list"),
        field(2, b""),
        field(3, b"pods"),
    ]
    .concat();
    let role = [field(1, &metadata), field(2, &rule)].concat();
    assert_eq!(
        object(&body("rbac.authorization.k8s.io/v1", "Role", &role)),
        Ok(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": "op", "namespace": "default"},
            "rules": [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}],
        }))
    );
    let entry = [field(1, b"key"), field(2, b"\xff\x00")].concat();
    let secret = [field(2, &entry), field(3, b"Opaque"), vec![5 << 3, 0]].concat();
    assert_eq!(
        object(&body("v1", "Secret", &secret)),
        Ok(json!({
            "apiVersion": "v1", "kind": "Secret", "data": {"key": "/wA="}, "type": "Opaque", "immutable": false,
        }))
    );
    let spec = [field(1, b"vault"), vec![4 << 3, 0xb0, 0x09]].concat();
    let request = object(&body(
        "authentication.k8s.io/v1",
        "TokenRequest",
        &field(2, &spec),
    ));
    assert_eq!(
        request.map(|request| request["spec"].clone()),
        Ok(json!({"audiences": ["vault"], "expirationSeconds": 1200}))
    );
}

#[test]
fn what_is_not_known_is_refused() {
    assert_eq!(object(b"k8s"), Err(ProtobufError::Magic));
    assert!(matches!(
        object(&body("v1", "Pod", b"")),
        Err(ProtobufError::Kind { .. })
    ));
    let secrets = field(2, b"");
    let error = object(&body("v1", "ServiceAccount", &secrets)).expect_err("secrets are not read");
    assert_eq!(
        error.to_string(),
        "field 2 of ServiceAccount is read as JSON only"
    );
    for malformed in [
        &[0x0a][..],
        &[0x0a, 2, 0],
        &[0x08, 1],
        &[0x0d, 0, 0, 0, 0],
        &[0xff; 11],
    ] {
        let found = object(&body("v1", "ConfigMap", malformed));
        assert_eq!(found, Err(ProtobufError::Malformed), "{malformed:?}");
    }
}

proptest! {
    #[test]
    fn no_body_breaks_the_reader(content in prop::collection::vec(any::<u8>(), 0..100)) {
        let _read_or_refused = object(&body("v1", "ConfigMap", &content));
        let _read_or_refused = object(&[MAGIC, &content].concat());
    }
}

#[test]
fn zeros_that_say_nothing_are_left_out_and_a_target_port_is_either_of_two() {
    let number = |field: u8, value: u8| vec![field << 3, value];
    let port = |target: Vec<u8>| {
        [
            field(1, b""),
            field(2, b"TCP"),
            number(3, 80),
            field(4, &target),
            number(5, 0),
        ]
        .concat()
    };
    let by_number = port([number(1, 0), number(2, 81), field(3, b"")].concat());
    let by_name = port([number(1, 1), number(2, 0), field(3, b"http")].concat());
    let by_neither = port([number(1, 0), number(2, 0), field(3, b"")].concat());
    let ports = [field(1, &by_number), field(1, &by_name), field(1, &by_neither)].concat();
    let spec = [ports, field(3, b""), number(13, 0)].concat();
    let read = object(&body("v1", "Service", &field(2, &spec))).expect("a Service");
    assert_eq!(
        read["spec"],
        json!({
            "ports": [
                {"protocol": "TCP", "port": 80, "targetPort": 81},
                {"protocol": "TCP", "port": 80, "targetPort": "http"},
                {"protocol": "TCP", "port": 80},
            ],
        })
    );
}

#[test]
fn quantities_are_texts_and_a_budget_of_zero_is_one() {
    let entry = [field(1, b"pods"), field(2, &field(1, b"10"))].concat();
    let quota = field(2, &field(1, &entry));
    assert_eq!(
        object(&body("v1", "ResourceQuota", &quota)).expect("is read")["spec"],
        json!({"hard": {"pods": "10"}})
    );
    let zero = [[8, 0], [16, 0]].concat();
    let budget = field(2, &[field(1, &zero), field(2, &[])].concat());
    assert_eq!(
        object(&body("policy/v1", "PodDisruptionBudget", &budget)).expect("is read")["spec"],
        json!({"minAvailable": 0, "selector": {}})
    );
}

#[test]
fn the_paths_of_an_ingress_stand_beside_its_host() {
    let paths = field(1, &field(1, &field(1, b"/")));
    let rule = [field(1, b"example.com"), field(2, &paths)].concat();
    let ingress = field(2, &field(3, &rule));
    assert_eq!(
        object(&body("networking.k8s.io/v1", "Ingress", &ingress)).expect("is read")["spec"],
        json!({"rules": [{"host": "example.com", "http": {"paths": [{"path": "/"}]}}]})
    );
}
