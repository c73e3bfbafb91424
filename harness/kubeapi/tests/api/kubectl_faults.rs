//! Faults as `kubectl` meets them, which speaks HTTP/2.

use std::time::Duration;

use kubeapi::{Answer, Fault, Requests, Verb};

use crate::kubectl::{Kubectl, text};
use crate::lab::soon;

fn creations(count: u32) -> Requests {
    Requests {
        count: Some(count),
        verbs: vec![Verb::Create],
        ..Requests::default()
    }
}

#[tokio::test]
async fn kubectl_meets_faults_and_outlives_them() {
    let Some(kubectl) = Kubectl::start("kubectl_meets_faults_and_outlives_them").await else {
        return;
    };
    let faults = kubectl.lab.server.faults();
    let refused = async |line: &str| {
        let output = kubectl.output(line).await;
        assert!(!output.status.success(), "{}", text(&output.stdout));
        text(&output.stderr)
    };

    let requests = creations(1);
    let id = faults.inject(Fault::CutReplies { requests }).unwrap();
    let cut = refused("create configmap torn").await;
    assert!(cut.contains("stream error"), "{cut}");
    assert_eq!(faults.struck(id), Some(1));
    let again = refused("create configmap torn").await;
    assert!(again.contains("already exists"), "{again}");

    // It waits for as long as the header says, and tries again.
    let (with, requests) = (Answer::TooManyRequests, creations(1));
    let id = faults.inject(Fault::Answer { with, requests }).unwrap();
    assert_eq!(
        kubectl.run("create configmap busy").await,
        "configmap/busy created\n"
    );
    assert_eq!(faults.struck(id), Some(1));

    let with = Answer::InternalError;
    let requests = creations(1);
    faults.inject(Fault::Answer { with, requests }).unwrap();
    let broken = refused("create configmap broken").await;
    assert!(
        broken.contains("Internal error occurred: fault injected"),
        "{broken}"
    );

    // Reads are tried again for some seconds.
    let id = faults.inject(Fault::Down).unwrap();
    let open = faults.struck(id);
    let back = async {
        while faults.struck(id) == open {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        faults.heal(id)
    };
    let (read, _) = tokio::join!(kubectl.run("get configmap busy -o name"), soon("a reset", back));
    assert_eq!(read, "configmap/busy\n");
}
