-- Why: `readings_identity` begins with the minute, so a history query visits the 60 minutes of every hour in `vehicle_hours`. From a
-- table with a key, SQLite knows that they come in order, and neither sorts nor reads more rows than are asked for.

create table minutes_of_hour (
    number integer primary key
);

insert into minutes_of_hour (number)
with recursive minute (number) as (values (0) union all select number + 1 from minute where number < 59)
select number from minute;
