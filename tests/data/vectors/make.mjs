// Writes vectors.json: what two independent Nano libraries say of addresses, amounts, hashes and signatures.
// Every value comes from a seed, so that running it again gives the same bytes: npm ci && npm run make
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import blake from 'blakejs';
import nano from 'nanocurrency';
import web from 'nanocurrency-web';
import signer from 'nanocurrency-web/dist/lib/signer.js'; // tools.sign and tools.verify take text, not bytes
import * as curve from './ed25519.mjs';

const ZERO = '0'.repeat(64);
const MAX = 2n ** 128n - 1n;
const ALPHABET = '13456789abcdefghijkmnopqrstuwxyz';

const hex = (bytes) => Buffer.from(bytes).toString('hex').toUpperCase();
const bytes = (text) => Uint8Array.from(Buffer.from(text, 'hex'));

let drawn = 0;
const random = () => createHash('sha256').update(`coinslot vectors ${drawn++}`).digest();
const randomHex = () => hex(random());
const randomBelow = (limit) => BigInt('0x' + random().toString('hex')) % limit;

function agree(what, ...values) {
  if (!values.every((value) => value === values[0])) throw new Error(`${what}: ${values.join(' / ')}`);
  return values[0];
}

const addressOf = (key) =>
  agree('address', nano.deriveAddress(key, { useNanoPrefix: true }), web.tools.publicKeyToAddress(key));

function account() {
  const secret = randomHex();
  const key = nano.derivePublicKey(secret).toUpperCase();
  return { secret, key, address: addressOf(key) };
}

// --- addresses

function addresses() {
  const keys = [ZERO, 'F'.repeat(64), '0'.repeat(63) + '1', '8' + '0'.repeat(63), ...Array.from({ length: 12 }, randomHex)];
  return keys.flatMap((key) => {
    const text = addressOf(key);
    agree('key', nano.derivePublicKey(text).toUpperCase(), web.tools.addressToPublicKey(text).toUpperCase(), key);
    const digits = text.slice(5);
    return ['nano_', 'xrb_', 'nano-', 'xrb-'].map((prefix) => ({ text: prefix + digits, key, canonical: text }));
  });
}

function notAddresses() {
  const good = account().address;
  const at = (index, digit) => good.slice(0, index) + digit + good.slice(index + 1);
  const other = (index) => at(index, ALPHABET[(ALPHABET.indexOf(good[index]) + 1) % 32]);
  const rows = [
    ['', 'empty'],
    ['nano_', 'a prefix alone'],
    [good.slice(5), 'no prefix'],
    [good.slice(0, -1), 'one character too few'],
    [good + '1', 'one character too many'],
    [good + '\n', 'a line end behind it'],
    [' ' + good, 'a space before it'],
    [good.toUpperCase(), 'upper case'],
    ['Nano_' + good.slice(5), 'a prefix in upper case'],
    ['node_' + good.slice(5), 'the prefix of node identities'],
    ['ban_' + good.slice(5), 'the prefix of another network'],
    ['nano:' + good.slice(5), 'the prefix of a payment URI'],
    ['xrb__' + good.slice(5), 'a prefix too long'],
  ];
  for (const digit of '456789abcz') rows.push([at(5, digit), `first character ${digit}: more than 256 bits`]);
  for (const digit of '02lv_-!\u00e9') rows.push([at(20, digit), `the character ${digit} is not in the alphabet`]);
  for (const index of [6, 7, 30, 55, 56]) rows.push([other(index), `character ${index} of the key changed`]);
  for (let index = 57; index < 65; index++) rows.push([other(index), `character ${index} of the checksum changed`]);
  return rows.map(([text, why]) => {
    agree(`refusal of ${text}`, nano.checkAddress(text), web.tools.validateAddress(text), false);
    return { text, why };
  });
}

// --- amounts

const trimmed = (decimal) => (decimal.includes('.') ? decimal.replace(/\.?0+$/, '') : decimal);

function amounts() {
  const raws = [0n, 1n, 9n, 10n, 500000n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 64n - 1n, 2n ** 64n, 2n ** 96n, MAX - 1n, MAX];
  for (let power = 1n; power <= 10n ** 38n; power *= 10n) raws.push(power, power - 1n, 3n * power);
  for (let i = 0; i < 40; i++) raws.push(randomBelow(2n ** BigInt(4 + 3 * i)));
  return raws.map((value) => {
    const raw = value.toString();
    const units = agree(
      `nano of ${raw}`,
      trimmed(nano.convert(raw, { from: 'raw', to: 'Nano' })),
      trimmed(web.tools.convert(raw, 'RAW', 'NANO')),
    );
    agree(`raw of ${units}`, nano.convert(units, { from: 'Nano', to: 'raw' }), web.tools.convert(units, 'NANO', 'RAW'), raw);
    return { raw, nano: units, bytes: value.toString(16).padStart(32, '0').toUpperCase() };
  });
}

const NOT_RAW = [
  '', ' ', '00', '01', '-1', '+1', '1.0', '1e3', '0x10', ' 1', '1 ', '1\n', '1,000', '\u0661', 'one',
  (MAX + 1n).toString(), (10n * MAX).toString(), '1' + '0'.repeat(39), '9'.repeat(39), '1' + '0'.repeat(200),
];

const NOT_NANO = [
  '', '.', '1.', '.5', '00.5', '01', '-1', '+1', '1e3', '1.5.5', '1,5', ' 1', '1 ', '1. 5', '0x1', 'nan', 'inf',
  '0.' + '0'.repeat(31), '0.' + '0'.repeat(30) + '1', '340282366.920938463463374607431768211456', '340282367', '1' + '0'.repeat(9),
  '9'.repeat(60),
];

const NANO_SPELLINGS = [
  { nano: '1.0', raw: '1' + '0'.repeat(30) },
  { nano: '0.0', raw: '0' },
  { nano: '0.500', raw: '5' + '0'.repeat(29) },
  { nano: '0.' + '0'.repeat(30), raw: '0' },
];

// --- blocks

function stateBlock(owner, previous, balance, link) {
  const work = randomHex().slice(0, 16).toLowerCase();
  const representative = account().address;
  const { hash, block } = nano.createBlock(owner.secret, { work, balance, representative, previous, link });
  block.account = owner.address; // createBlock writes xrb_
  block.link = block.link.toUpperCase();
  block.link_as_account = addressOf(block.link);
  block.signature = block.signature.toUpperCase();
  block.previous = block.previous ?? ZERO;
  const hashables = [
    '6'.padStart(64, '0'), owner.key, block.previous, web.tools.addressToPublicKey(representative),
    BigInt(balance).toString(16).padStart(32, '0'), block.link,
  ];
  agree('signature', block.signature, signer.default.sign(owner.secret, ...hashables).toUpperCase());
  agree('hash', hash.toUpperCase(), hex(blake.blake2b(bytes(hashables.join('')), null, 32)));
  agree('verify', nano.verifyBlock({ hash, signature: block.signature, publicKey: owner.key }), true,
    signer.default.verify(owner.key, block.signature, ...hashables));
  return { block, hash: hash.toUpperCase(), key: owner.key };
}

function webSend(owner, before, amount) {
  const to = account();
  const work = randomHex().slice(0, 16).toLowerCase();
  const sent = web.block.send({
    walletBalanceRaw: before.toString(), amountRaw: amount.toString(), fromAddress: owner.address, toAddress: to.address,
    representativeAddress: account().address, frontier: randomHex(), work,
  }, owner.secret);
  const block = {
    type: sent.type, account: sent.account, previous: sent.previous, representative: sent.representative,
    balance: sent.balance, link: sent.link.toUpperCase(), link_as_account: addressOf(sent.link),
    signature: sent.signature.toUpperCase(), work,
  };
  agree('balance', block.balance, (before - amount).toString());
  return { block, hash: nano.hashBlock(block).toUpperCase(), key: owner.key };
}

function stateBlocks() {
  const balances = [0n, 1n, 2n ** 64n - 1n, 2n ** 64n, MAX, ...Array.from({ length: 5 }, () => randomBelow(MAX))];
  const rows = balances.map((balance) => stateBlock(account(), randomHex(), balance.toString(), account().address));
  rows.push(stateBlock(account(), null, '1', randomHex())); // open
  rows.push(stateBlock(account(), randomHex(), '12', randomHex())); // receive
  rows.push(stateBlock(account(), randomHex(), '0', null)); // change
  for (let i = 0; i < 5; i++) rows.push(webSend(account(), MAX - randomBelow(MAX / 2n), 1n + randomBelow(MAX / 2n)));
  return rows;
}

// Hashables: docs.nano.org, "Blocks specifications". Neither library knows legacy blocks, both hash and sign what they are given.
function legacyBlock(owner, type, fields, hashables) {
  const hash = hex(blake.blake2b(bytes(hashables.join('')), null, 32));
  const signature = agree('legacy signature', nano.signBlock({ hash, secretKey: owner.secret }).toUpperCase(),
    signer.default.sign(owner.secret, ...hashables).toUpperCase());
  const work = randomHex().slice(0, 16).toLowerCase();
  return { block: { type, ...fields, work, signature }, hash, key: owner.key };
}

function legacyBlocks() {
  const rows = [];
  for (const value of [0n, 1n, 2n ** 64n, MAX, randomBelow(MAX)]) {
    const [owner, to, previous] = [account(), account(), randomHex()];
    const balance = value.toString(16).padStart(32, '0').toUpperCase();
    rows.push(legacyBlock(owner, 'send', { previous, destination: to.address, balance }, [previous, to.key, balance]));
  }
  const [owner, representative, previous, source] = [account(), account(), randomHex(), randomHex()];
  rows.push(legacyBlock(owner, 'receive', { previous, source }, [previous, source]));
  rows.push(legacyBlock(owner, 'open', { source, representative: representative.address, account: owner.address },
    [source, representative.key, owner.key]));
  rows.push(legacyBlock(owner, 'change', { previous, representative: representative.address }, [previous, representative.key]));
  return rows;
}

// --- signatures that no wallet makes

function withS(signature, s) {
  return Uint8Array.from([...signature.slice(0, 32), ...curve.toLittleEndian(s)]);
}

// Neither library looks at S's top bits, nor do they refuse odd keys: there they must agree with the rule written out in ed25519.mjs.
function judged(what, hash, signature, key) {
  const valid = curve.nodeAccepts(hash, signature, key);
  if ((signature[63] & 0xe0) === 0) {
    agree(what, valid, nano.verifyBlock({ hash: hex(hash), signature: hex(signature), publicKey: hex(key) }));
  }
  return { what, hash: hex(hash), signature: hex(signature), key: hex(key), valid };
}

function flipped(input, bit) {
  const output = Uint8Array.from(input);
  output[bit >> 3] ^= 1 << (bit & 7);
  return output;
}

function ordinarySignatures() {
  const rows = [];
  for (let i = 0; i < 8; i++) {
    const owner = account();
    const hash = Uint8Array.from(random());
    const key = bytes(owner.key);
    const signature = bytes(nano.signBlock({ hash: hex(hash), secretKey: owner.secret }));
    const s = curve.fromLittleEndian(signature.slice(32));
    rows.push(judged('as signed', hash, signature, key));
    for (let times = 1n; times * curve.L + s < 2n ** 256n && times <= 3n; times++) {
      rows.push(judged(`S + ${times} L`, hash, withS(signature, s + times * curve.L), key));
    }
    for (const bit of [253n, 254n, 255n]) rows.push(judged(`bit ${bit} of S set`, hash, withS(signature, s | (1n << bit)), key));
    rows.push(judged('-S', hash, withS(signature, curve.L - s), key));
    for (let n = 0; n < 4; n++) {
      rows.push(judged('a bit of the hash flipped', flipped(hash, Number(randomBelow(256n))), signature, key));
      rows.push(judged('a bit of R flipped', hash, flipped(signature, Number(randomBelow(256n))), key));
      rows.push(judged('a bit of S flipped', hash, flipped(signature, 256 + Number(randomBelow(253n))), key));
      rows.push(judged('a bit of the key flipped', hash, signature, flipped(key, Number(randomBelow(256n)))));
    }
    rows.push(judged('zero', hash, new Uint8Array(64), key));
  }
  return rows;
}

// A = aB + T with T of small order; signatures with R = rB - jT, of which those with j = h mod 8 hold.
function oddKeySignatures() {
  const rows = [];
  const small = Array.from({ length: 8 }, (_, i) => curve.multiply(BigInt(i), curve.TORSION));
  const sign = (what, key, a, torsion) => {
    const found = { true: 0, false: 0 };
    while (found.true < 2 || found.false < 1) {
      const hash = Uint8Array.from(random());
      const r = randomBelow(curve.L);
      const shift = curve.negate(curve.multiply(randomBelow(8n), torsion));
      const encoded = curve.encode(curve.add(curve.multiply(r, curve.BASE), shift));
      const s = (r + curve.challenge(encoded, key, hash) * a) % curve.L;
      const row = judged(what, hash, Uint8Array.from([...encoded, ...curve.toLittleEndian(s)]), key);
      if (found[row.valid]++ < 2) rows.push(row);
      if (row.valid) rows.push(judged(`${what}, S + L`, hash, withS(bytes(row.signature), s + curve.L), key));
      if (torsion === curve.IDENTITY && row.valid) break;
    }
  };
  for (let order = 1; order < 8; order++) {
    const a = randomBelow(curve.L);
    const mixed = curve.add(curve.multiply(a, curve.BASE), small[order]);
    sign(`a key with ${order} T added`, curve.encode(mixed), a, small[order]);
  }
  for (let order = 1; order < 8; order++) sign(`the key ${order} T`, curve.encode(small[order]), 0n, small[order]);
  const identities = [
    ['the identity', curve.encode(curve.IDENTITY)],
    ['the identity with a sign', curve.toLittleEndian(1n | (1n << 255n))],
    ['the identity with y = P + 1', curve.toLittleEndian(2n ** 255n - 18n)],
    ['the identity with y = P + 1 and a sign', curve.toLittleEndian((2n ** 255n - 18n) | (1n << 255n))],
  ];
  for (const [what, key] of identities) sign(`the key is ${what}`, key, 0n, curve.IDENTITY);
  for (const [what, y, sign_] of [['P - 1 with a sign', 2n ** 255n - 20n, 1n], ['P', 2n ** 255n - 19n, 0n], ['P with a sign', 2n ** 255n - 19n, 1n]]) {
    const key = curve.toLittleEndian(y | (sign_ << 255n));
    sign(`the key has y = ${what}`, key, 0n, curve.decode(key));
  }
  return rows;
}

// S = 0, and points that are no points.
function edgeSignatures() {
  const rows = [];
  const hash = Uint8Array.from(random());
  const identity = curve.encode(curve.IDENTITY);
  const none = Array.from({ length: 40 }, () => Uint8Array.from(random())).filter((key) => curve.decode(key) === null).slice(0, 4);
  for (const s of [0n, curve.L]) {
    rows.push(judged(`R and key the identity, S = ${s === 0n ? 0 : 'L'}`, hash, withS(identity, s), identity));
    // R = -hA holds only where h is known beforehand: with a key of order 2, half of all hashes do.
    const key = curve.encode(curve.multiply(4n, curve.TORSION));
    for (let n = 0; n < 6; n++) {
      rows.push(judged('S = 0 and a key of order 2', Uint8Array.from(random()), withS(identity, s), key));
    }
  }
  const odd = curve.toLittleEndian(2n ** 255n - 18n);
  rows.push(judged('R the identity, misspelt', hash, withS(odd, 0n), identity));
  for (const key of none) rows.push(judged('the key is no point', hash, withS(identity, 0n), key));
  for (const r of none) rows.push(judged('R is no point', hash, withS(r, 1n), bytes(account().key)));
  return rows;
}

const signatures = [...ordinarySignatures(), ...oddKeySignatures(), ...edgeSignatures()];
const vectors = {
  made_by: 'make.mjs, with nanocurrency 2.5.0 and nanocurrency-web 1.4.3',
  addresses: addresses(),
  not_addresses: notAddresses(),
  amounts: amounts(),
  nano_spellings: NANO_SPELLINGS,
  not_raw: NOT_RAW,
  not_nano: NOT_NANO,
  state_blocks: stateBlocks(),
  legacy_blocks: legacyBlocks(),
  signatures,
};
const lines = Object.entries(vectors).map(([name, value]) =>
  Array.isArray(value)
    ? `  ${JSON.stringify(name)}: [\n${value.map((row) => '    ' + JSON.stringify(row)).join(',\n')}\n  ]`
    : `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`);
writeFileSync(process.argv[2], `{\n${lines.join(',\n')}\n}\n`);
