//! A state of an object as the store keeps it: as a tree while it is in use, as text when it has not been for long.
//!
//! Trees take many times the memory of their texts (`api-50000-objects` of `just bench api` is about it). Owns which
//! states are trees: those written or read last, and the few that their text would not give back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// How many states are kept as trees: more than a lab has objects, so that only a test of size ever reads texts.
const TREES: usize = 8_192;

/// A state of an object, which the collection, the history and those who hear of changes share.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    form: Arc<Mutex<Form>>,
    trees: Arc<Trees>,
}

#[derive(Debug)]
enum Form {
    Tree(Arc<Value>),
    Text(Box<str>),
}

/// The states that are trees, the one that became a tree first in front.
#[derive(Debug, Default)]
pub(super) struct Trees(Mutex<VecDeque<Arc<Mutex<Form>>>>);

impl Document {
    /// The object.
    pub(crate) fn read(&self) -> Arc<Value> {
        let mut form = lock(&self.form);
        let text = match &*form {
            Form::Tree(object) => return Arc::clone(object),
            Form::Text(text) => text,
        };
        let object = serde_json::from_str(text).expect("a text that has been read before");
        let object: Arc<Value> = Arc::new(object);
        *form = Form::Tree(Arc::clone(&object));
        drop(form);
        self.trees.push(Arc::clone(&self.form));
        object
    }
}

impl Trees {
    /// Keeps a state.
    pub(super) fn keep(trees: &Arc<Self>, object: Arc<Value>) -> Document {
        let form = Arc::new(Mutex::new(Form::Tree(object)));
        trees.push(Arc::clone(&form));
        Document {
            form,
            trees: Arc::clone(trees),
        }
    }

    fn push(&self, form: Arc<Mutex<Form>>) {
        let oldest = {
            let mut trees = lock(&self.0);
            trees.push_back(form);
            if trees.len() <= TREES {
                return;
            }
            trees.pop_front()
        };
        // Nobody reads again what only this holds.
        let Some(oldest) = oldest.filter(|oldest| Arc::strong_count(oldest) > 1) else {
            return;
        };
        let mut form = lock(&oldest);
        if let Form::Tree(object) = &*form {
            let text = object.to_string();
            // Not all is read as it was written: some numbers lose their last bit, and nesting has a limit.
            if serde_json::from_str::<Value>(&text).is_ok_and(|read| read == **object) {
                *form = Form::Text(text.into());
            }
        }
    }
}

/// Nothing panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn is_text(document: &Document) -> bool {
        matches!(*lock(&document.form), Form::Text(_))
    }

    #[test]
    fn what_was_not_used_for_long_is_text_and_reads_the_same() {
        let trees = Arc::new(Trees::default());
        let object =
            Arc::new(json!({"metadata": {"name": "first"}, "n": 1.5, "big": u64::MAX, "none": null}));
        let first = Trees::keep(&trees, Arc::clone(&object));
        for number in 1..TREES {
            Trees::keep(&trees, Arc::new(json!(number)));
        }
        assert!(!is_text(&first));
        Trees::keep(&trees, Arc::new(json!("one more")));
        assert!(is_text(&first));
        assert_eq!(first.read(), object);
        assert!(!is_text(&first));
        assert_eq!(lock(&trees.0).len(), TREES);
    }

    #[test]
    fn what_its_text_would_not_give_back_stays_a_tree() {
        let trees = Arc::new(Trees::default());
        let deep = (0..200).fold(json!("core"), |inner, _| json!([inner]));
        let deep = Arc::new(deep);
        let document = Trees::keep(&trees, Arc::clone(&deep));
        for number in 0..TREES {
            Trees::keep(&trees, Arc::new(json!(number)));
        }
        assert_eq!(document.read(), deep);
        assert!(!is_text(&document));
    }
}
