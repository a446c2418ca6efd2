//! The ways in to lanes in another process: an inlet whose promises are kept there. What has no answer is sent again after a break, in order; the
//! lanes know what they have seen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{LAST_WORDS, LONGEST_PAUSE, MAX_MESSAGE_BYTES, Peer};
use crate::domain::{Delivery, Outcome, Receipt, SignalTable};
use crate::ingest::{Backoff, Inlet, NotPromised};
use crate::tasks::{Stop, Tasks};
use crate::wire::delivery::DeliveryEncoder;
use crate::wire::proto::link::v1 as link;
use crate::wire::proto::link::v1::analytics_link_client::AnalyticsLinkClient;

/// Deliveries that wait to be sent. Full: senders wait and are not acknowledged.
const INBOX: usize = 4_096;
/// Deliveries without an answer, and their bytes. Full: nothing more is sent.
const MOST_WAITING: usize = 16_384;
const MOST_WAITING_BYTES: usize = 64 << 20;
/// Of one message.
const TOGETHER: usize = 256;
/// Messages that are handed to the connection and not yet sent.
const IN_HAND: usize = 4;

/// Runs until the inlet and its clones are dropped and everything is answered.
#[must_use]
pub fn inlet_to(peer: &Peer, table: &Arc<SignalTable>, tasks: &Tasks) -> Inlet {
    let (sender, inbox) = mpsc::channel(INBOX);
    let link = Link { inbox, encoder: DeliveryEncoder::new(Arc::clone(table)), waiting: BTreeMap::new(), bytes: 0, next: 1 };
    let (peer, stop) = (peer.clone(), tasks.stop());
    tasks.spawn("deliveries link", async move {
        link.run(&peer, stop).await;
        Ok(())
    });
    let waiting = sender.clone();
    Inlet::new(
        move |delivery| {
            let sender = waiting.clone();
            async move { sender.send(delivery).await.map_err(|_| NotPromised::Stopped) }
        },
        move |delivery| {
            sender.try_send(delivery).map_err(|error| match error {
                TrySendError::Full(_) => NotPromised::Full,
                TrySendError::Closed(_) => NotPromised::Stopped,
            })
        },
    )
}

struct Link {
    inbox: mpsc::Receiver<Delivery>,
    encoder: DeliveryEncoder,
    /// Sent, and without an answer.
    waiting: BTreeMap<u64, Waiting>,
    bytes: usize,
    next: u64,
}

struct Waiting {
    delivery: link::Delivery,
    receipt: Receipt,
    bytes: usize,
}

impl Link {
    async fn run(mut self, peer: &Peer, mut stop: Stop) {
        let mut pause = Backoff::up_to(LONGEST_PAUSE);
        let mut stopping_since = None;
        loop {
            let connected_at = Instant::now();
            match self.connected(peer).await {
                Ok(()) => return,
                Err(status) => peer.lost(&status),
            }
            if stop.is_requested() {
                let is_over = stopping_since.get_or_insert_with(Instant::now).elapsed() >= LAST_WORDS;
                // Nobody was promised anything that is not answered.
                if is_over || (self.inbox.is_closed() && self.inbox.is_empty() && self.waiting.is_empty()) {
                    return;
                }
            }
            if connected_at.elapsed() >= LONGEST_PAUSE {
                pause.reset();
            }
            tokio::select! {
                () = tokio::time::sleep(pause.longer()) => {}
                () = stop.requested(), if stopping_since.is_none() => {}
            }
        }
    }

    /// `Ok`: nothing more comes, and all of it is answered.
    async fn connected(&mut self, peer: &Peer) -> Result<(), Status> {
        let (outbound, requests) = mpsc::channel(IN_HAND);
        let mut client = AnalyticsLinkClient::new(peer.channel.clone()).max_encoding_message_size(MAX_MESSAGE_BYTES);
        let mut answers = client.deliver(ReceiverStream::new(requests)).await?.into_inner();
        peer.answered();
        // What a break left unanswered goes first, so that the order of each vehicle stays.
        let mut again: Option<u64> = Some(0);
        let mut arrived = Vec::with_capacity(TOGETHER);
        loop {
            if self.waiting.is_empty() && self.inbox.is_closed() && self.inbox.is_empty() {
                return Ok(());
            }
            let has_room = self.waiting.len() < MOST_WAITING && self.bytes < MOST_WAITING_BYTES;
            tokio::select! {
                answer = answers.message() => match answer? {
                    Some(answer) => answer.kept.into_iter().for_each(|kept| self.keep(kept)),
                    None => return Err(Status::unavailable("analytics ended the stream")),
                },
                permit = outbound.reserve(), if again.is_some() => {
                    let permit = permit.map_err(|_| Status::unavailable("the connection ended"))?;
                    let from = again.unwrap_or_default();
                    let deliveries: Vec<_> =
                        self.waiting.range(from..).take(TOGETHER).map(|(_, waiting)| waiting.delivery.clone()).collect();
                    again = deliveries.last().map(|last| last.number + 1);
                    if !deliveries.is_empty() {
                        permit.send(link::DeliverRequest { deliveries });
                    }
                }
                count = self.inbox.recv_many(&mut arrived, TOGETHER), if again.is_none() && has_room => {
                    if count == 0 {
                        // All senders are gone: answers are all that is waited for.
                        self.inbox.close();
                        if self.waiting.is_empty() {
                            return Ok(());
                        }
                        self.hear_the_rest(&mut answers).await?;
                        return Ok(());
                    }
                    let deliveries = arrived.drain(..).map(|delivery| self.wait_for(delivery)).collect();
                    // Were it to break here, they would be sent again.
                    outbound.send(link::DeliverRequest { deliveries }).await.map_err(|_| Status::unavailable("the connection ended"))?;
                }
            }
        }
    }

    async fn hear_the_rest(&mut self, answers: &mut tonic::Streaming<link::DeliverResponse>) -> Result<(), Status> {
        while !self.waiting.is_empty() {
            let answer = answers.message().await?.ok_or_else(|| Status::unavailable("analytics ended the stream"))?;
            answer.kept.into_iter().for_each(|kept| self.keep(kept));
        }
        Ok(())
    }

    fn wait_for(&mut self, delivery: Delivery) -> link::Delivery {
        let number = self.next;
        self.next += 1;
        let (delivery, receipt) = self.encoder.delivery(number, delivery);
        let bytes = delivery.records.iter().map(bytes::Bytes::len).sum();
        self.bytes += bytes;
        self.waiting.insert(number, Waiting { delivery: delivery.clone(), receipt, bytes });
        delivery
    }

    fn keep(&mut self, kept: link::Kept) {
        if let Some(waiting) = self.waiting.remove(&kept.number) {
            self.bytes -= waiting.bytes;
            waiting.receipt.keep(Outcome { accepted: kept.accepted, duplicates: kept.duplicates });
        }
    }
}
