-- put: the open question about a call that waits, under the interrupt that carries it now, if one is
-- given; where it is decided, the decision is taken up
WITH moved AS (
    UPDATE hitl.review_request AS r
    SET interrupt_id = %(interrupt_id)s, put_under = r.put_under || %(interrupt_id)s::text
    FROM hitl.judgement AS j
    WHERE r.thread_id = %(thread_id)s AND r.call_id = %(call_id)s AND r.status = 'open'
        AND r.interrupt_id IS DISTINCT FROM coalesce(%(interrupt_id)s, r.interrupt_id)
        AND j.thread_id = r.thread_id AND j.call_id = r.call_id AND j.revision = r.revision
        AND j.tier <> 'soft_review'
        AND (%(token)s = '' OR EXISTS (
            SELECT FROM hitl.thread AS t
            WHERE t.thread_id = %(thread_id)s AND t.token::text = %(token)s
        ))
), taken AS (
    UPDATE hitl.review_request SET taken_up = true
    WHERE thread_id = %(thread_id)s AND call_id = %(call_id)s AND status = 'decided'
        AND NOT taken_up
        AND (%(token)s = '' OR EXISTS (
            SELECT FROM hitl.thread AS t
            WHERE t.thread_id = %(thread_id)s AND t.token::text = %(token)s
        ))
    -- the next checkpoint is waited for, and this with it
    RETURNING set_config('synchronous_commit', 'off', true)
)
SELECT
    r.thread_id, r.graph, coalesce(%(interrupt_id)s, r.interrupt_id) AS interrupt_id, r.request_id, r.call_id, r.revision,
    j.tool, j.args, j.call_digest, j.binding, j.tier, j.verdict, r.claim, r.task, r.problem,
    r.args_schema, r.created_at, r.due_at, hitl.votes_on(r.request_id) AS votes
FROM hitl.review_request AS r
JOIN hitl.judgement AS j USING (thread_id, call_id, revision)
WHERE r.thread_id = %(thread_id)s AND r.call_id = %(call_id)s AND r.status = 'open'
    AND j.tier <> 'soft_review';

-- put_under: every question of the thread that was put under an interrupt
SELECT request_id
FROM hitl.review_request
WHERE thread_id = %(thread_id)s AND %(interrupt_id)s = ANY(put_under);

-- interrupts_of: the interrupts under which the questions about a call were put
SELECT DISTINCT unnest(put_under) AS interrupt_id
FROM hitl.review_request
WHERE thread_id = %(thread_id)s AND call_id = %(call_id)s;

-- standing: a question with its votes, what became of it, and who may vote, at one moment
SELECT
    r.status, r.votes AS seen, hitl.votes_on(r.request_id) AS votes, j.verdict,
    d.type AS decision, d.args AS decided_args, p.reviewers AS people,
    (
        SELECT coalesce(array_agg(DISTINCT one), '{}')
        FROM hitl.judgement AS k, unnest(ARRAY[k.actor, k.asked_by]) AS one
        WHERE k.thread_id = r.thread_id AND k.call_id = r.call_id AND one IS NOT NULL
    ) AS requesters
FROM hitl.review_request AS r
JOIN hitl.judgement AS j USING (thread_id, call_id, revision)
JOIN hitl.policy AS p ON p.digest = j.policy_digest
LEFT JOIN hitl.decision AS d USING (request_id)
WHERE r.request_id = %(request_id)s;

-- vote: one vote; where it decides, the decision and the grant that an approval gives; entries
-- Nothing if the question is closed, or others have voted since it was looked at. A rejection ends
-- the grant that a call under `soft_review` has, unless it was used. An answer that came with a
-- resume is taken up by whoever drives the thread; if that one has lost it, by nobody yet.
WITH counted AS (
    UPDATE hitl.review_request
    SET votes = votes + 1, problem = NULL,
        status = CASE WHEN %(decides)s THEN 'decided' ELSE 'open' END,
        taken_up = %(decides)s AND %(channel)s = 'resume' AND (%(token)s = '' OR EXISTS (
            SELECT FROM hitl.thread AS t
            WHERE t.thread_id = review_request.thread_id AND t.token::text = %(token)s
        ))
    WHERE request_id = %(request_id)s AND status = 'open' AND votes = %(seen)s
    RETURNING request_id, thread_id, call_id, revision
), voted AS (
    INSERT INTO hitl.vote (
        request_id, person, reviewer, type, message, channel, roles, voted_at
    )
    SELECT
        request_id, %(person)s, %(reviewer)s, %(type)s, %(message)s, %(channel)s,
        %(roles)s::text[], %(now)s
    FROM counted
    ON CONFLICT (request_id, person) DO UPDATE
    SET reviewer = excluded.reviewer, type = excluded.type, message = excluded.message,
        channel = excluded.channel, roles = excluded.roles, voted_at = excluded.voted_at
), closed AS (
    SELECT request_id, thread_id, call_id, revision FROM counted WHERE %(decides)s
), decided AS (
    INSERT INTO hitl.decision (request_id, type, args, message, reviewer, channel, decided_at)
    SELECT
        request_id, %(type)s, %(args)s, %(said)s, %(reviewers)s, %(channel)s, %(now)s
    FROM closed
), granted AS (
    INSERT INTO hitl."grant" (
        grant_id, thread_id, call_id, revision, binding, source, granted_at, expires_at
    )
    SELECT
        %(grant_id)s, c.thread_id, c.call_id, c.revision, j.binding, 'reviewers', %(now)s,
        %(expires_at)s
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
    FROM counted AS c, json_array_elements_text(%(entries)s::json) AS e
)
SELECT count(*) AS written FROM counted;

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
        AND (%(token)s = '' OR EXISTS (
            SELECT FROM hitl.thread AS t
            WHERE t.thread_id = %(thread_id)s AND t.token::text = %(token)s
        ))
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
    j.call_digest, j.binding, j.tier, j.verdict, r.claim, r.task, r.problem, r.args_schema, r.created_at,
    r.due_at, hitl.votes_on(r.request_id) AS votes
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
