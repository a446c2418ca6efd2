//! `TelemetryService`: readings in, vehicles as they change out.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::TelemetryParts;
use super::callers::{self, Authority};
use crate::clock;
use crate::domain::{Source, Timestamp, VehicleId, VehicleState};
use crate::fleet::filter::{BoundingBox, Filter, Ids};
use crate::fleet::{Fleet, Vehicle};
use crate::ingest::intake::{Answer, Message, Pending};
use crate::ingest::{Intake, NotPromised};
use crate::live::{Cursor, Watch};
use crate::tasks::{Stop, Tasks};
use crate::wire::decode::Format;
use crate::wire::live::{Vehicles, vehicle_states, whole_vehicle_state};
use crate::wire::proto::v1;
use crate::wire::proto::v1::telemetry_service_server::TelemetryService;

/// Batches of one stream that are on their way to be durable. Full: no more is read from the stream.
const BATCHES_ON_THE_WAY: usize = 64;
/// Between two looks for changes of many vehicles.
const PACE: Duration = Duration::from_millis(500);
/// Vehicles of one message: some 200 kB.
const VEHICLES_PART: usize = 1_000;

pub(super) struct Telemetry {
    pub parts: TelemetryParts,
    pub tasks: Tasks,
}

impl Telemetry {
    fn intake(&self) -> Result<&Arc<Intake>, Status> {
        let intake = self.parts.intake.as_ref();
        intake.ok_or_else(|| Status::unimplemented("this process takes no readings in; ask one with the role ingest"))
    }

    fn fleet(&self) -> Result<&Fleet, Status> {
        let fleet = self.parts.fleet.as_ref();
        fleet.ok_or_else(|| Status::unimplemented("this process sees no vehicles; ask one with the role storage or dashboard"))
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Readings of one vehicle in a batch, and where in it they stood.
struct Begun {
    pending: Pending,
    places: Vec<u32>,
}

#[tonic::async_trait]
impl TelemetryService for Telemetry {
    async fn ingest_reading(&self, request: Request<v1::TelemetryReading>) -> Result<Response<v1::IngestResponse>, Status> {
        let authority = callers::authority(request.extensions())?;
        let reading = request.into_inner();
        authority.may_send_for(&reading.vehicle_id)?;
        let batch = v1::TelemetryBatch { readings: vec![reading] };
        let (intake, ack_timeout) = (self.intake()?, self.parts.ack_timeout);
        let mut answer = v1::IngestResponse::default();
        for message in by_vehicle(batch) {
            let pending = intake.begin_if_room(&message.as_message()).map_err(refused)?;
            settle(intake, Begun { pending, places: message.places }, ack_timeout, &mut answer).await?;
        }
        Ok(Response::new(answer))
    }

    type IngestReadingsStream = Answers<v1::IngestResponse>;

    async fn ingest_readings(
        &self,
        request: Request<Streaming<v1::TelemetryBatch>>,
    ) -> Result<Response<Self::IngestReadingsStream>, Status> {
        let authority = callers::authority(request.extensions())?;
        let mut batches = request.into_inner();
        let (in_hand, settled) = mpsc::channel::<Result<Vec<Begun>, Status>>(BATCHES_ON_THE_WAY);
        let (intake, mut stop) = (Arc::clone(self.intake()?), self.tasks.stop());
        self.tasks.spawn("grpc readings", async move {
            loop {
                let batch = tokio::select! {
                    batch = batches.message() => batch,
                    () = stop.requested() => Err(Status::unavailable("the process is stopping; send again what has no answer")),
                };
                let (begun, is_over) = match batch {
                    Ok(None) => break,
                    Ok(Some(batch)) => (begin(&intake, &authority, batch).await, false),
                    Err(status) => (Err(status), true),
                };
                let is_over = is_over || begun.is_err();
                // An error: the client has gone.
                if in_hand.send(begun).await.is_err() || is_over {
                    break;
                }
            }
            Ok(())
        });
        let (intake, ack_timeout) = (Arc::clone(self.intake()?), self.parts.ack_timeout);
        let answers = ReceiverStream::new(settled).then(move |begun| {
            let intake = Arc::clone(&intake);
            async move {
                let mut answer = v1::IngestResponse::default();
                for begun in begun? {
                    settle(&intake, begun, ack_timeout, &mut answer).await?;
                }
                answer.quarantined.sort_by_key(|one| one.index);
                Ok(answer)
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    type StreamVehicleStateStream = Answers<v1::VehicleState>;

    async fn stream_vehicle_state(
        &self,
        request: Request<v1::VehicleStateRequest>,
    ) -> Result<Response<Self::StreamVehicleStateStream>, Status> {
        callers::only_services(request.extensions())?;
        let id = request.into_inner().vehicle_id;
        let vehicle_id = VehicleId::new(&id).map_err(|error| Status::invalid_argument(format!("vehicle_id {id:?}: {error}")))?;
        let fleet = self.fleet()?;
        let follower = FollowedVehicle {
            watch: fleet.watch(&vehicle_id),
            fleet: fleet.clone(),
            vehicle_id,
            seen: None,
            is_first: true,
            stop: self.tasks.stop(),
        };
        let states = stream::unfold(follower, async |mut follower| {
            let state = follower.next().await?;
            Some((Ok(state), follower))
        });
        Ok(Response::new(Box::pin(states)))
    }

    type StreamFleetStateStream = Answers<v1::VehicleStates>;

    async fn stream_fleet_state(
        &self,
        request: Request<v1::FleetStateRequest>,
    ) -> Result<Response<Self::StreamFleetStateStream>, Status> {
        callers::only_services(request.extensions())?;
        let v1::FleetStateRequest { vehicle_ids, bounding_box } = request.into_inner();
        let ids = (!vehicle_ids.is_empty()).then(|| Ids::new(vehicle_ids.iter().map(String::as_str)));
        let ids =
            ids.transpose().map_err(|_| Status::invalid_argument("vehicle_ids: at most 1,000 ids of [A-Za-z0-9_-]{1,64}"))?;
        let bounds = bounding_box.map(|b| BoundingBox::new([b.west, b.south, b.east, b.north])).transpose();
        let bounds = bounds.map_err(|_| Status::invalid_argument("bounding_box: degrees, and south is not north of north"))?;
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let follower = FollowedFleet {
            fleet: self.fleet()?.clone(),
            filter: Filter::new(ids, bounds),
            cursor: Cursor::default(),
            sequence: 0,
            is_snapshot: true,
            pace,
            stop: self.tasks.stop(),
        };
        let states = stream::unfold(follower, async |mut follower| {
            let states = follower.next().await?;
            Some((Ok(states), follower))
        });
        Ok(Response::new(Box::pin(states)))
    }
}

/// One vehicle's part of a batch, as a vehicle would have sent it.
struct Part {
    vehicle_id: String,
    payload: Bytes,
    places: Vec<u32>,
}

impl Part {
    fn as_message(&self) -> Message<'_> {
        let Self { vehicle_id, payload, .. } = self;
        Message { source: Source::Grpc, vehicle_id, payload: payload.clone(), format: Some(Format::Protobuf) }
    }
}

fn by_vehicle(batch: v1::TelemetryBatch) -> impl Iterator<Item = Part> {
    let mut vehicles: BTreeMap<String, (Vec<v1::TelemetryReading>, Vec<u32>)> = BTreeMap::new();
    for (place, reading) in (0..).zip(batch.readings) {
        let (readings, places) = vehicles.entry(reading.vehicle_id.clone()).or_default();
        readings.push(reading);
        places.push(place);
    }
    vehicles.into_iter().map(|(vehicle_id, (readings, places))| {
        let payload = v1::TelemetryBatch { readings }.encode_to_vec().into();
        Part { vehicle_id, payload, places }
    })
}

/// Waits while lanes are full: the client then waits too.
async fn begin(intake: &Intake, authority: &Authority, batch: v1::TelemetryBatch) -> Result<Vec<Begun>, Status> {
    for reading in &batch.readings {
        authority.may_send_for(&reading.vehicle_id)?;
    }
    let mut begun = Vec::new();
    for part in by_vehicle(batch) {
        let pending = intake.begin(&part.as_message()).await.map_err(refused)?;
        begun.push(Begun { pending, places: part.places });
    }
    Ok(begun)
}

async fn settle(intake: &Intake, mut begun: Begun, ack_timeout: Duration, into: &mut v1::IngestResponse) -> Result<(), Status> {
    let settled = timeout(ack_timeout, intake.settle(&mut begun.pending)).await;
    let settled = settled.map_err(|_| Status::unavailable("not durable in time; send it again"))?;
    let Answer { accepted, duplicates, quarantined } = settled.map_err(refused)?;
    into.accepted += accepted;
    into.duplicates += duplicates;
    into.quarantined.extend(quarantined.into_iter().map(|one| v1::NotBelieved {
        // A message that was refused whole has no elements.
        index: begun.places.get(one.index as usize).copied().unwrap_or_default(),
        reason: one.reason.to_owned(),
        detail: one.detail.into(),
    }));
    Ok(())
}

fn refused(reason: NotPromised) -> Status {
    let detail = format!("{reason}; send it again");
    match reason {
        NotPromised::Full | NotPromised::OverQuota { .. } => Status::resource_exhausted(detail),
        NotPromised::Stopped | NotPromised::Lost => Status::unavailable(detail),
    }
}

/// What a client has seen of a vehicle: its newest reading, its state, the revisions of its alerts.
type Seen = (Timestamp, u64, VehicleState, Vec<u32>);

struct FollowedVehicle {
    fleet: Fleet,
    watch: Watch,
    vehicle_id: VehicleId,
    seen: Option<Seen>,
    is_first: bool,
    stop: Stop,
}

impl FollowedVehicle {
    /// `None`: the process stops.
    async fn next(&mut self) -> Option<v1::VehicleState> {
        loop {
            let now = clock::now();
            let mut vehicle = self.fleet.live_vehicle(&self.vehicle_id, now);
            if std::mem::take(&mut self.is_first) && vehicle.is_none() {
                // After a restart only the archive knows who was silent since; where it does not answer, the next reading comes.
                vehicle = self.fleet.vehicle(&self.vehicle_id, now).await.ok().flatten();
            }
            if let Some(state) = vehicle.and_then(|vehicle| self.unseen(&vehicle)) {
                return Some(state);
            }
            let silence = self.seen.as_ref().and_then(|_| self.fleet.next_change_by_silence(&self.vehicle_id, now));
            tokio::select! {
                () = self.watch.changed() => {}
                () = tokio::time::sleep(silence.unwrap_or(Duration::MAX)), if silence.is_some() => {}
                () = self.stop.requested() => return None,
            }
        }
    }

    fn unseen(&mut self, vehicle: &Vehicle) -> Option<v1::VehicleState> {
        let newest = vehicle.newest.as_ref()?;
        let revisions = vehicle.open_alerts.iter().map(|alert| alert.revision).collect();
        let seen = (newest.reading.recorded_at, newest.arrival, vehicle.state, revisions);
        if self.seen.as_ref() == Some(&seen) {
            return None;
        }
        self.seen = Some(seen);
        Some(whole_vehicle_state(newest, vehicle.state, &vehicle.open_alerts, self.fleet.table()))
    }
}

struct FollowedFleet {
    fleet: Fleet,
    filter: Filter,
    cursor: Cursor,
    sequence: u64,
    is_snapshot: bool,
    pace: Interval,
    stop: Stop,
}

impl FollowedFleet {
    /// `None`: the process stops.
    async fn next(&mut self) -> Option<v1::VehicleStates> {
        loop {
            if !self.is_snapshot {
                tokio::select! {
                    _ = self.pace.tick() => {}
                    () = self.stop.requested() => return None,
                }
            }
            let now = clock::now();
            let mut vehicles = self.fleet.changes(&mut self.cursor, VEHICLES_PART, now);
            let is_complete = vehicles.len() < VEHICLES_PART;
            vehicles.retain(|(newest, _)| self.filter.takes(newest));
            let is_snapshot = self.is_snapshot;
            self.is_snapshot &= !is_complete;
            // A snapshot says also that it is over.
            if vehicles.is_empty() && !(is_snapshot && is_complete) {
                continue;
            }
            self.sequence += 1;
            let settings = self.fleet.settings();
            let limits = is_snapshot.then(|| [settings.stale_after.duration(), settings.offline_after.duration()]);
            let vehicles = &vehicles;
            return Some(vehicle_states(&Vehicles { is_snapshot, sequence: self.sequence, now, is_complete, limits, vehicles }));
        }
    }
}
