//! Telemetry over a WebSocket, `/api/v1/uplink/{vehicle_id}`: each message is answered with its outcome once durable, in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::intake::{Answer, Message, NotPromised, Pending};
use super::uplink::{MAX_BODY_BYTES, OVER_QUOTA, Refused, Uplink, no_browser};
use crate::domain::{Source, VehicleId};
use crate::tasks::Stop;
use crate::wire::decode::Format;

/// Messages of one socket that are not answered. Full: the socket is left unread.
const MAX_IN_FLIGHT: usize = 32;

/// Vehicles report every few seconds to minutes.
const IDLE: Duration = Duration::from_mins(10);

/// A peer that reads nothing is given up.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Kept for each socket; a larger message grows it for its time.
const BUFFER_BYTES: usize = 4 * 1024;

/// WebSocket: readings of one vehicle, each message answered with its outcome once durable.
#[utoipa::path(get, path = "/api/v1/uplink/{vehicle_id}", operation_id = "uplink", params(("vehicle_id" = VehicleId, Path)), responses((status = SWITCHING_PROTOCOLS)))]
pub(super) async fn upgrade(
    State(uplink): State<Arc<Uplink>>,
    Path(vehicle_id): Path<String>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if let Err(refused) = no_browser(&headers) {
        return refused.into_response();
    }
    let Ok(place) = Arc::clone(&uplink.sockets).try_acquire_owned() else { return Refused::FULL.into_response() };
    let upgrade = upgrade
        .max_message_size(MAX_BODY_BYTES)
        .max_frame_size(MAX_BODY_BYTES)
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(MAX_BODY_BYTES);
    upgrade.on_upgrade(async move |socket| {
        let tasks = uplink.tasks.clone();
        let session = Session { stop: tasks.stop(), uplink, vehicle_id, socket, in_flight: VecDeque::new() };
        // Among the tasks of the process, which waits for it.
        tasks.spawn("uplink", async move {
            session.run().await;
            drop(place);
            Ok(())
        });
    })
}

struct Session {
    uplink: Arc<Uplink>,
    vehicle_id: String,
    socket: WebSocket,
    /// Oldest first.
    in_flight: VecDeque<InFlight>,
    stop: Stop,
}

struct InFlight {
    pending: Pending,
    /// Until then its outcome is waited for.
    deadline: Instant,
}

/// Why a session ends, as the peer hears it.
struct Close {
    code: u16,
    reason: &'static str,
}

impl Close {
    const AWAY: Self = Self { code: close_code::AWAY, reason: "the process is stopping" };
    const IDLE: Self = Self { code: close_code::AWAY, reason: "nothing came for 10 minutes" };
    const BUSY: Self = Self { code: close_code::AGAIN, reason: "as much is waiting to be made durable as may" };
    const OVER_QUOTA: Self = Self { code: close_code::AGAIN, reason: OVER_QUOTA };
    const LOST: Self = Self { code: close_code::AGAIN, reason: "not durable in time; send it again" };
}

/// What happened next.
enum Event {
    Settled(Result<Answer, NotPromised>),
    /// `None`: the peer has gone.
    Came(Option<Frame>),
    Idle,
    Stop,
}

impl Session {
    async fn run(mut self) {
        if let Some(Close { code, reason }) = self.serve().await {
            let close = Frame::Close(Some(CloseFrame { code, reason: reason.into() }));
            let _gone = timeout(SEND_TIMEOUT, self.socket.send(close)).await;
        }
    }

    /// Until the peer goes (`None`), or is to be told why it ends; what is in flight is answered first.
    async fn serve(&mut self) -> Option<Close> {
        let mut ending = None;
        let mut idle_at = Instant::now() + IDLE;
        loop {
            if ending.is_some() && self.in_flight.is_empty() {
                return ending;
            }
            match self.next(ending.is_some(), idle_at).await {
                Event::Settled(Ok(answer)) => {
                    self.in_flight.pop_front();
                    let text = serde_json::to_string(&answer).expect("texts and numbers are JSON");
                    let sent = timeout(SEND_TIMEOUT, self.socket.send(Frame::Text(text.into()))).await;
                    if !matches!(sent, Ok(Ok(()))) {
                        return None;
                    }
                }
                Event::Settled(Err(_)) => return Some(Close::LOST),
                Event::Came(frame) => {
                    idle_at = Instant::now() + IDLE;
                    let begun = match frame? {
                        Frame::Text(text) => self.begin(text.into(), Some(Format::Json)),
                        Frame::Binary(payload) => self.begin(payload, None),
                        Frame::Close(_) => return None,
                        Frame::Ping(_) | Frame::Pong(_) => Ok(()),
                    };
                    ending = begun.err();
                }
                Event::Idle => ending = Some(Close::IDLE),
                Event::Stop => ending = Some(Close::AWAY),
            }
        }
    }

    async fn next(&mut self, is_ending: bool, idle_at: Instant) -> Event {
        let has_room = self.in_flight.len() < MAX_IN_FLIGHT;
        let is_waiting = !self.in_flight.is_empty();
        let Self { uplink, in_flight, socket, stop, .. } = self;
        let settled = async {
            let oldest = in_flight.front_mut().expect("asked only where one is waiting");
            let settled = timeout_at(oldest.deadline, uplink.intake.settle(&mut oldest.pending)).await;
            settled.unwrap_or_else(|_not_in_time| {
                uplink.intake.turned_away();
                Err(NotPromised::Lost)
            })
        };
        tokio::select! {
            settled = settled, if is_waiting => Event::Settled(settled),
            // An error is a message that is too large, or no WebSocket at all: there is nobody to talk to.
            frame = socket.recv(), if has_room && !is_ending => Event::Came(frame.and_then(Result::ok)),
            () = sleep_until(idle_at), if !is_waiting && !is_ending => Event::Idle,
            () = stop.requested(), if !is_ending => Event::Stop,
        }
    }

    fn begin(&mut self, payload: Bytes, format: Option<Format>) -> Result<(), Close> {
        let message = Message { source: Source::WebSocket, vehicle_id: &self.vehicle_id, payload, format };
        let pending = self.uplink.intake.begin_if_room(&message).map_err(|reason| match reason {
            NotPromised::Full => Close::BUSY,
            NotPromised::OverQuota { .. } => Close::OVER_QUOTA,
            NotPromised::Stopped | NotPromised::Lost => Close::AWAY,
        })?;
        self.in_flight.push_back(InFlight { pending, deadline: Instant::now() + self.uplink.ack_timeout });
        Ok(())
    }
}
