//! Faults of a Kubernetes API: operators live through them, and one that nothing feels is no pass.

use super::manager_faults::{all_were_felt, is_unfelt, pass};
use super::support::{Run, root, run_as_nobody};

pub fn changes_outlive_what_hides_the_api() {
    pass(&["api-down-and-back", "api-watches-dropped", "api-compacted"]);
}

pub fn changes_outlive_what_hides_the_api_of_an_ordinary_user() {
    all_were_felt(&run_as_nobody("extended/api-compacted.yaml").expect(0));
}

/// Nobody elects a leader here.
pub fn a_fault_that_nothing_feels_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = format!(
        "apiVersion: pathproof.dev/v1alpha1\n\
         kind: Scenario\n\
         metadata: {{ name: unfelt, purpose: A clock is wrong that nobody looks at., profile: extended }}\n\
         topology: {0}/topologies/two-sites.yaml\n\
         manifests: [{{ file: {0}/manifests/business-and-best-effort.yaml }}]\n\
         flows: {{ biz: {{ from: pod/business-client, to: service/business, udp: 8081 }} }}\n\
         events:\n\
         \x20 dropped: {{ api: {{ dropWatches: {{}} }} }}\n\
         \x20 wrong: {{ api: {{ skewLeases: {{ behind: 1m }} }} }}\n\
         \x20 well: {{ api: {{ heal: true }} }}\n\
         timeline: [start: [biz], 200ms, dropped, wrong, 200ms, well, 200ms, stop]\n\
         assert: {{ carried: all biz via tunnel/default when from wrong until well }}\n",
        root().join("scenarios").display()
    );
    let file = folder.path().join("unfelt.yaml");
    std::fs::write(&file, scenario).unwrap();
    let finished = Run::new(&["run", file.to_str().unwrap()]).finish().expect(4);
    is_unfelt(&finished.record(), "wrong");
}

pub fn a_fault_that_is_only_pretended_is_an_error() {
    let scenario = "scenarios/extended/api-compacted.yaml";
    let words = ["run", scenario, "--sabotage", "dead-faults"];
    is_unfelt(&Run::new(&words).finish().expect(4).record(), "refused");
}
