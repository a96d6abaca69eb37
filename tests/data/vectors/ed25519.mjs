// Ed25519 with BLAKE2b-512 in plain big integers: slow, and short enough to be compared with RFC 8032, section 5.1.
// It makes the keys and signatures that wallet libraries never make, and says what a node says of them.
import blake from 'blakejs';

const P = 2n ** 255n - 19n;
export const L = 2n ** 252n + 27742317777372353535851937790883648493n;

const mod = (a, m = P) => ((a % m) + m) % m;

function power(base, exponent) {
  let result = 1n;
  for (let b = mod(base), e = exponent; e > 0n; e >>= 1n, b = mod(b * b)) {
    if (e & 1n) result = mod(result * b);
  }
  return result;
}

const inverse = (a) => power(a, P - 2n);
const D = mod(-121665n * inverse(121666n));
const SQRT_M1 = power(2n, (P - 1n) / 4n);

// Points are [X, Y, Z] with x = X/Z and y = Y/Z (RFC 8032 has a fourth, T = XY/Z, for speed).
export const IDENTITY = [0n, 1n, 1n];

export function add([x1, y1, z1], [x2, y2, z2]) {
  const zz = mod(z1 * z2);
  const square = zz * zz;
  const product = mod(D * mod(x1 * x2) * mod(y1 * y2));
  const [minus, plus] = [mod(square - product), mod(square + product)];
  const cross = mod(x1 * y2 + y1 * x2);
  return [mod(mod(zz * minus) * cross), mod(mod(zz * plus) * mod(y1 * y2 + x1 * x2)), mod(minus * plus)];
}

export const negate = ([x, y, z]) => [mod(-x), y, z];

export function multiply(scalar, point) {
  let result = IDENTITY;
  for (let p = point, s = scalar; s > 0n; s >>= 1n, p = add(p, p)) {
    if (s & 1n) result = add(result, p);
  }
  return result;
}

// As ed25519-donna: the y of a key may be P or more, and a zero x may carry a sign. Null when it is no point.
export function decode(bytes) {
  const number = fromLittleEndian(bytes);
  const sign = number >> 255n;
  const y = mod(number & (2n ** 255n - 1n));
  const u = y * y - 1n;
  const v = D * y * y + 1n;
  let x = mod(u * power(v, 3n) * power(u * power(v, 7n), (P - 5n) / 8n));
  if (mod(v * x * x) !== mod(u)) {
    x = mod(x * SQRT_M1);
    if (mod(v * x * x) !== mod(u)) return null;
  }
  return [(x & 1n) === sign ? x : mod(-x), y, 1n];
}

export function encode([x, y, z]) {
  const scale = inverse(z);
  return toLittleEndian(mod(y * scale) | ((mod(x * scale) & 1n) << 255n));
}

export function fromLittleEndian(bytes) {
  return bytes.reduceRight((number, byte) => (number << 8n) | BigInt(byte), 0n);
}

export function toLittleEndian(number) {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((number >> BigInt(8 * i)) & 255n));
}

export const BASE = decode(toLittleEndian(mod(4n * inverse(5n)))); // y = 4/5, x even

// A point of order 8: everything of small order is a multiple of it.
export const TORSION = (() => {
  for (let y = 2n; ; y++) {
    const point = decode(toLittleEndian(y));
    if (point === null) continue;
    const small = multiply(L, point);
    if (encode(multiply(4n, small)).some((byte, i) => byte !== (i === 0 ? 1 : 0))) return small;
  }
})();

export function challenge(r, key, hash) {
  return mod(fromLittleEndian(blake.blake2b(Uint8Array.from([...r, ...key, ...hash]), null, 64)), L);
}

// nano-node, crypto/ed25519-donna, ed25519_sign_open: S below 2^253, then R = S * B - H(R, A, hash) * A.
export function nodeAccepts(hash, signature, key) {
  const r = signature.slice(0, 32);
  const point = decode(key);
  if ((signature[63] & 0xe0) !== 0 || point === null) return false;
  const s = mod(fromLittleEndian(signature.slice(32)), L);
  const expected = encode(add(multiply(s, BASE), negate(multiply(challenge(r, key, hash), point))));
  return expected.every((byte, i) => byte === r[i]);
}
