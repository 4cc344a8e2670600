-- Who drives a thread, what a grant is bound to, and attempts that can be gone on with.

-- One row for each thread that we drive. The token is new at every taking and compared for
-- equality only, so that one that a crash or a failover forgets is never given out again.
CREATE TABLE hitl.thread (
    thread_id text PRIMARY KEY,
    token bigint NOT NULL,
    holder text NOT NULL,
    scope text NOT NULL CHECK (scope IN ('thread', 'attempt')),
    taken_at timestamptz NOT NULL,
    expires_at timestamptz,
    requester text
);
COMMENT ON COLUMN hitl.thread.scope IS 'attempt: a foreign server drives the thread and writes its checkpoints without a token';
COMMENT ON COLUMN hitl.thread.expires_at IS 'null: given back, and nothing was left halfway';
COMMENT ON COLUMN hitl.thread.requester IS 'who asked for what the thread does, when the app said so';

-- threads that were left by a process that is gone
CREATE INDEX thread_held ON hitl.thread (expires_at) WHERE expires_at IS NOT NULL;

ALTER TABLE hitl.judgement
    ADD COLUMN asked_by text,
    ADD COLUMN tool_version text NOT NULL DEFAULT '',
    ADD COLUMN binding text NOT NULL DEFAULT '';
COMMENT ON COLUMN hitl.judgement.asked_by IS 'the user whom a server has authenticated, where that is not the actor: neither may vote';
COMMENT ON COLUMN hitl.judgement.binding IS 'what a grant for it is bound to; older judgements have none and are judged anew';

ALTER TABLE hitl.review_request ADD COLUMN taken_up boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN hitl.review_request.taken_up IS 'the graph has gone on with the decision';
UPDATE hitl.review_request SET taken_up = true WHERE status = 'decided';
CREATE INDEX review_request_untaken ON hitl.review_request (thread_id)
WHERE status = 'decided' AND NOT taken_up;

-- a grant from before fits no binding: what it was for is judged anew
ALTER TABLE hitl."grant" RENAME COLUMN call_digest TO binding;
ALTER TABLE hitl."grant" DROP COLUMN policy_digest;

ALTER TABLE hitl.attempt
    DROP CONSTRAINT attempt_state_check,
    ADD CONSTRAINT attempt_state_check
        CHECK (state IN ('reserved', 'started', 'succeeded', 'failed', 'in_doubt')),
    ADD COLUMN attempt_id uuid,
    ADD COLUMN opened_at timestamptz,
    ADD COLUMN tries integer NOT NULL DEFAULT 1;
COMMENT ON COLUMN hitl.attempt.attempt_id IS 'new at every try: by it a process knows its own';
COMMENT ON COLUMN hitl.attempt.opened_at IS 'of the first try; the retention of an idempotency key counts from here';

-- The fence. It is asked when a transaction commits, and the lease is locked for no longer: a
-- process that is frozen halfway holds nothing that another one waits for. The function runs with
-- its owner's rights, because whoever writes checkpoints may not be allowed to read our tables.
CREATE FUNCTION hitl.fence() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    given bigint := nullif(current_setting('hitl.token', true), '');
    lease hitl.thread;
BEGIN
    SELECT * INTO lease FROM hitl.thread WHERE thread_id = NEW.thread_id FOR SHARE;
    IF given IS NULL THEN
        IF TG_ARGV[0] = 'free' AND (
            NOT FOUND OR lease.scope = 'attempt' OR lease.expires_at IS NULL
            OR lease.expires_at <= clock_timestamp()
        ) THEN
            RETURN NULL;
        END IF;
    ELSIF FOUND AND given = lease.token THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'thread % is driven by %', NEW.thread_id, coalesce(lease.holder, 'nobody')
        USING ERRCODE = 'HL002';
END $$;

-- `free`: whoever has no token may write while nobody drives the thread
CREATE CONSTRAINT TRIGGER hitl_fence AFTER INSERT OR UPDATE ON checkpoints
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hitl.fence('free');
CREATE CONSTRAINT TRIGGER hitl_fence AFTER INSERT OR UPDATE ON checkpoint_writes
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hitl.fence('free');
CREATE CONSTRAINT TRIGGER hitl_fence AFTER INSERT ON hitl.judgement
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hitl.fence('free');
CREATE CONSTRAINT TRIGGER hitl_fence AFTER INSERT OR UPDATE ON hitl.attempt
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hitl.fence('leased');
