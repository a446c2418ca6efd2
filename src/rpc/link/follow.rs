//! Live state as another process has it: a copy that follows, so that whoever asks here asks memory.

use tonic::{Code, Status};

use super::shown::Shown;
use super::{LONGEST_PAUSE, MAX_MESSAGE_BYTES, Peer};
use crate::ingest::Backoff;
use crate::tasks::{Stop, Tasks};
use crate::wire::mirror;
use crate::wire::proto::link::v1 as link;
use crate::wire::proto::link::v1::storage_link_client::StorageLinkClient;
use crate::wire::record::{RecordError, decode_alert_event};

/// Fills `copy` until the process is told to stop.
pub fn start(peer: &Peer, copy: Shown, tasks: &Tasks) {
    let (peer, mut stop) = (peer.clone(), tasks.stop());
    tasks.spawn("follow link", async move {
        run(&peer, &copy, &mut stop).await;
        Ok(())
    });
}

async fn run(peer: &Peer, copy: &Shown, stop: &mut Stop) {
    let mut pause = Backoff::up_to(LONGEST_PAUSE);
    // The last change of an alert that was heard.
    let mut after_alert = 0;
    loop {
        let ended = tokio::select! {
            ended = follow(peer, copy, &mut after_alert, &mut pause) => ended,
            () = stop.requested() => return,
        };
        peer.lost(&ended.err().unwrap_or_else(|| Status::unavailable("storage ended the stream")));
        tokio::select! {
            () = tokio::time::sleep(pause.longer()) => {}
            () = stop.requested() => return,
        }
    }
}

async fn follow(peer: &Peer, copy: &Shown, after_alert: &mut u64, pause: &mut Backoff) -> Result<(), Status> {
    let mut client = StorageLinkClient::new(peer.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let mut changes = client.follow(link::FollowRequest { after_alert: *after_alert }).await?.into_inner();
    peer.answered();
    while let Some(response) = changes.message().await? {
        pause.reset();
        copy.take(&response, after_alert).map_err(|error| Status::new(Code::DataLoss, error.to_string()))?;
    }
    Ok(())
}

impl Shown {
    fn take(&self, response: &link::FollowResponse, after_alert: &mut u64) -> Result<(), RecordError> {
        if response.replaces_open_alerts {
            let open = response.open_alerts.iter().map(|record| decode_alert_event(record)).collect::<Result<Vec<_>, _>>()?;
            let touched = self.open_alerts.replace(open.iter().map(|event| &event.alert));
            for vehicle_id in &touched {
                self.live.touch(vehicle_id);
            }
            self.feed.skip();
        }
        let states = response.vehicles.iter().map(|state| mirror::decode_state(state, &self.table));
        self.update(states.collect::<Result<_, _>>()?);
        for record in &response.alert_events {
            let event = decode_alert_event(record)?;
            // In this order: a follower who hears of a change finds it in the open alerts.
            self.open_alerts.apply(&event);
            self.live.touch(&event.alert.vehicle_id);
            self.feed.publish(event);
        }
        if response.alert_sequence > 0 {
            *after_alert = response.alert_sequence;
        }
        Ok(())
    }
}
