-- Which threads have something left to run, and which tasks have asked a person: of every graph
-- that keeps its checkpoints here, ours or not. Triggers on LangGraph's tables note candidates,
-- never too few; what is listed is then read from LangGraph's own rows (queries/interrupts.sql).

CREATE TABLE hitl.open_thread (
    thread_id text PRIMARY KEY,
    since timestamptz NOT NULL
);
COMMENT ON TABLE hitl.open_thread IS 'threads whose newest checkpoint leaves something to run';
CREATE INDEX open_thread_since ON hitl.open_thread (since, thread_id);

CREATE TABLE hitl.interrupt (
    thread_id text NOT NULL,
    checkpoint_id text NOT NULL,
    task_id text NOT NULL,
    asked_at timestamptz NOT NULL,
    ours boolean NOT NULL,
    PRIMARY KEY (thread_id, checkpoint_id, task_id)
);
COMMENT ON TABLE hitl.interrupt IS 'tasks of newest checkpoints that asked; some went on since';
COMMENT ON COLUMN hitl.interrupt.ours IS 'all that it asks are questions in hitl.review_request';
CREATE INDEX interrupt_asked ON hitl.interrupt (asked_at, thread_id, task_id) WHERE NOT ours;

-- The functions name LangGraph's tables with their schema, whichever that is: whoever writes
-- checkpoints runs them with the rights of their owner, and must not lead them elsewhere.
DO $migration$
BEGIN
EXECUTE replace($sql$

-- What runs next stands in channels: the input, edges, joins of edges, sends. In a graph that names
-- its channels otherwise, only the graph itself knows which of them start a task.
CREATE FUNCTION hitl.is_open(thread text, checkpoint jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF jsonb_path_exists(checkpoint, '$.channel_values.keyvalue()
        ? (@.key == "__start__" || @.key starts with "branch:to:")', '{}', true)
    THEN
        RETURN true;
    END IF;
    RETURN EXISTS (
        SELECT FROM jsonb_path_query(is_open.checkpoint, '$.channel_versions.keyvalue()
            ? (@.key == "__start__" || @.key == "__pregel_tasks"
                || @.key starts with "branch:to:" || @.key starts with "join:")', '{}', true) AS v
        JOIN langgraph.checkpoint_blobs AS b
            ON b.thread_id = is_open.thread AND b.checkpoint_ns = ''
            AND b.channel = v ->> 'key' AND b.version = v ->> 'value'
        CROSS JOIN LATERAL (  -- 28 bytes are the encryption's own
            SELECT length(b.blob) - CASE WHEN position('+aes-256-gcm.' IN b.type) > 0
                THEN 28 ELSE 0 END
        ) AS plain (bytes)
        WHERE b.type <> 'empty' AND CASE
            -- sends that have run leave an empty list
            WHEN b.channel = '__pregel_tasks' THEN plain.bytes > 2
            -- A join waits for all its names. The set of them is 18 bytes and each name with one
            -- before it; in the channel, `join:a+b:c`, a name has a plus sign before it.
            WHEN starts_with(b.channel, 'join:') THEN
                plain.bytes >= 19 + octet_length(split_part(b.channel, ':', 2))
            ELSE true
        END
    );
END $$;

CREATE FUNCTION hitl.is_ours(thread text, kind text, asked bytea) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF kind = 'msgpack' AND substr(asked, 1, 1) BETWEEN '\x91' AND '\x9f' THEN
        RETURN (
            SELECT count(DISTINCT r.interrupt_id) >= get_byte(is_ours.asked, 0) - 144
            FROM hitl.review_request AS r
            WHERE r.thread_id = is_ours.thread
                AND position(convert_to(r.interrupt_id, 'UTF8') IN is_ours.asked) > 0
        );
    END IF;
    -- nothing can be read of it here: encrypted, for one
    RETURN EXISTS (
        SELECT FROM hitl.review_request AS r
        WHERE r.thread_id = is_ours.thread AND r.interrupt_id IS NOT NULL
            AND (r.status = 'open' OR r.status = 'decided' AND NOT r.taken_up)
    );
END $$;

-- when a checkpoint was written, whatever stands there
CREATE FUNCTION hitl.written_at(checkpoint jsonb) RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN least(coalesce((checkpoint ->> 'ts')::timestamptz, now()), now());
EXCEPTION WHEN data_exception THEN
    RETURN now();
END $$;

-- Note of some threads, or of all for null, what holds now, whatever was noted on the way.
CREATE FUNCTION hitl.look_again(threads text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    WITH head AS MATERIALIZED (
        SELECT c.thread_id, max(c.checkpoint_id) AS checkpoint_id
        FROM langgraph.checkpoints AS c
        WHERE c.checkpoint_ns = ''
            AND (look_again.threads IS NULL OR c.thread_id = ANY(look_again.threads))
        GROUP BY c.thread_id
    ), opened AS MATERIALIZED (
        SELECT h.thread_id, h.checkpoint_id, hitl.written_at(c.checkpoint) AS written_at
        FROM head AS h
        JOIN langgraph.checkpoints AS c USING (thread_id, checkpoint_id)
        WHERE c.checkpoint_ns = '' AND hitl.is_open(c.thread_id, c.checkpoint)
    ), shut AS (
        DELETE FROM hitl.open_thread AS t
        WHERE (look_again.threads IS NULL OR t.thread_id = ANY(look_again.threads))
            AND NOT EXISTS (SELECT FROM opened AS o WHERE o.thread_id = t.thread_id)
    ), passed AS (
        DELETE FROM hitl.interrupt AS i
        WHERE (look_again.threads IS NULL OR i.thread_id = ANY(look_again.threads)) AND NOT EXISTS (
            SELECT FROM head AS h
            WHERE h.thread_id = i.thread_id AND h.checkpoint_id = i.checkpoint_id
        )
    ), asked AS (
        INSERT INTO hitl.interrupt (thread_id, checkpoint_id, task_id, asked_at, ours)
        SELECT
            h.thread_id, h.checkpoint_id, w.task_id, hitl.written_at(c.checkpoint),
            hitl.is_ours(w.thread_id, w.type, w.blob)
        FROM head AS h
        JOIN langgraph.checkpoints AS c USING (thread_id, checkpoint_id)
        JOIN langgraph.checkpoint_writes AS w USING (thread_id, checkpoint_id)
        WHERE c.checkpoint_ns = '' AND w.checkpoint_ns = '' AND w.channel = '__interrupt__'
            AND NOT starts_with(w.task_path, '~__pregel_push, ~')
        ON CONFLICT DO NOTHING
    )
    INSERT INTO hitl.open_thread (thread_id, since)
    SELECT thread_id, written_at FROM opened ON CONFLICT DO NOTHING;
END $$;

-- Whether a thread has a newer checkpoint. Asked for the row that follows in the primary key, so
-- that no plan reads a thread's whole history.
CREATE FUNCTION hitl.is_past(thread text, checkpoint text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((
        SELECT c.thread_id = is_past.thread AND c.checkpoint_ns = '' FROM langgraph.checkpoints AS c
        WHERE (c.thread_id, c.checkpoint_ns, c.checkpoint_id)
            > (is_past.thread, '', is_past.checkpoint)
        ORDER BY c.thread_id, c.checkpoint_ns, c.checkpoint_id
        LIMIT 1
    ), false);
END $$;

CREATE FUNCTION hitl.on_checkpoint() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF hitl.is_past(NEW.thread_id, NEW.checkpoint_id) THEN  -- copies come in any order
        RETURN NULL;
    END IF;
    DELETE FROM hitl.interrupt AS i
    WHERE i.thread_id = NEW.thread_id AND i.checkpoint_id < NEW.checkpoint_id;
    IF hitl.is_open(NEW.thread_id, NEW.checkpoint) THEN
        INSERT INTO hitl.open_thread (thread_id, since) VALUES (NEW.thread_id, now())
        ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM hitl.open_thread AS t WHERE t.thread_id = NEW.thread_id;
    END IF;
    RETURN NULL;
END $$;

-- The checkpoint that a task belongs to may be written after what the task asks.
CREATE FUNCTION hitl.on_interrupt() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT hitl.is_past(NEW.thread_id, NEW.checkpoint_id) THEN
        INSERT INTO hitl.interrupt AS i (thread_id, checkpoint_id, task_id, asked_at, ours)
        VALUES (
            NEW.thread_id, NEW.checkpoint_id, NEW.task_id, now(),
            hitl.is_ours(NEW.thread_id, NEW.type, NEW.blob)
        )
        ON CONFLICT (thread_id, checkpoint_id, task_id)
        DO UPDATE SET asked_at = excluded.asked_at, ours = excluded.ours;
    END IF;
    RETURN NULL;
END $$;

-- An older checkpoint may be the newest now.
CREATE FUNCTION hitl.on_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM hitl.look_again(array_agg(DISTINCT thread_id)) FROM gone WHERE checkpoint_ns = ''
    HAVING count(*) > 0;
    RETURN NULL;
END $$;

CREATE FUNCTION hitl.on_emptied() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM hitl.open_thread;
    DELETE FROM hitl.interrupt;
    RETURN NULL;
END $$;

-- Set up the triggers, or take them away. Writers of checkpoints wait until it is done.
CREATE FUNCTION hitl.watch(wanted boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DROP TRIGGER IF EXISTS hitl_checkpoint ON langgraph.checkpoints;
    DROP TRIGGER IF EXISTS hitl_deleted ON langgraph.checkpoints;
    DROP TRIGGER IF EXISTS hitl_emptied ON langgraph.checkpoints;
    DROP TRIGGER IF EXISTS hitl_asked ON langgraph.checkpoint_writes;
    DROP TRIGGER IF EXISTS hitl_asked_again ON langgraph.checkpoint_writes;
    IF NOT wanted THEN
        DELETE FROM hitl.open_thread;
        DELETE FROM hitl.interrupt;
        RETURN;
    END IF;
    CREATE TRIGGER hitl_checkpoint AFTER INSERT OR UPDATE OF checkpoint ON langgraph.checkpoints
    FOR EACH ROW WHEN (NEW.checkpoint_ns = '') EXECUTE FUNCTION hitl.on_checkpoint();
    CREATE TRIGGER hitl_deleted AFTER DELETE ON langgraph.checkpoints REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION hitl.on_deleted();
    CREATE TRIGGER hitl_emptied AFTER TRUNCATE ON langgraph.checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION hitl.on_emptied();
    CREATE TRIGGER hitl_asked AFTER INSERT ON langgraph.checkpoint_writes
    FOR EACH ROW WHEN (
        NEW.channel = '__interrupt__' AND NEW.checkpoint_ns = ''
        AND NOT starts_with(NEW.task_path, '~__pregel_push, ~')
    ) EXECUTE FUNCTION hitl.on_interrupt();
    -- a task that runs again asks the same again
    CREATE TRIGGER hitl_asked_again AFTER UPDATE ON langgraph.checkpoint_writes
    FOR EACH ROW WHEN (
        NEW.channel = '__interrupt__' AND NEW.checkpoint_ns = ''
        AND NOT starts_with(NEW.task_path, '~__pregel_push, ~')
        AND (NEW.channel, NEW.blob) IS DISTINCT FROM (OLD.channel, OLD.blob)
    ) EXECUTE FUNCTION hitl.on_interrupt();
    PERFORM hitl.look_again(NULL);
END $$;

REVOKE EXECUTE ON FUNCTION hitl.look_again(text[]), hitl.watch(boolean) FROM PUBLIC;

$sql$, 'langgraph.', (
    SELECT quote_ident(n.nspname) || '.' FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = 'checkpoints'::regclass
));
END $migration$;

SELECT hitl.watch(true);
