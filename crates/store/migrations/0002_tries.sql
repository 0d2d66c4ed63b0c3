-- An intent that failed and is asked for again begins another try. What was signed for earlier ones stays known: after
-- a reorg it may be mined all the same.
ALTER TABLE intents ADD COLUMN try INTEGER NOT NULL DEFAULT 1;
ALTER TABLE signed_transactions ADD COLUMN try INTEGER NOT NULL DEFAULT 1;
CREATE INDEX signed_by_nonce ON signed_transactions (nonce);
