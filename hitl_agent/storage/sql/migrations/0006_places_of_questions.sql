-- Under which interrupts a question was put: one task may ask several, and an answer to a place
-- where several stood has to say which it is for.
ALTER TABLE hitl.review_request ADD COLUMN put_under text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN hitl.review_request.put_under IS 'every interrupt_id it had, oldest first';
UPDATE hitl.review_request SET put_under = ARRAY[interrupt_id] WHERE interrupt_id IS NOT NULL;
