-- Devices that can be trusted: versioned configs, seqs that a roll-back skipped.

-- What a device is told of its addresses and tariff. A payment is priced by the version it names, so versions stay.
CREATE TABLE device_config (
    device INTEGER NOT NULL REFERENCES device (num),
    version INTEGER NOT NULL CHECK (version > 0),
    settings TEXT NOT NULL, -- what an operator gave: {"tariff":…,"late_after_s":…}
    body TEXT NOT NULL,     -- what the device is told: the settings and its addresses
    created_at INTEGER NOT NULL,
    PRIMARY KEY (device, version)
) STRICT, WITHOUT ROWID;

ALTER TABLE delivery ADD COLUMN config_version INTEGER; -- NULL: the device had none

-- Seqs without a delivery: the device had them from a store that was rolled back.
CREATE TABLE seq_gap (
    device INTEGER NOT NULL REFERENCES device (num),
    first INTEGER NOT NULL,
    last INTEGER NOT NULL CHECK (first <= last),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (device, first)
) STRICT, WITHOUT ROWID;
