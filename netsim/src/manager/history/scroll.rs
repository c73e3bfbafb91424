//! Scrolls: long answers in pages.
//!
//! Owns the rows that a scroll goes through, fixed when it begins. The clock is passed in. Invariants: the pages of a
//! scroll have each of its rows once; a scroll that [`Scrolls::next`] answers has been used within [`UNUSED_MAX`].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::query::View;
use super::row::RowRef;

/// Unused for this long, a scroll ends.
pub(in crate::manager) const UNUSED_MAX: Duration = Duration::from_secs(5 * 60);
/// No more scrolls are open; that unused for longest ends when another begins.
const OPEN_MAX: usize = 16;

/// Some rows, and how to get those after them.
#[derive(Debug)]
pub(in crate::manager) struct Page {
    /// The scroll.
    pub(in crate::manager) scroll_id: String,
    /// The rows.
    pub(in crate::manager) rows: Vec<RowRef>,
    /// How they are shown.
    pub(in crate::manager) view: View,
    /// Whether there are more.
    pub(in crate::manager) has_more: bool,
}

/// All open scrolls.
#[derive(Debug, Default)]
pub(in crate::manager) struct Scrolls {
    by_id: HashMap<String, Scroll>,
}

#[derive(Debug)]
struct Scroll {
    /// Those not given yet, the next one last.
    left: Vec<RowRef>,
    /// How they are shown, so many at once.
    view: View,
    used: Instant,
}

impl Scrolls {
    /// Begins a scroll through rows, in pages of the view's size, and gives the first.
    pub(in crate::manager) fn begin(&mut self, mut rows: Vec<RowRef>, view: View, now: Instant) -> Page {
        self.by_id.retain(|_, scroll| !scroll.ended_at(now));
        if self.by_id.len() >= OPEN_MAX {
            let oldest = self.by_id.iter().min_by_key(|(_, scroll)| scroll.used);
            let oldest = oldest.map(|(id, _)| id.clone());
            oldest.map(|id| self.by_id.remove(&id));
        }
        let id = Uuid::new_v4().simple().to_string();
        rows.reverse();
        let scroll = Scroll {
            left: rows,
            view,
            used: now,
        };
        self.by_id.insert(id.clone(), scroll);
        self.next(&id, None, now).expect("it has just begun")
    }

    /// The next page, of another size if there is a `count`; nothing if there is no such scroll any more.
    pub(in crate::manager) fn next(&mut self, id: &str, count: Option<usize>, now: Instant) -> Option<Page> {
        self.by_id.retain(|_, scroll| !scroll.ended_at(now));
        let scroll = self.by_id.get_mut(id)?;
        scroll.used = now;
        let count = count.unwrap_or(scroll.view.size);
        let rest = scroll.left.len().saturating_sub(count);
        let mut rows = scroll.left.split_off(rest);
        rows.reverse();
        let (has_more, view) = (rest > 0, scroll.view.clone());
        if !has_more {
            self.by_id.remove(id);
        }
        Some(Page {
            scroll_id: id.to_owned(),
            rows,
            view,
            has_more,
        })
    }
}

impl Scroll {
    fn ended_at(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= UNUSED_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::row;
    use super::super::row::tests::{batch, row};
    use super::*;

    fn snapshot(count: u64) -> Vec<RowRef> {
        let batches = (0..count).map(|at| Arc::new(batch(at, vec![row(0)])));
        batches
            .flat_map(|batch| row::rows(&batch).collect::<Vec<_>>())
            .collect()
    }

    fn times(page: &Page) -> Vec<u64> {
        page.rows.iter().map(|row| row.batch().entry_ms).collect()
    }

    #[test]
    fn pages_have_each_row_once_in_order() {
        let (mut scrolls, now) = (Scrolls::default(), Instant::now());
        let first = scrolls.begin(snapshot(7), View::of_size(3), now);
        assert_eq!((times(&first), first.has_more), (vec![0, 1, 2], true));
        let second = scrolls.next(&first.scroll_id, Some(2), now).unwrap();
        assert_eq!((times(&second), second.has_more), (vec![3, 4], true));
        let last = scrolls.next(&first.scroll_id, None, now).unwrap();
        assert_eq!((times(&last), last.has_more), (vec![5, 6], false));
        assert!(scrolls.next(&first.scroll_id, None, now).is_none());
    }

    #[test]
    fn nothing_is_a_page_too() {
        let page = Scrolls::default().begin(Vec::new(), View::of_size(3), Instant::now());
        assert_eq!((times(&page), page.has_more), (vec![], false));
    }

    #[test]
    fn an_unused_scroll_ends() {
        let (mut scrolls, now) = (Scrolls::default(), Instant::now());
        let id = scrolls.begin(snapshot(9), View::of_size(3), now).scroll_id;
        let later = now + UNUSED_MAX - Duration::from_secs(1);
        assert!(scrolls.next(&id, None, later).is_some());
        assert!(scrolls.next(&id, None, later + UNUSED_MAX).is_none());
    }

    #[test]
    fn too_many_scrolls_end_the_one_unused_for_longest() {
        let (mut scrolls, now) = (Scrolls::default(), Instant::now());
        let begin = |scrolls: &mut Scrolls, at| {
            scrolls.begin(snapshot(9), View::of_size(1), now + Duration::from_secs(at))
        };
        let ids: Vec<_> = (0..16).map(|at| begin(&mut scrolls, at).scroll_id).collect();
        let at = now + Duration::from_secs(20);
        assert!(scrolls.next(&ids[0], None, at).is_some());
        begin(&mut scrolls, 21);
        let open: Vec<_> = ids
            .iter()
            .map(|id| scrolls.next(id, None, at).is_some())
            .collect();
        assert_eq!(open.iter().filter(|open| !**open).count(), 1);
        assert!(open[0] && !open[1]);
    }
}
