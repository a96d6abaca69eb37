-- Payments that prove themselves to the device: the block before theirs, and who waits for it.

-- Devices whose config in force says `proof`.
CREATE TABLE device_proof (
    device INTEGER PRIMARY KEY REFERENCES device (num)
) STRICT;

-- The block before a payment's, packed as in payment_proof. Asked for only where such a device is paid.
CREATE TABLE payment_previous (
    payment INTEGER PRIMARY KEY REFERENCES payment (num),
    block BLOB NOT NULL
) STRICT;

-- Deliveries that wait for that block: no seq yet, so nothing waits behind them.
CREATE TABLE delivery_held (
    payment INTEGER NOT NULL REFERENCES payment (num),
    device INTEGER NOT NULL REFERENCES device (num),
    config_version INTEGER NOT NULL, -- in force when the payment was stored
    PRIMARY KEY (payment, device)
) STRICT, WITHOUT ROWID;
