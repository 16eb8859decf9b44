-- Objects that were refused, so that a series says why it is not whole. Plain SQL that SQLite and PostgreSQL both run.
-- Times are milliseconds since 1970 in UTC.

-- One row per object, however often it is sent; the oldest rows are deleted beyond a number of them.
CREATE TABLE refusals (
    study_instance_uid  TEXT NOT NULL,
    series_instance_uid TEXT NOT NULL,
    sop_instance_uid    TEXT NOT NULL,
    cause               TEXT NOT NULL,
    first_at            BIGINT NOT NULL,
    last_at             BIGINT NOT NULL,
    PRIMARY KEY (study_instance_uid, series_instance_uid, sop_instance_uid)
);
CREATE INDEX refusals_by_time ON refusals (last_at);
CREATE INDEX conflicts_by_series ON conflicts (study_instance_uid, series_instance_uid);

-- What of the series had been refused when the job was made, as JSON; NULL in jobs of earlier versions.
ALTER TABLE jobs ADD COLUMN refused TEXT;
