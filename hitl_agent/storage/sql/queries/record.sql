-- entries: what happened in a thread, in order
SELECT entry_id, call_id, kind, entry, recorded_at
FROM hitl.record
WHERE thread_id = %(thread_id)s
ORDER BY entry_id
LIMIT %(limit)s;

-- known: whether anything is recorded of a thread
SELECT EXISTS (SELECT FROM hitl.record WHERE thread_id = %(thread_id)s) AS known;
