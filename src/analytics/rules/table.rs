//! Every rule with its thresholds and where they come from. What the checks do: the files beside this one.

use std::time::Duration;

use super::verdict::{Subject, Verdict};
use super::{Rule, SILENT_VEHICLE, Threshold, codes, driving, electrics, engine, fuel, position, sensors, silence, tires};
use crate::analytics::claim::Persistence;
use crate::domain::Severity::{Critical, Info, Warning};

const fn threshold(name: &'static str, default: f64, unit: &'static str, meaning: &'static str) -> Threshold {
    Threshold { name, default, unit, meaning }
}

/// Opens at `raised` of the last `of` readings, closes after so many calm minutes and readings.
const fn persistence(raised: u8, of: u8, calm_minutes: u64, calm_readings: u8) -> Persistence {
    Persistence { raised, of, calm_for: Duration::from_mins(calm_minutes), calm_readings }
}

/// The class of the shipped defaults for 12-tonne trucks and heavier.
const HEAVY_TRUCK: &str = "heavy_truck";

pub const RULES: &[Rule] = &[
    Rule {
        name: "overheating",
        meaning: "The coolant is too hot.",
        unit: "celsius",
        severity: Warning,
        persistence: persistence(2, 3, 2, 3),
        thresholds: &[
            threshold("limit", 112.0, "celsius", "opens at or above"),
            threshold("close", 106.0, "celsius", "closes below"),
            threshold("critical", 118.0, "celsius", "critical at or above"),
        ],
        by_class: &[(HEAVY_TRUCK, "limit", 107.0), (HEAVY_TRUCK, "close", 102.0), (HEAVY_TRUCK, "critical", 113.0)],
        source: "Thermostats are open by 95 to 105 °C, half glycol under a 1.1 bar cap boils near 125 °C (Bosch Automotive Handbook, \
                 engine cooling); heavy diesels derate from 107 °C (Cummins ISX operation manual: 107 °C maximum coolant)",
        needs_reading_only: true,
        check: engine::overheating,
        summary: |verdict| format!("coolant {:.0} °C, limit {:.0} °C", verdict.value, verdict.limit),
    },
    Rule {
        name: "thermostat_stuck_open",
        meaning: "The engine stays cool although the vehicle has driven for long.",
        unit: "celsius",
        severity: Warning,
        persistence: persistence(6, 8, 5, 4),
        thresholds: &[
            threshold("limit", 70.0, "celsius", "opens at or below"),
            threshold("close", 75.0, "celsius", "closes above"),
            threshold("after", 1_500.0, "s", "of driving since the engine last rested for ten minutes"),
        ],
        by_class: &[],
        source: "Thermostat monitor of OBD II: not within 11 °C of the regulating temperature, 82 to 88 °C (13 CCR 1968.2 (e)(10)); \
                 real drives of kit_obd2 are warm after 15 minutes",
        needs_reading_only: false,
        check: engine::thermostat_stuck_open,
        summary: |verdict| {
            format!("coolant only {:.0} °C after a long drive, normal is above {:.0} °C", verdict.value, verdict.limit)
        },
    },
    Rule {
        name: "temperatures_implausible",
        meaning: "Temperatures of a warm engine contradict each other: oil far below the coolant, or intake air above it.",
        unit: "K",
        severity: Warning,
        persistence: persistence(6, 8, 5, 4),
        thresholds: &[
            threshold("oil_below", 30.0, "K", "opens where oil is so far below the coolant"),
            threshold("intake_above", 10.0, "K", "opens where intake air is so far above the coolant"),
            threshold("close", 0.7, "share", "closes below this share of the limit"),
            threshold("after", 1_800.0, "s", "of driving since the engine last rested for ten minutes"),
        ],
        by_class: &[],
        source: "Rationality checks of OBD II between temperature sensors (13 CCR 1968.2 (e)(15)); oil settles 4 to 20 K above the coolant",
        needs_reading_only: false,
        check: engine::temperatures_implausible,
        summary: |verdict| {
            format!("{} is {:.0} K off the coolant, limit {:.0} K", verdict.signal_name(), verdict.value, verdict.limit)
        },
    },
    Rule {
        name: "oil_pressure",
        meaning: "The oil pressure is too low for how fast the engine turns.",
        unit: "kPa",
        severity: Critical,
        persistence: persistence(2, 3, 2, 3),
        thresholds: &[
            threshold("per_1000_rpm", 50.0, "kPa", "opens at or below so much per 1,000 rpm"),
            threshold("idle", 40.0, "kPa", "never less than this while the engine turns"),
            threshold("close", 1.25, "times", "closes above so many times the limit"),
        ],
        by_class: &[],
        source: "Rule of thumb of engine builders: 10 psi (69 kPa) per 1,000 rpm; service limits of common engines are 7 psi at idle; \
                 a quarter of room for thin hot oil",
        needs_reading_only: false,
        check: engine::oil_pressure,
        summary: |verdict| {
            format!("oil pressure {:.0} kPa, at this engine speed at least {:.0} kPa", verdict.value, verdict.limit)
        },
    },
    Rule {
        name: "battery_drain",
        meaning: "The low-voltage battery empties while the vehicle is parked.",
        unit: "V",
        severity: Warning,
        persistence: persistence(3, 5, 5, 3),
        thresholds: &[
            threshold("limit", 12.0, "V", "opens at or below, per 12 V of the system"),
            threshold("close", 12.3, "V", "closes above"),
            threshold("critical", 11.6, "V", "critical at or below"),
            threshold("after", 900.0, "s", "of rest, so that the surface charge is gone"),
        ],
        by_class: &[],
        source: "Rest voltage of lead-acid: 12.7 V full, 12.2 V half, 12.0 V a quarter, 11.8 V empty (BCI; VARTA battery handbook)",
        needs_reading_only: false,
        check: electrics::battery_drain,
        summary: |verdict| format!("battery {:.1} V at rest, limit {:.1} V (per 12 V)", verdict.value, verdict.limit),
    },
    Rule {
        name: "alternator",
        meaning: "The voltage with the engine running is too low, too high, or far below the vehicle's own normal.",
        unit: "V",
        severity: Warning,
        persistence: persistence(4, 6, 5, 4),
        thresholds: &[
            threshold("limit", 12.6, "V", "opens at or below, mean of five minutes, per 12 V of the system"),
            threshold("drop", 0.7, "V", "or so far below its own normal"),
            threshold("high", 15.6, "V", "or at or above"),
            threshold("close", 0.2, "V", "closes so far inside the limit"),
        ],
        by_class: &[],
        source: "Charging voltage 13.5 to 14.8 V, smart alternators 12.4 to 15 V with means above 13 (SAE J1343; Bosch Automotive \
                 Handbook, alternators); the drop is measured on simulated and real drives",
        needs_reading_only: false,
        check: electrics::alternator,
        summary: |verdict| format!("{:.1} V with the engine running, limit {:.1} V (per 12 V)", verdict.value, verdict.limit),
    },
    Rule {
        name: "traction_battery",
        meaning: "The traction battery reports less health than it had.",
        unit: "percent",
        severity: Warning,
        persistence: persistence(4, 6, 10, 4),
        thresholds: &[
            threshold("drop", 2.0, "percent", "opens where it lost so much within weeks"),
            threshold("close", 1.0, "percent", "closes below"),
        ],
        by_class: &[],
        source: "Packs lose 1 to 3 % of capacity a year (UN GTR 22: at most 20 % in five years)",
        needs_reading_only: false,
        check: electrics::traction_battery,
        summary: |verdict| format!("traction battery lost {:.1} % of health, limit {:.1} %", verdict.value, verdict.limit),
    },
    Rule {
        name: "tire_leak_slow",
        meaning: "One tyre has lost pressure against the others.",
        unit: "percent",
        severity: Warning,
        persistence: persistence(4, 6, 5, 4),
        thresholds: &[
            threshold("limit", 4.0, "percent", "of absolute pressure: opens at or above"),
            threshold("close", 2.5, "percent", "closes below"),
        ],
        by_class: &[],
        source: "Far before the 20 % of UN R141 and the 25 % of FMVSS 138; sun on one side and uneven load make 1 to 2 %",
        needs_reading_only: false,
        check: tires::tire_leak_slow,
        summary: |verdict| {
            format!("{} is {:.1} % below the other tyres, limit {:.1} %", verdict.signal_name(), verdict.value, verdict.limit)
        },
    },
    Rule {
        name: "tire_leak_fast",
        meaning: "One tyre loses pressure within minutes.",
        unit: "percent",
        severity: Critical,
        persistence: persistence(2, 3, 5, 4),
        thresholds: &[
            threshold(
                "limit",
                3.0,
                "percent",
                "of absolute pressure, lost against the others in 5 to 15 minutes: opens at or above",
            ),
            threshold("close", 1.0, "percent", "closes below"),
        ],
        by_class: &[],
        source: "UN R141: a puncture must be told within 10 minutes; sensor noise is below 0.5 %",
        needs_reading_only: false,
        check: tires::tire_leak_fast,
        summary: |verdict| {
            format!("{} lost {:.1} % within minutes, limit {:.1} %", verdict.signal_name(), verdict.value, verdict.limit)
        },
    },
    Rule {
        name: "fuel_loss_parked",
        meaning: "Fuel disappears while the vehicle is parked.",
        unit: "percent",
        severity: Critical,
        persistence: persistence(2, 3, 5, 3),
        thresholds: &[
            threshold("limit", 7.0, "percent", "of the tank since it was parked: opens at or above"),
            threshold("close", 4.0, "percent", "closes below, or when the vehicle is driven again"),
        ],
        by_class: &[],
        source: "Diesel shrinks by 0.8 % per 10 K and a float on a slope errs by a few per cent (EN 590 density; ISO 8437)",
        needs_reading_only: false,
        check: fuel::fuel_loss_parked,
        summary: |verdict| format!("{:.0} % of the tank gone while parked, limit {:.0} %", verdict.value, verdict.limit),
    },
    Rule {
        name: "fuel_loss_driving",
        meaning: "Fuel disappears faster than any engine of the kind burns it.",
        unit: "percent",
        severity: Warning,
        persistence: persistence(4, 6, 10, 4),
        thresholds: &[
            threshold("limit", 8.0, "percent", "of the tank beyond what may be burnt: opens at or above"),
            threshold("close", 5.0, "percent", "closes below"),
            threshold("per_km", 0.5, "percent", "of the tank that may be burnt a kilometre"),
        ],
        by_class: &[(HEAVY_TRUCK, "per_km", 0.15)],
        source: "25 l/100 km of a 50 l tank, 100 l/100 km of a truck's 700 l; a float that sloshes errs by 1 % after some minutes' mean",
        needs_reading_only: false,
        check: fuel::fuel_loss_driving,
        summary: |verdict| format!("{:.0} % of the tank gone beyond what was burnt, limit {:.0} %", verdict.value, verdict.limit),
    },
    Rule {
        name: "harsh_braking",
        meaning: "Somebody brakes hard.",
        unit: "m/s^2",
        severity: Info,
        persistence: persistence(2, 40, 10, 20),
        thresholds: &[
            threshold("limit", 4.0, "m/s^2", "opens at or above"),
            threshold("close", 3.5, "m/s^2", "closes below"),
            threshold("usual", 1.4, "times", "or so far beyond what is usual for the vehicle"),
            threshold("least", 2.0, "m/s^2", "but never below"),
        ],
        by_class: &[(HEAVY_TRUCK, "limit", 3.0), (HEAVY_TRUCK, "close", 2.6), (HEAVY_TRUCK, "least", 1.5)],
        source: "0.4 g is common in telematics; ordinary braking stays below 0.3 g (AASHTO Green Book: comfortable to 3.4 m/s^2)",
        needs_reading_only: false,
        check: driving::harsh_braking,
        summary: |verdict| format!("braking with {:.1} m/s², limit {:.1} m/s²", verdict.value, verdict.limit),
    },
    Rule {
        name: "harsh_acceleration",
        meaning: "Somebody accelerates hard.",
        unit: "m/s^2",
        severity: Info,
        persistence: persistence(2, 40, 10, 20),
        thresholds: &[
            threshold("limit", 3.4, "m/s^2", "opens at or above"),
            threshold("close", 3.0, "m/s^2", "closes below"),
            threshold("usual", 1.4, "times", "or so far beyond what is usual for the vehicle"),
            threshold("least", 2.0, "m/s^2", "but never below"),
        ],
        by_class: &[(HEAVY_TRUCK, "limit", 2.0), (HEAVY_TRUCK, "close", 1.7), (HEAVY_TRUCK, "least", 1.1)],
        source: "0.35 g is common in telematics; ordinary drivers stay below 0.25 g (Bokare and Maurya 2017)",
        needs_reading_only: false,
        check: driving::harsh_acceleration,
        summary: |verdict| format!("accelerating with {:.1} m/s², limit {:.1} m/s²", verdict.value, verdict.limit),
    },
    Rule {
        name: "harsh_cornering",
        meaning: "Somebody takes bends too fast.",
        unit: "m/s^2",
        severity: Info,
        persistence: persistence(3, 40, 10, 20),
        thresholds: &[threshold("limit", 4.5, "m/s^2", "opens at or above"), threshold("close", 4.0, "m/s^2", "closes below")],
        by_class: &[(HEAVY_TRUCK, "limit", 3.0), (HEAVY_TRUCK, "close", 2.6)],
        source: "0.45 g is common in telematics; ordinary drivers stay below 4 m/s^2 (Reymond et al. 2001)",
        needs_reading_only: true,
        check: driving::harsh_cornering,
        summary: |verdict| format!("cornering with {:.1} m/s², limit {:.1} m/s²", verdict.value, verdict.limit),
    },
    Rule {
        name: "over_speed",
        meaning: "The vehicle is faster than it may ever be.",
        unit: "km/h",
        severity: Warning,
        persistence: persistence(2, 3, 2, 3),
        thresholds: &[threshold("limit", 200.0, "km/h", "opens at or above"), threshold("close", 185.0, "km/h", "closes below")],
        by_class: &[(HEAVY_TRUCK, "limit", 102.0), (HEAVY_TRUCK, "close", 96.0)],
        source: "A company's own choice; the real drives of kit_obd2 reach 201 km/h on the motorway; trucks are limited to 90 km/h (Directive 92/6/EEC), and roll a little faster downhill",
        needs_reading_only: true,
        check: driving::over_speed,
        summary: |verdict| format!("{:.0} km/h, limit {:.0} km/h", verdict.value, verdict.limit),
    },
    Rule {
        name: "impossible_jump",
        meaning: "Positions are farther apart than the vehicle went.",
        unit: "m",
        severity: Warning,
        persistence: persistence(2, 10, 10, 6),
        thresholds: &[
            threshold("limit", 150.0, "m", "beyond the way by odometer or speed and three times the accuracy: opens at or above"),
            threshold("close", 100.0, "m", "closes below"),
        ],
        by_class: &[],
        source: "Receivers in streets err by 5 to 50 m (GPS SPS performance standard; urban multipath); 85 m/s where nothing tells",
        needs_reading_only: false,
        check: position::impossible_jump,
        summary: |verdict| format!("position {:.0} m farther than the vehicle went, limit {:.0} m", verdict.value, verdict.limit),
    },
    Rule {
        name: "position_stuck",
        meaning: "The position stays the same while the vehicle drives.",
        unit: "m",
        severity: Warning,
        persistence: persistence(2, 3, 2, 3),
        thresholds: &[
            threshold("limit", 500.0, "m", "driven with the very same position: opens at or above"),
            threshold("close", 250.0, "m", "closes below"),
        ],
        by_class: &[],
        source: "A receiver that measures has noise of centimetres at least",
        needs_reading_only: false,
        check: position::position_stuck,
        summary: |verdict| format!("{:.0} m driven with the same position, limit {:.0} m", verdict.value, verdict.limit),
    },
    Rule {
        name: "sensor_stuck",
        meaning: "A signal that follows the speed stays the same while the speed changes.",
        unit: "km/h",
        severity: Warning,
        persistence: persistence(2, 3, 2, 3),
        thresholds: &[
            threshold("limit", 60.0, "km/h", "of speed changes, added up, with the very same value: opens at or above"),
            threshold("close", 30.0, "km/h", "closes below"),
            threshold("least", 60.0, "s", "it must have lasted"),
            threshold("readings", 4.0, "", "and been sent as often"),
        ],
        by_class: &[],
        source: "Movement expected while the reading stays identical: measured on real drives (FACTS, detection)",
        needs_reading_only: false,
        check: sensors::sensor_stuck,
        summary: |verdict| {
            format!(
                "{} stays the same over {:.0} km/h of speed changes, limit {:.0} km/h",
                verdict.signal_name(),
                verdict.value,
                verdict.limit
            )
        },
    },
    Rule {
        name: "sensor_open_circuit",
        meaning: "A sensor jumped to the end of its range: its wire is torn or its plug is off.",
        unit: "",
        severity: Warning,
        persistence: persistence(2, 3, 2, 3),
        thresholds: &[threshold("least", 10.0, "s", "it must have lasted")],
        by_class: &[],
        source: "SAE J1979 offsets (-40 °C); a healthy cold start can read -40 °C for 5 s without a jump (FACTS, detection)",
        needs_reading_only: false,
        check: sensors::sensor_open_circuit,
        summary: |verdict| format!("{} jumped to {:.0}, the end of its range", verdict.signal_name(), verdict.value),
    },
    Rule {
        name: "signal_missing",
        meaning: "A signal that came with every reading is often missing.",
        unit: "percent",
        severity: Warning,
        persistence: persistence(2, 3, 5, 10),
        thresholds: &[
            threshold("limit", 22.0, "percent", "of the last sixteen or so readings: opens at or above"),
            threshold("close", 10.0, "percent", "closes below"),
        ],
        by_class: &[],
        source: "A regular signal was there 60 readings in a row; one miss is 6 %, three within a few readings are 18 %",
        needs_reading_only: false,
        check: sensors::signal_missing,
        summary: |verdict| {
            format!(
                "{} is missing in {:.0} % of the readings, limit {:.0} %",
                verdict.signal_name(),
                verdict.value,
                verdict.limit
            )
        },
    },
    Rule {
        name: "new_trouble_code",
        meaning: "The vehicle's own diagnosis reports a code that it did not come with.",
        unit: "codes",
        severity: Warning,
        persistence: persistence(1, 1, 10, 3),
        thresholds: &[],
        by_class: &[],
        source: "SAE J2012, ISO 15031-6",
        needs_reading_only: false,
        check: codes::new_trouble_code,
        summary: trouble_code_summary,
    },
    Rule {
        name: SILENT_VEHICLE,
        meaning: "A vehicle that is not parked says nothing.",
        unit: "s",
        severity: Warning,
        persistence: persistence(1, 1, 0, 1),
        thresholds: &[threshold("limit", 1_200.0, "s", "since its newest message, by our clock: opens at or above")],
        by_class: &[],
        source: "Holes in mobile networks last up to 10 minutes; twice that",
        needs_reading_only: false,
        check: silence::never,
        summary: |verdict| format!("nothing heard for {:.0} min", verdict.value / 60.0),
    },
];

fn trouble_code_summary(verdict: &Verdict<'_>) -> String {
    let Subject::Code(code) = verdict.subject else { return "trouble code".to_owned() };
    if verdict.value > 1.0 {
        format!("trouble code {code} and {:.0} more", verdict.value - 1.0)
    } else {
        format!("trouble code {code}")
    }
}
