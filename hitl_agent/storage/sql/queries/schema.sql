-- schema_exists: whether our schema is there at all
SELECT to_regclass('hitl.migration') IS NOT NULL;

-- applied: numbers of the applied migrations, in order
SELECT version FROM hitl.migration ORDER BY version;

-- try_lock: the migration lock, held until the transaction ends
SELECT pg_try_advisory_xact_lock(4812170912);

-- bootstrap: where the applied migrations are kept
CREATE SCHEMA IF NOT EXISTS hitl;
CREATE TABLE IF NOT EXISTS hitl.migration (
    version integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- applied_one: note a migration as applied
INSERT INTO hitl.migration (version, name) VALUES (%(version)s, %(name)s);

-- lock_key: until the end of the transaction, which the server ends if its client is frozen in it
SELECT
    pg_advisory_xact_lock(hashtextextended('hitl ' || %(key)s, 0)),
    set_config('idle_in_transaction_session_timeout', '30s', true);

-- session: which process answers, and what its transactions begin as
SELECT
    pg_backend_pid() AS pid,
    current_setting('default_transaction_isolation') AS isolation,
    quote_ident(current_user) AS role;

-- isolation: until the connection ends; only where no pooler would hand it on
SET default_transaction_isolation = 'read committed';

-- limit: how long a statement of this transaction may take, and the client between two of them
SELECT
    set_config('statement_timeout', %(limit)s, true),
    set_config('idle_in_transaction_session_timeout', %(limit)s, true);
