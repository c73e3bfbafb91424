//! Faults of the WAN: what flows feel of them, and that one which does not take is no pass.

use serde_json::Value;

use super::support::Run;

fn passes(scenario: &str) -> Value {
    let finished = Run::new(&["run", scenario]).finish().expect(0);
    let record = finished.record();
    // Cut, impaired or whole: taps and counters agree.
    for point in record["points"].as_array().unwrap() {
        assert_eq!(point["captured_packets"], point["interface_packets"], "{point}");
    }
    let events = std::fs::read_to_string(finished.folders[0].join("events.jsonl")).unwrap();
    assert!(events.contains(r#""what":"verified""#), "{events}");
    record
}

fn lost(record: &Value) -> u64 {
    let totals = record["verdicts"]["totals"].as_array().unwrap();
    let lost = |total: &Value| total["sent"].as_u64().unwrap() - total["delivered"].as_u64().unwrap();
    totals.iter().map(lost).sum()
}

pub fn strict_drops_when_cut() {
    let record = passes("scenarios/core/strict-drops-when-cut.yaml");
    assert!(lost(&record) > 300, "{}", record["verdicts"]["totals"]);
}

pub fn brown_out() {
    let record = passes("scenarios/core/brown-out-delay.yaml");
    assert_eq!(lost(&record), 0, "{}", record["verdicts"]["totals"]);
}

pub fn extended() {
    let record = passes("scenarios/extended/loss-is-seen.yaml");
    assert!(
        (20..=85).contains(&lost(&record)),
        "{}",
        record["verdicts"]["totals"]
    );
    let record = passes("scenarios/extended/everyday-internet.yaml");
    assert_eq!(lost(&record), 0, "{}", record["verdicts"]["totals"]);
}

pub fn parts() {
    for (scenario, lost_at_least) in [
        ("tunnel-loss-stays-there", 40),
        ("flapping-link", 300),
        ("mtu-black-hole", 100),
        ("flipped-bits", 20),
        ("encrypted-tunnel-faults", 300),
    ] {
        let record = passes(&format!("scenarios/extended/{scenario}.yaml"));
        assert!(lost(&record) >= lost_at_least, "{}", record["verdicts"]["totals"]);
    }
}

pub fn ways() {
    for (scenario, lost_at_least) in [
        ("dual-homed", 150),
        ("partial-mesh-failover", 20),
        ("site-cut", 300),
    ] {
        let record = passes(&format!("scenarios/extended/{scenario}.yaml"));
        assert!(lost(&record) >= lost_at_least, "{}", record["verdicts"]["totals"]);
    }
}

pub fn over_ipv6() {
    let record = passes("scenarios/extended/ipv6-impaired.yaml");
    assert!(lost(&record) >= 150, "{}", record["verdicts"]["totals"]);
}

pub fn dead_fault_is_an_error() {
    for scenario in [
        "extended/dual-homed",
        "extended/partial-mesh-failover",
        "extended/site-cut",
        "extended/ipv6-impaired",
        "core/brown-out-delay",
        "core/strict-drops-when-cut",
        "extended/loss-is-seen",
        "extended/tunnel-loss-stays-there",
        "extended/flapping-link",
        "extended/mtu-black-hole",
        "extended/flipped-bits",
        "extended/everyday-internet",
        "extended/encrypted-tunnel-faults",
    ] {
        is_an_error_when_dead(&format!("scenarios/{scenario}.yaml"));
    }
}

fn is_an_error_when_dead(scenario: &str) {
    let words = ["run", scenario, "--sabotage", "dead-faults"];
    let record = Run::new(&words).finish().expect(4).record();
    assert_eq!(record["verdicts"], Value::Null);
    let message = record["outcome"]["message"].as_str().unwrap();
    assert!(
        message.contains("verify the fault on transport `"),
        "{scenario}: {message}"
    );
}
