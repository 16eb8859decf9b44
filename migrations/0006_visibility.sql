-- Which instances are listed and retrieved. Plain SQL that SQLite and PostgreSQL both run.

-- current, superseded, withdrawn or rejected: `store/index/visibility.rs` says what each means. Nothing is deleted by it.
ALTER TABLE instances ADD COLUMN visibility TEXT NOT NULL DEFAULT 'current';
