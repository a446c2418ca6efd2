-- Why: everything that a vehicle ever said, and what was made of it, in columns that people can query with plain SQL.
--
-- Insert cost decides the design, since a fleet writes all day and reads a little. Measured with 10,000 vehicles in random order,
-- 28 columns bound, 1,000 rows a transaction: an index that begins with the vehicle changes one page per row and costs 30 µs of CPU
-- a row; one that begins with the minute changes a few hundred pages per transaction and costs 6 µs. `vehicle_hours` leads a
-- history query to the hours in which its vehicle spoke at all.
--
-- Times are UTC microseconds. A column is null where the reading had no such value.

-- Rows refer to a vehicle by its number: 2 or 3 bytes in place of up to 64.
create table vehicles (
    number integer primary key,
    vehicle_id text not null unique,
    slot integer not null
);

-- One row per model version that ever scored; `readings.scores` refers to it by number.
create table model_versions (
    number integer primary key,
    model text not null,
    version text not null,
    unique (model, version)
);

create table readings (
    -- No foreign key: its check would cost every insert a lookup, and the only writer takes the number from `vehicles`.
    vehicle integer not null,
    recorded_at integer not null,
    -- The bits of an unsigned number, so it may be negative here.
    fingerprint integer not null,
    received_at integer not null,
    -- Rises per slot of vehicles.slot: the order in which readings came in.
    arrival integer not null,
    -- Revision of the configuration that assessed it.
    revision integer not null,
    -- late, delayed, future; null where it came in order.
    timing text,
    boot_id integer,
    sequence integer,
    -- VSS LowVoltageSystemState.
    ignition text,
    latitude real,
    longitude real,
    altitude_m real,
    heading_deg real,
    accuracy_m real,
    -- JSON array of trouble codes.
    dtcs text,
    -- JSON object of undeclared signals, and of those that only the settings declare.
    extras text,
    -- JSON array of [name, value, reason]: signals that came and could not be believed.
    rejected text,
    -- The maximum over its models.
    score real,
    -- JSON array of [model_versions.number, score, raw, tail_probability].
    scores text,
    -- Why there is no score.
    not_scored text,
    speed_km_per_h real,
    odometer_m real,
    acceleration_longitudinal_m_per_s2 real,
    acceleration_lateral_m_per_s2 real,
    acceleration_vertical_m_per_s2 real,
    yaw_rate_deg_per_s real,
    engine_speed_rpm real,
    engine_load_percent real,
    coolant_temperature_celsius real,
    oil_temperature_celsius real,
    oil_pressure_kpa real,
    intake_temperature_celsius real,
    intake_pressure_kpa real,
    mass_air_flow_g_per_s real,
    throttle_percent real,
    accelerator_pedal_percent real,
    brake_pedal_percent real,
    steering_angle_deg real,
    gear real,
    transmission_temperature_celsius real,
    fuel_level_percent real,
    fuel_consumption_l_per_100km real,
    battery_voltage_v real,
    traction_battery_charge_percent real,
    traction_battery_health_percent real,
    traction_battery_voltage_v real,
    traction_battery_current_a real,
    traction_battery_temperature_celsius real,
    tire_pressure_front_left_kpa real,
    tire_pressure_front_right_kpa real,
    tire_pressure_rear_left_kpa real,
    tire_pressure_rear_right_kpa real,
    ambient_temperature_celsius real
);

-- The identity of a reading; the minute in front keeps inserts together.
create unique index readings_identity on readings (recorded_at / 60000000, vehicle, recorded_at, fingerprint);

-- Hours since 1970 in which a vehicle has readings.
create table vehicle_hours (
    vehicle integer not null,
    hour integer not null,
    primary key (vehicle, hour)
) without rowid;
