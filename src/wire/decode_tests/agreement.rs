//! Of any content: JSON and protobuf agree, what we send again is the same, and no payload harms.

use proptest::prelude::*;

use super::*;

prop_compose! {
    fn a_message()(
        milliseconds in 1_780_000_000_000_i64..1_795_490_220_250,
        sequence in proptest::option::of(any::<u64>()),
        boot_id in proptest::option::of(any::<u64>()),
        position in proptest::option::of((-100.0..100.0_f64, -200.0..200.0_f64, proptest::option::of(-10.0..400.0_f32))),
        signals in proptest::collection::btree_map(0..SIGNALS.len(), prop_oneof![-100.0..400.0_f32, Just(-0.0), Just(f32::MAX)], 0..8),
        odometer_m in proptest::option::of(-1.0..2e10_f64),
        extras in proptest::collection::btree_map("[a-z\u{e9}]{1,70}", -1e300..1e300_f64, 0..80),
        dtcs in proptest::collection::vec("[PBCU][0-9]{4}", 0..3),
        ignition in 0..=6_i32,
    ) -> v1::TelemetryReading {
        let mut message = v1::TelemetryReading {
            recorded_at: Some(prost_types::Timestamp { seconds: milliseconds / 1_000, nanos: i32::try_from(milliseconds % 1_000).unwrap() * 1_000_000 }),
            boot_id, sequence, dtcs, ignition,
            position: position.map(|(latitude, longitude, heading_deg)| v1::Position { latitude, longitude, heading_deg, ..Default::default() }),
            extras,
            ..Default::default()
        };
        // By name, which is how protobuf carries a signal that has no field.
        message.extras.extend(signals.into_iter().map(|(index, value)| (SIGNALS[index].name.to_owned(), f64::from(value))));
        message.signals = Some(v1::Signals { odometer_m, ..Default::default() });
        if odometer_m.is_some() {
            message.extras.remove("odometer_m");
        }
        message
    }
}

fn to_json(message: &v1::TelemetryReading) -> String {
    let at = message.recorded_at.as_ref().unwrap();
    let mut fields = vec![format!(r#""recorded_at":{}"#, at.seconds * 1_000 + i64::from(at.nanos / 1_000_000))];
    fields.extend(message.sequence.map(|sequence| format!(r#""sequence":{sequence}"#)));
    fields.extend(message.boot_id.map(|boot_id| format!(r#""boot_id":{boot_id}"#)));
    fields.extend(message.position.as_ref().map(|position| {
        let heading = position.heading_deg.map_or("null".to_owned(), |heading| heading.to_string());
        format!(r#""position":{{"longitude":{},"latitude":{},"heading_deg":{heading}}}"#, position.longitude, position.latitude)
    }));
    let odometer = message.signals.as_ref().and_then(|signals| signals.odometer_m);
    let odometer = odometer.map(|value| format!(r#""odometer_m":{value}"#));
    let extras = message.extras.iter().map(|(name, value)| format!(r#""{name}":{value}"#));
    // Backwards: the order in which a sender writes is no content.
    let signals: Vec<String> = extras.rev().chain(odometer).collect();
    fields.push(format!(r#""signals":{{{}}}"#, signals.join(",")));
    fields.push(format!(r#""dtcs":{:?}"#, message.dtcs));
    if let Some(ignition) = crate::wire::reading::ignition_from_proto(message.ignition()) {
        fields.push(format!(r#""ignition":"{}""#, ignition.code()));
    }
    fields.reverse();
    format!("{{{}}}", fields.join(","))
}

proptest! {
    #[test]
    fn the_same_content_in_json_and_protobuf_is_one_reading(message in a_message()) {
        let from_json = decoded(to_json(&message));
        let from_protobuf = decoded(v1::TelemetryBatch { readings: vec![message] }.encode_to_vec());
        let reasons = |decoded: &Decoded| decoded.quarantined.iter().map(|one| one.reason).collect::<Vec<_>>();
        prop_assert_eq!(reasons(&from_json), reasons(&from_protobuf));
        let readings = [from_json.readings, from_protobuf.readings].map(|readings| {
            readings.into_iter().map(|mut reading| {
                // Protobuf carried what is rejected as f32.
                #[expect(clippy::cast_possible_truncation, reason = "as the fingerprint does")]
                reading.rejected.iter_mut().for_each(|one| one.value = f64::from(one.value as f32));
                reading
            }).collect::<Vec<_>>()
        });
        prop_assert_eq!(&readings[0], &readings[1]);
    }

    #[test]
    fn a_reading_sent_again_by_us_is_the_same_reading(message in a_message()) {
        for reading in decoded(v1::TelemetryBatch { readings: vec![message] }.encode_to_vec()).readings {
            let again = accepted_or_nothing(v1::TelemetryBatch { readings: vec![to_proto(&reading)] }.encode_to_vec());
            if reading.rejected.is_empty() {
                prop_assert_eq!(again, Some(reading));
            }
        }
    }

    #[test]
    fn no_bytes_panic(payload in proptest::collection::vec(any::<u8>(), 0..300), protobuf in any::<bool>()) {
        let format = if protobuf { Format::Protobuf } else { Format::Json };
        let decoded = decoded_as(payload, Some(format));
        prop_assert!(!decoded.quarantined.is_empty() || !decoded.readings.is_empty());
    }

    #[test]
    fn no_change_of_one_byte_panics(at in 0..EXAMPLE.len(), byte in any::<u8>()) {
        let mut json = EXAMPLE.as_bytes().to_vec();
        json[at] = byte;
        decoded_as(json, Some(Format::Json));
        let mut protobuf = v1::TelemetryBatch { readings: vec![to_proto(&accepted(EXAMPLE))] }.encode_to_vec();
        let at = at % protobuf.len();
        protobuf[at] = byte;
        decoded_as(protobuf, Some(Format::Protobuf));
    }
}

fn accepted_or_nothing(payload: Vec<u8>) -> Option<Reading> {
    decoded(payload).readings.pop()
}
