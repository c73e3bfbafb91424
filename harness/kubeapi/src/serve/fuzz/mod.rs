//! Any requests, in any order: whatever comes, the server answers, and what it has stored is whole.

mod answers;
mod definitions;
mod kinds;
mod mutations;
mod oddities;
mod requests;
mod world;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use kinds::KINDS;
use requests::{Asked, any_history};
use world::{World, run};

/// A server that has a custom resource and an object of many kinds.
async fn furnished() -> World {
    let world = World::new();
    for kind in KINDS.iter() {
        let of_interest = [
            "CustomResourceDefinition",
            "AS",
            "Namespace",
            "Node",
            "Service",
            "Deployment",
            "Secret",
        ];
        if of_interest.contains(&kind.name.as_str()) && kind.api_version != "fuzz.example.com/v2" {
            let asked = Asked::create(&kind.path(Some("default")), &kind.sample("as"));
            let answer = world.ask(&asked).await.expect("a request");
            assert_eq!(
                answer.code,
                201,
                "{asked:?}: {}",
                String::from_utf8_lossy(&answer.body)
            );
        }
        world.settle().await;
    }
    world
}

async fn play(history: &[Asked]) -> Result<(), TestCaseError> {
    let world = furnished().await;
    let mut last = world.revision();
    for asked in history {
        let Some(answer) = world.ask(asked).await else {
            continue;
        };
        let checked = answers::check(asked, &answer).and_then(|()| world.nothing_panicked());
        checked.map_err(|error| TestCaseError::fail(format!("{asked:?}: {error}")))?;
        prop_assert!(world.revision() >= last);
        last = world.revision();
    }
    world.is_whole().await
}

proptest! {
    #[test]
    fn every_request_is_answered_and_leaves_what_is_stored_whole(history in any_history()) {
        run(play(&history))?;
    }
    #[test]
    fn every_definition_is_refused_or_served_with_its_objects(history in definitions::any_history()) {
        run(play(&history))?;
    }
}
