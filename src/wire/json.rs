//! JSON to readings, straight from the text: no tree in between.
//!
//! A value of a wrong type is read to its end and noted, so one pass finds both what is wrong with a reading and whether the
//! rest of the message is JSON at all. Numbers beyond f64 (`1e999`) and strings that are not Unicode (lone surrogates) are
//! JSON, yet `serde_json` cannot give them to us: a message that has one is read again, value by value.

use std::fmt::Display;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess};
use serde_json::value::RawValue;

use super::decode::{DecodeContext, MAX_READINGS_PER_MESSAGE, head};
use super::decode_draft::{Draft, Judged, PositionDraft, Refusal};
use super::decode_time;
use super::json_value::{Any, Found, Skip, Take, found_in};
use crate::domain::{Ignition, Reading, Reason};

/// Names of unknown fields are shown up to this length.
const MAX_SHOWN_BYTES: usize = 64;

const READING_FIELDS: [&str; 8] = ["recorded_at", "sequence", "position", "signals", "dtcs", "ignition", "boot_id", "vehicle_id"];
const POSITION_FIELDS: [&str; 5] = ["latitude", "longitude", "altitude_m", "heading_deg", "accuracy_m"];

/// # Errors
/// Where the message as a whole is no JSON, neither a reading nor an array, or too long.
pub(super) fn judge(payload: &[u8], context: &DecodeContext<'_>) -> Result<Judged, Refusal> {
    let syntax = |error: &dyn Display| Refusal::new(Reason::JsonSyntax, error.to_string());
    let text = std::str::from_utf8(payload).map_err(|error| syntax(&error))?;
    let read = |pace| {
        let mut message = Message { context, pace, judged: Judged::default(), too_many: false };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let found = Any(&mut message).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(message.finish(&found))
    };
    read(Pace::Usual).unwrap_or_else(|_| {
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| syntax(&error))?;
        read(Pace::ValueByValue).unwrap_or_else(|error: serde_json::Error| Err(syntax(&error)))
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Usual,
    /// Every value is first cut out of the text, so that one which `serde_json` cannot read harms nothing beside it.
    ValueByValue,
}

/// The document: one reading or an array of them.
struct Message<'a> {
    context: &'a DecodeContext<'a>,
    pace: Pace,
    judged: Judged,
    too_many: bool,
}

impl Message<'_> {
    fn finish(self, found: &Found<'_>) -> Result<Judged, Refusal> {
        if self.too_many {
            let detail = format!("more than {MAX_READINGS_PER_MESSAGE} readings in one message");
            return Err(Refusal::new(Reason::PayloadTooLarge, detail));
        }
        if matches!(found, Found::Object | Found::Array) {
            return Ok(self.judged);
        }
        let detail = format!("a reading (an object) or an array of readings is expected, found {found}");
        Err(Refusal::new(Reason::WrongType, detail))
    }
}

impl<'de> Take<'de> for &mut Message<'_> {
    fn object<A: MapAccess<'de>>(self, map: A) -> Result<Found<'de>, A::Error> {
        let mut draft = Draft::new(self.context, None);
        let found = ReadingObject { draft: &mut draft, pace: self.pace }.object(map)?;
        self.judged.push(draft.finish());
        Ok(found)
    }

    fn array<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Found<'de>, A::Error> {
        while self.judged.len() < MAX_READINGS_PER_MESSAGE {
            let element = Element { context: self.context, index: self.judged.len() };
            let judgement = match self.pace {
                Pace::Usual => elements.next_element_seed(element)?,
                Pace::ValueByValue => {
                    elements.next_element::<&RawValue>()?.map(|raw| element.read(Pace::ValueByValue, |take| found_in(raw, take)))
                }
            };
            let Some(judgement) = judgement else { return Ok(Found::Array) };
            self.judged.push(judgement);
        }
        // Read to the end all the same: whether it is JSON comes first.
        while elements.next_element::<IgnoredAny>()?.is_some() {
            self.too_many = true;
        }
        Ok(Found::Array)
    }
}

/// One element of an array: judged on its own.
struct Element<'a> {
    context: &'a DecodeContext<'a>,
    index: usize,
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = Result<Reading, Refusal>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let mut draft = Draft::new(self.context, Some(self.index));
        let found = Any(ReadingObject { draft: &mut draft, pace: Pace::Usual }).deserialize(deserializer)?;
        Ok(finish_element(draft, &found))
    }
}

impl<'a> Element<'a> {
    fn read<'de>(self, pace: Pace, read: impl FnOnce(ReadingObject<'_, 'a>) -> Found<'de>) -> Result<Reading, Refusal> {
        let mut draft = Draft::new(self.context, Some(self.index));
        let found = read(ReadingObject { draft: &mut draft, pace });
        finish_element(draft, &found)
    }
}

fn finish_element(mut draft: Draft<'_>, found: &Found<'_>) -> Result<Reading, Refusal> {
    if !matches!(found, Found::Object) {
        draft.refuse(Reason::WrongType, "", format_args!("a reading (an object) is expected, found {found}"));
    }
    draft.finish()
}

struct ReadingObject<'d, 'a> {
    draft: &'d mut Draft<'a>,
    pace: Pace,
}

impl<'de> Take<'de> for ReadingObject<'_, '_> {
    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        let Self { draft, pace } = self;
        let mut fields = Fields::new("", &READING_FIELDS);
        while let Some(field) = fields.next(&mut map, draft)? {
            match field {
                "signals" => {
                    let found = value(&mut map, pace, SignalsObject { draft: &mut *draft, pace })?;
                    expect_object(draft, field, &found);
                }
                "position" => {
                    let found = value(&mut map, pace, PositionObject { draft: &mut *draft, pace })?;
                    expect_object(draft, field, &found);
                }
                "dtcs" => {
                    let found = value(&mut map, pace, DtcsArray { draft: &mut *draft, pace })?;
                    if !matches!(found, Found::Array | Found::Null) {
                        wrong_type(draft, field, "an array of strings", &found);
                    }
                }
                scalar => {
                    let found = value(&mut map, pace, Skip)?;
                    take_scalar(draft, scalar, &found);
                }
            }
        }
        Ok(Found::Object)
    }
}

fn take_scalar(draft: &mut Draft<'_>, field: &str, found: &Found<'_>) {
    match (field, found) {
        (_, Found::Null) => {}
        ("recorded_at", Found::Text(text)) => match decode_time::parse(text) {
            Ok(recorded_at) => draft.recorded_at(recorded_at),
            Err(error) => draft.refuse(Reason::RecordedAtInvalid, field, error),
        },
        ("recorded_at", Found::Whole(milliseconds)) => draft.recorded_at_milliseconds(*milliseconds),
        ("recorded_at", Found::Number(number)) => {
            let what = format_args!("RFC 3339 or whole milliseconds since 1970 are expected, found {number}");
            draft.refuse(Reason::RecordedAtInvalid, field, what);
        }
        ("recorded_at", other) => wrong_type(draft, field, "RFC 3339 or whole milliseconds since 1970", other),
        ("sequence", Found::Whole(sequence)) => draft.sequence(*sequence),
        ("boot_id", Found::Whole(boot_id)) => draft.boot_id(*boot_id),
        ("sequence" | "boot_id", other) => wrong_type(draft, field, "a whole number from 0", other),
        ("vehicle_id", Found::Text(id)) => draft.vehicle_id(id),
        ("ignition", Found::Text(name)) => match Ignition::from_name(name) {
            Some(ignition) => draft.ignition(ignition),
            None => draft.refuse(Reason::WrongType, field, "undefined, lock, off, acc, on or start is expected"),
        },
        (_, other) => wrong_type(draft, field, "a string", other),
    }
}

struct SignalsObject<'d, 'a> {
    draft: &'d mut Draft<'a>,
    pace: Pace,
}

impl<'de> Take<'de> for SignalsObject<'_, '_> {
    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        while let Some(key) = map.next_key_seed(Any(Skip))? {
            let found = value(&mut map, self.pace, Skip)?;
            let Found::Text(name) = key else { continue };
            if let Ok(number) = number(self.draft, format_args!("signals.{}", head(&name, MAX_SHOWN_BYTES)), &found) {
                self.draft.named_signal(&name, number);
            }
        }
        Ok(Found::Object)
    }
}

struct PositionObject<'d, 'a> {
    draft: &'d mut Draft<'a>,
    pace: Pace,
}

impl<'de> Take<'de> for PositionObject<'_, '_> {
    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        let mut position = PositionDraft::default();
        let mut fields = Fields::new("position.", &POSITION_FIELDS);
        while let Some(field) = fields.next(&mut map, self.draft)? {
            let found = value(&mut map, self.pace, Skip)?;
            let Ok(number) = number(self.draft, format_args!("position.{field}"), &found) else { continue };
            match field {
                "latitude" => position.latitude = number,
                "longitude" => position.longitude = number,
                "altitude_m" => position.altitude_m = number,
                "heading_deg" => position.heading_deg = number,
                _ => position.accuracy_m = number,
            }
        }
        self.draft.position(position);
        Ok(Found::Object)
    }
}

struct DtcsArray<'d, 'a> {
    draft: &'d mut Draft<'a>,
    pace: Pace,
}

impl<'de> Take<'de> for DtcsArray<'_, '_> {
    fn array<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Found<'de>, A::Error> {
        for index in 0_usize.. {
            let found = match self.pace {
                Pace::Usual => elements.next_element_seed(Any(Skip))?,
                Pace::ValueByValue => elements.next_element::<&RawValue>()?.map(|raw| found_in(raw, Skip)),
            };
            match found {
                None => break,
                Some(Found::Text(code)) => self.draft.dtc(&code),
                Some(other) => wrong_type(self.draft, format_args!("dtcs[{index}]"), "a string", &other),
            }
        }
        Ok(Found::Array)
    }
}

/// The known keys of an object, each once. Others are refused and skipped.
struct Fields {
    prefix: &'static str,
    known: &'static [&'static str],
    /// One bit per known key.
    seen: u16,
}

impl Fields {
    const fn new(prefix: &'static str, known: &'static [&'static str]) -> Self {
        Self { prefix, known, seen: 0 }
    }

    /// The next known key; its value is to be read next.
    fn next<'de, A: MapAccess<'de>>(&mut self, map: &mut A, draft: &mut Draft<'_>) -> Result<Option<&'static str>, A::Error> {
        while let Some(key) = map.next_key_seed(Any(Skip))? {
            let Found::Text(key) = key else { continue };
            let path = format_args!("{}{}", self.prefix, head(&key, MAX_SHOWN_BYTES));
            match self.known.iter().position(|known| *known == key) {
                Some(index) if self.seen & (1 << index) == 0 => {
                    self.seen |= 1 << index;
                    return Ok(Some(self.known[index]));
                }
                Some(_) => draft.refuse(Reason::DuplicateKey, path, "stands there twice"),
                None => draft.refuse(Reason::UnknownField, path, "no such field"),
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }
}

fn value<'de, A: MapAccess<'de>>(map: &mut A, pace: Pace, take: impl Take<'de>) -> Result<Found<'de>, A::Error> {
    match pace {
        Pace::Usual => map.next_value_seed(Any(take)),
        Pace::ValueByValue => map.next_value::<&RawValue>().map(|raw| found_in(raw, take)),
    }
}

/// A number or, for null, nothing. `Err`: refused.
fn number(draft: &mut Draft<'_>, path: impl Display, found: &Found<'_>) -> Result<Option<f64>, ()> {
    #[expect(clippy::cast_precision_loss, reason = "every JSON number is meant as f64")]
    match found {
        Found::Null => Ok(None),
        Found::Whole(whole) => Ok(Some(*whole as f64)),
        Found::Number(number) => Ok(Some(*number)),
        other => {
            wrong_type(draft, path, "a number", other);
            Err(())
        }
    }
}

fn expect_object(draft: &mut Draft<'_>, path: &str, found: &Found<'_>) {
    if !matches!(found, Found::Object | Found::Null) {
        wrong_type(draft, path, "an object", found);
    }
}

fn wrong_type(draft: &mut Draft<'_>, path: impl Display, expected: &str, found: &Found<'_>) {
    draft.refuse(Reason::WrongType, path, format_args!("{expected} is expected, found {found}"));
}
