-- Why: what was acknowledged and not believed must be found, understood and, after a fix, taken in again. The newest are kept, within
-- the bounds of storage::sqlite; the counters go on for ever and are exact.

create table quarantine (
    id integer primary key,
    received_at integer not null,
    source text not null,
    -- As the sender gave it; may be no valid id.
    vehicle_id text not null,
    reason text not null,
    detail text not null,
    -- Which element of the message.
    item integer not null,
    slot integer not null,
    arrival integer not null,
    -- Length of all that came, and of what was kept of it.
    payload_bytes integer not null,
    kept_bytes integer not null,
    payload blob not null,
    -- The journal may bring a record twice. The time is part of it, so that a new journal does not meet the numbers of an old one.
    unique (slot, arrival, item, received_at)
);

create index quarantine_reason on quarantine (reason, id);

create table quarantine_counts (
    reason text primary key,
    messages integer not null
) without rowid;
