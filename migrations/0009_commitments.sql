-- Storage commitments that peers asked for (PS3.4 annex J). Plain SQL that SQLite and PostgreSQL both run.
-- Times are milliseconds since 1970 in UTC.

-- One row per transaction of a requester, which is an AE title. state is requested, reported or failed.
CREATE TABLE commitments (
    requester       TEXT NOT NULL,
    transaction_uid TEXT NOT NULL,
    state           TEXT NOT NULL,
    attempts        BIGINT NOT NULL,
    not_before      BIGINT NOT NULL,
    error           TEXT,
    requested_at    BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    PRIMARY KEY (requester, transaction_uid)
);
CREATE INDEX commitments_due ON commitments (state, not_before);

-- failure_reason is NULL until the instance was looked at, 0 if the node has committed to keep it, and otherwise a Failure
-- Reason (PS3.3 C.14.1.1). What the node has committed to is exempt from any retention until a destination has committed.
CREATE TABLE commitment_instances (
    requester        TEXT NOT NULL,
    transaction_uid  TEXT NOT NULL,
    position         BIGINT NOT NULL,
    sop_class_uid    TEXT NOT NULL,
    sop_instance_uid TEXT NOT NULL,
    failure_reason   BIGINT,
    PRIMARY KEY (requester, transaction_uid, position),
    FOREIGN KEY (requester, transaction_uid) REFERENCES commitments (requester, transaction_uid)
);
CREATE INDEX commitment_instances_by_instance ON commitment_instances (sop_instance_uid, failure_reason);
