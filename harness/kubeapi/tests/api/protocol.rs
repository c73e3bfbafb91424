use std::net::TcpListener;
use std::sync::Arc;

use axum::http::Request;
use kube::client::Body;
use kube::config::Kubeconfig;
use kube::discovery::Discovery;
use kubeapi::{Config, Server, StartError};
use serde_json::{Value, json};

use crate::lab::{Lab, MemoryKubelet, connect};

pub async fn get(lab: &Lab, path: &str, accept: &str) -> (u16, String, Value) {
    let request = Request::get(path)
        .header("accept", accept)
        .body(Body::empty())
        .unwrap();
    let response = lab.client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let header = response.headers().get("content-type");
    let media_type = header
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap()
        .to_bytes();
    (
        code,
        media_type,
        serde_json::from_slice(&body).unwrap_or(Value::Null),
    )
}

pub async fn send(lab: &Lab, method: &str, path: &str, media_type: &str, body: &str) -> Value {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media_type);
    let response = lab
        .client
        .send(request.body(Body::from(body.as_bytes().to_vec())).unwrap())
        .await
        .unwrap();
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap()
        .to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn a_request_without_the_token_is_unauthorized() {
    let lab = Lab::start().await;
    for (token, code) in [(None, 401), (Some("wrong"), 401)] {
        let mut kubeconfig = Kubeconfig::from_yaml(&lab.server.kubeconfig()).unwrap();
        kubeconfig.auth_infos[0].auth_info.as_mut().unwrap().token =
            token.map(|token: &str| token.to_owned().into());
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap();
        let stranger = kube::Client::try_from(config).unwrap();
        let refused = stranger.apiserver_version().await.unwrap_err();
        assert!(
            matches!(refused, kube::Error::Api(status) if status.code == code && status.reason == "Unauthorized")
        );
    }
}

#[tokio::test]
async fn both_discoveries_name_the_same_resources() {
    let lab = Lab::start().await;
    let legacy = Discovery::new(lab.client.clone()).run().await.unwrap();
    let aggregated = Discovery::new(lab.client.clone()).run_aggregated().await.unwrap();
    let names = |discovery: &Discovery| {
        let mut names: Vec<String> = discovery
            .groups()
            .flat_map(|group| group.recommended_resources())
            .map(|(resource, _)| format!("{}/{}", resource.api_version, resource.plural))
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&legacy), names(&aggregated));
    let expected = [
        "admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
        "admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        "apiextensions.k8s.io/v1/customresourcedefinitions",
        "apps/v1/controllerrevisions",
        "apps/v1/daemonsets",
        "apps/v1/deployments",
        "apps/v1/replicasets",
        "apps/v1/statefulsets",
        "authentication.k8s.io/v1/selfsubjectreviews",
        "authentication.k8s.io/v1/tokenreviews",
        "authorization.k8s.io/v1/localsubjectaccessreviews",
        "authorization.k8s.io/v1/selfsubjectaccessreviews",
        "authorization.k8s.io/v1/selfsubjectrulesreviews",
        "authorization.k8s.io/v1/subjectaccessreviews",
        "autoscaling/v2/horizontalpodautoscalers",
        "batch/v1/cronjobs",
        "batch/v1/jobs",
        "coordination.k8s.io/v1/leases",
        "discovery.k8s.io/v1/endpointslices",
        "events.k8s.io/v1/events",
        "networking.k8s.io/v1/ingressclasses",
        "networking.k8s.io/v1/ingresses",
        "networking.k8s.io/v1/networkpolicies",
        "node.k8s.io/v1/runtimeclasses",
        "policy/v1/poddisruptionbudgets",
        "rbac.authorization.k8s.io/v1/clusterrolebindings",
        "rbac.authorization.k8s.io/v1/clusterroles",
        "rbac.authorization.k8s.io/v1/rolebindings",
        "rbac.authorization.k8s.io/v1/roles",
        "scheduling.k8s.io/v1/priorityclasses",
        "storage.k8s.io/v1/storageclasses",
        "v1/configmaps",
        "v1/endpoints",
        "v1/events",
        "v1/limitranges",
        "v1/namespaces",
        "v1/nodes",
        "v1/persistentvolumeclaims",
        "v1/persistentvolumes",
        "v1/pods",
        "v1/resourcequotas",
        "v1/secrets",
        "v1/serviceaccounts",
        "v1/services",
    ];
    assert_eq!(names(&legacy), expected);
    assert_eq!(lab.client.apiserver_version().await.unwrap().minor, "34");
}

#[tokio::test]
async fn refusals_are_statuses_with_their_code() {
    let lab = Lab::start().await;
    let table = "application/json;as=Table;v=v9;g=meta.k8s.io";
    for (path, accept, expected, reason) in [
        ("/api/v1/namespaces/default/services/none", "*/*", 404, "NotFound"),
        ("/api/v1/nothings", "*/*", 404, "NotFound"),
        ("/api/v1/services", table, 406, "NotAcceptable"),
        (
            "/api/v1/services",
            "application/vnd.kubernetes.protobuf",
            406,
            "NotAcceptable",
        ),
        ("/api/v1/services?labelSelector=%3D%3D", "*/*", 400, "BadRequest"),
        ("/api/v1/services?sendInitialEvents=true", "*/*", 422, "Invalid"),
    ] {
        let (code, media_type, status) = get(&lab, path, accept).await;
        assert_eq!(
            (code, media_type.as_str()),
            (expected, "application/json"),
            "{path}"
        );
        assert_eq!(
            (&status["kind"], &status["code"], &status["reason"]),
            (&json!("Status"), &json!(expected), &json!(reason)),
            "{path}"
        );
    }
    let missing = get(&lab, "/api/v1/namespaces/default/services/none", "*/*")
        .await
        .2;
    assert_eq!(missing["message"], "services \"none\" not found");
    assert_eq!(missing["details"], json!({"name": "none", "kind": "services"}));
}

#[tokio::test]
async fn bodies_that_are_not_read_are_refused() {
    let lab = Lab::start().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let protobuf = send(&lab, "POST", maps, "application/vnd.kubernetes.protobuf", "k8s").await;
    assert_eq!(protobuf["reason"], "UnsupportedMediaType");
    let garbage = send(&lab, "POST", maps, "application/json", "{").await;
    assert_eq!(garbage["reason"], "BadRequest");
    let huge = format!(
        "{{\"metadata\":{{\"name\":\"h\"}},\"data\":{{\"x\":\"{}\"}}}}",
        "x".repeat(4 << 20)
    );
    let huge = send(&lab, "POST", maps, "application/json", &huge).await;
    assert_eq!(huge["reason"], "RequestEntityTooLarge");
    let elsewhere = json!({"metadata": {"name": "c", "namespace": "kube-system"}}).to_string();
    let elsewhere = send(&lab, "POST", maps, "application/json", &elsewhere).await;
    assert_eq!(elsewhere["reason"], "BadRequest");
    let patch = send(&lab, "PATCH", &format!("{maps}/c"), "text/plain", "{}").await;
    assert_eq!(patch["code"], 415);
    let put = send(&lab, "PUT", maps, "application/json", "{}").await;
    assert_eq!(put["reason"], "MethodNotAllowed");
}

#[tokio::test]
async fn a_list_is_a_table_or_metadata_for_those_who_ask() {
    let lab = Lab::start().await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let table = get(&lab, "/api/v1/services", accept).await.2;
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["rows"][0]["cells"][0], "kubernetes");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let bare = get(&lab, "/api/v1/services?includeObject=None", accept).await.2;
    assert_eq!(bare["rows"][0]["object"], Value::Null);
    let accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let metadata = get(&lab, "/api/v1/services", accept).await.2;
    assert_eq!(
        (&metadata["kind"], &metadata["items"][0]["metadata"]["name"]),
        (&json!("PartialObjectMetadataList"), &json!("kubernetes"))
    );
}

#[tokio::test]
async fn health_and_openapi_answer() {
    let lab = Lab::start().await;
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(get(&lab, path, "*/*").await.0, 200, "{path}");
    }
    let index = get(&lab, "/openapi/v3", "*/*").await.2;
    let url = index["paths"]["apis/discovery.k8s.io/v1"]["serverRelativeURL"]
        .as_str()
        .unwrap();
    let document = get(&lab, url, "*/*").await.2;
    let path = "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{name}";
    let patch = &document["paths"][path]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "EndpointSlice");
    assert_eq!(patch["parameters"][2]["name"], "fieldValidation");
}

#[tokio::test]
async fn every_listener_serves_both_address_families_and_the_names_of_the_host() {
    let listeners: Vec<TcpListener> = ["127.0.0.1:0", "[::1]:0"]
        .iter()
        .filter_map(|address| TcpListener::bind(address).ok())
        .collect();
    let ports: Vec<u16> = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap().port())
        .collect();
    let config = Config {
        cluster: "east".to_owned(),
        listeners,
        service_cidr: "10.96.0.0/24".parse().unwrap(),
        service_cidr_v6: None,
    };
    let server = Server::start(config, Arc::new(MemoryKubelet::default()))
        .await
        .unwrap();
    connect(&server).await.apiserver_version().await.unwrap();
    for (host, port) in ["localhost", "[::1]"].iter().zip(ports) {
        let mut kubeconfig = Kubeconfig::from_yaml(&server.kubeconfig()).unwrap();
        kubeconfig.clusters[0].cluster.as_mut().unwrap().server = Some(format!("https://{host}:{port}"));
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap();
        kube::Client::try_from(config)
            .unwrap()
            .apiserver_version()
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_server_without_a_listener_or_an_address_for_its_service_does_not_start() {
    let kubelet = Arc::new(MemoryKubelet::default());
    let config = |listeners, cidr: &str| Config {
        cluster: "east".to_owned(),
        listeners,
        service_cidr: cidr.parse().unwrap(),
        service_cidr_v6: None,
    };
    let none = Server::start(config(Vec::new(), "10.96.0.0/24"), Arc::clone(&kubelet) as _)
        .await
        .unwrap_err();
    assert!(matches!(none, StartError::NoListener { .. }));
    assert_eq!(
        none.to_string(),
        "serve cluster `east`: expected at least one listener"
    );
}
