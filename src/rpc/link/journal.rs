//! The lanes' way to a journal in another process: an outlet that promises only what that process has made durable.
//!
//! Batches and checkpoints wait here, in order, until they are answered; after a break everything without an answer is sent again. The other
//! side passes over what it has, so that nothing is stored twice and nothing is left out.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::{LAST_WORDS, LONGEST_PAUSE, MAX_MESSAGE_BYTES, Peer};
use crate::domain::{SLOTS, Slot};
use crate::ingest::Backoff;
use crate::journal::{Batch, Checkpoint, Frame, JournalClosed, Outlet, Position, Recovery, SavedVehicle, Tail};
use crate::tasks::{Stop, Tasks};
use crate::wire::proto::link::v1 as link;
use crate::wire::proto::link::v1::storage_link_client::StorageLinkClient;

/// What waits for its answer, in bytes of frames. Full: lanes wait, their inboxes fill, and nothing more is taken in.
const MOST_WAITING_BYTES: usize = 32 << 20;
/// What is handed to the connection and not yet sent.
const IN_HAND: usize = 16;

/// Takes what lanes make. Once every holder has dropped it and all of it is answered, its task ends.
pub struct RemoteJournal(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Of bytes, for lanes that wait.
    room: Condvar,
    /// Something was submitted, or nothing more will be.
    news: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Item>,
    /// Number of the first that waits.
    first: u64,
    bytes: usize,
    is_closed: bool,
    /// Nothing is taken any more: another process has the lanes, or this one ends without answers.
    has_failed: bool,
}

struct Item {
    frames: Bytes,
    /// `None`: the promises of a batch alone.
    checkpoint: Option<Vec<(Slot, u64)>>,
    promises: Batch,
}

enum Ended {
    /// Nothing more comes, and all of it is durable.
    Done,
    Broken(Status),
}

impl RemoteJournal {
    /// Takes the lanes over, waiting for as long as another process has them or storage is away, and returns where that one ended.
    ///
    /// # Errors
    /// Where this process is told to stop first, or storage speaks another language.
    pub async fn take_over(peer: &Peer, tasks: &Tasks) -> anyhow::Result<(Self, Recovery)> {
        let session = rand::random();
        let recovery = recover(peer, session, &mut tasks.stop()).await?;
        let state = State { first: 1, ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), room: Condvar::new(), news: Notify::new() });
        let (peer, way, stop) = (peer.clone(), Arc::clone(&shared), tasks.stop());
        tasks.spawn("journal link", async move { way.run(&peer, session, stop).await });
        Ok((Self(shared), recovery))
    }

    fn push(&self, item: Item) -> Result<(), JournalClosed> {
        let mut state = self.0.lock();
        while state.bytes >= MOST_WAITING_BYTES && !state.has_failed {
            state = self.0.room.wait(state).expect("no holder panics");
        }
        if state.has_failed {
            return Err(JournalClosed);
        }
        state.bytes += item.frames.len();
        state.waiting.push_back(item);
        drop(state);
        self.0.news.notify_one();
        Ok(())
    }
}

impl Outlet for RemoteJournal {
    fn submit(&self, mut batch: Batch) -> Result<Batch, JournalClosed> {
        let frames = batch.take_frames().into();
        self.push(Item { frames, checkpoint: None, promises: batch })?;
        Ok(Batch::new())
    }

    fn checkpoint(&self, mut checkpoint: Checkpoint) -> Result<(), JournalClosed> {
        let frames = checkpoint.take_frames().into();
        self.push(Item { frames, checkpoint: Some(checkpoint.next_arrivals().to_vec()), promises: Batch::new() })
    }
}

impl Drop for RemoteJournal {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.news.notify_one();
    }
}

impl Shared {
    async fn run(&self, peer: &Peer, session: u64, mut stop: Stop) -> anyhow::Result<()> {
        let mut pause = Backoff::up_to(LONGEST_PAUSE);
        let mut stopping_since = None;
        let result = loop {
            let connected_at = Instant::now();
            let ended = match self.connected(peer, session).await {
                Ok(ended) => ended,
                Err(status) => Ended::Broken(status),
            };
            match ended {
                Ended::Done => break Ok(()),
                Ended::Broken(status) if status.code() == Code::FailedPrecondition => {
                    break Err(anyhow::anyhow!("{}; start this one again to wait for its turn", status.message()));
                }
                Ended::Broken(status) => peer.lost(&status),
            }
            if stop.is_requested() && stopping_since.get_or_insert_with(Instant::now).elapsed() >= LAST_WORDS {
                break Err(anyhow::anyhow!("storage is away: what it has not answered for is not acknowledged, and comes again"));
            }
            if connected_at.elapsed() >= LONGEST_PAUSE {
                pause.reset();
            }
            tokio::select! {
                () = tokio::time::sleep(pause.longer()) => {}
                () = stop.requested(), if stopping_since.is_none() => {}
            }
        };
        let mut state = self.lock();
        state.has_failed = true;
        state.waiting.clear();
        drop(state);
        self.room.notify_all();
        result
    }

    async fn connected(&self, peer: &Peer, session: u64) -> Result<Ended, Status> {
        let (outbound, requests) = mpsc::channel(IN_HAND);
        let hello = link::AppendHello { session };
        outbound.try_send(request(link::append_request::Kind::Hello(hello))).expect("the channel is empty");
        let mut client = client_of(peer);
        let mut answers = client.append(ReceiverStream::new(requests)).await?.into_inner();
        peer.answered();
        // The number of the next one to send.
        let mut next = self.lock().first;
        loop {
            if self.is_done() {
                return Ok(Ended::Done);
            }
            tokio::select! {
                answer = answers.message() => match answer? {
                    Some(answer) => self.keep_to(answer.kept_to),
                    None => return Ok(Ended::Broken(Status::unavailable("storage ended the stream"))),
                },
                permit = outbound.reserve(), if self.has(next) => {
                    let permit = permit.map_err(|_| Status::unavailable("the connection ended"))?;
                    if let Some(kind) = self.item(next) {
                        permit.send(request(kind));
                        next += 1;
                    }
                }
                () = self.news.notified() => {}
            }
        }
    }

    fn has(&self, number: u64) -> bool {
        let state = self.lock();
        number < state.first + state.waiting.len() as u64
    }

    fn item(&self, number: u64) -> Option<link::append_request::Kind> {
        let state = self.lock();
        let item = state.waiting.get(usize::try_from(number.checked_sub(state.first)?).ok()?)?;
        let frames = item.frames.clone();
        Some(match &item.checkpoint {
            None => link::append_request::Kind::Batch(link::AppendBatch { number, frames }),
            Some(next_arrivals) => {
                let each = |(slot, arrival): &(Slot, u64)| link::NextArrival { slot: slot.number().into(), arrival: *arrival };
                let next_arrivals = next_arrivals.iter().map(each).collect();
                link::append_request::Kind::Checkpoint(link::AppendCheckpoint { number, frames, next_arrivals })
            }
        })
    }

    fn keep_to(&self, number: u64) {
        let mut kept = Vec::new();
        let mut state = self.lock();
        while state.first <= number
            && let Some(item) = state.waiting.pop_front()
        {
            state.first += 1;
            state.bytes -= item.frames.len();
            kept.push(item);
        }
        drop(state);
        self.room.notify_all();
        for item in &mut kept {
            item.promises.keep_promises();
        }
    }

    fn is_done(&self) -> bool {
        let state = self.lock();
        state.is_closed && state.waiting.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

fn request(kind: link::append_request::Kind) -> link::AppendRequest {
    link::AppendRequest { kind: Some(kind) }
}

fn client_of(peer: &Peer) -> StorageLinkClient<tonic::transport::Channel> {
    StorageLinkClient::new(peer.channel.clone())
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

async fn recover(peer: &Peer, session: u64, stop: &mut Stop) -> anyhow::Result<Recovery> {
    let mut pause = Backoff::up_to(LONGEST_PAUSE);
    tracing::info!(peer = peer.name, "asking where the lanes are to go on");
    loop {
        match try_recover(peer, session).await {
            Ok(recovery) => {
                peer.answered();
                return Ok(recovery);
            }
            Err(status)
                if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown) =>
            {
                peer.lost(&status);
            }
            Err(status) => anyhow::bail!("storage does not hand over the lanes: {}", super::describe(&status)),
        }
        tokio::select! {
            () = tokio::time::sleep(pause.longer()) => {}
            () = stop.requested() => anyhow::bail!("told to stop before storage was reached"),
        }
    }
}

async fn try_recover(peer: &Peer, session: u64) -> Result<Recovery, Status> {
    let mut parts = client_of(peer).recover(link::RecoverRequest { session }).await?.into_inner();
    let (mut vehicles, mut frames) = (Vec::new(), Vec::new());
    let strange = |what| Status::invalid_argument(format!("storage sent {what} that cannot be"));
    let slot = |number: u32| u16::try_from(number).ok().and_then(Slot::from_number).ok_or_else(|| strange("a slot"));
    while let Some(part) = parts.message().await? {
        for saved in part.vehicles {
            vehicles.push(SavedVehicle { slot: slot(saved.slot)?, vehicle_id: saved.vehicle_id, state: saved.state.into() });
        }
        for frame in part.frames {
            let link::Frame { slot: number, arrival, record } = frame;
            frames.push(Frame { position: Position::default(), slot: slot(number)?, arrival, payload: record });
        }
        if let Some(end) = part.end {
            let next_arrival: Box<[u64; SLOTS as usize]> =
                end.next_arrivals.into_boxed_slice().try_into().map_err(|_| strange("a number of slots"))?;
            return Ok(Recovery {
                vehicles,
                saved_arrival: next_arrival.clone(),
                next_arrival,
                tail: Tail::Given(frames.into_iter()),
                bad_frames: 0,
                torn_bytes: 0,
            });
        }
    }
    Err(Status::unavailable("storage did not come to the end"))
}
