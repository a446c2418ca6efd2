//! The threads of the lanes and the way to them. The rim of this module: it waits and is told the time, the thinking is in `lane`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::histogram;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{oneshot, watch};
use tokio::time::MissedTickBehavior;

use super::alerting::CommandRefused;
use super::blueprint::{Blueprint, BlueprintError};
use super::checks::Checks;
use super::lane::{Lane, Obeyed, RestoreError};
use super::overload::{Overload, Shed};
use crate::domain::{Alert, Assessment, Command, Delivery, SLOTS, Slot, Timestamp};
use crate::journal::{Batch, JournalClosed, Outlet, Recovery};
use crate::settings;
use crate::slo::{Promise, Slo};
use crate::tasks::Tasks;
use crate::{clock, metrics as names};

mod hold;

use hold::Hold;

/// Checkpoints and reports happen on these.
const TICK: Duration = Duration::from_secs(1);

/// Newest assessments that a restart publishes at a time.
const PUBLISH_CHUNK: usize = 1_024;

/// Takes the newest assessment of every vehicle that a batch moved, and drains the list.
pub type Publish = Box<dyn FnMut(&mut Vec<Assessment>) + Send>;

/// What lanes are made of, and what they work with.
pub struct LaneStart<'a, P> {
    pub blueprint: &'a Blueprint,
    pub journal: Arc<dyn Outlet>,
    pub recovery: Recovery,
    /// One per lane, by its number.
    pub publish: P,
    pub slo: Arc<Slo>,
    pub tasks: &'a Tasks,
}

/// Lanes that run.
#[derive(Debug)]
pub struct Started {
    pub inlet: LaneInlet,
    /// As the last run left them.
    pub open_alerts: Vec<Alert>,
}

/// The way into the lanes. They end once every clone is dropped and all that was delivered is with the journal.
#[derive(Debug, Clone)]
pub struct LaneInlet(Arc<[mpsc::Sender<Message>]>);

/// The lanes are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lanes have ended")]
pub struct Closed;

#[derive(Debug, thiserror::Error)]
pub enum TryDeliverError {
    #[error("the lane's inbox is full")]
    Full(Delivery),
    #[error(transparent)]
    Closed(#[from] Closed),
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Blueprint(#[from] BlueprintError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error(transparent)]
    Journal(#[from] JournalClosed),
    #[error("could not start a lane's thread: {0}")]
    Thread(#[from] std::io::Error),
}

#[derive(Debug)]
enum Message {
    Delivery(Delivery),
    Command(Ordered),
    Checks(Arc<Checks>),
    Tick(Timestamp),
}

/// A command, and where its answer is waited for.
#[derive(Debug)]
struct Ordered {
    command: Command,
    answer: oneshot::Sender<Result<Obeyed, CommandRefused>>,
}

impl LaneInlet {
    /// Waits while that lane's inbox is full.
    ///
    /// # Errors
    /// Where the lane has ended; the receipt is dropped unkept.
    pub async fn deliver(&self, delivery: Delivery) -> Result<(), Closed> {
        self.of(delivery.slot).send(Message::Delivery(delivery)).await.map_err(|_| Closed)
    }

    /// Does not wait.
    ///
    /// # Errors
    /// Where the lane's inbox is full, with the delivery, or the lane has ended.
    pub fn try_deliver(&self, delivery: Delivery) -> Result<(), TryDeliverError> {
        self.of(delivery.slot).try_send(Message::Delivery(delivery)).map_err(|error| match error {
            TrySendError::Full(Message::Delivery(delivery)) => TryDeliverError::Full(delivery),
            TrySendError::Full(Message::Command(_) | Message::Checks(_) | Message::Tick(_)) | TrySendError::Closed(_) => {
                TryDeliverError::Closed(Closed)
            }
        })
    }

    /// Waits until the change is durable.
    ///
    /// # Errors
    /// Where the lane has ended, or could not promise anything.
    pub async fn command(&self, command: Command) -> Result<Result<Obeyed, CommandRefused>, Closed> {
        let (answer, answered) = oneshot::channel();
        let lane = self.of(command.vehicle_id.slot());
        lane.send(Message::Command(Ordered { command, answer })).await.map_err(|_| Closed)?;
        answered.await.map_err(|_| Closed)
    }

    /// Lanes judge by these from their next batch on.
    ///
    /// # Errors
    /// Where a lane has ended.
    pub async fn exchange(&self, checks: &Arc<Checks>) -> Result<(), Closed> {
        for lane in &*self.0 {
            lane.send(Message::Checks(Arc::clone(checks))).await.map_err(|_| Closed)?;
        }
        Ok(())
    }

    fn of(&self, slot: Slot) -> &mpsc::Sender<Message> {
        &self.0[lane_of(slot, self.0.len())]
    }
}

/// Loads the models, takes up the vehicles as the last run left them, publishes their newest assessments, starts the threads.
///
/// # Errors
/// [`StartError`] with the first thing that is wrong; nothing is running then.
pub fn start<P: Fn(usize) -> Publish>(start: LaneStart<'_, P>) -> Result<Started, StartError> {
    let settings = &start.blueprint.settings;
    let count = lane_count(settings);
    let parts = start.blueprint.parts(count)?;
    let mut lanes: Vec<Lane> = parts.into_iter().map(|parts| Lane::new(parts, &*start.recovery.next_arrival)).collect();
    restore(&mut lanes, start.recovery)?;
    for lane in &mut lanes {
        let mut batch = Batch::new();
        lane.finish_replay(&mut batch);
        if !batch.is_empty() {
            start.journal.submit(batch)?;
        }
    }
    let mut publishers: Vec<Publish> = (0..count).map(&start.publish).collect();
    for (lane, publish) in lanes.iter().zip(&mut publishers) {
        publish_all(lane, publish);
    }
    let open_alerts = lanes.iter().flat_map(Lane::open_alerts).cloned().collect();
    let mut inlets = Vec::with_capacity(count);
    for (lane, publish) in lanes.into_iter().zip(publishers) {
        // Full: tasks wait, and what they have is not acknowledged.
        let (inlet, inbox) = mpsc::channel(settings.inbox);
        let (ended, has_ended) = watch::channel(());
        start.tasks.spawn("lane ticks", tick(inlet.downgrade(), has_ended));
        let thread = LaneThread {
            lane,
            inbox,
            publish,
            slo: Arc::clone(&start.slo),
            arrived: Vec::new(),
            journal: Arc::clone(&start.journal),
            batch_max: settings.batch_max,
            hold: Hold::new(settings.reorder_hold.duration()),
            overload: Overload::new(settings.shed_after.duration()),
            step_seconds: histogram!(names::LANE_STEP_SECONDS),
        };
        start.tasks.spawn_thread("lane", move || {
            let result = thread.run();
            drop(ended);
            result
        })?;
        inlets.push(inlet);
    }
    Ok(Started { inlet: LaneInlet(inlets.into()), open_alerts })
}

/// How many lanes [`start`] makes.
#[must_use]
pub fn lane_count(settings: &settings::Analytics) -> usize {
    match settings.lanes {
        // The other half belongs to the tasks, the journal and the archive.
        0 => std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)),
        lanes => lanes.min(usize::from(SLOTS)),
    }
}

/// Lanes own ranges of slots.
pub(super) fn lane_of(slot: Slot, lanes: usize) -> usize {
    slot.share_of(lanes)
}

/// The saved states, then the frames since.
fn restore(lanes: &mut [Lane], recovery: Recovery) -> Result<(), StartError> {
    let count = lanes.len();
    let (mut vehicles, mut frames, mut unreadable) = (0_usize, 0_usize, 0_usize);
    for saved in recovery.vehicles {
        vehicles += 1;
        lanes[lane_of(saved.slot, count)].restore(saved)?;
    }
    for frame in recovery.tail {
        frames += 1;
        if let Err(error) = lanes[lane_of(frame.slot, count)].replay(&frame) {
            // It stays in the journal, and the archive writer meets it too; only a window lacks a step.
            unreadable += 1;
            tracing::debug!(slot = frame.slot.number(), arrival = frame.arrival, %error, "could not read a frame");
        }
    }
    tracing::info!(vehicles, frames, unreadable, "lanes took up where the last run ended");
    Ok(())
}

fn publish_all(lane: &Lane, publish: &mut Publish) {
    let mut newest = Vec::with_capacity(PUBLISH_CHUNK);
    for assessment in lane.newest() {
        match assessment {
            Ok(assessment) => newest.push(assessment),
            // The window is whole; the vehicle is shown again with its next reading.
            Err(error) => tracing::error!(%error, "a vehicle's newest assessment is not shown"),
        }
        if newest.len() == PUBLISH_CHUNK {
            publish(&mut newest);
            newest.clear();
        }
    }
    if !newest.is_empty() {
        publish(&mut newest);
    }
}

/// Tells a lane the time for as long as it lives, without keeping its inbox open.
async fn tick(lane: mpsc::WeakSender<Message>, mut has_ended: watch::Receiver<()>) -> anyhow::Result<()> {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // An error: the lane's end of it is gone.
            _ended = has_ended.changed() => return Ok(()),
            _ = interval.tick() => {}
        }
        let Some(lane) = lane.upgrade() else { return Ok(()) };
        // Waits for its turn like everybody: under full load checkpoints must happen too.
        tokio::select! {
            _ended = has_ended.changed() => return Ok(()),
            _sent = lane.send(Message::Tick(clock::now())) => {}
        }
    }
}

/// When it came, and with how many readings; a delivery is one message.
fn arrival(delivery: &Delivery) -> Option<(Timestamp, u32)> {
    Some((delivery.readings.first()?.received_at, u32::try_from(delivery.readings.len()).unwrap_or(u32::MAX)))
}

struct LaneThread {
    lane: Lane,
    inbox: mpsc::Receiver<Message>,
    publish: Publish,
    slo: Arc<Slo>,
    /// When the readings of each delivery of a batch came.
    arrived: Vec<(Timestamp, u32)>,
    journal: Arc<dyn Outlet>,
    batch_max: usize,
    hold: Hold,
    overload: Overload,
    step_seconds: metrics::Histogram,
}

impl LaneThread {
    /// The heart of the product: wait for the first delivery, take everything else that is waiting, assess the batch, send it on.
    fn run(mut self) -> anyhow::Result<()> {
        let mut messages = Vec::with_capacity(self.batch_max);
        let mut deliveries = Vec::with_capacity(self.batch_max);
        let mut commands = Vec::new();
        let mut newest = Vec::new();
        let mut batch = Batch::new();
        let mut next_group = 0;
        // What the tail of the journal said: a process that dies young again and again must not have more to read every time.
        self.save_all()?;
        while self.inbox.blocking_recv_many(&mut messages, self.batch_max) > 0 {
            self.watch_load(messages.len());
            let (mut tick, mut checks) = (None, None);
            for message in messages.drain(..) {
                match message {
                    Message::Delivery(delivery) => deliveries.push(delivery),
                    Message::Command(ordered) => commands.push(ordered),
                    Message::Checks(new) => checks = Some(new),
                    Message::Tick(now) => tick = Some(now),
                }
            }
            self.hold.pass(&mut deliveries, Instant::now());
            if !deliveries.is_empty() {
                batch = self.assess(&mut deliveries, batch, &mut newest)?;
            }
            for Ordered { command, answer } in commands.drain(..) {
                match self.lane.command(&command, &mut batch) {
                    Ok(obeyed) => batch.then(move || drop(answer.send(Ok(obeyed)))),
                    Err(refused) => drop(answer.send(Err(refused))),
                }
            }
            if let Some(checks) = checks {
                self.lane.exchange(checks);
            }
            if let Some(now) = tick {
                self.lane.tick(now, &mut batch);
                self.lane.report(now);
            }
            if !batch.is_empty() {
                batch = self.journal.submit(batch)?;
            }
            if tick.is_some() {
                self.save(next_group)?;
                next_group = (next_group + 1) % self.lane.checkpoint_groups();
            }
        }
        self.hold.end(&mut deliveries);
        if !deliveries.is_empty() {
            self.assess(&mut deliveries, batch, &mut newest)?;
        }
        // So that the next start has nothing to replay.
        self.save_all()
    }

    fn save_all(&mut self) -> anyhow::Result<()> {
        (0..self.lane.checkpoint_groups()).try_for_each(|group| self.save(group))
    }

    fn assess(
        &mut self,
        deliveries: &mut Vec<Delivery>,
        mut batch: Batch,
        newest: &mut Vec<Assessment>,
    ) -> anyhow::Result<Batch> {
        let began = Instant::now();
        self.arrived.extend(deliveries.iter().filter_map(arrival));
        self.lane.assess(deliveries, &mut batch, newest);
        self.step_seconds.record(began.elapsed());
        let now = clock::now();
        for (received_at, readings) in self.arrived.drain(..) {
            self.slo.took(Promise::Scored, now.since(received_at), readings);
        }
        (self.publish)(newest);
        newest.clear();
        Ok(self.journal.submit(batch)?)
    }

    #[expect(clippy::cast_precision_loss, reason = "an inbox is small")]
    fn watch_load(&mut self, taken: usize) {
        let fill = (taken + self.inbox.len()) as f64 / self.inbox.max_capacity() as f64;
        if let Some(shed) = self.overload.observe(fill, Instant::now()) {
            match shed {
                Shed::Nothing => tracing::info!("this lane keeps up again; nothing is left out"),
                shed => tracing::warn!(left_out = ?shed, "more comes than this lane can judge in full; every reading is kept"),
            }
            self.lane.shed(shed);
        }
    }

    fn save(&mut self, group: usize) -> anyhow::Result<()> {
        if let Some(checkpoint) = self.lane.checkpoint(group) {
            self.journal.checkpoint(checkpoint)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
