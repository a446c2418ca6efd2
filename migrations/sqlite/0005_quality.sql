-- Why: bad data is not a bad vehicle. What cannot be believed about a reading stands beside it, and how many readings of its vehicle
-- were numbered and had not come by then. Both are null where nothing is wrong, so old code that knows neither goes on.

-- JSON object of verdicts, such as {"stuck":["speed_km_per_h"],"position":"jump","clock":"frozen","sequence":"conflict"}.
alter table readings add column quality text;
alter table readings add column lost_before_us integer;
