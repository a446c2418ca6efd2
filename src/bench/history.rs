//! What each vehicle reports of the minutes before the run, as one that was out of coverage does: windows are filled, so that models score the
//! measured readings too. A fleet that reports every 30 s would need six minutes for that.

use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::ledger::Entry;
use super::vehicle::{Acknowledgements, Vehicle, VehicleError};
use crate::clock;
use crate::domain::Timestamp;

/// More than a model asks for, and all within five minutes, so that no reading counts as delayed.
const READINGS: u32 = 16;
const APART: Duration = Duration::from_secs(18);
const AT_ONCE: usize = 256;

type Connected = (Vehicle, Acknowledgements);

/// Returns the connections in the same order, and what was acknowledged.
pub async fn send_histories(vehicles: Vec<Connected>) -> Result<(Vec<Connected>, Vec<Entry>), VehicleError> {
    let permits = Rc::new(Semaphore::new(AT_ONCE));
    let mut sending = JoinSet::new();
    for (number, connected) in (0..).zip(vehicles) {
        let permits = Rc::clone(&permits);
        sending.spawn_local(async move {
            let _permit = permits.acquire().await.expect("the semaphore is never closed");
            (number, send_history(connected).await)
        });
    }
    let (mut sent, mut entries) = (Vec::with_capacity(sending.len()), Vec::new());
    while let Some(finished) = sending.join_next().await {
        let (number, result): (u32, _) = finished.expect("sending does not panic");
        let (connected, times) = result?;
        entries.extend(times.into_iter().map(|recorded_at_micros| Entry { vehicle: number, recorded_at_micros }));
        sent.push((number, connected));
    }
    sent.sort_by_key(|(number, _)| *number);
    Ok((sent.into_iter().map(|(_, connected)| connected).collect(), entries))
}

async fn send_history((mut vehicle, mut acknowledgements): Connected) -> Result<(Connected, Vec<i64>), VehicleError> {
    let now = clock::now();
    let mut payload = b"[".to_vec();
    let mut times = Vec::new();
    for back in (1..=READINGS).rev() {
        let recorded_at = now.minus(APART * back);
        let whole = recorded_at.as_micros().div_euclid(1_000_000);
        let second = Timestamp::from_micros(whole * 1_000_000).to_string();
        let micros = u32::try_from(recorded_at.as_micros().rem_euclid(1_000_000)).expect("below a million");
        vehicle.sequence += 1;
        vehicle.drive.step(APART.as_secs_f32());
        vehicle.drive.write_json(second.trim_end_matches('Z'), micros, vehicle.sequence, &mut payload);
        payload.push(b',');
        times.push(recorded_at.as_micros());
    }
    payload.pop();
    payload.push(b']');
    let mut is_left = vehicle.publish(Bytes::from(payload), 0, &mut BytesMut::new())?;
    while is_left {
        tokio::time::sleep(Duration::from_millis(1)).await;
        is_left = vehicle.send_rest()?;
    }
    let packet_id = acknowledgements.next().await?;
    vehicle.acknowledged(packet_id);
    Ok(((vehicle, acknowledgements), times))
}
