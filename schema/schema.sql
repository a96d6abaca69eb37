-- The whole of the database as it is now: what all of migrations/ together make. A test compares the two.
-- Times are UTC milliseconds. Chains, states, sources and roles go by their names.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE device (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL CHECK (length(name) > 0),
    auth TEXT NOT NULL CHECK (auth IN ('token', 'key')),
    credential BLOB NOT NULL CHECK (length(credential) = 32), -- the token's keyed hash, or the public key
    state TEXT NOT NULL CHECK (state IN ('active', 'disabled', 'retired')),
    expire_after_ms INTEGER CHECK (expire_after_ms > 0),
    created_at INTEGER NOT NULL,
    retired_at INTEGER CHECK ((state = 'retired') = (retired_at IS NOT NULL))
) STRICT;

-- Where each device stands: apart from `device`, because it changes with every payment.
CREATE TABLE device_cursor (
    device INTEGER PRIMARY KEY REFERENCES device (num),
    head INTEGER NOT NULL,  -- the highest seq given out
    sent INTEGER NOT NULL,  -- the highest seq ever sent, or announced as a gap
    acked INTEGER NOT NULL, -- the device has everything up to here
    CHECK (0 <= acked AND acked <= sent AND sent <= head)
) STRICT;

-- Every address that was ever subscribed to, once, whatever its spelling.
CREATE TABLE address (
    num INTEGER PRIMARY KEY,
    chain TEXT NOT NULL CHECK (chain IN ('nano')),
    bytes BLOB NOT NULL,
    UNIQUE (chain, bytes)
) STRICT;

CREATE TABLE subscription (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    device INTEGER NOT NULL REFERENCES device (num),
    address INTEGER NOT NULL REFERENCES address (num),
    minimum BLOB NOT NULL CHECK (length(minimum) = 16),
    created_at INTEGER NOT NULL,
    removed_at INTEGER
) STRICT;
CREATE UNIQUE INDEX subscription_once ON subscription (device, address) WHERE removed_at IS NULL;

-- A payment's identity is (chain, hash, output); its chain is its address's. Rows stand in the order of storing.
CREATE TABLE "payment" (
    num INTEGER PRIMARY KEY,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    output INTEGER NOT NULL CHECK (output >= 0),
    address INTEGER NOT NULL REFERENCES address (num),
    asset TEXT,  -- NULL: the chain's own coin
    sender BLOB, -- NULL: the chain does not say
    amount BLOB NOT NULL CHECK (length(amount) = 16),
    source TEXT NOT NULL CHECK (source = 'callback' OR source = 'nano_ws' OR source = 'evr_zmq' OR source = 'backfill'),
    node_time INTEGER,
    stored_at INTEGER NOT NULL,
    reversed_at INTEGER
) STRICT;
-- Eight bytes find the candidates, the whole hash decides: a smaller index costs the commit path less.
CREATE INDEX payment_hash ON payment (substr(hash, 1, 8));

-- The signed block, packed: cold, read only to prove something.
CREATE TABLE payment_proof (
    payment INTEGER PRIMARY KEY REFERENCES payment (num),
    block BLOB NOT NULL
) STRICT;
-- The block before a payment's, packed likewise. Asked for only where a device wants proofs.
CREATE TABLE payment_previous (
    payment INTEGER PRIMARY KEY REFERENCES payment (num),
    block BLOB NOT NULL
) STRICT;

CREATE TABLE "delivery" (
    num INTEGER PRIMARY KEY,
    device INTEGER NOT NULL REFERENCES device (num),
    seq INTEGER NOT NULL CHECK (seq > 0),
    payment INTEGER NOT NULL REFERENCES payment (num),
    config_version INTEGER, -- NULL: the device had none
    state TEXT NOT NULL CHECK (state = 'sent' OR state = 'acked' OR state = 'stored' OR state = 'actuated' OR state = 'refused'
        OR state = 'expired'),
    attempts INTEGER NOT NULL, -- in how many sessions it was sent
    stored_at INTEGER NOT NULL,
    sent_at INTEGER,
    acked_at INTEGER,
    final_at INTEGER CHECK ((state = 'actuated' OR state = 'refused' OR state = 'expired') = (final_at IS NOT NULL)),
    seconds INTEGER, -- of actuated
    reason TEXT      -- of refused and expired
) STRICT;
-- What a session may still have to read: stored, sent, expired. Partial: a full index costs the commit path 40 %.
CREATE UNIQUE INDEX delivery_due ON delivery (device, seq) WHERE acked_at IS NULL;
-- Refused and expired, the refund list's raw material: rare by nature.
CREATE INDEX delivery_unserved ON delivery (num) WHERE reason IS NOT NULL;

-- Filled behind the commit path, in sorted batches, up to meta's delivery_indexed and payment_indexed.
CREATE TABLE delivery_by_device (
    device INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    delivery INTEGER NOT NULL,
    PRIMARY KEY (device, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE delivery_by_payment (
    payment INTEGER NOT NULL,
    delivery INTEGER NOT NULL,
    PRIMARY KEY (payment, delivery)
) STRICT, WITHOUT ROWID;
CREATE TABLE payment_by_address (
    address INTEGER NOT NULL,
    payment INTEGER NOT NULL,
    PRIMARY KEY (address, payment)
) STRICT, WITHOUT ROWID;

-- Which rows an hour of storing covers; the clock may jump, so ranges of hours may overlap.
CREATE TABLE stored_hour (
    hour INTEGER PRIMARY KEY, -- stored_at / 3,600,000
    first_payment INTEGER NOT NULL,
    last_payment INTEGER NOT NULL,
    first_delivery INTEGER,
    last_delivery INTEGER
) STRICT;

CREATE TABLE api_token (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL CHECK (length(name) > 0),
    role TEXT NOT NULL CHECK (role IN ('viewer', 'auditor', 'operator', 'admin')),
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

-- What a device is told of its addresses and tariff. A payment is priced by the version it names, so versions stay.
CREATE TABLE device_config (
    device INTEGER NOT NULL REFERENCES device (num),
    version INTEGER NOT NULL CHECK (version > 0),
    settings TEXT NOT NULL, -- what an operator gave: {"tariff":…,"late_after_s":…}
    body TEXT NOT NULL,     -- what the device is told: the settings and its addresses
    created_at INTEGER NOT NULL,
    PRIMARY KEY (device, version)
) STRICT, WITHOUT ROWID;

-- Devices whose config in force says `proof`.
CREATE TABLE device_proof (
    device INTEGER PRIMARY KEY REFERENCES device (num)
) STRICT;

-- Their deliveries that wait for the block before the payment's: no seq yet, so nothing waits behind them.
CREATE TABLE delivery_held (
    payment INTEGER NOT NULL REFERENCES payment (num),
    device INTEGER NOT NULL REFERENCES device (num),
    config_version INTEGER NOT NULL, -- in force when the payment was stored
    PRIMARY KEY (payment, device)
) STRICT, WITHOUT ROWID;

-- Seqs without a delivery: the device had them from a store that was rolled back.
CREATE TABLE seq_gap (
    device INTEGER NOT NULL REFERENCES device (num),
    first INTEGER NOT NULL,
    last INTEGER NOT NULL CHECK (first <= last),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (device, first)
) STRICT, WITHOUT ROWID;

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
