-- Why: a chart of a month must not read every reading. The rows of a vehicle lie as far apart as the vehicles that spoke in between,
-- so that a day at 30 s is 2,880 rows on as many pages; its summaries lie side by side on about ten.
--
-- Summaries are made some time after an hour is over, and only from readings that are here: `touched_hours` says which hours have
-- readings that no summary stands for yet. It is written together with the reading, a late one too, so that an hour that is not in it is
-- summed up completely. Old code does not open an archive with this migration, so nobody writes readings without it.

-- Quarters of an hour since 1970 in which a vehicle has readings; storage::summary says what the bytes are.
create table quarter_summaries (
    vehicle integer not null,
    quarter integer not null,
    summary blob not null,
    primary key (vehicle, quarter)
) without rowid;

-- Hours since 1970. In the order in which they are worked off; inserts stay within the present hour.
create table touched_hours (
    hour integer not null,
    vehicle integer not null,
    primary key (hour, vehicle)
) without rowid;

insert into touched_hours (hour, vehicle) select hour, vehicle from vehicle_hours order by hour, vehicle;
