-- Searches answer newest first and read no more rows than they return. Plain SQL that SQLite and PostgreSQL both run.

-- Decoded text in lower case, for narrowing a search; NULL in rows of earlier versions until the next start has read it.
ALTER TABLE studies ADD COLUMN description_folded TEXT;
ALTER TABLE series ADD COLUMN description_folded TEXT;

-- When the first object of the study arrived, beside the series: its index is in the order that searches answer in.
ALTER TABLE series ADD COLUMN study_received_at BIGINT;
UPDATE series SET study_received_at =
    (SELECT s.received_at FROM studies s WHERE s.study_instance_uid = series.study_instance_uid);

CREATE INDEX studies_by_accession ON studies (accession_number_folded);
CREATE INDEX studies_by_description ON studies (description_folded);
CREATE INDEX series_by_arrival ON series (study_received_at, study_instance_uid);
CREATE INDEX series_by_modality ON series (modality, study_received_at, study_instance_uid);
CREATE INDEX instances_by_class ON instances (sop_class_uid, study_instance_uid, series_instance_uid, visibility);
CREATE INDEX instances_by_visibility ON instances (study_instance_uid, series_instance_uid, visibility);
CREATE INDEX jobs_by_creation ON jobs (created_at, id);
