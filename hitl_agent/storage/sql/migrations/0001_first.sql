-- The calls of agents: how each was judged, what people said, what was allowed, what was run.
-- Every table but the last holds the present; `record` holds what happened and only grows.

CREATE TABLE hitl.policy (
    digest text PRIMARY KEY,
    document text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row per judgement; an edited call, a changed policy or a call in doubt is judged anew under
-- the next revision, and nothing is ever overwritten.
CREATE TABLE hitl.judgement (
    thread_id text NOT NULL,
    call_id text NOT NULL,
    revision integer NOT NULL CHECK (revision > 0),
    tool text NOT NULL,
    args jsonb NOT NULL,
    call_digest text NOT NULL,
    planned_digest text NOT NULL,
    tier text NOT NULL CHECK (tier IN ('auto_approve', 'soft_review', 'hard_gate', 'block')),
    verdict jsonb NOT NULL,
    policy_digest text NOT NULL REFERENCES hitl.policy (digest),
    judged_at timestamptz NOT NULL,
    PRIMARY KEY (thread_id, call_id, revision)
);

CREATE TABLE hitl.review_request (
    request_id uuid PRIMARY KEY,
    thread_id text NOT NULL,
    call_id text NOT NULL,
    revision integer NOT NULL,
    graph text NOT NULL,
    interrupt_id text,
    status text NOT NULL CHECK (status IN ('open', 'decided', 'withdrawn')),
    args_schema jsonb NOT NULL,
    claim text NOT NULL,
    task text NOT NULL,
    problem text,
    created_at timestamptz NOT NULL,
    due_at timestamptz,
    UNIQUE (thread_id, call_id, revision),
    FOREIGN KEY (thread_id, call_id, revision) REFERENCES hitl.judgement
);
COMMENT ON COLUMN hitl.review_request.interrupt_id IS 'null: judged, and not yet put to anybody';
COMMENT ON COLUMN hitl.review_request.claim IS 'what the planner said of the call; its claim, no fact';
COMMENT ON COLUMN hitl.review_request.problem IS 'why the last answer was not understood';

-- the list of what waits, most urgent first
CREATE INDEX review_request_open ON hitl.review_request (due_at NULLS LAST, created_at, request_id)
WHERE status = 'open';

CREATE TABLE hitl.decision (
    request_id uuid PRIMARY KEY REFERENCES hitl.review_request,
    type text NOT NULL CHECK (type IN ('approve', 'edit', 'reject', 'respond')),
    args jsonb,
    message text NOT NULL,
    reviewer text,
    channel text NOT NULL,
    decided_at timestamptz NOT NULL,
    CHECK ((type = 'edit') = (args IS NOT NULL))
);
COMMENT ON COLUMN hitl.decision.reviewer IS 'null: the answer came as a bare resume value';

-- The only thing the executor believes. Single use.
CREATE TABLE hitl."grant" (
    grant_id uuid PRIMARY KEY,
    thread_id text NOT NULL,
    call_id text NOT NULL,
    revision integer NOT NULL,
    call_digest text NOT NULL,
    policy_digest text NOT NULL,
    source text NOT NULL CHECK (source IN ('policy', 'reviewers')),
    granted_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    consumed_at timestamptz,
    UNIQUE (thread_id, call_id, revision),
    FOREIGN KEY (thread_id, call_id, revision) REFERENCES hitl.judgement
);

CREATE TABLE hitl.attempt (
    thread_id text NOT NULL,
    call_id text NOT NULL,
    revision integer NOT NULL,
    grant_id uuid NOT NULL REFERENCES hitl."grant",
    state text NOT NULL CHECK (state IN ('started', 'succeeded', 'failed', 'in_doubt')),
    started_at timestamptz NOT NULL,
    deadline timestamptz NOT NULL,
    ended_at timestamptz,
    result jsonb,
    PRIMARY KEY (thread_id, call_id),
    CHECK ((state IN ('succeeded', 'failed')) = (result IS NOT NULL))
);
COMMENT ON COLUMN hitl.attempt.deadline IS 'after this a started attempt counts as in doubt';

CREATE TABLE hitl.record (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread_id text NOT NULL,
    call_id text NOT NULL,
    kind text NOT NULL,
    entry text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN hitl.record.entry IS 'RFC 8785 canonical JSON, kept as text: jsonb would lose the form';
CREATE INDEX record_thread ON hitl.record (thread_id, entry_id);

CREATE FUNCTION hitl.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the record only grows: % is refused', TG_OP USING ERRCODE = 'HL001';
END $$;

CREATE TRIGGER record_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON hitl.record
FOR EACH STATEMENT EXECUTE FUNCTION hitl.refuse_change();
