-- What policies look back at: who acted, how much, to whom. And what was known when a call was
-- judged, so that it can be judged again under another policy.

ALTER TABLE hitl.judgement
    ADD COLUMN confidence double precision,
    ADD COLUMN assessment jsonb,
    ADD COLUMN actor text,
    ADD COLUMN amount numeric,
    ADD COLUMN currency text,
    ADD COLUMN counterparty text;
COMMENT ON COLUMN hitl.judgement.confidence IS 'calibrated, in [0, 1], as the verdict was told';
COMMENT ON COLUMN hitl.judgement.assessment IS 'where the confidence comes from, and its raw value';
COMMENT ON COLUMN hitl.judgement.actor IS 'who the agent acted for, when the app said so';
COMMENT ON COLUMN hitl.judgement.amount IS 'null: none, or none that can be read';

-- spans of the past are counted by tool, actor or counterparty
CREATE INDEX judgement_tool ON hitl.judgement (tool, judged_at);
CREATE INDEX judgement_actor ON hitl.judgement (actor, judged_at) WHERE actor IS NOT NULL;
CREATE INDEX judgement_counterparty ON hitl.judgement (counterparty, judged_at)
WHERE counterparty IS NOT NULL;
-- a call may be approved and run long after it was judged
CREATE INDEX grant_time ON hitl."grant" (greatest(granted_at, consumed_at));
-- every recorded call in its order
CREATE INDEX judgement_time ON hitl.judgement (judged_at, thread_id, call_id, revision);
