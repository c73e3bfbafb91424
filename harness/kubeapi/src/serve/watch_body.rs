//! The endless answer to a watch request.
//!
//! Owns the order of its lines and its end: at the deadline, at shutdown, or with an `ERROR` line when the
//! client has fallen behind the history. The response is 200 in each case, since clients look nowhere else.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::parameters::{Bookmarks, WatchRequest};
use super::presentation::{Presentation, error_line};
use crate::status::Status;
use crate::store::{Expired, Watch, WatchEvent};

const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);

struct Feed {
    lines: VecDeque<Bytes>,
    watch: Watch,
    presentation: Presentation,
    bookmarks: Bookmarks,
    bookmark_due: Interval,
    deadline: Instant,
    shutdown: CancellationToken,
    is_over: bool,
}

/// The lines of a watch that opens with `opening`.
pub(super) fn body(
    (opening, watch): (Vec<WatchEvent>, Watch),
    mut presentation: Presentation,
    request: &WatchRequest,
    shutdown: CancellationToken,
) -> Body {
    let mut lines: VecDeque<Bytes> = opening.iter().map(|event| presentation.event(event)).collect();
    if request.bookmarks == Bookmarks::PeriodicAndInitial {
        lines.push_back(presentation.end_of_initial_events(watch.revision()));
    }
    let now = Instant::now();
    let mut bookmark_due = tokio::time::interval_at(now + BOOKMARK_PERIOD, BOOKMARK_PERIOD);
    bookmark_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let feed = Feed {
        lines,
        watch,
        presentation,
        bookmarks: request.bookmarks,
        bookmark_due,
        deadline: now + request.timeout,
        shutdown,
        is_over: false,
    };
    Body::from_stream(stream::unfold(feed, |mut feed| async move {
        let line = feed.next_line().await?;
        Some((Ok::<_, std::convert::Infallible>(line), feed))
    }))
}

impl Feed {
    async fn next_line(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            if self.is_over {
                return None;
            }
            self.wait().await;
        }
    }

    async fn wait(&mut self) {
        tokio::select! {
            events = self.watch.next() => match events {
                Ok(events) => {
                    let lines = events.iter().map(|event| self.presentation.event(event));
                    self.lines.extend(lines);
                }
                Err(Expired) => {
                    self.lines.push_back(error_line(&Status::expired()));
                    self.is_over = true;
                }
            },
            _ = self.bookmark_due.tick() => self.bookmark(),
            () = tokio::time::sleep_until(self.deadline) => {
                self.bookmark();
                self.is_over = true;
            }
            () = self.shutdown.cancelled() => self.is_over = true,
        }
    }

    fn bookmark(&mut self) {
        if self.bookmarks != Bookmarks::None {
            let line = self.presentation.bookmark(self.watch.revision());
            self.lines.push_back(line);
        }
    }
}
