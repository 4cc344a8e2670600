-- start: consume the grant, open the attempt and write its entry, all or nothing
WITH used AS (
    UPDATE hitl."grant" AS g SET consumed_at = %(now)s
    WHERE g.thread_id = %(thread_id)s AND g.call_id = %(call_id)s AND g.revision = %(revision)s
        AND g.call_digest = %(call_digest)s AND g.policy_digest = %(policy_digest)s
        AND g.consumed_at IS NULL AND g.expires_at > %(now)s
        AND NOT EXISTS (
            SELECT FROM hitl.attempt AS a
            WHERE a.thread_id = g.thread_id AND a.call_id = g.call_id AND a.state <> 'in_doubt'
        )
    RETURNING g.grant_id, g.thread_id, g.call_id, g.revision
), started AS (
    INSERT INTO hitl.attempt AS a (
        thread_id, call_id, revision, grant_id, state, started_at, deadline
    )
    SELECT thread_id, call_id, revision, grant_id, 'started', %(now)s, %(deadline)s FROM used
    ON CONFLICT (thread_id, call_id) DO UPDATE
    SET revision = excluded.revision, grant_id = excluded.grant_id, state = 'started',
        started_at = excluded.started_at, deadline = excluded.deadline, ended_at = NULL
    WHERE a.state = 'in_doubt' AND a.revision < excluded.revision
    RETURNING a.thread_id, a.call_id
), recorded AS (
    INSERT INTO hitl.record (thread_id, call_id, kind, entry)
    SELECT thread_id, call_id, e::json ->> 'kind', e
    FROM started, json_array_elements_text(%(entries)s::json) AS e
)
SELECT count(*) AS written FROM started;

-- end: the outcome of a started attempt and its entry
WITH ended AS (
    UPDATE hitl.attempt SET state = %(state)s, result = %(result)s, ended_at = %(now)s
    WHERE thread_id = %(thread_id)s AND call_id = %(call_id)s AND revision = %(revision)s
        AND state = 'started'
    RETURNING thread_id, call_id
), recorded AS (
    INSERT INTO hitl.record (thread_id, call_id, kind, entry)
    SELECT thread_id, call_id, e::json ->> 'kind', e
    FROM ended, json_array_elements_text(%(entries)s::json) AS e
)
SELECT count(*) AS written FROM ended;
