-- A verification is for a range of batches, and says where it begins.
ALTER TABLE intents ADD COLUMN first_batch INTEGER;
ALTER TABLE intents ADD COLUMN last_batch INTEGER;
UPDATE intents
SET first_batch = json_extract(intent, '$.kind.verify_batches.last'),
    last_batch = json_extract(intent, '$.kind.verify_batches.last'),
    intent = json_set(intent, '$.kind.verify_batches.first', json_extract(intent, '$.kind.verify_batches.last'))
WHERE json_valid(intent) AND json_extract(intent, '$.kind.verify_batches.last') IS NOT NULL;
CREATE INDEX intents_by_batch ON intents (role, last_batch);

-- One proof for several batches.
CREATE TABLE range_proofs (
    first_batch INTEGER NOT NULL,
    last_batch  INTEGER NOT NULL,
    prover_type TEXT    NOT NULL,
    prover      TEXT    NOT NULL,
    proof       BLOB    NOT NULL,
    PRIMARY KEY (first_batch, last_batch, prover_type)
) STRICT;

-- A lease may be for a range. The numbers go on where they were.
ALTER TABLE leases RENAME TO leases_of_batches;
CREATE TABLE leases (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    first_batch  INTEGER NOT NULL,
    batch_number INTEGER NOT NULL,
    prover_type  TEXT    NOT NULL,
    prover       TEXT    NOT NULL,
    expires_at   INTEGER NOT NULL,
    UNIQUE (first_batch, batch_number, prover_type)
) STRICT;
INSERT INTO leases (id, first_batch, batch_number, prover_type, prover, expires_at)
SELECT id, batch_number, batch_number, prover_type, prover, expires_at FROM leases_of_batches;
DELETE FROM sqlite_sequence WHERE name = 'leases';
INSERT INTO sqlite_sequence (name, seq) SELECT 'leases', seq FROM sqlite_sequence WHERE name = 'leases_of_batches';
DROP TABLE leases_of_batches;
