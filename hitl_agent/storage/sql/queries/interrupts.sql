-- asked: what graphs ask that wrote no question of ours, longest waiting first
-- A task that wrote a value, and not only what became of it, has gone on since it asked. Each
-- candidate is looked up by itself, in order, until the page is full: LIMIT 1 keeps the planner from
-- reading a whole table instead.
SELECT
    i.thread_id, i.task_id, i.asked_at, i.checkpoint_id, h.graph,
    w.idx, w.task_path, w.type, w.bytes, w.blob,
    ARRAY(
        SELECT r.interrupt_id FROM hitl.review_request AS r
        WHERE r.thread_id = i.thread_id AND r.interrupt_id IS NOT NULL
    ) AS ours,
    coalesce((
        SELECT true FROM checkpoint_writes AS e
        WHERE e.thread_id = i.thread_id AND e.checkpoint_ns = ''
            AND e.checkpoint_id = i.checkpoint_id AND e.task_id = i.task_id
            AND e.channel = '__error__'
        LIMIT 1
    ), false) AS failed
FROM hitl.interrupt AS i
CROSS JOIN LATERAL (
    SELECT coalesce(c.metadata ->> 'graph_id', '') AS graph
    FROM checkpoints AS c
    WHERE c.thread_id = i.thread_id AND c.checkpoint_ns = ''
        AND c.checkpoint_id = i.checkpoint_id
        AND NOT hitl.is_past(i.thread_id, i.checkpoint_id)
    LIMIT 1
) AS h
CROSS JOIN LATERAL (
    SELECT
        w.idx, w.task_path, w.type, length(w.blob) AS bytes,
        CASE WHEN length(w.blob) <= %(largest)s THEN w.blob END AS blob
    FROM checkpoint_writes AS w
    WHERE w.thread_id = i.thread_id AND w.checkpoint_ns = ''
        AND w.checkpoint_id = i.checkpoint_id AND w.task_id = i.task_id
        AND w.channel = '__interrupt__'
        AND NOT EXISTS (
            SELECT FROM checkpoint_writes AS o
            WHERE o.thread_id = i.thread_id AND o.checkpoint_ns = ''
                AND o.checkpoint_id = i.checkpoint_id AND o.task_id = i.task_id
                AND o.channel NOT IN (
                    '__interrupt__', '__resume__', '__error__', '__error_source_node__'
                )
        )
    LIMIT 1
) AS w
WHERE NOT i.ours
    AND (%(thread_id)s::text IS NULL OR i.thread_id = %(thread_id)s)
    AND (%(graph)s::text IS NULL OR h.graph = %(graph)s)
ORDER BY i.asked_at, i.thread_id, i.task_id
LIMIT %(limit)s;

-- stopped: threads with something left to run of which nothing waits, longest ago first
SELECT t.thread_id, t.since
FROM hitl.open_thread AS t
CROSS JOIN LATERAL (
    SELECT c.checkpoint_id, c.metadata FROM checkpoints AS c
    WHERE c.thread_id = t.thread_id AND c.checkpoint_ns = ''
    ORDER BY c.checkpoint_id DESC
    LIMIT 1
) AS h
WHERE NOT coalesce((
        SELECT true FROM hitl.interrupt AS i
        WHERE i.thread_id = t.thread_id AND i.checkpoint_id = h.checkpoint_id
            AND NOT EXISTS (
                SELECT FROM checkpoint_writes AS o
                WHERE o.thread_id = i.thread_id AND o.checkpoint_ns = ''
                    AND o.checkpoint_id = i.checkpoint_id AND o.task_id = i.task_id
                    AND o.channel NOT IN (
                        '__interrupt__', '__resume__', '__error__', '__error_source_node__'
                    )
            )
        LIMIT 1
    ), false)
    AND (%(graph)s::text IS NULL OR h.metadata ->> 'graph_id' = %(graph)s)
ORDER BY t.since, t.thread_id
LIMIT %(limit)s;

-- given_back: whether whoever drove a thread last, under a lease, came to an end
SELECT expires_at IS NULL AND scope = 'thread' AS given_back
FROM hitl.thread WHERE thread_id = %(thread_id)s;

-- inner_tasks: tasks of a checkpoint that were called inside a task
SELECT DISTINCT task_id FROM checkpoint_writes
WHERE thread_id = %(thread_id)s AND checkpoint_ns = '' AND checkpoint_id = %(checkpoint_id)s
    AND starts_with(task_path, '~__pregel_push, ~');

-- watched: whether the triggers on LangGraph's tables are there
SELECT EXISTS (
    SELECT FROM pg_trigger WHERE tgname = 'hitl_checkpoint' AND tgrelid = 'checkpoints'::regclass
) AS watched;

-- watch: set up the triggers and look at all threads, or take them away
SELECT hitl.watch(%(wanted)s);
