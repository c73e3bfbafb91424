//! The tasks that clients can ask for.
//!
//! Owns their numbers, and which are kept. Invariant: a running task is kept, and of the finished ones the newest
//! [`FINISHED_MAX`].

use std::collections::BTreeMap;

use super::caller::Caller;
use super::task::{Task, Work};

/// So many finished tasks are kept.
const FINISHED_MAX: usize = 1000;

/// The tasks that clients can ask for.
#[derive(Debug, Default)]
pub(super) struct TaskList {
    by_number: BTreeMap<u64, Task>,
    last_number: u64,
}

impl TaskList {
    /// Adds a task, and gives its id.
    pub(super) fn accept(&mut self, work: Work, caller: &Caller) -> String {
        self.add(work, caller, |id| Task::accept(id, work, caller))
    }

    /// Adds a task that fails its validation, and gives its id.
    pub(super) fn refuse(&mut self, work: Work, caller: &Caller, reason: &str) -> String {
        self.add(work, caller, |id| Task::refuse(id, work, caller, reason))
    }

    /// A task.
    pub(super) fn get(&self, id: &str) -> Option<&Task> {
        let task = self.by_number.get(&number(id)?)?;
        (task.id == id).then_some(task)
    }

    /// A task, to go on.
    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Task> {
        let task = self.by_number.get_mut(&number(id)?)?;
        (task.id == id).then_some(task)
    }

    /// Those that are not over, oldest first.
    pub(super) fn running(&self) -> impl Iterator<Item = &Task> {
        self.by_number.values().filter(|task| task.is_running())
    }

    fn add(&mut self, work: Work, caller: &Caller, task: impl FnOnce(String) -> Task) -> String {
        // The product numbers tasks by their time; two of one millisecond need different numbers.
        self.last_number = caller.at_ms.max(self.last_number + 1);
        let id = format!("{}-{}", work.action(), self.last_number);
        self.by_number.insert(self.last_number, task(id.clone()));
        let finished = self.by_number.iter().filter(|(_, task)| !task.is_running());
        let surplus = finished.clone().count().saturating_sub(FINISHED_MAX);
        let oldest: Vec<u64> = finished.take(surplus).map(|(number, _)| *number).collect();
        for number in oldest {
            self.by_number.remove(&number);
        }
        id
    }
}

fn number(id: &str) -> Option<u64> {
    id.rsplit_once('-')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work::PushVsmartPolicy;

    #[test]
    fn ids_differ_within_a_millisecond() {
        let (mut tasks, caller) = (TaskList::default(), Caller::test("a"));
        let first = tasks.accept(WORK, &caller);
        let second = tasks.accept(Work::CliTemplate, &caller);
        assert_eq!(first, "vsmart_policy_config-1700000000000");
        assert_eq!(second, "push_file_template_configuration-1700000000001");
        assert_eq!(tasks.get(&first).unwrap().id, first);
        assert!(tasks.get("vsmart_policy_config-1700000000001").is_none());
    }

    #[test]
    fn old_finished_tasks_are_forgotten_and_running_ones_are_not() {
        let (mut tasks, caller) = (TaskList::default(), Caller::test("a"));
        let running = tasks.accept(WORK, &caller);
        let finished: Vec<_> = (0..FINISHED_MAX + 2)
            .map(|_| tasks.refuse(WORK, &caller, "busy"))
            .collect();
        let known: Vec<_> = finished.iter().map(|id| tasks.get(id).is_some()).collect();
        assert_eq!(known[..3], [false, false, true]);
        assert!(known[3..].iter().all(|known| *known));
        assert!(tasks.get(&running).is_some());
    }
}
