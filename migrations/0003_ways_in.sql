-- Several ways in: news that waits for its confirmation, what was there before a subscription, how far an address is reconciled.

-- Unconfirmed news of a source that can be forged: no seq, no delivery. What claims other amounts for the same block stands beside it.
CREATE TABLE unconfirmed (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    output INTEGER NOT NULL CHECK (output >= 0),
    address INTEGER NOT NULL REFERENCES address (num),
    asset TEXT,
    sender BLOB,
    amount BLOB NOT NULL CHECK (length(amount) = 16),
    source TEXT NOT NULL CHECK (source IN ('callback')),
    node_time INTEGER,
    block BLOB,   -- packed, as in payment_proof
    notice TEXT,  -- what the source sent
    received_at INTEGER NOT NULL,
    UNIQUE (hash, output, address, amount)
) STRICT;

-- Where an address's account stood when a subscription was made: what was there already is not delivered. No row yet: not asked yet.
CREATE TABLE baseline (
    subscription INTEGER PRIMARY KEY REFERENCES subscription (num),
    since INTEGER,    -- an operator asked for what came after this
    taken_at INTEGER, -- NULL: not yet
    height INTEGER CHECK ((height IS NULL) = (taken_at IS NULL)), -- of the last confirmed block on the account's chain
    hashes INTEGER NOT NULL                                        -- how many rows in baseline_hash
) STRICT;
-- The sends that were receivable then, or received by a block that was not confirmed yet.
CREATE TABLE baseline_hash (
    subscription INTEGER NOT NULL REFERENCES subscription (num),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (subscription, hash)
) STRICT, WITHOUT ROWID;

-- Up to here everything that the node told of an address is in the store. No row: never asked.
CREATE TABLE reconciled (
    address INTEGER PRIMARY KEY REFERENCES address (num),
    frontier BLOB CHECK (length(frontier) = 32), -- the last confirmed block on its chain; NULL: not opened
    height INTEGER NOT NULL,                     -- the frontier's; 0: not opened
    receivable BLOB CHECK (length(receivable) = 16), -- the sum of all confirmed sends that wait for it; NULL: its chain went on meanwhile
    at INTEGER NOT NULL
) STRICT;

-- Who subscribes to an address.
CREATE INDEX subscription_address ON subscription (address) WHERE removed_at IS NULL;
