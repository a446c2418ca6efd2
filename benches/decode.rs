//! What decoding one reading costs, in both forms.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use odograph::domain::{SignalTable, Source, VehicleId};
use odograph::wire::decode::{DecodeContext, decode};
use odograph::wire::proto::v1;
use odograph::wire::reading::reading_to_proto;
use prost::Message;

/// 198 bytes.
const JSON: &str = r#"{"recorded_at":"2026-11-24T03:17:00.250Z","sequence":4711,"position":{"latitude":49.0123,"longitude":8.4041},"signals":{"speed_km_per_h":63.2,"engine_speed_rpm":2110,"coolant_temperature_celsius":91.0}}"#;

fn decoding(criterion: &mut Criterion) {
    let (table, vehicle_id) = (SignalTable::default(), VehicleId::new("truck-7").expect("a valid id"));
    let context = DecodeContext {
        vehicle_id: &vehicle_id,
        received_at: "2026-11-24T03:17:01Z".parse().expect("a time"),
        source: Source::Mqtt,
        retention: Duration::from_hours(24 * 400),
        table: &table,
        format: None,
    };
    let json = Bytes::from_static(JSON.as_bytes());
    let mut reading = v1::TelemetryReading::default();
    reading_to_proto(&decode(&json, &context).readings[0], |id| table.get(id).name, &mut reading);
    let protobuf = Bytes::from(v1::TelemetryBatch { readings: vec![reading.clone()] }.encode_to_vec());
    let backlog = Bytes::from(format!("[{}]", [JSON; 100].join(",")));
    let mut group = criterion.benchmark_group("decode");
    for (name, payload, readings) in [("json", &json, 1), ("protobuf", &protobuf, 1), ("json backlog of 100", &backlog, 100)] {
        assert_eq!(decode(payload, &context).readings.len(), readings, "{name}");
        group.throughput(Throughput::Elements(readings as u64));
        group.bench_function(name, |bencher| bencher.iter(|| decode(black_box(payload), &context)));
    }
    group.finish();
}

criterion_group!(benches, decoding);
criterion_main!(benches);
