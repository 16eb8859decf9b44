-- A delivery that was given up is called what it is. Plain SQL that SQLite and PostgreSQL both run.

UPDATE deliveries SET state = 'failed' WHERE state = 'dead-letter';
