-- Why: an alert must be explained by what judged it at the time, not by what is in force today: rules, thresholds, fences and the very
-- bytes of the models, by the revision that stands beside every reading and alert.

create table configurations (
    revision integer primary key,
    created_at integer not null,
    -- JSON: rules, fences (GeoJSON), models (name, version, sha256), analytics settings.
    content text not null
);

create table model_files (
    -- Hexadecimal.
    sha256 text primary key,
    file blob not null
) without rowid;
