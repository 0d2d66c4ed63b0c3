-- Proofs that were tried in vain, per batch and kind. The row is gone when the proof is there.
CREATE TABLE setbacks (
    batch_number INTEGER NOT NULL,
    prover_type  TEXT    NOT NULL,
    failures     INTEGER NOT NULL,
    retry_at     INTEGER NOT NULL,
    prover       TEXT    NOT NULL,
    reason       TEXT    NOT NULL,
    PRIMARY KEY (batch_number, prover_type)
) STRICT;
