//! One JSON value of any type, read to its end whether it was expected or not.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// What stood there. Objects and arrays have been taken or skipped.
#[derive(Debug, PartialEq)]
pub(super) enum Found<'de> {
    Null,
    Boolean,
    /// Not negative, without fraction or exponent.
    Whole(u64),
    /// Any other number; infinite where it is beyond f64.
    Number(f64),
    Text(Cow<'de, str>),
    /// A string with half of a surrogate pair.
    NotUnicode,
    Array,
    Object,
}

impl fmt::Display for Found<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Whole(_) | Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::NotUnicode => "a string that is not Unicode",
            Self::Array => "an array",
            Self::Object => "an object",
        })
    }
}

/// What to do with an object or an array. Unless told otherwise, each is skipped.
pub(super) trait Take<'de>: Sized {
    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Found::Object)
    }

    fn array<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Found<'de>, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Found::Array)
    }
}

/// Takes neither objects nor arrays.
pub(super) struct Skip;

impl Take<'_> for Skip {}

/// Reads one value.
pub(super) struct Any<T>(pub T);

/// Reads one value that was cut out of a valid document, however strange it is.
pub(super) fn found_in<'de>(raw: &'de RawValue, take: impl Take<'de>) -> Found<'de> {
    let text = raw.get();
    let found = Any(take).deserialize(&mut serde_json::Deserializer::from_str(text));
    found.unwrap_or_else(|_| if text.starts_with('"') { Found::NotUnicode } else { beyond_f64(text) })
}

/// `serde_json` refuses numbers beyond f64; for us they are numbers that are not finite. An object that cannot be read has a key
/// that is not Unicode.
fn beyond_f64<'de>(text: &str) -> Found<'de> {
    text.parse().map_or(Found::NotUnicode, Found::Number)
}

impl<'de, T: Take<'de>> DeserializeSeed<'de> for Any<T> {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Take<'de>> Visitor<'de> for Any<T> {
    type Value = Found<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Found<'de>, E> {
        Ok(Found::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found<'de>, E> {
        Ok(Found::Boolean)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Found<'de>, E> {
        Ok(Found::Whole(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "every JSON number is meant as f64")]
    fn visit_i64<E>(self, value: i64) -> Result<Found<'de>, E> {
        Ok(Found::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Found<'de>, E> {
        Ok(Found::Number(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Found<'de>, E> {
        Ok(Found::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Found<'de>, E> {
        Ok(Found::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Found<'de>, A::Error> {
        self.0.object(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Found<'de>, A::Error> {
        self.0.array(elements)
    }
}
