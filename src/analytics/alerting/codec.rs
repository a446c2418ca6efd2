//! Episodes as bytes, for checkpoints. Their version stands in the vehicle's state around them.

use super::track::{Episode, Held, Track};
use super::{Episodes, MAX_CLOSED, MAX_KEYS};
use crate::analytics::bytes::{ByteReader, Damaged};
use crate::domain::{
    Alert, AlertId, AlertKey, Condition, Explained, Handling, OpenedBy, Severity, Timestamp, VehicleId, Verdict,
};

/// An empty text is a text: `None` has a length of its own.
const NO_TEXT: u32 = u32::MAX;

impl Episodes {
    /// Appends the saved form: 2 bytes where there is nothing to save.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::try_from(self.tracks.len()).expect("at most 32"));
        for track in &self.tracks {
            write_track(track, out);
        }
        out.push(u8::try_from(self.closed.len()).expect("at most 4"));
        for alert in &self.closed {
            write_text(Some(alert.key.as_str()), out);
            write_alert(alert, out);
        }
    }

    /// # Errors
    /// `Damaged` where the bytes are no episodes.
    pub fn decode(from: &mut ByteReader<'_>, vehicle_id: &VehicleId) -> Result<Self, Damaged> {
        let mut episodes = Self::default();
        for _ in 0..counted(from.take_u8("alert keys")?, MAX_KEYS, "alert keys")? {
            episodes.tracks.push(read_track(from, vehicle_id)?);
        }
        for _ in 0..counted(from.take_u8("closed alerts")?, MAX_CLOSED, "closed alerts")? {
            let key = AlertKey::from_stored(&read_text(from, "alert key")?.ok_or(Damaged { what: "alert key" })?);
            episodes.closed.push(read_alert(from, vehicle_id, &key)?);
        }
        Ok(episodes)
    }
}

fn counted(count: u8, most: usize, what: &'static str) -> Result<u8, Damaged> {
    if usize::from(count) <= most { Ok(count) } else { Err(Damaged { what }) }
}

fn write_track(track: &Track, out: &mut Vec<u8>) {
    write_text(Some(track.key.as_str()), out);
    out.extend(track.recent.to_le_bytes());
    for time in [track.run_began_at, track.not_calm_at, track.claimed_at] {
        write_time(time, out);
    }
    out.extend(track.run_count.to_le_bytes());
    out.extend([track.calm_readings, track.unclaimed]);
    out.push(u8::from(track.episode.is_some()));
    if let Some(episode) = &track.episode {
        write_time(episode.written_at, out);
        write_optional(episode.held, out, |held, out| {
            write_time(held.since, out);
            write_time(held.heard_at, out);
        });
        write_alert(&episode.alert, out);
    }
}

fn read_track(from: &mut ByteReader<'_>, vehicle_id: &VehicleId) -> Result<Track, Damaged> {
    let key = AlertKey::from_stored(&read_text(from, "alert key")?.ok_or(Damaged { what: "alert key" })?);
    let mut track = Track::new(key, Timestamp::default());
    track.recent = from.take_u64("alert run")?;
    track.run_began_at = read_time(from, "alert run")?;
    track.not_calm_at = read_time(from, "alert run")?;
    track.claimed_at = read_time(from, "alert run")?;
    track.run_count = from.take_u32("alert run")?;
    track.calm_readings = from.take_u8("alert run")?;
    track.unclaimed = from.take_u8("alert run")?;
    let episode = read_optional(from, "alert", |from| {
        let written_at = read_time(from, "alert")?;
        let held = read_optional(from, "alert", |from| {
            Ok(Held { since: read_time(from, "alert")?, heard_at: read_time(from, "alert")? })
        })?;
        Ok(Box::new(Episode { written_at, held, alert: read_alert(from, vehicle_id, &track.key)? }))
    })?;
    track.episode = episode;
    Ok(track)
}

/// Without vehicle, key and id: those follow from where it stands.
fn write_alert(alert: &Alert, out: &mut Vec<u8>) {
    out.extend([alert.severity as u8, alert.condition as u8, alert.handling as u8, u8::from(alert.is_history)]);
    write_time(alert.opened_at, out);
    write_time(alert.last_seen_at, out);
    write_optional(alert.closed_at, out, write_time);
    out.extend(alert.count.to_le_bytes());
    write_text(Some(&alert.summary), out);
    write_optional(alert.value, out, write_f64);
    write_optional(alert.limit, out, write_f64);
    write_optional(alert.score, out, |score, out| out.extend(score.to_le_bytes()));
    out.extend(u16::try_from(alert.explanation.len()).unwrap_or(u16::MAX).to_le_bytes());
    for explained in alert.explanation.iter().take(usize::from(u16::MAX)) {
        write_text(Some(&explained.feature), out);
        for number in [explained.value, explained.normal, explained.cohort_normal] {
            write_optional(number, out, write_f64);
        }
        write_f64(explained.contribution, out);
    }
    write_time(alert.opened_by.recorded_at, out);
    for number in [alert.opened_by.fingerprint, alert.opened_by.arrival, alert.opened_by.configuration] {
        out.extend(number.to_le_bytes());
    }
    for text in [&alert.acknowledged_by, &alert.assigned_to, &alert.note] {
        write_text(text.as_deref(), out);
    }
    write_optional(alert.silenced_until, out, write_time);
    write_optional(alert.verdict, out, |verdict, out| out.push(verdict as u8));
    out.extend(alert.revision.to_le_bytes());
}

fn read_alert(from: &mut ByteReader<'_>, vehicle_id: &VehicleId, key: &AlertKey) -> Result<Alert, Damaged> {
    let severity = read_code(from, Severity::ALL, "severity")?;
    let condition = read_code(from, Condition::ALL, "condition")?;
    let handling = read_code(from, Handling::ALL, "handling")?;
    let is_history = from.take_u8("alert")? != 0;
    let opened_at = read_time(from, "alert")?;
    Ok(Alert {
        alert_id: AlertId::of(vehicle_id, key, opened_at),
        vehicle_id: vehicle_id.clone(),
        key: key.clone(),
        severity,
        condition,
        handling,
        opened_at,
        last_seen_at: read_time(from, "alert")?,
        closed_at: read_optional(from, "alert", |from| read_time(from, "alert"))?,
        count: from.take_u32("alert")?,
        summary: read_text(from, "summary")?.ok_or(Damaged { what: "summary" })?,
        value: read_optional(from, "alert value", |from| from.take_f64("alert value"))?,
        limit: read_optional(from, "alert limit", |from| from.take_f64("alert limit"))?,
        score: read_optional(from, "alert score", |from| from.take_f32("alert score"))?,
        explanation: read_explanation(from)?,
        opened_by: OpenedBy {
            recorded_at: read_time(from, "alert")?,
            fingerprint: from.take_u64("alert")?,
            arrival: from.take_u64("alert")?,
            configuration: from.take_u64("alert")?,
        },
        acknowledged_by: read_text(from, "alert")?,
        assigned_to: read_text(from, "alert")?,
        note: read_text(from, "note")?,
        silenced_until: read_optional(from, "alert", |from| read_time(from, "alert"))?,
        verdict: read_optional(from, "verdict", |from| read_code(from, Verdict::ALL, "verdict"))?,
        is_history,
        revision: from.take_u32("alert")?,
    })
}

fn read_explanation(from: &mut ByteReader<'_>) -> Result<Vec<Explained>, Damaged> {
    const WHAT: &str = "explanation";
    let mut explanation = Vec::new();
    for _ in 0..from.take_u16(WHAT)? {
        let number = |from: &mut ByteReader<'_>| read_optional(from, WHAT, |from| from.take_f64(WHAT));
        explanation.push(Explained {
            feature: read_text(from, WHAT)?.ok_or(Damaged { what: WHAT })?.into(),
            value: number(from)?,
            normal: number(from)?,
            cohort_normal: number(from)?,
            contribution: from.take_f64(WHAT)?,
        });
    }
    Ok(explanation)
}

fn write_time(time: Timestamp, out: &mut Vec<u8>) {
    out.extend(time.as_micros().to_le_bytes());
}

fn read_time(from: &mut ByteReader<'_>, what: &'static str) -> Result<Timestamp, Damaged> {
    from.take_i64(what).map(Timestamp::from_micros)
}

fn write_f64(number: f64, out: &mut Vec<u8>) {
    out.extend(number.to_le_bytes());
}

fn write_optional<T>(value: Option<T>, out: &mut Vec<u8>, write: impl FnOnce(T, &mut Vec<u8>)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        write(value, out);
    }
}

fn read_optional<T>(
    from: &mut ByteReader<'_>,
    what: &'static str,
    read: impl FnOnce(&mut ByteReader<'_>) -> Result<T, Damaged>,
) -> Result<Option<T>, Damaged> {
    match from.take_u8(what)? {
        0 => Ok(None),
        1 => read(from).map(Some),
        _ => Err(Damaged { what }),
    }
}

fn write_text(text: Option<&str>, out: &mut Vec<u8>) {
    let length = text.map_or(NO_TEXT, |text| u32::try_from(text.len()).expect("texts are checked at the border"));
    out.extend(length.to_le_bytes());
    out.extend(text.unwrap_or_default().as_bytes());
}

fn read_text(from: &mut ByteReader<'_>, what: &'static str) -> Result<Option<Box<str>>, Damaged> {
    let length = from.take_u32(what)?;
    if length == NO_TEXT {
        return Ok(None);
    }
    let bytes = from.take(length as usize, what)?;
    std::str::from_utf8(bytes).map(|text| Some(text.into())).map_err(|_| Damaged { what })
}

/// A closed set is saved as its place in `ALL`, which is its number.
fn read_code<T: Copy>(from: &mut ByteReader<'_>, all: &[T], what: &'static str) -> Result<T, Damaged> {
    all.get(usize::from(from.take_u8(what)?)).copied().ok_or(Damaged { what })
}
