-- Index of the archive. Plain SQL that SQLite and PostgreSQL both run.
-- Times are milliseconds since 1970 in UTC. `attributes` holds DICOM JSON (PS3.18 annex F).
-- Columns that end in _folded hold decoded text in lower case, for narrowing a search.

CREATE TABLE studies (
    study_instance_uid      TEXT PRIMARY KEY,
    patient_id_folded       TEXT NOT NULL,
    patient_name_folded     TEXT NOT NULL,
    accession_number_folded TEXT NOT NULL,
    study_date              TEXT NOT NULL,
    received_at             BIGINT NOT NULL,
    attributes              TEXT NOT NULL
);
CREATE INDEX studies_by_patient ON studies (patient_id_folded);
CREATE INDEX studies_by_date ON studies (study_date);
CREATE INDEX studies_by_arrival ON studies (received_at);

-- A series identifier that occurs in two studies makes two rows: nothing received is refused for it.
-- revision counts new instances; assembled_revision is the revision that assembly has dealt with.
CREATE TABLE series (
    study_instance_uid  TEXT NOT NULL REFERENCES studies (study_instance_uid) DEFERRABLE INITIALLY DEFERRED,
    series_instance_uid TEXT NOT NULL,
    modality            TEXT NOT NULL,
    series_number       BIGINT,
    own_results         SMALLINT NOT NULL,
    last_received_at    BIGINT NOT NULL,
    revision            BIGINT NOT NULL,
    assembled_revision  BIGINT NOT NULL,
    attributes          TEXT NOT NULL,
    PRIMARY KEY (study_instance_uid, series_instance_uid)
);
CREATE INDEX series_by_uid ON series (series_instance_uid);
CREATE INDEX series_to_assemble ON series (last_received_at) WHERE assembled_revision < revision;

CREATE TABLE instances (
    sop_instance_uid    TEXT PRIMARY KEY,
    study_instance_uid  TEXT NOT NULL,
    series_instance_uid TEXT NOT NULL,
    sop_class_uid       TEXT NOT NULL,
    transfer_syntax_uid TEXT NOT NULL,
    sha256              TEXT NOT NULL,
    blob                TEXT NOT NULL,
    bytes               BIGINT NOT NULL,
    instance_number     BIGINT,
    origin              TEXT NOT NULL,
    received_at         BIGINT NOT NULL,
    attributes          TEXT NOT NULL,
    FOREIGN KEY (study_instance_uid, series_instance_uid) REFERENCES series (study_instance_uid, series_instance_uid)
        DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX instances_by_series ON instances (study_instance_uid, series_instance_uid, instance_number, sop_instance_uid);

-- Objects that came under the identifier of another object: kept, never shown in place of the first.
CREATE TABLE conflicts (
    sop_instance_uid    TEXT NOT NULL,
    sha256              TEXT NOT NULL,
    study_instance_uid  TEXT NOT NULL,
    series_instance_uid TEXT NOT NULL,
    transfer_syntax_uid TEXT NOT NULL,
    blob                TEXT NOT NULL,
    origin              TEXT NOT NULL,
    received_at         BIGINT NOT NULL,
    PRIMARY KEY (sop_instance_uid, blob)
);
