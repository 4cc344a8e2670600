-- facts: what the server says of itself and of us, in one row
SELECT
    current_setting('server_version_num')::integer AS version,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS full_page_writes,
    current_setting('synchronous_standby_names') AS synchronous_standby_names,
    current_setting('default_transaction_isolation') AS isolation,
    current_setting('transaction_read_only') = 'on' AS read_only,
    current_setting('max_connections')::integer
        - current_setting('superuser_reserved_connections')::integer AS connections,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connected,
    -- null: whoever may not see it learns that there is a standby, and no more
    (SELECT array_agg(sync_state) FROM pg_stat_replication) AS standbys,
    (SELECT pg_is_in_recovery()) AS standby,
    pg_backend_pid() AS pid,
    clock_timestamp() AS now,
    quote_ident(current_user) AS role,
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser;

-- privileges: what we may do to the record; a name like hitl.record is refused to whoever lacks all
SELECT
    pg_has_role(current_user, c.relowner, 'USAGE') AS owner,
    has_table_privilege(c.oid, 'UPDATE') OR has_table_privilege(c.oid, 'DELETE')
        OR has_table_privilege(c.oid, 'TRUNCATE') AS changes,
    has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'INSERT') AS adds,
    (SELECT quote_ident(m.nspname) FROM pg_class AS k JOIN pg_namespace AS m
     ON m.oid = k.relnamespace WHERE k.oid = to_regclass('checkpoints')) AS checkpoints
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'hitl' AND c.relname = 'record';
