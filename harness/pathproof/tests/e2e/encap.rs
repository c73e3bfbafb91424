//! Encapsulations: nobody on an encrypted transport reads a probe, and what the kernel lacks is skipped.

use std::fs;

use serde_json::Value;

use super::support::{Finished, Run, run_as_nobody};

/// How every probe begins.
const MARK: &[u8] = b"PATHPRF1";

pub fn encrypted_transport_hides_probes() {
    hides_probes(
        &Run::new(&["run", "scenarios/extended/encrypted-tunnel.yaml"])
            .finish()
            .expect(0),
    );
}

pub fn encrypted_transport_hides_probes_of_an_ordinary_user() {
    let finished = run_as_nobody("extended/encrypted-tunnel.yaml").expect(0);
    assert_eq!(finished.record()["run"]["environment"]["user"], "uid 65534");
    hides_probes(&finished);
}

fn hides_probes(finished: &Finished) {
    let record = finished.record();
    let by = record["run"]["environment"]["encapsulations"]["bizinternet"].as_str();
    assert!(
        by.is_some_and(|by| by == "ipsec" || by.starts_with("wireguard (")),
        "{by:?}"
    );
    assert!(finished.stdout().contains(by.unwrap()), "{}", finished.stdout());
    for site in ["near", "far"] {
        // The tunnel shows that probes crossed, the other wire that they would be found.
        for (point, is_readable) in [
            ("tunnel-bizinternet", true),
            ("underlay-bizinternet", false),
            ("underlay-default", true),
        ] {
            let path = finished.folders[0].join(format!("capture/{site}-{point}.pcapng"));
            let capture = fs::read(&path).unwrap();
            assert!(
                capture.len() > 100_000,
                "{} octets at {site} {point}",
                capture.len()
            );
            let found = capture.windows(MARK.len()).any(|octets| octets == MARK);
            assert_eq!(found, is_readable, "{site} {point}");
        }
    }
}

pub fn a_missing_encapsulation_is_skipped() {
    let doctor = std::process::Command::new(super::support::pathproof())
        .args(["doctor", "--json"])
        .output()
        .unwrap();
    let findings: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let items = findings["capabilities"]["items"].as_array().unwrap();
    let gre = items.iter().find(|item| item["name"] == "GRE").unwrap();
    let run = Run::new(&["run", "scenarios/extended/gre-tunnel.yaml"]);
    if gre["ability"] == "available" {
        let record = run.finish().expect(0).record();
        assert_eq!(
            record["run"]["environment"]["encapsulations"]["bizinternet"],
            "gre"
        );
        return;
    }
    let finished = run.finish().expect(5);
    let record = finished.record();
    assert_eq!(record["outcome"]["result"], "skipped");
    let reason = record["outcome"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("transport `bizinternet`") && reason.contains("no GRE"),
        "{reason}"
    );
    let junit = fs::read_to_string(finished.folders[0].join("junit.xml")).unwrap();
    assert!(
        junit.contains(r#"tests="1" skipped="1" failures="0" errors="0""#),
        "{junit}"
    );
    // Beside one that passes it is no failure, and no pass either.
    let both = Run::new(&[
        "run",
        "scenarios/core/demo.yaml",
        "scenarios/extended/gre-tunnel.yaml",
    ]);
    let text = both.finish().expect(0).stdout();
    assert!(text.contains("2 runs: 1 passed, 1 skipped"), "{text}");
}
