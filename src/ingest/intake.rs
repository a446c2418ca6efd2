//! What every way in does with a message: decode it, hand it to its lane, wait for the promise, count it. Knows no protocol.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::counts::Counts;
use super::quota::Quota;
use crate::clock;
use crate::domain::{Delivery, Outcome, Quarantined, Reason, Receipt, SignalTable, Slot, Source, Timestamp, VehicleId};
use crate::settings;
use crate::slo::{Promise, Slo};
use crate::storage::VehicleRegister;
use crate::tls::Refused;
use crate::wire::Refusal;
use crate::wire::decode::{self, DecodeContext, Decoded, Format, decode, quarantine};

/// One message of one vehicle, as it came.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    pub source: Source,
    /// From the address; checked here.
    pub vehicle_id: &'a str,
    pub payload: Bytes,
    /// From a content type; `None`: told by the first byte.
    pub format: Option<Format>,
}

/// What became of a message; all of it is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Taken)]
pub struct Answer {
    pub accepted: u32,
    pub duplicates: u32,
    /// Acknowledged all the same: the sender would repeat them for ever.
    pub quarantined: Vec<NotBelieved>,
}

/// One element of a message that was quarantined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NotBelieved {
    pub index: u32,
    /// A stable code, such as `json_syntax`.
    #[schema(value_type = Reason)]
    pub reason: &'static str,
    #[schema(value_type = String)]
    pub detail: Box<str>,
}

/// The sender must not be told that its message was taken, and will send it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPromised {
    #[error("as much is waiting to be made durable as may")]
    Full,
    #[error("the process is stopping")]
    Stopped,
    #[error("the message could not be made durable")]
    Lost,
    #[error("the vehicle has sent as many messages as `ingest.quota_per_minute` admits")]
    OverQuota {
        /// Until there is room for the next.
        wait: Duration,
    },
}

type Delivering = Pin<Box<dyn Future<Output = Result<(), NotPromised>> + Send>>;

/// The lanes, as the ways in see them.
#[derive(Clone)]
pub struct Inlet {
    deliver: Arc<dyn Fn(Delivery) -> Delivering + Send + Sync>,
    try_deliver: Arc<dyn Fn(Delivery) -> Result<(), NotPromised> + Send + Sync>,
}

impl Inlet {
    /// `deliver` waits while the lane is full, `try_deliver` says so.
    pub fn new<Deliver, Waiting, TryDeliver>(deliver: Deliver, try_deliver: TryDeliver) -> Self
    where
        Deliver: Fn(Delivery) -> Waiting + Send + Sync + 'static,
        Waiting: Future<Output = Result<(), NotPromised>> + Send + 'static,
        TryDeliver: Fn(Delivery) -> Result<(), NotPromised> + Send + Sync + 'static,
    {
        Self { deliver: Arc::new(move |delivery| Box::pin(deliver(delivery))), try_deliver: Arc::new(try_deliver) }
    }
}

/// Shared by all ways in. Dropped with the last of them, which is how lanes learn that nothing more comes.
pub struct Intake {
    inlet: Inlet,
    table: Arc<SignalTable>,
    max_payload_bytes: u64,
    retention: Duration,
    /// `None`: every vehicle may send.
    allowed: Option<VehicleRegister>,
    /// `None`: as much as it likes.
    quota: Option<Quota>,
    counts: Counts,
    slo: Arc<Slo>,
}

impl Intake {
    /// Counts in the recorder that is installed now.
    #[must_use]
    pub fn new(inlet: Inlet, table: Arc<SignalTable>, settings: &settings::Ingest) -> Self {
        Self {
            inlet,
            table,
            max_payload_bytes: settings.max_payload.bytes(),
            retention: settings.retention.duration(),
            allowed: None,
            quota: Quota::new(settings.quota_per_minute),
            counts: Counts::default(),
            slo: Arc::default(),
        }
    }

    /// Counts there what objectives are about.
    #[must_use]
    pub fn observed_by(mut self, slo: &Arc<Slo>) -> Self {
        self.slo = Arc::clone(slo);
        self
    }

    /// From now on, messages of vehicles that are not in `register` are quarantined.
    #[must_use]
    pub fn only_from(mut self, register: VehicleRegister) -> Self {
        self.allowed = Some(register);
        self
    }

    /// Whether messages of this vehicle are taken at all.
    #[must_use]
    pub fn is_welcome(&self, vehicle_id: &VehicleId) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.is_registered(vehicle_id))
    }

    /// Whether somebody registered it, where that is asked for.
    #[must_use]
    pub fn is_registered(&self, vehicle_id: &VehicleId) -> bool {
        self.allowed.as_ref().is_some_and(|allowed| allowed.is_registered(vehicle_id))
    }

    /// To be called now and then: forgets what is over.
    pub fn sweep(&self) {
        if let Some(quota) = &self.quota {
            quota.sweep();
        }
    }

    /// Returns once everything in the message is durable; waits as long as lanes are full.
    ///
    /// # Errors
    /// Where nothing was promised: then the sender must hear nothing good.
    pub async fn accept(&self, message: &Message<'_>) -> Result<Answer, NotPromised> {
        let mut pending = self.begin(message).await?;
        self.settle(&mut pending).await
    }

    /// Hands a message to its lane, waiting for room there. Whoever begins messages of one vehicle in order has them kept in order.
    ///
    /// # Errors
    /// [`NotPromised::Stopped`] where there are no lanes any more, [`NotPromised::OverQuota`] where the vehicle has sent too much.
    pub async fn begin(&self, message: &Message<'_>) -> Result<Pending, NotPromised> {
        self.take_from_quota(message)?;
        let (delivery, pending) = self.prepare(message);
        (self.inlet.deliver)(delivery).await?;
        Ok(pending)
    }

    /// Like [`Intake::begin`], for a message whose element `index` was refused before. If it still is, nothing is handed on and
    /// today's reason comes back; else its readings are, and nothing of it is quarantined again.
    ///
    /// # Errors
    /// As [`Intake::begin`].
    pub async fn begin_again(&self, message: &Message<'_>, index: u32) -> Result<Result<Pending, Reason>, NotPromised> {
        let (mut delivery, mut pending) = self.prepare(message);
        let whole = delivery.readings.is_empty().then(|| delivery.quarantined.first()).flatten();
        let refused = whole.or_else(|| delivery.quarantined.iter().find(|one| one.index == index));
        if let Some(refused) = refused {
            return Ok(Err(refused.reason));
        }
        delivery.quarantined.clear();
        pending.quarantined.clear();
        (self.inlet.deliver)(delivery).await?;
        Ok(Ok(pending))
    }

    /// Like [`Intake::begin`], but does not wait.
    ///
    /// # Errors
    /// [`NotPromised::Full`] where the lane has no room; else as [`Intake::begin`].
    pub fn begin_if_room(&self, message: &Message<'_>) -> Result<Pending, NotPromised> {
        self.take_from_quota(message)?;
        let (delivery, pending) = self.prepare(message);
        (self.inlet.try_deliver)(delivery).inspect_err(|&reason| {
            if reason == NotPromised::Full {
                self.turned_away();
            }
        })?;
        Ok(pending)
    }

    /// Begins the quarantine of a message that is none for a vehicle, such as one on a strange topic.
    ///
    /// # Errors
    /// As [`Intake::begin`].
    pub async fn begin_refusal(&self, message: &Message<'_>, refusal: &Refusal) -> Result<Pending, NotPromised> {
        let received_at = clock::now();
        let decoded = refused(message, received_at, refusal);
        let (delivery, pending) = pend(Slot::of(message.vehicle_id), message.source, received_at, decoded);
        (self.inlet.deliver)(delivery).await?;
        Ok(pending)
    }

    /// Returns once everything in a message that was begun is durable; once only. Dropped before, it can be asked again.
    ///
    /// # Errors
    /// [`NotPromised::Lost`] where it could not be made so.
    pub async fn settle(&self, pending: &mut Pending) -> Result<Answer, NotPromised> {
        let outcome = (&mut pending.outcome).await;
        let Outcome { accepted, duplicates } = outcome.map_err(|_dropped_unkept| {
            self.turned_away();
            NotPromised::Lost
        })?;
        let now = clock::now();
        self.counts.readings(pending.source, accepted, duplicates);
        self.slo.took(Promise::Durable, now.since(pending.received_at), accepted + duplicates);
        self.slo.count(Promise::Kept, accepted, accepted);
        self.slo.count(Promise::Available, 1, 1);
        let quarantined = std::mem::take(&mut pending.quarantined);
        for (reason, one) in &quarantined {
            self.counts.quarantined(*reason, &pending.vehicle_id, &one.detail, now);
        }
        Ok(Answer { accepted, duplicates, quarantined: quarantined.into_iter().map(|(_, one)| one).collect() })
    }

    /// Counts a message that was refused and is not kept.
    pub fn count_refused(&self, reason: Reason, vehicle_id: &str, detail: &str) {
        self.counts.quarantined(reason, vehicle_id, detail, clock::now());
    }

    /// A message did not get its answer, for want of room or in time.
    pub fn turned_away(&self) {
        self.slo.count(Promise::Available, 0, 1);
    }

    /// A broker sends what comes next only once this is answered, so one vehicle there would hold up all others; it has limits of its own.
    fn take_from_quota(&self, message: &Message<'_>) -> Result<(), NotPromised> {
        let (Some(quota), false) = (&self.quota, message.source == Source::Broker) else { return Ok(()) };
        let Ok(vehicle_id) = VehicleId::new(message.vehicle_id) else { return Ok(()) };
        quota.take(&vehicle_id).map_err(|wait| {
            Refused::Quota.count();
            NotPromised::OverQuota { wait }
        })
    }

    fn prepare(&self, message: &Message<'_>) -> (Delivery, Pending) {
        let received_at = clock::now();
        let bytes = message.payload.len() as u64;
        if bytes > self.max_payload_bytes {
            let detail = format!("{bytes} bytes, {} are allowed", self.max_payload_bytes);
            let refusal = Refusal::new(Reason::PayloadTooLarge, detail);
            return pend(Slot::of(message.vehicle_id), message.source, received_at, refused(message, received_at, &refusal));
        }
        let vehicle_id = match VehicleId::new(message.vehicle_id) {
            Ok(vehicle_id) => vehicle_id,
            Err(error) => {
                let refusal = Refusal::new(Reason::VehicleIdInvalid, error.to_string());
                return pend(Slot::of(message.vehicle_id), message.source, received_at, refused(message, received_at, &refusal));
            }
        };
        if !self.is_welcome(&vehicle_id) {
            let refusal = Refusal::new(Reason::VehicleNotAllowed, "nobody registered this vehicle".to_owned());
            return pend(vehicle_id.slot(), message.source, received_at, refused(message, received_at, &refusal));
        }
        let context = DecodeContext {
            vehicle_id: &vehicle_id,
            received_at,
            source: message.source,
            retention: self.retention,
            table: &self.table,
            format: message.format,
        };
        let decoded = decode(&message.payload, &context);
        self.counts.rejected(&decoded.readings);
        pend(vehicle_id.slot(), message.source, received_at, decoded)
    }
}

/// What is remembered of a message while it travels.
pub struct Pending {
    outcome: oneshot::Receiver<Outcome>,
    source: Source,
    received_at: Timestamp,
    /// For the log; empty where nothing was refused.
    vehicle_id: Box<str>,
    quarantined: Vec<(Reason, NotBelieved)>,
}

fn pend(slot: Slot, source: Source, received_at: Timestamp, decoded: Decoded) -> (Delivery, Pending) {
    let Decoded { readings, quarantined } = decoded;
    let (receipt, outcome) = Receipt::new();
    let vehicle_id = quarantined.first().map(|one| one.vehicle_id.clone()).unwrap_or_default();
    let not_believed =
        |one: &Quarantined| (one.reason, NotBelieved { index: one.index, reason: one.reason.code(), detail: one.detail.clone() });
    let pending =
        Pending { outcome, source, received_at, vehicle_id, quarantined: quarantined.iter().map(not_believed).collect() };
    (Delivery { slot, readings, quarantined, receipt }, pending)
}

fn refused(message: &Message<'_>, received_at: Timestamp, refusal: &Refusal) -> Decoded {
    let Message { source, vehicle_id, ref payload, .. } = *message;
    let quarantined = quarantine(decode::Refused { payload, vehicle_id, received_at, source, index: 0 }, refusal);
    Decoded { readings: Vec::new(), quarantined: vec![quarantined] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::VehicleRecord;
    use crate::ingest::fixtures::{Lanes, a_reading, keep};
    use crate::slo::Count;
    use crate::storage::{self, ArchiveAddress};

    #[tokio::test]
    async fn a_message_without_room_was_not_taken_and_one_that_is_kept_was_in_time_or_not() {
        let Lanes { intake, mut deliveries } = Lanes::open();
        let slo = Arc::default();
        let intake = Arc::into_inner(intake).unwrap().observed_by(&slo);
        let of = |what| slo.standings()[what as usize].count;
        let message = Message { source: Source::Http, vehicle_id: "van-1", payload: Bytes::from(a_reading(1)), format: None };
        let mut waiting = Vec::new();
        let full = loop {
            match intake.begin_if_room(&message) {
                Ok(pending) => waiting.push(pending),
                Err(reason) => break reason,
            }
        };
        assert_eq!((full, of(Promise::Available)), (NotPromised::Full, Count { good: 0, all: 1 }));
        for pending in &mut waiting {
            keep(deliveries.recv().await.unwrap());
            intake.settle(pending).await.unwrap();
        }
        let kept = waiting.len() as u64;
        assert_eq!(of(Promise::Available), Count { good: kept, all: kept + 1 });
        assert_eq!((of(Promise::Durable).all, of(Promise::Kept)), (kept, Count { good: kept, all: kept }));
        let mut pending = intake.begin_if_room(&message).unwrap();
        drop(deliveries.recv().await);
        assert_eq!(intake.settle(&mut pending).await, Err(NotPromised::Lost));
        assert_eq!(of(Promise::Available), Count { good: kept, all: kept + 2 });
    }

    #[tokio::test]
    async fn with_an_allow_list_only_registered_vehicles_are_believed() {
        let folder = tempfile::tempdir().unwrap();
        let archive = storage::open(ArchiveAddress::Sqlite(folder.path().join("archive.sqlite")), Arc::default()).await.unwrap();
        let register = VehicleRegister::open(archive).await.unwrap();
        register.put(vec![(VehicleId::new("known").unwrap(), VehicleRecord::default())], clock::now()).await.unwrap();
        let Lanes { intake, mut deliveries } = Lanes::open();
        let intake = Arc::into_inner(intake).unwrap().only_from(register);
        for (vehicle_id, accepted, reason) in [("known", 1, None), ("stranger", 0, Some("vehicle_not_allowed"))] {
            let payload = Bytes::from(a_reading(1));
            let message = Message { source: Source::Mqtt, vehicle_id, payload, format: None };
            let mut pending = intake.begin(&message).await.unwrap();
            keep(deliveries.recv().await.unwrap());
            let answer = intake.settle(&mut pending).await.unwrap();
            let refused = answer.quarantined.first().map(|one| one.reason);
            assert_eq!((answer.accepted, refused), (accepted, reason), "{vehicle_id}");
        }
    }
}
