-- Issues of a result. Plain SQL that SQLite and PostgreSQL both run.

-- A set of results that a destination was told not to use, or whose identifiers another object has, is never sent as it was:
-- its job is analysed again under the next issue, which has identifiers of its own. The results of a job that count are
-- those of its issue.
ALTER TABLE jobs ADD COLUMN issue BIGINT NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN issue BIGINT NOT NULL DEFAULT 0;

-- Of a page "not analysed": it says that an earlier result stays as it is.
ALTER TABLE results ADD COLUMN beside_result SMALLINT NOT NULL DEFAULT 0;
