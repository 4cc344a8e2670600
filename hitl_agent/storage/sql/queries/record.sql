-- entries: what happened in a thread last, the newest first
SELECT entry_id, call_id, kind, entry, recorded_at
FROM hitl.record
WHERE thread_id = %(thread_id)s
ORDER BY entry_id DESC
LIMIT %(limit)s;
