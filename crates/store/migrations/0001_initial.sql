-- Numbers are SQLite integers (i64), hashes and addresses 0x-prefixed lower-case hex, amounts decimal wei.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- One row: the last L1 block that the watcher has read completely.
CREATE TABLE l1_cursor (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL,
    hash   TEXT    NOT NULL
) STRICT;

-- Recent blocks the watcher has read, to find the common ancestor after a reorg.
CREATE TABLE l1_blocks (
    number INTEGER PRIMARY KEY,
    hash   TEXT NOT NULL
) STRICT;

CREATE TABLE deposits (
    id            INTEGER PRIMARY KEY,
    receiver      TEXT    NOT NULL,
    amount        TEXT    NOT NULL,
    rolling_hash  TEXT    NOT NULL,
    l1_block      INTEGER NOT NULL,
    l1_block_hash TEXT    NOT NULL
) STRICT;

CREATE TABLE blocks (
    number         INTEGER PRIMARY KEY,
    hash           TEXT    NOT NULL UNIQUE,
    parent_hash    TEXT    NOT NULL,
    timestamp      INTEGER NOT NULL,
    deposits_index INTEGER NOT NULL,
    transactions   INTEGER NOT NULL,
    gas_used       INTEGER NOT NULL,
    payload        BLOB    NOT NULL,
    withdrawals    BLOB,
    witness        BLOB
) STRICT;

CREATE TABLE batches (
    number      INTEGER PRIMARY KEY,
    first_block INTEGER NOT NULL,
    last_block  INTEGER NOT NULL,
    header_hash TEXT    NOT NULL UNIQUE,
    header      TEXT    NOT NULL,
    payload     BLOB    NOT NULL,
    blob_proofs BLOB    NOT NULL,
    status      TEXT    NOT NULL CHECK (status IN ('sealed', 'committed', 'verified')),
    commit_tx   TEXT,
    verify_tx   TEXT
) STRICT;

CREATE TABLE proofs (
    batch_number INTEGER NOT NULL,
    prover_type  TEXT    NOT NULL,
    prover       TEXT    NOT NULL,
    proof        BLOB    NOT NULL,
    PRIMARY KEY (batch_number, prover_type)
) STRICT;

-- AUTOINCREMENT: a lease number is never used twice, not even after a restart.
CREATE TABLE leases (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    batch_number INTEGER NOT NULL,
    prover_type  TEXT    NOT NULL,
    prover       TEXT    NOT NULL,
    expires_at   INTEGER NOT NULL,
    UNIQUE (batch_number, prover_type)
) STRICT;

CREATE TABLE intents (
    id          TEXT PRIMARY KEY,
    role        TEXT    NOT NULL,
    intent      TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('pending', 'confirmed', 'failed')),
    transaction_hash TEXT,
    reason      TEXT,
    seq         INTEGER NOT NULL
) STRICT;
CREATE INDEX intents_by_state ON intents (role, state, seq);

-- Signed before broadcast; every hash ever signed for an intent is kept until the intent is resolved.
CREATE TABLE signed_transactions (
    hash      TEXT PRIMARY KEY,
    intent    TEXT    NOT NULL REFERENCES intents (id),
    nonce     INTEGER NOT NULL,
    fees      TEXT    NOT NULL,
    raw       BLOB    NOT NULL,
    signed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX signed_by_intent ON signed_transactions (intent);
