-- Who an object says it is of, rejections that stand, lists in their order. Plain SQL that SQLite and PostgreSQL both run.

-- Attributes of patient and study of the stored object, when the other one came, as DICOM JSON; beside attributes, those of
-- the one that came.
ALTER TABLE conflicts ADD COLUMN stored TEXT NOT NULL DEFAULT '{}';

-- Rejections that stand. An object is hidden while there is one, also if it comes after its rejection.
-- was: its visibility before. record: the record of the rejection; empty in rows of earlier versions.
CREATE TABLE standing_rejections (
    sop_instance_uid   TEXT NOT NULL,
    study_instance_uid TEXT NOT NULL,
    record             TEXT NOT NULL,
    was                TEXT NOT NULL,
    PRIMARY KEY (sop_instance_uid, record)
);
INSERT INTO standing_rejections
    SELECT sop_instance_uid, study_instance_uid, '', 'current' FROM instances WHERE visibility = 'rejected';

-- Lists and searches with wild cards read this index alone until a study is found: its order is that of the list, and the
-- texts that patterns are compared with stand beside.
CREATE INDEX studies_by_arrival_and_texts ON studies (received_at DESC, study_instance_uid, patient_name_folded, description_folded);
DROP INDEX studies_by_arrival;
