//! Inspection services: copies of packets, which annotations ask for, and policies of other kinds.
//!
//! For the latter the lab's operator is this test program itself ([`operate`]): it programs the Manager with a policy that
//! inspects some packets, is ready when that is in force, and ends with the reason when it is refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, Method};
use serde_json::{Value, json};

use super::support::{Run, failed, root};

/// No task takes longer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Whether a lab has started this program as its operator.
pub fn is_operator() -> bool {
    std::env::args().any(|word| word == "--manager-url")
}

/// Does what an operator would do whose Services ask for inspection.
pub fn operate() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options: BTreeMap<&str, &str> = words
        .chunks_exact(2)
        .map(|pair| (pair[0].as_str(), pair[1].as_str()))
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Err(reason) = runtime.block_on(inspect_datagrams(&options)) {
        eprintln!("{reason}");
        return ExitCode::FAILURE;
    }
    std::fs::write(options["--ready-file"], "").unwrap();
    loop {
        std::thread::park();
    }
}

/// A session at the Manager.
struct Session {
    client: Client,
    url: String,
    token: String,
}

impl Session {
    async fn open(options: &BTreeMap<&str, &str>) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let ca = std::fs::read(options["--manager-ca"]).unwrap();
        let client = Client::builder()
            .tls_certs_only([Certificate::from_pem(&ca).unwrap()])
            .cookie_store(true)
            .no_proxy()
            .timeout(DEADLINE)
            .build()
            .unwrap();
        let url = options["--manager-url"].to_owned();
        let password = std::env::var("SDWAN_MANAGER_PASSWORD").unwrap();
        let form = [
            ("j_username", options["--manager-username"]),
            ("j_password", password.as_str()),
        ];
        let login = client.post(format!("{url}/j_security_check")).form(&form);
        login.send().await.unwrap();
        let token = client.get(format!("{url}/dataservice/client/token"));
        let token = token.send().await.unwrap().text().await.unwrap();
        Self { client, url, token }
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let request = self
            .client
            .request(method, format!("{}/dataservice/{path}", self.url));
        let request = request.header("X-XSRF-TOKEN", &self.token).json(body);
        let response = request.send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.json().await.unwrap()
    }

    /// Creates an object and returns its id.
    async fn create(&self, path: &str, body: &Value, id: &str) -> String {
        let created = self
            .ask(Method::POST, &format!("template/policy/{path}"), body)
            .await;
        created[id].as_str().unwrap().to_owned()
    }
}

/// What site 100 sends in UDP is inspected there.
async fn inspect_datagrams(options: &BTreeMap<&str, &str>) -> Result<(), String> {
    let service_vpn = options["--service-vpn"];
    let manager = Session::open(options).await;
    let sites = json!({"name": "near", "description": "d", "type": "site", "entries": [{"siteId": "100"}]});
    let sites = manager.create("list/site", &sites, "listId").await;
    let vpns = json!({"name": "own", "description": "d", "type": "vpn", "entries": [{"vpn": service_vpn}]});
    let vpns = manager.create("list/vpn", &vpns, "listId").await;
    let service = json!({"type": "IDS", "vpn": service_vpn, "local": ""});
    let sequence = json!({
        "sequenceId": 1, "sequenceName": "inspect", "sequenceType": "data", "sequenceIpType": "ipv4",
        "baseAction": "accept",
        "match": {"entries": [{"field": "protocol", "value": "17"}]},
        "actions": [{"type": "set", "parameter": [{"field": "service", "value": service}]}],
    });
    let definition = json!({
        "name": "inspect", "type": "data", "description": "d", "sequences": [sequence],
        "defaultAction": {"type": "accept"},
    });
    let definition = manager
        .create("definition/data", &definition, "definitionId")
        .await;
    let entries = json!([{"direction": "service", "siteLists": [sites], "vpnLists": [vpns]}]);
    let policy = json!({
        "policyName": "central", "policyDescription": "d", "policyType": "feature", "isPolicyActivated": false,
        "policyDefinition": {
            "assembly": [{"definitionId": definition, "type": "data", "entries": entries}],
            "regionRoleAssembly": [],
        },
    });
    let policy = manager.create("vsmart", &policy, "policyId").await;
    let path = format!("vsmart/activate/{policy}?confirm=true");
    let task = manager.create(&path, &json!({}), "id").await;
    let deadline = Instant::now() + DEADLINE;
    loop {
        let path = format!("device/action/status/{task}");
        let status = manager.ask(Method::GET, &path, &json!({})).await;
        if status["summary"]["status"] == "done" {
            let succeeded = status["data"][0]["statusId"] == "success";
            return if succeeded {
                Ok(())
            } else {
                Err(status["data"].to_string())
            };
        }
        assert!(Instant::now() < deadline, "{status}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A run of a scenario on a topology of the repository, with this program as its operator.
fn run(topology: &str, assertions: &str) -> (Run, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let scenarios = root().join("scenarios");
    let scenario = format!(
        "apiVersion: pathproof.dev/v1alpha1\n\
         kind: Scenario\n\
         metadata: {{ name: inspected, purpose: Copies of datagrams go to an inspection service., profile: extended }}\n\
         topology: {0}/topologies/{topology}.yaml\n\
         manifests: [{{ file: {0}/manifests/business-and-best-effort.yaml }}]\n\
         flows:\n\
         \x20 datagrams: {{ from: pod/business-client, to: service/business, udp: 8081 }}\n\
         \x20 segments: {{ from: pod/business-client, to: service/business, tcp: 8081 }}\n\
         timeline: [start: [datagrams, segments], 500ms, stop]\n\
         assert:\n{assertions}",
        scenarios.display()
    );
    let file = folder.path().join("inspected.yaml");
    std::fs::write(&file, scenario).unwrap();
    let operator = std::env::current_exe().unwrap();
    let words: [&Path; 4] = ["run".as_ref(), &file, "--operator".as_ref(), &operator];
    (Run::new(&words.map(|word| word.to_str().unwrap())), folder)
}

/// What a Service asks for, with the defaults of the bundled operator.
pub fn an_annotation_asks_for_copies() {
    const SCENARIO: &str = "scenarios/extended/inspect-mirrors.yaml";
    Run::new(&["run", SCENARIO]).finish().expect(0);
    let words = ["run", SCENARIO, "--sabotage", "no-operator"];
    let record = Run::new(&words).finish().expect(1).record();
    assert_eq!(failed(&record), ["requests-copied", "replies-copied", "steered"]);
}

/// Copies arrive at the service and nowhere else: they are no stray path, no delivery and no second packet.
pub fn copies_go_to_the_service() {
    let assertions = "  inspected: all datagrams at inspection/near\n\
                      \x20 carried: all datagrams.both via tunnel/default only\n\
                      \x20 answers-are-not: no datagrams.reply at inspection/*\n\
                      \x20 others-are-not: no segments.both at inspection/*\n\
                      \x20 undisturbed: all segments.both via tunnel/default only\n";
    let (run, _folder) = run("inspected", assertions);
    let finished = run.finish().expect(0);
    let record = finished.record();
    for total in record["verdicts"]["totals"].as_array().unwrap() {
        assert_eq!(total["sent"], total["delivered"], "{total}");
        assert_eq!(total["duplicates"], 0, "{total}");
    }
    let taps = record["points"].as_array().unwrap();
    let tap = taps
        .iter()
        .find(|point| point["kind"] == "inspection" && point["site"] == "near")
        .unwrap();
    assert_eq!(tap["captured_packets"], tap["interface_packets"], "{tap}");
    assert!(tap["captured_packets"].as_u64() > Some(100), "{tap}");
    assert!(
        finished.folders[0]
            .join("capture/near-inspection-near.pcapng")
            .exists()
    );
}

/// The counter-example of a claim that the copies refute says where the copy was seen.
pub fn a_copy_refutes_that_there_is_none() {
    let (run, _folder) = run("inspected", "  unseen: no datagrams at inspection/near\n");
    let finished = run.finish().expect(1);
    let text = finished.stdout();
    assert!(text.contains("near:inspection/near(out)"), "{text}");
}

/// A site without the service refuses the policy, and the task says why.
pub fn a_site_without_the_service_refuses() {
    let (run, _folder) = run(
        "two-sites",
        "  carried: all datagrams.both via tunnel/default only\n",
    );
    let finished = run.finish().expect(4);
    let text = finished.stdout() + &finished.stderr();
    let reason = "sequence 1 inspects packets; this site has no inspection service";
    assert!(text.contains(reason), "{text}");
}
