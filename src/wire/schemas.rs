//! How payloads, and values that write themselves, look in the API's description: readings, moments, ids, codes, signals by name.

use utoipa::openapi::schema::{AdditionalProperties, Object, ObjectBuilder, OneOfBuilder, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::signal::SIGNALS;
use crate::domain::{
    Change, Condition, Handling, Ignition, NotScored, Reason, Rejection, Severity, Source, Timestamp, Timing, VehicleId,
    VehicleState, Verdict,
};

/// One reading, or what a vehicle kept while it was out of coverage.
#[derive(Debug)]
pub struct Telemetry;

impl PartialSchema for Telemetry {
    fn schema() -> RefOr<Schema> {
        let one = || Ref::from_schema_name(TelemetryReading::name());
        OneOfBuilder::new().item(one()).item(one().to_array_builder()).into()
    }
}

impl ToSchema for Telemetry {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((TelemetryReading::name().into_owned(), TelemetryReading::schema()));
        TelemetryReading::schemas(schemas);
    }
}

/// One message of one vehicle about one moment. A position or a signal must be there.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "for the description: `json` reads payloads itself, so that it can say what is wrong")]
struct TelemetryReading {
    /// The vehicle's clock: RFC 3339, or milliseconds since 1970.
    #[schema(schema_with = moment)]
    recorded_at: Timestamp,
    /// If the address and this both name the vehicle, they must agree.
    vehicle_id: Option<VehicleId>,
    /// Changes whenever the sender's sequence starts anew.
    boot_id: Option<u64>,
    /// Rises by one per reading within a boot.
    sequence: Option<u64>,
    position: Option<TelemetryPosition>,
    /// By name, those of the signal table and others; `null` is missing.
    #[schema(value_type = Option<Signals>)]
    signals: Option<Signals>,
    /// VSS `LowVoltageSystemState`.
    ignition: Option<Ignition>,
    /// Diagnostic trouble codes, such as P0301.
    dtcs: Option<Vec<String>>,
}

/// WGS 84.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "as above")]
struct TelemetryPosition {
    #[schema(minimum = -90, maximum = 90)]
    latitude: f64,
    #[schema(minimum = -180, maximum = 180)]
    longitude: f64,
    altitude_m: Option<f32>,
    /// Clockwise from north.
    #[schema(minimum = 0, maximum = 360)]
    heading_deg: Option<f32>,
    /// A radius.
    #[schema(minimum = 0)]
    accuracy_m: Option<f32>,
}

/// By the list that the code writes and reads them with.
macro_rules! codes {
    ($($type:ty),* $(,)?) => {
        $(
            impl PartialSchema for $type {
                fn schema() -> RefOr<Schema> {
                    let codes = Self::ALL.iter().map(|known| known.code());
                    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes)).into()
                }
            }

            impl ToSchema for $type {}
        )*
    };
}

codes!(Change, Condition, Handling, Ignition, NotScored, Reason, Rejection, Severity, Source, Timing, VehicleState, Verdict);

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        let meaning = "RFC 3339 in UTC, down to microseconds";
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).description(Some(meaning)).into()
    }
}

impl ToSchema for Timestamp {}

impl PartialSchema for VehicleId {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[A-Za-z0-9_-]{1,64}$")).into()
    }
}

impl ToSchema for VehicleId {}

/// Stands for values by the names of signals.
#[derive(Debug)]
pub struct Signals;

impl PartialSchema for Signals {
    fn schema() -> RefOr<Schema> {
        let number = || ObjectBuilder::new().schema_type(Type::Number);
        let all = ObjectBuilder::new()
            .description(Some("By name; a signal that is missing stays missing. Declared signals (`signals` in the settings) stand beside these."))
            .additional_properties(Some(AdditionalProperties::RefOr(number().into())));
        let with_signals = SIGNALS.iter().fold(all, |all, signal| {
            let (low, high) = signal.plausible;
            let unit = if signal.unit.is_empty() { "no unit" } else { signal.unit };
            let meaning = format!("{unit}, {low} to {high}; {}", signal.vss_path);
            all.property(signal.name, number().description(Some(meaning)))
        });
        with_signals.into()
    }
}

impl ToSchema for Signals {}

/// Stands for summaries by the names of signals.
#[derive(Debug)]
pub struct SignalSummaries;

impl PartialSchema for SignalSummaries {
    fn schema() -> RefOr<Schema> {
        let number = || ObjectBuilder::new().schema_type(Type::Number);
        let summary = ObjectBuilder::new().schema_type(Type::Object).property("mean", number()).property("min", number());
        let summary = summary.property("max", number()).required("mean").required("min").required("max");
        let all = ObjectBuilder::new().description(Some("By name, those that some reading had; units are those of `Signals`."));
        all.additional_properties(Some(AdditionalProperties::RefOr(summary.into()))).into()
    }
}

impl ToSchema for SignalSummaries {}

/// Numbers by names that this program does not know beforehand.
pub fn numbers() -> Object {
    let number = ObjectBuilder::new().schema_type(Type::Number);
    ObjectBuilder::new().additional_properties(Some(AdditionalProperties::RefOr(number.into()))).build()
}

fn moment() -> RefOr<Schema> {
    let millis = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(100_000_000_000_i64));
    OneOfBuilder::new().item(Timestamp::schema()).item(millis).into()
}
