-- put: the open question about a call that waits, under the interrupt that carries it now
WITH moved AS (
    UPDATE hitl.review_request AS r SET interrupt_id = %(interrupt_id)s
    FROM hitl.judgement AS j
    WHERE r.thread_id = %(thread_id)s AND r.call_id = %(call_id)s AND r.status = 'open'
        AND r.interrupt_id IS DISTINCT FROM %(interrupt_id)s
        AND j.thread_id = r.thread_id AND j.call_id = r.call_id AND j.revision = r.revision
        AND j.tier <> 'soft_review'
)
SELECT
    r.thread_id, r.graph, %(interrupt_id)s AS interrupt_id, r.request_id, r.call_id, r.revision,
    j.tool, j.args, j.call_digest, j.tier, j.verdict, r.claim, r.task, r.problem, r.args_schema,
    r.created_at, r.due_at
FROM hitl.review_request AS r
JOIN hitl.judgement AS j USING (thread_id, call_id, revision)
WHERE r.thread_id = %(thread_id)s AND r.call_id = %(call_id)s AND r.status = 'open'
    AND j.tier <> 'soft_review';

-- decide: the decision, the grant that an approval gives, and their entries; nothing if too late
-- A rejection ends the grant that a call under `soft_review` has, unless it was used.
WITH closed AS (
    UPDATE hitl.review_request SET status = 'decided', problem = NULL
    WHERE request_id = %(request_id)s AND status = 'open'
    RETURNING request_id, thread_id, call_id, revision
), decided AS (
    INSERT INTO hitl.decision (request_id, type, args, message, reviewer, channel, decided_at)
    SELECT
        request_id, %(type)s, %(args)s, %(message)s, %(reviewer)s, %(channel)s, %(now)s
    FROM closed
), granted AS (
    INSERT INTO hitl."grant" (
        grant_id, thread_id, call_id, revision, call_digest, policy_digest, source, granted_at,
        expires_at
    )
    SELECT
        %(grant_id)s, c.thread_id, c.call_id, c.revision, j.call_digest, j.policy_digest,
        'reviewers', %(now)s, %(expires_at)s
    FROM closed AS c
    JOIN hitl.judgement AS j USING (thread_id, call_id, revision)
    WHERE %(grant_id)s::uuid IS NOT NULL
), ended AS (
    UPDATE hitl."grant" AS g SET expires_at = least(g.expires_at, g.granted_at)
    FROM closed AS c
    WHERE %(type)s = 'reject' AND g.thread_id = c.thread_id AND g.call_id = c.call_id
        AND g.revision = c.revision AND g.consumed_at IS NULL
), recorded AS (
    INSERT INTO hitl.record (thread_id, call_id, kind, entry)
    SELECT c.thread_id, c.call_id, e::json ->> 'kind', e
    FROM closed AS c, json_array_elements_text(%(entries)s::json) AS e
)
SELECT count(*) AS written FROM closed;

-- refuse_answer: why an answer was not understood, and its entry; the question stays open
WITH noted AS (
    UPDATE hitl.review_request SET problem = %(problem)s
    WHERE request_id = %(request_id)s AND status = 'open'
    RETURNING thread_id, call_id
), recorded AS (
    INSERT INTO hitl.record (thread_id, call_id, kind, entry)
    SELECT thread_id, call_id, e::json ->> 'kind', e
    FROM noted, json_array_elements_text(%(entries)s::json) AS e
)
SELECT count(*) AS written FROM noted;

-- withdraw: end the open questions about calls that the planner has left behind, with their entries
WITH withdrawn AS (
    UPDATE hitl.review_request SET status = 'withdrawn'
    WHERE thread_id = %(thread_id)s AND call_id = ANY(%(call_ids)s) AND status = 'open'
    RETURNING thread_id, call_id
), recorded AS (
    INSERT INTO hitl.record (thread_id, call_id, kind, entry)
    SELECT w.thread_id, w.call_id, e::json ->> 'kind', e
    FROM withdrawn AS w
    JOIN json_array_elements_text(%(entries)s::json) AS e ON e::json ->> 'call_id' = w.call_id
)
SELECT count(*) AS written FROM withdrawn;

-- waiting: what waits for a person, most urgent first
SELECT
    r.thread_id, r.graph, r.interrupt_id, r.request_id, r.call_id, r.revision, j.tool, j.args,
    j.call_digest, j.tier, j.verdict, r.claim, r.task, r.problem, r.args_schema, r.created_at,
    r.due_at
FROM hitl.review_request AS r
JOIN hitl.judgement AS j USING (thread_id, call_id, revision)
WHERE r.status = 'open' AND (r.interrupt_id IS NOT NULL OR j.tier = 'soft_review')
    AND (%(thread_id)s::text IS NULL OR r.thread_id = %(thread_id)s)
    AND (%(call_id)s::text IS NULL OR r.call_id = %(call_id)s)
    AND (%(graph)s::text IS NULL OR r.graph = %(graph)s)
    AND (%(tool)s::text IS NULL OR j.tool = %(tool)s)
    AND (%(tier)s::text IS NULL OR j.tier = %(tier)s)
ORDER BY r.due_at NULLS LAST, r.created_at, r.request_id
LIMIT %(limit)s;

-- decided_by: who decided a question, when it is too late to
SELECT r.status, d.type, d.reviewer, d.decided_at
FROM hitl.review_request AS r
LEFT JOIN hitl.decision AS d USING (request_id)
WHERE r.request_id = %(request_id)s;

-- asked_of_call: the newest question about a call, whatever became of it
SELECT r.request_id
FROM hitl.review_request AS r
WHERE r.thread_id = %(thread_id)s AND r.call_id = %(call_id)s
ORDER BY r.revision DESC
LIMIT 1;
