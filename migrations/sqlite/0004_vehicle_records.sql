-- Why: what people say about a vehicle (its class, powertrain, groups …) is not in its readings, and decides which models apply, who
-- sees it, and whether it may send at all. And a quarantined message that was taken in after a fix must not be taken in again.

-- Null: only seen, nobody registered it; its class is then unknown.
alter table vehicles add column registered_at integer;
alter table vehicles add column class text not null default 'unknown';
alter table vehicles add column powertrain text;
-- JSON array; `groups` is a word of SQL.
alter table vehicles add column vehicle_groups text;
alter table vehicles add column tank_l real;
alter table vehicles add column battery_kwh real;
alter table vehicles add column make text;

alter table quarantine add column replayed_at integer;
