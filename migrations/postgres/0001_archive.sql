-- Why: everything that a vehicle ever said, and what was made of it, in columns that people can query with plain SQL; on a server, so that
-- it can be larger than a disk of the machine that takes readings in, be replicated, and be read by other programs.
--
-- Readings are partitioned by the UTC day in which they were recorded, since their identity has that time in it and a unique index of
-- a partitioned table needs its key: days are made ahead, a day beyond the retention is dropped whole, and what fits no day (clocks that
-- are far ahead) lands in `readings_default`, from where it moves when its day is made. The columns are those of the SQLite archive;
-- a column is null where the reading had no such value.

-- Rows refer to a vehicle by its number: 4 bytes in place of up to 64.
create table vehicles (
    number integer generated always as identity primary key,
    -- Ordered by its bytes, as the API lists vehicles.
    vehicle_id text collate "C" not null unique,
    slot integer not null,
    -- Null: only seen, nobody registered it; its class is then unknown.
    registered_at timestamptz,
    class text not null default 'unknown',
    powertrain text,
    -- JSON array.
    vehicle_groups jsonb,
    tank_l double precision,
    battery_kwh double precision,
    make text
);

-- One row per model version that ever scored; `readings.scores` refers to it by number.
create table model_versions (
    number integer generated always as identity primary key,
    model text not null,
    version text not null,
    unique (model, version)
);

create table readings (
    -- No foreign key: its check would cost every insert a lookup, and the only writer takes the number from `vehicles`.
    vehicle integer not null,
    recorded_at timestamptz not null,
    -- The bits of an unsigned number, so it may be negative here.
    fingerprint bigint not null,
    received_at timestamptz not null,
    -- Rises per slot of vehicles.slot: the order in which readings came in.
    arrival bigint not null,
    -- Revision of the configuration that assessed it; 0: none was kept yet.
    revision bigint not null,
    -- late, delayed, future; null where it came in order.
    timing text,
    boot_id bigint,
    sequence bigint,
    -- VSS LowVoltageSystemState.
    ignition text,
    latitude double precision,
    longitude double precision,
    altitude_m real,
    heading_deg real,
    accuracy_m real,
    -- Array of trouble codes.
    dtcs jsonb,
    -- Object of undeclared signals, and of those that only the settings declare.
    extras jsonb,
    -- Array of [name, value, reason]: signals that came and could not be believed.
    rejected jsonb,
    -- The maximum over its models.
    score real,
    -- Array of [model_versions.number, score, raw, tail_probability].
    scores jsonb,
    -- Why there is no score.
    not_scored text,
    -- Array of [key, severity, raised, value, limit]: rules, fences and models at their limits.
    findings jsonb,
    -- Verdicts on the data, such as {"stuck":["speed_km_per_h"],"position":"jump"}.
    quality jsonb,
    -- Numbered readings of its vehicle that had not come by then.
    lost_before_us bigint,
    speed_km_per_h real,
    odometer_m double precision,
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
) partition by range (recorded_at);

-- The identity of a reading, and the order in which the history of a vehicle is read.
create unique index readings_identity on readings (vehicle, recorded_at, fingerprint);

-- All vehicles at a time. Readings come about in the order in which they were recorded, so that the span of each 128 pages is enough: a
-- thousandth of the size of an index of rows, and next to nothing an insert.
create index readings_recorded on readings using brin (recorded_at) with (autosummarize = on);

create table readings_default partition of readings default;

-- Days since 1970 in which a vehicle has readings: a question about it goes to those partitions only.
create table vehicle_days (
    vehicle integer not null,
    day integer not null,
    primary key (vehicle, day)
);

create table alerts (
    -- The bits of an unsigned number, so it may be negative here.
    alert_id bigint primary key,
    vehicle integer not null,
    -- Such as rule:overheating.
    alert_key text not null,
    severity text not null,
    condition text not null,
    handling text not null,
    opened_at timestamptz not null,
    last_seen_at timestamptz not null,
    closed_at timestamptz,
    -- Readings that raised it.
    count bigint not null,
    summary text not null,
    -- The worst, in the unit of the check; `limit` is a word of SQL.
    value double precision,
    limit_value double precision,
    score real,
    -- Array of {feature, value, normal, cohort_normal, contribution}.
    explanation jsonb,
    -- The reading that opened it, and the configuration that judged.
    opening_recorded_at timestamptz not null,
    opening_fingerprint bigint not null,
    opening_arrival bigint not null,
    configuration bigint not null,
    acknowledged_by text,
    assigned_to text,
    silenced_until timestamptz,
    verdict text,
    note text,
    is_history boolean not null,
    -- Rises with every change: an older event never overwrites a newer one.
    revision bigint not null
);

create index alerts_newest on alerts (opened_at, alert_id);
create index alerts_of_vehicle on alerts (vehicle, opened_at, alert_id);
create index alerts_last_seen on alerts (last_seen_at);

create table alert_events (
    alert_id bigint not null,
    revision bigint not null,
    -- Such as opened, worsened, acknowledged.
    change text not null,
    at timestamptz not null,
    severity text not null,
    condition text not null,
    handling text not null,
    summary text not null,
    acknowledged_by text,
    assigned_to text,
    note text,
    primary key (alert_id, revision)
);

-- What was acknowledged and not believed: the newest are kept, within the bounds of storage::quarantine; the counters go on for ever.
create table quarantine (
    id bigint generated always as identity primary key,
    received_at timestamptz not null,
    source text not null,
    -- As the sender gave it; may be no valid id.
    vehicle_id text not null,
    reason text not null,
    detail text not null,
    -- Which element of the message.
    item bigint not null,
    slot integer not null,
    arrival bigint not null,
    -- Length of all that came, and of what was kept of it.
    payload_bytes bigint not null,
    kept_bytes bigint not null,
    payload bytea not null,
    -- When it was taken in after all.
    replayed_at timestamptz,
    -- The journal may bring a record twice. The time is part of it, so that a new journal does not meet the numbers of an old one.
    unique (slot, arrival, item, received_at)
);

create index quarantine_reason on quarantine (reason, id);

create table quarantine_counts (
    reason text primary key,
    messages bigint not null
);

-- What judged, by the revision that stands beside every reading and alert: an alert is explained by it, not by what is in force today.
create table configurations (
    revision bigint primary key,
    created_at timestamptz not null,
    -- JSON, kept to the letter: rules, fences (GeoJSON), models (name, version, sha256), analytics settings.
    content text not null
);

create table model_files (
    -- Hexadecimal.
    sha256 text primary key,
    file bytea not null
);
