-- Jobs, their results and deliveries. Plain SQL that SQLite and PostgreSQL both run.
-- Times are milliseconds since 1970 in UTC.

-- One row per series and set of instances. instances holds the SOP Instance UIDs of the set as a JSON array, summary
-- the analysis' own summary as JSON.
CREATE TABLE jobs (
    id                  TEXT PRIMARY KEY,
    study_instance_uid  TEXT NOT NULL,
    series_instance_uid TEXT NOT NULL,
    instances_sha256    TEXT NOT NULL,
    instances           TEXT NOT NULL,
    version             BIGINT NOT NULL,
    state               TEXT NOT NULL,
    attempts            BIGINT NOT NULL,
    interruptions       BIGINT NOT NULL,
    not_before          BIGINT NOT NULL,
    lease_run           TEXT,
    lease_until         BIGINT,
    error               TEXT,
    summary             TEXT,
    created_at          BIGINT NOT NULL,
    updated_at          BIGINT NOT NULL,
    UNIQUE (study_instance_uid, series_instance_uid, instances_sha256)
);
CREATE INDEX jobs_by_state ON jobs (state, not_before);

CREATE TABLE results (
    job_id              TEXT NOT NULL REFERENCES jobs (id),
    position            BIGINT NOT NULL,
    kind                TEXT NOT NULL,
    study_instance_uid  TEXT NOT NULL,
    series_instance_uid TEXT NOT NULL,
    sop_instance_uid    TEXT NOT NULL,
    PRIMARY KEY (job_id, sop_instance_uid)
);
CREATE INDEX results_by_study ON results (study_instance_uid);

CREATE TABLE deliveries (
    sop_instance_uid TEXT NOT NULL,
    destination      TEXT NOT NULL,
    job_id           TEXT NOT NULL REFERENCES jobs (id),
    state            TEXT NOT NULL,
    attempts         BIGINT NOT NULL,
    not_before       BIGINT NOT NULL,
    error            TEXT,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL,
    PRIMARY KEY (sop_instance_uid, destination)
);
CREATE INDEX deliveries_due ON deliveries (destination, state, not_before);
CREATE INDEX deliveries_by_job ON deliveries (job_id);
