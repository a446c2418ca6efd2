//! Live state for another process: everything as it is, then what changes. A follower who is slow gets the newest and holds up nobody.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::Status;

use super::shown::Shown;
use crate::live::{Cursor, Followed, Subscription};
use crate::tasks::Stop;
use crate::wire::mirror::StateEncoder;
use crate::wire::proto::link::v1 as link;
use crate::wire::record::{alert_event_record, alert_record};

/// Between two looks for changes.
const PACE: Duration = Duration::from_millis(100);
/// Of one message: some 300 kB.
const VEHICLES_PART: usize = 500;
/// Of one message, a few kB each.
const ALERTS_PART: usize = 200;

struct Follower {
    shown: Shown,
    encoder: StateEncoder,
    cursor: Cursor,
    subscription: Subscription,
    /// Open alerts are to be told anew, and as of which number.
    is_behind: Option<u64>,
    is_complete: bool,
    pace: Interval,
    stop: Stop,
}

/// Ends when the process is told to stop.
pub(super) fn follow(
    shown: &Shown,
    request: link::FollowRequest,
    stop: Stop,
) -> impl Stream<Item = Result<link::FollowResponse, Status>> + Send + use<> {
    let after = (request.after_alert > 0).then_some(request.after_alert);
    let subscription = shown.feed.subscribe(after);
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let first = Follower {
        encoder: StateEncoder::new(Arc::clone(&shown.table)),
        cursor: Cursor::default(),
        is_behind: after.is_none().then(|| subscription.after()),
        subscription,
        is_complete: false,
        shown: shown.clone(),
        pace,
        stop,
    };
    stream::unfold(first, async |mut follower| {
        let response = follower.next().await?;
        Some((Ok(response), follower))
    })
}

impl Follower {
    /// `None`: the process stops.
    async fn next(&mut self) -> Option<link::FollowResponse> {
        loop {
            if let Some(response) = self.look() {
                return Some(response);
            }
            tokio::select! {
                _ = self.pace.tick() => {}
                () = self.stop.requested() => return None,
            }
        }
    }

    fn look(&mut self) -> Option<link::FollowResponse> {
        let mut response = link::FollowResponse::default();
        self.look_at_alerts(&mut response);
        let changed = self.shown.live.changes(&mut self.cursor, VEHICLES_PART);
        let is_first_end = !self.is_complete && changed.len() < VEHICLES_PART;
        self.is_complete |= is_first_end;
        response.is_complete = is_first_end;
        response.vehicles = changed
            .iter()
            .map(|newest| {
                let mut state = Vec::new();
                self.encoder.state(newest, &mut state);
                state.into()
            })
            .collect();
        let says_something =
            is_first_end || response.replaces_open_alerts || !response.vehicles.is_empty() || !response.alert_events.is_empty();
        says_something.then_some(response)
    }

    fn look_at_alerts(&mut self, response: &mut link::FollowResponse) {
        while response.alert_events.len() < ALERTS_PART && self.is_behind.is_none() {
            match self.subscription.take() {
                Some(Followed::Event { sequence, event }) => {
                    response.alert_sequence = sequence;
                    response.alert_events.push(alert_event_record(&event));
                }
                Some(Followed::Missed { sequence }) => self.is_behind = Some(sequence),
                None => break,
            }
        }
        // What was heard before is told before.
        if response.alert_events.is_empty()
            && let Some(sequence) = self.is_behind.take()
        {
            response.alert_sequence = sequence;
            response.replaces_open_alerts = true;
            response.open_alerts = self.shown.open_alerts.all().iter().map(|alert| alert_record((**alert).clone())).collect();
        }
    }
}
