-- Conditions without IN: of a constant list of more than two SQLite makes a table (OP_OpenEphemeral), anew for each statement that runs.
-- What is still due is what was not acked, and what is not served is what has a reason: both without a look at the state's name.
-- SQLite changes a CHECK only with the whole table (sqlite.org/lang_altertable.html, "Making Other Kinds Of Table Schema Changes").

CREATE TABLE payment_lean (
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
INSERT INTO payment_lean (num, hash, output, address, asset, sender, amount, source, node_time, stored_at, reversed_at)
SELECT num, hash, output, address, asset, sender, amount, source, node_time, stored_at, reversed_at FROM payment ORDER BY num;
DROP TABLE payment;
ALTER TABLE payment_lean RENAME TO payment;
-- Eight bytes find the candidates, the whole hash decides: a smaller index costs the commit path less.
CREATE INDEX payment_hash ON payment (substr(hash, 1, 8));

CREATE TABLE delivery_lean (
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
INSERT INTO delivery_lean (num, device, seq, payment, config_version, state, attempts, stored_at, sent_at, acked_at, final_at, seconds, reason)
SELECT num, device, seq, payment, config_version, state, attempts, stored_at, sent_at, acked_at, final_at, seconds, reason FROM delivery
ORDER BY num;
DROP TABLE delivery;
ALTER TABLE delivery_lean RENAME TO delivery;
-- What a session may still have to read: stored, sent, expired. Partial: a full index costs the commit path 40 %.
CREATE UNIQUE INDEX delivery_due ON delivery (device, seq) WHERE acked_at IS NULL;
-- Refused and expired, the refund list's raw material: rare by nature.
CREATE INDEX delivery_unserved ON delivery (num) WHERE reason IS NOT NULL;
