-- calls: a page of recorded calls in their order, each version of a call once, and what came of it
-- A version that was judged again as it was, under another policy or in doubt, is the row of its
-- first judgement; what came of its later ones (revisions below `until`) belongs to it.
-- Whatever a hand may have put into the rows comes as text or as null, for us to look at.
SELECT
    j.thread_id, j.call_id, j.revision, j.tool, j.tier, j.actor, j.confidence,
    j.judged_at::text AS at,
    CASE WHEN j.judged_at BETWEEN '0001-01-02' AND '9999-12-30' THEN j.judged_at END AS judged_at,
    CASE WHEN octet_length(j.args::text) <= %(most)s THEN j.args::text END AS args,
    j.verdict -> 'allowed_decisions' = '[]' AS refused,
    jsonb_path_query_array(
        j.verdict, '$.rules[*] ? (@.id == "second-opinion").reason ? (@.type() == "string")'
    )::text AS objections,
    jsonb_path_query_array(
        j.verdict,
        '$.errors[*] ? (@ starts with "the confidence estimator " || @ starts with "the second opinion ")'
    )::text AS errors,
    jsonb_path_query_array(j.verdict, '$.redactions.*[*] ? (@.type() == "string")')::text AS hidden,
    CASE
        WHEN g.granted_at BETWEEN '0001-01-02' AND '9999-12-30' THEN g.granted_at
    END AS granted_at,
    CASE
        WHEN g.expires_at BETWEEN '0001-01-02' AND '9999-12-30' THEN g.expires_at
    END AS expires_at,
    g.used, d.type AS decision, d.reviewer,
    CASE WHEN %(untrusted)s THEN ARRAY(
        SELECT DISTINCT b.tool
        FROM hitl.attempt AS a
        JOIN hitl.judgement AS b USING (thread_id, call_id, revision)
        WHERE a.thread_id = j.thread_id AND a.started_at < j.judged_at
        ORDER BY b.tool
    ) END AS ran_before,
    CASE WHEN %(graph)s::text IS NULL THEN true ELSE EXISTS (
        SELECT FROM hitl.review_request AS q
        WHERE q.thread_id = j.thread_id AND q.graph = %(graph)s
    ) OR EXISTS (
        SELECT FROM checkpoints AS c
        WHERE c.thread_id = j.thread_id AND c.metadata ->> 'graph_id' = %(graph)s
    ) END AS of_graph
FROM hitl.judgement AS j
LEFT JOIN LATERAL (
    SELECT min(n.revision) AS until
    FROM hitl.judgement AS n
    WHERE n.thread_id = j.thread_id AND n.call_id = j.call_id AND n.revision > j.revision
        AND n.call_digest <> j.call_digest
) AS e ON true
LEFT JOIN LATERAL (
    SELECT
        min(g.granted_at) AS granted_at, max(g.expires_at) AS expires_at,
        bool_or(g.consumed_at IS NOT NULL) AS used
    FROM hitl."grant" AS g
    WHERE g.thread_id = j.thread_id AND g.call_id = j.call_id AND g.revision >= j.revision
        AND (e.until IS NULL OR g.revision < e.until)
) AS g ON true
LEFT JOIN LATERAL (
    -- of a call in doubt a person says what became of it, not what they think of it
    SELECT d.type, d.reviewer
    FROM hitl.review_request AS r
    JOIN hitl.decision AS d USING (request_id)
    WHERE r.thread_id = j.thread_id AND r.call_id = j.call_id AND r.revision >= j.revision
        AND (e.until IS NULL OR r.revision < e.until)
        AND NOT EXISTS (
            SELECT FROM hitl."grant" AS c
            WHERE c.thread_id = j.thread_id AND c.call_id = j.call_id
                AND c.revision >= j.revision AND c.revision < r.revision
                AND c.consumed_at IS NOT NULL
        )
    ORDER BY r.revision
    LIMIT 1
) AS d ON true
WHERE (j.judged_at, j.thread_id, j.call_id, j.revision)
        > (%(at)s::timestamptz, %(thread_id)s, %(call_id)s, %(revision)s)
    AND NOT EXISTS (
        SELECT FROM hitl.judgement AS p
        WHERE p.thread_id = j.thread_id AND p.call_id = j.call_id
            AND p.revision = j.revision - 1 AND p.call_digest = j.call_digest
    )
ORDER BY j.judged_at, j.thread_id, j.call_id, j.revision
LIMIT %(limit)s;
