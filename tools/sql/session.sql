-- name: limit_time: bound statements and the transaction; older servers lack the second setting
SELECT set_config(
    name,
    CASE name WHEN 'transaction_timeout' THEN %(transaction)s ELSE %(statement)s END,
    true
)
FROM pg_catalog.pg_settings
WHERE name IN ('statement_timeout', 'lock_timeout', 'transaction_timeout');
