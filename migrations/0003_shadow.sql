-- What candidate models said beside the active ones. Plain SQL that SQLite and PostgreSQL both run.
-- Times are milliseconds since 1970 in UTC.

-- One row per job and candidate, written after the job's own results. summary is the analysis' own summary as JSON,
-- error what the candidate failed of. Nothing here ever becomes an object or a delivery.
CREATE TABLE shadow_results (
    job_id      TEXT NOT NULL REFERENCES jobs (id),
    package     TEXT NOT NULL,
    sha256      TEXT NOT NULL,
    summary     TEXT,
    error       TEXT,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (job_id, package, sha256)
);
CREATE INDEX shadow_results_by_time ON shadow_results (recorded_at);
