//! Storage's end of the lanes' link: hands the lanes over to one process at a time, and puts what that sends into the journal, each record once.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::{Stream, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, WatchStream};
use tonic::{Request, Response, Status, Streaming};

use super::follow_server::follow;
use super::owner::Owner;
use super::shown::Shown;
use crate::domain::{SLOTS, Slot};
use crate::journal::{Batch, Checkpoint, DamagedFrames, Journal, JournalClosed, Recovery};
use crate::tasks::Tasks;
use crate::wire::proto::link::v1 as link;
use crate::wire::proto::link::v1::storage_link_server::StorageLink;

/// Requests of the lanes that wait for the journal. Full: nothing more is read from the connection.
const INBOX: usize = 16;
/// Of one message of a recovery.
const PART_BYTES: usize = 1 << 20;
/// Messages of a recovery that are made ahead of the connection.
const PARTS_AHEAD: usize = 4;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service. Holds the journal open: dropped with the server.
pub struct StorageLinkService(Arc<Inner>);

struct Inner {
    journal: Journal,
    lanes: Mutex<Lanes>,
    shown: Shown,
    tasks: Tasks,
}

/// Who has the lanes, and how far they have come here.
struct Lanes {
    owner: Owner,
    /// The connection over which the owner sends, if any.
    connection: Option<u64>,
    connections: u64,
    /// A recovery is being read.
    is_handed_over: bool,
    next_arrival: Box<[u64; SLOTS as usize]>,
    saved_arrival: Box<[u64; SLOTS as usize]>,
}

impl StorageLinkService {
    /// `recovery`: of the journal's start; only its numbers are looked at.
    ///
    /// # Errors
    /// Where the data folder cannot be read.
    pub fn new(data: &Path, journal: Journal, recovery: &Recovery, shown: Shown, tasks: Tasks) -> std::io::Result<Self> {
        let lanes = Lanes {
            owner: Owner::open(data)?,
            connection: None,
            connections: 0,
            is_handed_over: false,
            next_arrival: recovery.next_arrival.clone(),
            saved_arrival: recovery.saved_arrival.clone(),
        };
        Ok(Self(Arc::new(Inner { journal, lanes: Mutex::new(lanes), shown, tasks })))
    }
}

#[tonic::async_trait]
impl StorageLink for StorageLinkService {
    type RecoverStream = Answers<link::RecoverResponse>;

    async fn recover(&self, request: Request<link::RecoverRequest>) -> Result<Response<Self::RecoverStream>, Status> {
        let session = request.into_inner().session;
        {
            let mut lanes = self.0.lanes();
            if lanes.is_handed_over || lanes.connection.is_some() {
                return Err(Status::unavailable("another process has the lanes; this one takes over when that is gone"));
            }
            lanes
                .owner
                .change(session)
                .map_err(|error| Status::unavailable(format!("the data folder takes nothing: {error}")))?;
            lanes.is_handed_over = true;
        }
        tracing::info!(session = format_args!("{session:016x}"), "the lanes are handed over");
        let (parts, ahead) = mpsc::channel(PARTS_AHEAD);
        let inner = Arc::clone(&self.0);
        let spawned = self.0.tasks.spawn_thread("lanes handed over", move || {
            inner.hand_over(&parts);
            Ok(())
        });
        if let Err(error) = spawned {
            self.0.lanes().is_handed_over = false;
            return Err(Status::unavailable(format!("no thread: {error}")));
        }
        Ok(Response::new(Box::pin(ReceiverStream::new(ahead))))
    }

    type AppendStream = Answers<link::AppendResponse>;

    async fn append(&self, request: Request<Streaming<link::AppendRequest>>) -> Result<Response<Self::AppendStream>, Status> {
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|first| first.kind);
        let Some(link::append_request::Kind::Hello(hello)) = first else {
            return Err(Status::invalid_argument("the first message says hello"));
        };
        let connection = self.0.connect(hello.session)?;
        let (kept, answers) = watch::channel(0);
        let (inbox, waiting) = mpsc::channel(INBOX);
        let inner = Arc::clone(&self.0);
        let spawned = self.0.tasks.spawn_thread("append link", move || {
            inner.append((hello.session, connection), waiting, &kept);
            Ok(())
        });
        spawned.map_err(|error| Status::unavailable(format!("no thread: {error}")))?;
        let mut stop = self.0.tasks.stop();
        self.0.tasks.spawn("append link", async move {
            loop {
                let request = tokio::select! {
                    request = requests.message() => request,
                    () = stop.requested() => break,
                };
                match request {
                    Ok(Some(link::AppendRequest { kind: Some(kind) })) => {
                        if inbox.send(kind).await.is_err() {
                            break;
                        }
                    }
                    Ok(Some(_empty)) => {}
                    Ok(None) => break,
                    Err(status) => {
                        tracing::debug!(%status, "the lanes' connection broke");
                        break;
                    }
                }
            }
            Ok(())
        });
        let answers = WatchStream::from_changes(answers).map(|kept_to| Ok(link::AppendResponse { kept_to }));
        Ok(Response::new(Box::pin(answers)))
    }

    type FollowStream = Answers<link::FollowResponse>;

    async fn follow(&self, request: Request<link::FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        Ok(Response::new(Box::pin(follow(&self.0.shown, request.into_inner(), self.0.tasks.stop()))))
    }
}

impl Inner {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().expect("no holder panics")
    }

    /// What waited on a connection of the owner before is not taken.
    fn lanes_of(&self, session: u64) -> Result<MutexGuard<'_, Lanes>, NotTaken> {
        let lanes = self.lanes();
        if lanes.owner.is(session) { Ok(lanes) } else { Err(NotTaken::TakenOver) }
    }

    fn connect(&self, session: u64) -> Result<u64, Status> {
        let mut lanes = self.lanes();
        if !lanes.owner.is(session) {
            return Err(Status::failed_precondition("another analytics process has taken over the lanes"));
        }
        lanes.connections += 1;
        lanes.connection = Some(lanes.connections);
        Ok(lanes.connections)
    }

    /// Reads the saved states and the tail, part by part. Blocks.
    fn hand_over(&self, parts: &mpsc::Sender<Result<link::RecoverResponse, Status>>) {
        let result = self.journal.recover().map_err(|JournalClosed| Status::unavailable("storage is stopping"));
        let result = result.and_then(|recovery| {
            {
                let mut lanes = self.lanes();
                lanes.next_arrival.clone_from(&recovery.next_arrival);
                lanes.saved_arrival.clone_from(&recovery.saved_arrival);
            }
            let gone = |_| Status::cancelled("whoever asked has gone");
            for part in split(recovery) {
                parts.blocking_send(Ok(part)).map_err(gone)?;
            }
            Ok(())
        });
        if let Err(status) = result {
            let _gone = parts.blocking_send(Err(status));
        }
        self.lanes().is_handed_over = false;
    }

    /// Runs as long as the connection. Blocks while the journal is full.
    fn append(
        &self,
        (session, connection): (u64, u64),
        mut waiting: mpsc::Receiver<link::append_request::Kind>,
        kept: &watch::Sender<u64>,
    ) {
        while let Some(kind) = waiting.blocking_recv() {
            let result = match kind {
                link::append_request::Kind::Batch(batch) => self.take_batch(session, batch, kept),
                link::append_request::Kind::Checkpoint(checkpoint) => self.take_checkpoint(session, checkpoint, kept),
                link::append_request::Kind::Hello(_) => Ok(()),
            };
            if let Err(error) = result {
                // It is not answered, and comes again.
                tracing::warn!(%error, "what the lanes sent is not taken; the connection ends");
                break;
            }
        }
        let mut lanes = self.lanes();
        if lanes.connection == Some(connection) {
            lanes.connection = None;
        }
    }

    /// Held by one at a time until the journal has it: an answer for what was here already must not overtake it.
    fn take_batch(&self, session: u64, from: link::AppendBatch, kept: &watch::Sender<u64>) -> Result<(), NotTaken> {
        let link::AppendBatch { number, frames } = from;
        let mut lanes = self.lanes_of(session)?;
        let mut batch = Batch::new();
        batch.append_frames(&frames, |slot, arrival| {
            let next = &mut lanes.next_arrival[usize::from(slot.number())];
            let is_new = arrival >= *next;
            *next = arrival.saturating_add(1).max(*next);
            is_new
        })?;
        let kept = kept.clone();
        batch.then(move || {
            kept.send_if_modified(|newest| std::mem::replace(newest, number.max(*newest)) < number);
        });
        self.journal.submit(batch)?;
        drop(lanes);
        self.shown.take_frames(&frames)?;
        Ok(())
    }

    fn take_checkpoint(&self, session: u64, from: link::AppendCheckpoint, kept: &watch::Sender<u64>) -> Result<(), NotTaken> {
        let link::AppendCheckpoint { number, frames, next_arrivals } = from;
        let mut lanes = self.lanes_of(session)?;
        let mut checkpoint = Checkpoint::new();
        // One that comes again after a newer one was stored would take its vehicles back.
        let is_stale = |slot: Slot, arrival: u64| arrival < lanes.saved_arrival[usize::from(slot.number())];
        let mut stale = Vec::new();
        let mut fresh = Vec::new();
        for link::NextArrival { slot, arrival } in next_arrivals {
            let slot = u16::try_from(slot).ok().and_then(Slot::from_number).ok_or(DamagedFrames)?;
            if is_stale(slot, arrival) {
                stale.push(slot);
            } else {
                fresh.push((slot, arrival));
            }
        }
        checkpoint.append_frames(&frames, |slot| !stale.contains(&slot))?;
        for (slot, arrival) in fresh {
            checkpoint.next_arrival(slot, arrival);
            lanes.saved_arrival[usize::from(slot.number())] = arrival;
        }
        self.journal.checkpoint(checkpoint)?;
        // Answered behind it: the writer takes both in order.
        let mut batch = Batch::new();
        let kept = kept.clone();
        batch.then(move || {
            kept.send_if_modified(|newest| std::mem::replace(newest, number.max(*newest)) < number);
        });
        self.journal.submit(batch)?;
        drop(lanes);
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    #[error(transparent)]
    Damaged(#[from] DamagedFrames),
    #[error(transparent)]
    Closed(#[from] JournalClosed),
    #[error("another analytics process has taken over the lanes")]
    TakenOver,
}

fn split(recovery: Recovery) -> impl Iterator<Item = link::RecoverResponse> {
    let Recovery { vehicles, next_arrival, tail, .. } = recovery;
    let vehicles = vehicles.into_iter().map(|saved| link::SavedVehicle {
        slot: saved.slot.number().into(),
        vehicle_id: saved.vehicle_id,
        state: saved.state.into(),
    });
    let frames =
        tail.map(|frame| link::Frame { slot: frame.slot.number().into(), arrival: frame.arrival, record: frame.payload });
    let vehicles = in_parts(vehicles, |saved| saved.state.len())
        .map(|vehicles| link::RecoverResponse { vehicles, ..link::RecoverResponse::default() });
    let frames = in_parts(frames, |frame| frame.record.len())
        .map(|frames| link::RecoverResponse { frames, ..link::RecoverResponse::default() });
    let end = link::RecoverEnd { next_arrivals: next_arrival.to_vec() };
    let end = link::RecoverResponse { end: Some(end), ..link::RecoverResponse::default() };
    vehicles.chain(frames).chain([end])
}

/// Parts of [`PART_BYTES`] or a little more.
fn in_parts<T>(mut each: impl Iterator<Item = T>, bytes: impl Fn(&T) -> usize) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let (mut part, mut total) = (Vec::new(), 0);
        while total < PART_BYTES
            && let Some(one) = each.next()
        {
            total += bytes(&one);
            part.push(one);
        }
        (!part.is_empty()).then_some(part)
    })
}
