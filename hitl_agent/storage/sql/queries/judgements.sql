-- keep_policy: the document behind a digest, kept for ever
INSERT INTO hitl.policy (digest, document, reviewers)
VALUES (%(digest)s, %(document)s, %(reviewers)s)
ON CONFLICT DO NOTHING;

-- newest: the newest judgement of each call and all that came of it
SELECT DISTINCT ON (j.call_id)
    j.thread_id, j.call_id, j.revision, j.tool, j.args, j.call_digest, j.planned_digest, j.verdict,
    j.actor, j.tool_version, j.binding,
    ARRAY(
        SELECT k.planned_digest FROM hitl.judgement AS k
        WHERE k.thread_id = j.thread_id AND k.call_id = j.call_id
    ) AS planned_before,
    r.request_id, r.status AS request_status, r.interrupt_id, r.problem, r.claim,
    r.created_at AS requested_at, r.due_at,
    d.type AS decision, d.args AS decided_args, d.message, d.reviewer, d.channel,
    g.grant_id, g.binding AS granted, g.expires_at, g.consumed_at,
    a.state AS attempt, a.revision AS attempt_revision, a.attempt_id, a.opened_at, a.started_at,
    a.deadline, a.tries, a.result
FROM hitl.judgement AS j
LEFT JOIN hitl.review_request AS r USING (thread_id, call_id, revision)
LEFT JOIN hitl.decision AS d USING (request_id)
LEFT JOIN hitl."grant" AS g USING (thread_id, call_id, revision)
LEFT JOIN hitl.attempt AS a
    ON a.thread_id = j.thread_id AND a.call_id = j.call_id
WHERE j.thread_id = %(thread_id)s AND j.call_id = ANY(%(call_ids)s)
ORDER BY j.call_id, j.revision DESC;

-- judge: one verdict, the grant or the question that comes with it, and their entries; older
-- questions about the call end
-- Nothing waits for the disk here: what comes of a verdict, an attempt or a vote, is waited for, and
-- PostgreSQL writes in order. A verdict that a crash of the server forgets is given again.
WITH judged AS (
    INSERT INTO hitl.judgement (
        thread_id, call_id, revision, tool, args, call_digest, planned_digest, tier, verdict,
        policy_digest, judged_at, confidence, assessment, actor, amount, currency, counterparty,
        asked_by, tool_version, binding
    )
    SELECT
        %(thread_id)s, %(call_id)s, %(revision)s, %(tool)s, %(args)s, %(call_digest)s,
        %(planned_digest)s, %(tier)s, %(verdict)s, %(policy_digest)s, %(now)s, %(confidence)s,
        %(assessment)s, %(actor)s, %(amount)s, %(currency)s, %(counterparty)s,
        %(asked_by)s, %(tool_version)s, %(binding)s
    WHERE NOT EXISTS (  -- what became of a call that was sent is settled first
        SELECT FROM hitl.attempt AS a
        WHERE a.thread_id = %(thread_id)s AND a.call_id = %(call_id)s
            AND a.state IN ('started', 'succeeded', 'failed')
    )
    ON CONFLICT DO NOTHING
    RETURNING thread_id, call_id, revision
), granted AS (
    INSERT INTO hitl."grant" (
        grant_id, thread_id, call_id, revision, binding, source, granted_at, expires_at
    )
    SELECT
        %(grant_id)s, thread_id, call_id, revision, %(binding)s, 'policy', %(now)s, %(expires_at)s
    FROM judged
    WHERE %(grant_id)s::uuid IS NOT NULL
), asked AS (
    INSERT INTO hitl.review_request (
        request_id, thread_id, call_id, revision, graph, status, args_schema, claim, task,
        created_at, due_at
    )
    SELECT
        %(request_id)s, thread_id, call_id, revision, %(graph)s, 'open', %(args_schema)s,
        %(claim)s, %(task)s, %(now)s, %(due_at)s
    FROM judged
    WHERE %(request_id)s::uuid IS NOT NULL
), withdrawn AS (
    UPDATE hitl.review_request AS r SET status = 'withdrawn'
    FROM judged AS j
    WHERE r.thread_id = j.thread_id AND r.call_id = j.call_id AND r.revision < j.revision
        AND r.status = 'open'
), recorded AS (
    INSERT INTO hitl.record (thread_id, call_id, kind, entry)
    SELECT j.thread_id, j.call_id, e::json ->> 'kind', e
    FROM judged AS j, json_array_elements_text(%(entries)s::json) AS e
)
SELECT
    count(*) AS written, set_config('hitl.token', %(token)s, true),
    set_config('synchronous_commit', 'off', true)
FROM judged;

-- requesters: who asked for calls, from the first judgement on
SELECT actor, asked_by
FROM hitl.judgement
WHERE thread_id = %(thread_id)s AND call_id = ANY(%(call_ids)s)
ORDER BY judged_at, revision;

-- tools_run: the tools of which a call was begun in the thread
SELECT DISTINCT j.tool
FROM hitl.attempt AS a
JOIN hitl.judgement AS j USING (thread_id, call_id, revision)
WHERE a.thread_id = %(thread_id)s
ORDER BY j.tool;

-- past: the calls of a span that ran or are permitted to, but for the one at hand, and their amounts
-- What lies ahead of `now` counts as well: clocks differ, and go back. Of all that is done for an
-- actor most has no amount; elsewhere an amount that is not known makes the sum unknown.
SELECT
    count(*) AS count, coalesce(sum(p.amount), 0) AS sum,
    count(DISTINCT coalesce(p.currency, '')) FILTER (WHERE p.amount IS NOT NULL) AS currencies,
    min(p.currency) FILTER (WHERE p.amount IS NOT NULL) AS currency,
    count(*) FILTER (WHERE p.amount IS NULL AND %(by)s <> 'actor') AS unreadable
FROM (
    SELECT DISTINCT ON (j.thread_id, j.call_id) j.amount, j.currency
    FROM hitl.judgement AS j
    JOIN hitl."grant" AS g USING (thread_id, call_id, revision)
    WHERE CASE %(by)s
            WHEN 'tool' THEN j.tool = %(key)s
            WHEN 'actor' THEN j.actor = %(key)s
            ELSE j.counterparty = %(key)s
        END
        AND greatest(g.granted_at, g.consumed_at) > %(since)s
        AND (g.consumed_at IS NOT NULL OR g.expires_at > %(now)s)
        AND (j.thread_id, j.call_id) <> (%(thread_id)s, %(call_id)s)
    ORDER BY j.thread_id, j.call_id, j.revision DESC
) AS p;
