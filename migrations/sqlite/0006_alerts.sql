-- Why: what rules, fences and models claim stands beside the reading, and an alert is an episode with a history. Few rows compared with
-- readings, so indexes are for questions: the newest alerts, and those of one vehicle.

-- JSON array of [key, severity, raised, value, limit]; null where nothing was at its limits.
alter table readings add column findings text;

create table alerts (
    -- The bits of an unsigned number, so it may be negative here.
    alert_id integer primary key,
    vehicle integer not null,
    -- Such as rule:overheating.
    alert_key text not null,
    severity text not null,
    condition text not null,
    handling text not null,
    opened_at integer not null,
    last_seen_at integer not null,
    closed_at integer,
    -- Readings that raised it.
    count integer not null,
    summary text not null,
    -- The worst, in the unit of the check; `limit` is a word of SQL.
    value real,
    limit_value real,
    score real,
    -- JSON array of {feature, value, normal, cohort_normal, contribution}.
    explanation text,
    -- The reading that opened it, and the configuration that judged.
    opening_recorded_at integer not null,
    opening_fingerprint integer not null,
    opening_arrival integer not null,
    configuration integer not null,
    acknowledged_by text,
    assigned_to text,
    silenced_until integer,
    verdict text,
    note text,
    is_history integer not null,
    -- Rises with every change: an older event never overwrites a newer one.
    revision integer not null
);

create index alerts_newest on alerts (opened_at, alert_id);
create index alerts_of_vehicle on alerts (vehicle, opened_at, alert_id);

create table alert_events (
    alert_id integer not null,
    revision integer not null,
    -- Such as opened, worsened, acknowledged.
    change text not null,
    at integer not null,
    severity text not null,
    condition text not null,
    handling text not null,
    summary text not null,
    acknowledged_by text,
    assigned_to text,
    note text,
    primary key (alert_id, revision)
) without rowid;
