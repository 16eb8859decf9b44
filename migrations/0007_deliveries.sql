-- What destinations say of what they have. Plain SQL that SQLite and PostgreSQL both run.
-- Times are milliseconds since 1970 in UTC.

-- In which other form an object was sent, and what is remarkable about it: a warning of the destination.
ALTER TABLE deliveries ADD COLUMN sent_as TEXT;
ALTER TABLE deliveries ADD COLUMN remark TEXT;

-- Storage commitment (PS3.4 annex J): the last request by its Transaction UID, when it was made, and when the
-- destination committed to keep the object.
ALTER TABLE deliveries ADD COLUMN commitment_uid TEXT;
ALTER TABLE deliveries ADD COLUMN commitment_asked_at BIGINT;
ALTER TABLE deliveries ADD COLUMN committed_at BIGINT;
