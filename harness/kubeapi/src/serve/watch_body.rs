//! The endless answer to a watch request.
//!
//! Owns the order of its lines and its end: at the deadline, at shutdown, when its resource is no longer served as it
//! was, or with an `ERROR` line when the client has fallen behind the history. The response is 200 in each case, since
//! clients look nowhere else.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::{FutureExt, stream};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::parameters::{Bookmarks, WatchRequest};
use super::presentation::{Presentation, error_line};
use crate::faults::Faults;
use crate::resources::Term;
use crate::status::Status;
use crate::store::{Expired, Watch, WatchEvent};

/// Octets in one piece of an answer, about: what a record of TLS holds (RFC 8446 section 5.1).
const PIECE: usize = 1 << 14;
const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);

struct Feed {
    lines: VecDeque<Bytes>,
    watch: Watch,
    presentation: Presentation,
    bookmarks: Bookmarks,
    bookmark_due: Interval,
    deadline: Instant,
    ends: Ends,
    is_over: bool,
}

/// What ends a watch, beside its deadline.
pub(super) struct Ends {
    pub(super) shutdown: CancellationToken,
    pub(super) faults: Faults,
    pub(super) term: Term,
}

/// The lines of a watch that opens with `opening`.
pub(super) fn body(
    (opening, watch): (Vec<WatchEvent>, Watch),
    mut presentation: Presentation,
    request: &WatchRequest,
    ends: Ends,
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
        ends,
        is_over: false,
    };
    Body::from_stream(stream::unfold(feed, |mut feed| async move {
        let lines = feed.next_lines().await?;
        Some((Ok::<_, std::convert::Infallible>(lines), feed))
    }))
}

impl Feed {
    /// What there is, at once: a client that is behind is helped by fewer and larger pieces.
    async fn next_lines(&mut self) -> Option<Bytes> {
        while self.lines.is_empty() && !self.is_over {
            self.wait().await;
        }
        let first = self.lines.pop_front()?;
        if self.lines.is_empty() {
            return Some(first);
        }
        let mut together = BytesMut::from(first);
        while together.len() < PIECE
            && let Some(line) = self.lines.pop_front()
        {
            together.extend_from_slice(&line);
        }
        Some(together.freeze())
    }

    async fn wait(&mut self) {
        tokio::select! {
            events = self.watch.next() => match events {
                Ok(events) => self.show(&events),
                Err(Expired { oldest }) => {
                    self.ends.faults.expired();
                    self.lines.push_back(error_line(&Status::too_old(self.watch.revision(), oldest)));
                    self.is_over = true;
                }
            },
            _ = self.bookmark_due.tick() => self.bookmark(),
            () = tokio::time::sleep_until(self.deadline) => {
                self.bookmark();
                self.is_over = true;
            }
            () = self.ends.shutdown.cancelled() => self.is_over = true,
            () = self.ends.term.end() => {
                // The last of its objects went before it.
                if let Some(Ok(events)) = self.watch.next().now_or_never() {
                    self.show(&events);
                }
                self.is_over = true;
            }
        }
    }

    fn show(&mut self, events: &[WatchEvent]) {
        let lines = events.iter().map(|event| self.presentation.event(event));
        self.lines.extend(lines);
    }

    fn bookmark(&mut self) {
        if self.bookmarks != Bookmarks::None {
            let line = self.presentation.bookmark(self.watch.revision());
            self.lines.push_back(line);
        }
    }
}
