-- Which instances are listed and retrieved. Plain SQL that SQLite and PostgreSQL both run.

-- current, superseded, withdrawn or rejected: `store/index/visibility.rs` says what each means. Nothing is deleted by it.
ALTER TABLE instances ADD COLUMN visibility TEXT NOT NULL DEFAULT 'current';

-- The results of an analysis of the same images have the same identifiers, whatever else came into the series.
CREATE INDEX results_by_instance ON results (sop_instance_uid);

-- Which destination was told, by which rejection note, that a result was replaced.
CREATE TABLE rejection_notes (
    sop_instance_uid TEXT NOT NULL,
    destination      TEXT NOT NULL,
    note             TEXT NOT NULL,
    PRIMARY KEY (sop_instance_uid, destination)
);
