-- Lists and searches with wild cards read this index alone until a study is found: its order is that of the list, and the
-- texts that patterns are compared with stand beside. Plain SQL that SQLite and PostgreSQL both run.
CREATE INDEX studies_by_arrival_and_texts ON studies (received_at DESC, study_instance_uid, patient_name_folded, description_folded);
DROP INDEX studies_by_arrival;
