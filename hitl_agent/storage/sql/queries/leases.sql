-- take: the lease of a thread that nobody holds
-- It need not outlive a crash of the server: a token that is forgotten fits nothing any more.
WITH taken AS (
    INSERT INTO hitl.thread AS t (
        thread_id, token, holder, scope, taken_at, expires_at, requester
    ) VALUES (
        %(thread_id)s, %(token)s, %(holder)s, %(scope)s, %(now)s, %(expires_at)s, %(actor)s
    )
    ON CONFLICT (thread_id) DO UPDATE
    SET token = excluded.token, holder = excluded.holder, scope = excluded.scope,
        taken_at = excluded.taken_at, expires_at = excluded.expires_at,
        requester = CASE
            WHEN %(resumes)s THEN coalesce(t.requester, excluded.requester)
            ELSE coalesce(excluded.requester, t.requester)
        END
    WHERE t.expires_at IS NULL OR t.expires_at <= %(now)s OR t.token = excluded.token
    RETURNING requester
)
SELECT requester, set_config('synchronous_commit', 'off', true) FROM taken;

-- holder: who drives a thread
SELECT holder, taken_at, expires_at FROM hitl.thread WHERE thread_id = %(thread_id)s;

-- release: give the lease back, unless somebody else has taken it over
-- It is waited for: forgotten by a crash of the server, it would keep everybody out until it ends.
WITH released AS (
    UPDATE hitl.thread SET expires_at = %(halted_at)s
    WHERE thread_id = %(thread_id)s AND token = %(token)s
    RETURNING thread_id
)
SELECT count(*) AS written FROM released;

-- renew: the leases that are still ours
WITH renewed AS (
    UPDATE hitl.thread AS t SET expires_at = %(expires_at)s
    FROM unnest(%(thread_ids)s::text[], %(tokens)s::bigint[]) AS h (thread_id, token)
    WHERE t.thread_id = h.thread_id AND t.token = h.token AND t.expires_at IS NOT NULL
    RETURNING t.token
)
SELECT count(*) AS written, set_config('synchronous_commit', 'off', true) FROM renewed;

-- halted: threads that were left halfway, or whose decision nobody has taken up, longest ago first
SELECT
    t.thread_id, t.holder, t.expires_at IS NOT NULL AS "left",
    ARRAY(
        SELECT r.request_id FROM hitl.review_request AS r
        WHERE r.thread_id = t.thread_id AND r.status = 'decided' AND NOT r.taken_up
    ) AS decided
FROM hitl.thread AS t
WHERE t.scope = 'thread' AND (
    t.expires_at <= %(now)s
    OR t.expires_at IS NULL AND t.thread_id IN (
        SELECT r.thread_id FROM hitl.review_request AS r
        JOIN hitl.judgement AS j USING (thread_id, call_id, revision)
        WHERE r.status = 'decided' AND NOT r.taken_up AND j.tier <> 'soft_review'
    )
)
ORDER BY t.taken_at, t.thread_id
LIMIT %(limit)s;

-- settle: of decisions that were looked at, that nothing is left to do about them
UPDATE hitl.review_request SET taken_up = true
WHERE request_id = ANY(%(request_ids)s::uuid[]);
