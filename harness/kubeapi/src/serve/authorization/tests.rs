use super::*;
use crate::access::RuleIndex;

/// `VERB GROUP/RESOURCE/SUBRESOURCE NAMESPACE NAME`, or `VERB PATH`; what is empty is `-`.
fn said(method: &str, uri: &str) -> String {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let or_dash = |text: &str| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text.to_owned()
        }
    };
    match action_of(&method, &uri.parse().expect("a uri")) {
        Action::Path { verb, path } => format!("{verb} {path}"),
        Action::Resource(action) => {
            let ResourceAction {
                group,
                resource,
                subresource,
                ..
            } = &action;
            let kind = [group, resource, subresource].map(|part| or_dash(part)).join("/");
            let (namespace, name) = (or_dash(&action.namespace), or_dash(&action.name));
            format!("{} {kind} {namespace} {name}", action.verb)
        }
    }
}

#[test]
fn a_request_asks_for_what_its_path_and_query_say() {
    for (method, uri, expected) in [
        ("GET", "/api/v1/pods", "list -/pods/- - -"),
        ("GET", "/api/v1/pods?watch=true", "watch -/pods/- - -"),
        ("GET", "/api/v1/pods?watch", "watch -/pods/- - -"),
        ("GET", "/api/v1/pods?watch=0", "list -/pods/- - -"),
        ("GET", "/api/v1/namespaces/x/pods/p", "get -/pods/- x p"),
        ("GET", "/api/v1/namespaces/x/pods/p?watch=1", "get -/pods/- x p"),
        (
            "POST",
            "/apis/apps/v1/namespaces/x/deployments",
            "create apps/deployments/- x -",
        ),
        (
            "PUT",
            "/api/v1/namespaces/x/pods/p/status",
            "update -/pods/status x p",
        ),
        ("PATCH", "/api/v1/nodes/n", "patch -/nodes/- - n"),
        ("DELETE", "/api/v1/namespaces/x/pods/p", "delete -/pods/- x p"),
        (
            "DELETE",
            "/api/v1/namespaces/x/pods",
            "deletecollection -/pods/- x -",
        ),
        ("GET", "/api/v1/namespaces", "list -/namespaces/- - -"),
        ("GET", "/api/v1/namespaces/x", "get -/namespaces/- x x"),
        (
            "PUT",
            "/api/v1/namespaces/x/finalize",
            "update -/namespaces/finalize x x",
        ),
        ("GET", "/api/v1/namespaces/x/pods/", "list -/pods/- x -"),
        ("GET", "/api/v1/namespaces/x/%70ods/p", "get -/pods/- x p"),
        (
            "GET",
            "/api/v1/namespaces/x/pods?fieldSelector=metadata.name%3Dp",
            "list -/pods/- x p",
        ),
        (
            "GET",
            "/api/v1/pods?fieldSelector=spec.nodeName%3Da,metadata.name%3D%3Dp&watch=1",
            "watch -/pods/- - p",
        ),
        (
            "GET",
            "/api/v1/pods?fieldSelector=metadata.name!%3Dp",
            "list -/pods/- - -",
        ),
        ("GET", "/api", "get /api"),
        ("GET", "/api/v1", "get /api/v1"),
        ("GET", "/apis/apps/v1", "get /apis/apps/v1"),
        ("POST", "/healthz", "post /healthz"),
        ("GET", "/openapi/v3/api/v1", "get /openapi/v3/api/v1"),
    ] {
        assert_eq!(said(method, uri), expected, "{method} {uri}");
    }
}

#[test]
fn a_refusal_is_worded_as_upstream() {
    let rules = RuleIndex::default();
    let user = User::service_account("default", "op");
    for (method, uri, message) in [
        (
            "GET",
            "/api/v1/namespaces/default/pods",
            "pods is forbidden: User \"system:serviceaccount:default:op\" cannot list resource \"pods\" \
             in API group \"\" in the namespace \"default\"",
        ),
        (
            "PATCH",
            "/apis/discovery.k8s.io/v1/namespaces/x/endpointslices/e/status",
            "endpointslices.discovery.k8s.io \"e\" is forbidden: User \"system:serviceaccount:default:op\" cannot patch \
             resource \"endpointslices/status\" in API group \"discovery.k8s.io\" in the namespace \"x\"",
        ),
        (
            "GET",
            "/api/v1/nodes",
            "nodes is forbidden: User \"system:serviceaccount:default:op\" cannot list resource \"nodes\" \
             in API group \"\" at the cluster scope",
        ),
        (
            "GET",
            "/metrics",
            "forbidden: User \"system:serviceaccount:default:op\" cannot get path \"/metrics\"",
        ),
    ] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let action = action_of(&method, &uri.parse().expect("a uri"));
        let refused = authorize(&rules, &user, &action).expect_err("no rules");
        assert_eq!((refused.code(), refused.message.as_str()), (403, message));
    }
}
