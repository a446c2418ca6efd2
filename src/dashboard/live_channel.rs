//! `/api/v1/live`: the fleet as it moves, over a WebSocket. All vehicles, then what changed at a fixed pace, newest wins; changes of
//! alerts at once, each of them, resumable by number. A client costs two cursors, its filter, and the one message that is on its way to it.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api::vehicle_id;
use super::live_forms::{Format, Said, limits};
use super::parameters::Parameters;
use super::problem::Problem;
use crate::clock;
use crate::domain::{Timestamp, VehicleId};
use crate::fleet::Fleet;
use crate::fleet::filter::{BoundingBox, Filter, Ids};
use crate::live::{Cursor, Followed, Subscription};
use crate::tasks::{Stop, Tasks};
use crate::wire::live;

/// Between two looks for changes of vehicles.
const PACE: Duration = Duration::from_millis(500);
/// After so long without a message there is one that says only the time: a client that hears nothing for much longer is cut off.
const BEAT: Duration = Duration::from_secs(5);
/// Vehicles of one message: with the longest ids about 200 kB, so that a reader who does not read holds far less than 1 MB.
const VEHICLES_PART: usize = 1_000;
/// Alerts of one message: with the longest notes about 400 kB.
const ALERTS_PART: usize = 100;
/// Open alerts that a client is given at the start, the most severe and newest of them; the API has the rest.
const MOST_OPEN_ALERTS: usize = 2_000;
/// Clients at once. Full: 503.
const MAX_CLIENTS: usize = 128;
/// Clients only say which vehicle they watch.
const MAX_QUESTION_BYTES: usize = 1_024;
/// A client that reads nothing for so long is given up; it comes back with `after`.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

struct Channel {
    fleet: Fleet,
    tasks: Tasks,
    clients: Arc<Semaphore>,
}

/// Sockets run among `tasks` and end with their stop signal.
pub fn router(fleet: Fleet, tasks: Tasks) -> OpenApiRouter {
    let channel = Channel { fleet, tasks, clients: Arc::new(Semaphore::new(MAX_CLIENTS)) };
    OpenApiRouter::default().routes(routes!(upgrade)).with_state(Arc::new(channel))
}

/// WebSocket: all vehicles, then what changes, newest wins; changes of alerts, each once.
#[utoipa::path(get, path = "/live", operation_id = "live", params(
    ("after" = Option<u64>, Query, description = "Go on behind this `sequence` of an alert"),
    ("channel" = Option<String>, Query, description = "`vehicles` or `alerts`; both without it"),
    ("format" = Option<String>, Query, description = "`json`, or `binary`: messages of proto/odograph/v1/live.proto"),
    ("bbox" = Option<String>, Query, description = "`west,south,east,north` in degrees: only vehicles there; one that leaves is sent once more"),
    ("ids" = Option<String>, Query, description = "Only these vehicles, at most 1,000, parted by commas; alerts come of all"),
), responses((status = SWITCHING_PROTOCOLS, description = "The socket is open")))]
async fn upgrade(
    State(channel): State<Arc<Channel>>,
    parameters: Parameters,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    let parameters = parameters.only(&["after", "channel", "format", "bbox", "ids"])?;
    let after: Option<u64> = parameters.get("after", "the `sequence` of an alert")?;
    let only: Option<String> = parameters.get("channel", "vehicles or alerts")?;
    let (has_vehicles, has_alerts) = match only.as_deref() {
        None => (true, true),
        Some("vehicles") => (true, false),
        Some("alerts") => (false, true),
        Some(other) => return Err(Problem::bad_parameter(format!("`channel` = {other:?} is none of vehicles, alerts"))),
    };
    let format = match parameters.get::<String>("format", "json or binary")?.as_deref() {
        None | Some("json") => Format::Json,
        Some("binary") => Format::Protobuf,
        Some(other) => return Err(Problem::bad_parameter(format!("`format` = {other:?} is none of json, binary"))),
    };
    let ids: Option<Ids> = parameters.get("ids", "a list of at most 1,000 vehicle ids, parted by commas")?;
    let bbox: Option<BoundingBox> = parameters.get("bbox", "west,south,east,north in degrees")?;
    let Ok(place) = Arc::clone(&channel.clients).try_acquire_owned() else {
        let detail = format!("{MAX_CLIENTS} clients follow already; try again");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_clients", detail));
    };
    let upgrade = upgrade.max_message_size(MAX_QUESTION_BYTES).max_frame_size(MAX_QUESTION_BYTES);
    let upgraded = upgrade.on_upgrade(async move |socket| {
        let fleet = channel.fleet.clone();
        let alerts = has_alerts.then(|| fleet.alert_feed().subscribe(after));
        let client = Client {
            fleet,
            socket,
            format,
            has_vehicles,
            filter: Filter::new(ids, bbox),
            alerts,
            cursor: Cursor::default(),
            sequence: 0,
            watched: None,
            spoke_at: Instant::now(),
        };
        let stop = channel.tasks.stop();
        // Among the tasks of the process, which waits for it.
        channel.tasks.spawn("live channel", async move {
            client.run(stop, after.is_some()).await;
            drop(place);
            Ok(())
        });
    });
    Ok(upgraded.into_response())
}

struct Client {
    fleet: Fleet,
    socket: WebSocket,
    format: Format,
    has_vehicles: bool,
    filter: Filter,
    alerts: Option<Subscription>,
    cursor: Cursor,
    /// Of messages about vehicles.
    sequence: u64,
    watched: Option<Watched>,
    spoke_at: Instant,
}

/// The one vehicle whose whole readings the client wants.
struct Watched {
    vehicle_id: VehicleId,
    /// What the client has seen of it.
    seen: Option<(Timestamp, u64, Vec<u32>)>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Question {
    /// `None`: no vehicle any more.
    Watch { vehicle_id: Option<String> },
}

enum Event {
    Alert(Followed),
    /// `None`: the client has gone.
    Came(Option<Message>),
    Tick,
    Stop,
}

/// The client has gone, or reads no more.
struct Gone;

impl Client {
    async fn run(mut self, mut stop: Stop, is_resumed: bool) {
        if self.serve(&mut stop, is_resumed).await.is_ok() {
            let close = CloseFrame { code: close_code::AWAY, reason: "the process is stopping".into() };
            let _gone = timeout(SEND_TIMEOUT, self.socket.send(Message::Close(Some(close)))).await;
        }
    }

    /// Until the process stops.
    async fn serve(&mut self, stop: &mut Stop, is_resumed: bool) -> Result<(), Gone> {
        if self.has_vehicles {
            self.send_vehicles(true).await?;
        }
        if let Some(alerts) = &self.alerts
            && !is_resumed
        {
            self.send_open_alerts(alerts.after()).await?;
        }
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            match self.next(stop, &mut pace).await {
                Event::Alert(Followed::Event { sequence, event }) => self.say(&Said::Alert { sequence, event: &event }).await?,
                Event::Alert(Followed::Missed { sequence }) => self.send_open_alerts(sequence).await?,
                Event::Came(message) => match message.ok_or(Gone)? {
                    Message::Text(text) => self.take(&text).await?,
                    Message::Close(_) => return Err(Gone),
                    Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => {}
                },
                Event::Tick => {
                    if self.has_vehicles {
                        self.send_vehicles(false).await?;
                    }
                    self.send_watched().await?;
                    if self.spoke_at.elapsed() >= BEAT {
                        self.say(&Said::Beat { now: clock::now() }).await?;
                    }
                }
                Event::Stop => return Ok(()),
            }
        }
    }

    async fn next(&mut self, stop: &mut Stop, pace: &mut Interval) -> Event {
        let Self { alerts, socket, .. } = self;
        let followed = async {
            match alerts {
                Some(alerts) => alerts.next().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.requested() => Event::Stop,
            followed = followed => Event::Alert(followed),
            message = socket.recv() => Event::Came(message.and_then(Result::ok)),
            _ = pace.tick() => Event::Tick,
        }
    }

    /// Everything that the client has not seen and follows.
    async fn send_vehicles(&mut self, is_snapshot: bool) -> Result<(), Gone> {
        let mut has_sent = false;
        loop {
            let now = clock::now();
            let mut page = self.fleet.changes(&mut self.cursor, VEHICLES_PART, now);
            let is_complete = page.len() < VEHICLES_PART;
            page.retain(|(newest, _)| self.filter.takes(newest));
            // Whoever got a part waits for the last one, even if nothing of it is for him.
            let is_awaited = is_complete && (is_snapshot || has_sent);
            if !page.is_empty() || is_awaited {
                self.sequence += 1;
                let limits = is_snapshot.then(|| limits(self.fleet.settings()));
                let sequence = self.sequence;
                let part = live::Vehicles { is_snapshot, sequence, now, is_complete, limits, vehicles: &page };
                self.say(&Said::Vehicles(&part)).await?;
                has_sent = true;
            }
            if is_complete {
                return Ok(());
            }
        }
    }

    /// As they are when everything up to `sequence` has happened; what comes behind it may be in them already.
    async fn send_open_alerts(&mut self, sequence: u64) -> Result<(), Gone> {
        let mut open = self.fleet.open_alerts();
        let all = open.len();
        open.sort_unstable_by_key(|alert| std::cmp::Reverse((alert.severity, alert.opened_at)));
        open.truncate(MOST_OPEN_ALERTS);
        let mut parts = open.chunks(ALERTS_PART).peekable();
        loop {
            let part = parts.next().unwrap_or_default();
            let is_complete = parts.peek().is_none();
            self.say(&Said::OpenAlerts { sequence, is_complete, open: all, alerts: part }).await?;
            if is_complete {
                return Ok(());
            }
        }
    }

    async fn take(&mut self, text: &str) -> Result<(), Gone> {
        let watched = match serde_json::from_str(text) {
            Ok(Question::Watch { vehicle_id: None }) => Ok(None),
            Ok(Question::Watch { vehicle_id: Some(id) }) => vehicle_id(&id).map(Some),
            Err(error) => Err(Problem::new(StatusCode::BAD_REQUEST, "bad_question", error.to_string())),
        };
        match watched {
            Ok(watched) => self.watched = watched.map(|vehicle_id| Watched { vehicle_id, seen: None }),
            Err(problem) => self.say(&Said::Problem(&problem)).await?,
        }
        self.send_watched().await
    }

    async fn send_watched(&mut self) -> Result<(), Gone> {
        let Some(watched) = &mut self.watched else { return Ok(()) };
        let Some(vehicle) = self.fleet.live_vehicle(&watched.vehicle_id, clock::now()) else { return Ok(()) };
        let Some(newest) = &vehicle.newest else { return Ok(()) };
        let alerts = vehicle.open_alerts.iter().map(|alert| alert.revision).collect();
        let now = (newest.reading.recorded_at, newest.arrival, alerts);
        if watched.seen.as_ref() == Some(&now) {
            return Ok(());
        }
        watched.seen = Some(now);
        let said = Said::Watched { vehicle: &vehicle, newest, table: self.fleet.table() }.message(self.format);
        self.send(said).await
    }

    async fn say(&mut self, said: &Said<'_>) -> Result<(), Gone> {
        self.send(said.message(self.format)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        self.spoke_at = Instant::now();
        match timeout(SEND_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }
}
