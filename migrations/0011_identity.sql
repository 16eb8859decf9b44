-- The identity of objects. Plain SQL that SQLite and PostgreSQL both run.
-- Times are milliseconds since 1970 in UTC.

-- What an object says, whatever its encoding (a digest); NULL in rows of earlier versions.
ALTER TABLE instances ADD COLUMN content TEXT;

-- Objects that came under the identifier of another one, and objects that were replaced.
-- state: held (a person, or the rest of the study, decides), refused, replaced (what an instance was before).
-- subject: what the two differ in. differing: the attributes as a JSON array of tags.
-- attributes: those of patient and study, as DICOM JSON. kept: the bytes are in the archive.
ALTER TABLE conflicts ADD COLUMN state TEXT NOT NULL DEFAULT 'refused';
ALTER TABLE conflicts ADD COLUMN subject TEXT NOT NULL DEFAULT 'image';
ALTER TABLE conflicts ADD COLUMN differing TEXT NOT NULL DEFAULT '[]';
ALTER TABLE conflicts ADD COLUMN attributes TEXT NOT NULL DEFAULT '{}';
ALTER TABLE conflicts ADD COLUMN content TEXT;
ALTER TABLE conflicts ADD COLUMN trusted SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE conflicts ADD COLUMN kept SMALLINT NOT NULL DEFAULT 1;
CREATE INDEX conflicts_by_state ON conflicts (state, study_instance_uid);

-- Results of a job whose images have other attributes now are never filed.
ALTER TABLE jobs ADD COLUMN withdrawn SMALLINT NOT NULL DEFAULT 0;

-- Corrections, rejections and their like, in the order in which they were made. Each is also a file beside the objects,
-- written first.
CREATE TABLE records (
    id                 TEXT PRIMARY KEY,
    at                 BIGINT NOT NULL,
    study_instance_uid TEXT NOT NULL,
    kind               TEXT NOT NULL,
    record             TEXT NOT NULL
);
CREATE INDEX records_by_study ON records (study_instance_uid, at);
