-- open: consume the grant and open the attempt, with its entry, all or nothing
-- An attempt that is only reserved, for which nothing was sent, goes on under the grant it has. Sent
-- again after a broken connection, the statement finds its own attempt and changes nothing.
WITH used AS (
    UPDATE hitl."grant" AS g SET consumed_at = coalesce(g.consumed_at, %(now)s)
    WHERE g.thread_id = %(thread_id)s AND g.call_id = %(call_id)s AND g.revision = %(revision)s
        AND g.binding = %(binding)s
        AND NOT EXISTS (  -- what was judged anew has no permission from before
            SELECT FROM hitl.judgement AS j
            WHERE j.thread_id = g.thread_id AND j.call_id = g.call_id AND j.revision > g.revision
        )
        AND (
            g.consumed_at IS NULL AND g.expires_at > %(now)s AND NOT EXISTS (
                SELECT FROM hitl.attempt AS a
                WHERE a.thread_id = g.thread_id AND a.call_id = g.call_id
                    AND a.state NOT IN ('in_doubt', 'reserved')
            )
            OR EXISTS (
                SELECT FROM hitl.attempt AS a
                WHERE a.grant_id = g.grant_id AND a.state = 'reserved'
                    AND a.attempt_id <> %(attempt_id)s
            )
        )
    RETURNING g.grant_id, g.thread_id, g.call_id, g.revision
), opened AS (
    INSERT INTO hitl.attempt AS a (
        thread_id, call_id, revision, grant_id, state, attempt_id, opened_at, started_at, deadline
    )
    SELECT
        thread_id, call_id, revision, grant_id, %(state)s, %(attempt_id)s, %(now)s, %(now)s,
        %(deadline)s
    FROM used
    ON CONFLICT (thread_id, call_id) DO UPDATE
    SET revision = excluded.revision, grant_id = excluded.grant_id, state = excluded.state,
        attempt_id = excluded.attempt_id, started_at = excluded.started_at,
        deadline = excluded.deadline, ended_at = NULL,
        tries = CASE
            WHEN a.state = 'reserved' AND a.revision = excluded.revision THEN a.tries + 1
            ELSE 1
        END
    WHERE a.state = 'in_doubt' AND a.revision < excluded.revision OR a.state = 'reserved'
    RETURNING a.thread_id, a.call_id
), recorded AS (
    INSERT INTO hitl.record (thread_id, call_id, kind, entry)
    SELECT thread_id, call_id, e::json ->> 'kind', e
    FROM opened, json_array_elements_text(%(entries)s::json) AS e
)
SELECT
    (SELECT count(*) FROM opened) + (
        SELECT count(*) FROM hitl.attempt AS a
        WHERE a.thread_id = %(thread_id)s AND a.call_id = %(call_id)s
            AND a.attempt_id = %(attempt_id)s AND a.state = %(state)s
    ) AS written,
    set_config('hitl.token', %(token)s, true);

-- again: try a started call once more, under the key it has
WITH again AS (
    UPDATE hitl.attempt
    SET attempt_id = %(attempt_id)s, started_at = %(now)s, deadline = %(deadline)s,
        tries = tries + 1
    WHERE thread_id = %(thread_id)s AND call_id = %(call_id)s AND revision = %(revision)s
        AND attempt_id IS NOT DISTINCT FROM %(previous)s AND state = 'started'
    RETURNING thread_id, call_id
), recorded AS (
    INSERT INTO hitl.record (thread_id, call_id, kind, entry)
    SELECT thread_id, call_id, e::json ->> 'kind', e
    FROM again, json_array_elements_text(%(entries)s::json) AS e
)
SELECT
    (SELECT count(*) FROM again) + (
        SELECT count(*) FROM hitl.attempt AS a
        WHERE a.thread_id = %(thread_id)s AND a.call_id = %(call_id)s
            AND a.attempt_id = %(attempt_id)s AND a.state = 'started'
    ) AS written,
    set_config('hitl.token', %(token)s, true);

-- end: the outcome of an open attempt and its entry
-- It is waited for, also where it is the commit of a tool's own transaction: the process lives on
-- when the server crashes, and tells the planner what the server would have forgotten.
WITH ended AS (
    UPDATE hitl.attempt SET state = %(state)s, result = %(result)s, ended_at = %(now)s
    WHERE thread_id = %(thread_id)s AND call_id = %(call_id)s
        AND attempt_id IS NOT DISTINCT FROM %(attempt_id)s AND state IN ('reserved', 'started')
    RETURNING thread_id, call_id
), recorded AS (
    INSERT INTO hitl.record (thread_id, call_id, kind, entry)
    SELECT thread_id, call_id, e::json ->> 'kind', e
    FROM ended, json_array_elements_text(%(entries)s::json) AS e
)
SELECT
    (SELECT count(*) FROM ended) + (
        SELECT count(*) FROM hitl.attempt AS a
        WHERE a.thread_id = %(thread_id)s AND a.call_id = %(call_id)s
            AND a.attempt_id = %(attempt_id)s AND a.state = %(state)s AND a.ended_at = %(now)s
    ) AS written,
    set_config('hitl.token', %(token)s, true);

-- suspend: an open attempt that is as if nothing had been sent, and its entry; no try is counted
WITH suspended AS (
    UPDATE hitl.attempt SET state = 'reserved', tries = tries - 1
    WHERE thread_id = %(thread_id)s AND call_id = %(call_id)s
        AND attempt_id = %(attempt_id)s AND state IN ('reserved', 'started') AND tries > 0
    RETURNING thread_id, call_id
), recorded AS (
    INSERT INTO hitl.record (thread_id, call_id, kind, entry)
    SELECT thread_id, call_id, e::json ->> 'kind', e
    FROM suspended, json_array_elements_text(%(entries)s::json) AS e
)
SELECT count(*) AS written, set_config('hitl.token', %(token)s, true) FROM suspended;
