-- Decisions that take more than one person: each answer is a vote, and the decision what they come
-- to.

-- the reviewers that a policy names, with their roles: deciding has only the database at hand
ALTER TABLE hitl.policy ADD COLUMN reviewers jsonb;
COMMENT ON COLUMN hitl.policy.reviewers IS 'null: the policy names nobody, and everybody with a name counts';

ALTER TABLE hitl.review_request ADD COLUMN votes integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN hitl.review_request.votes IS 'how often was voted: who adds a vote says how many it has seen';

CREATE TABLE hitl.vote (
    request_id uuid NOT NULL REFERENCES hitl.review_request,
    person text NOT NULL,
    reviewer text,
    type text NOT NULL CHECK (type IN ('approve', 'edit', 'reject', 'respond')),
    message text NOT NULL,
    channel text NOT NULL,
    roles text[] NOT NULL,
    voted_at timestamptz NOT NULL,
    PRIMARY KEY (request_id, person)
);
COMMENT ON COLUMN hitl.vote.person IS 'the one spelling of the reviewer''s name; empty for a bare resume value';
COMMENT ON COLUMN hitl.vote.reviewer IS 'null: the answer came as a bare resume value';

CREATE FUNCTION hitl.votes_on(question uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(to_jsonb(v) ORDER BY v.voted_at, v.person), '[]')
    FROM hitl.vote AS v
    WHERE v.request_id = question
$$;
