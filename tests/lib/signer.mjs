// Signs Nano blocks with an implementation that is not ours: one JSON request a line on stdin, one JSON answer a line on stdout.
import { createInterface } from 'node:readline';
import { createBlock, deriveAddress, derivePublicKey, hashBlock, signBlock, verifyBlock } from 'nanocurrency';

const operations = {
  account({ secret }) {
    const key = derivePublicKey(secret);
    return { key, address: deriveAddress(key, { useNanoPrefix: true }) };
  },
  signature({ secret, hash }) {
    return signBlock({ hash, secretKey: secret });
  },
  // The state block's hash as this implementation reckons it, and whether `hash` is signed by the block's account.
  verify({ hash, block }) {
    const publicKey = derivePublicKey(block.account);
    return { hash: hashBlock(block), valid: verifyBlock({ hash, signature: block.signature, publicKey }) };
  },
  // A state block; `link` is an address (a send) or 64 hexadecimal digits.
  block({ secret, previous, representative, balance, link, work }) {
    return createBlock(secret, { previous, representative, balance, link, work });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = { value: operations[request.operation](request) };
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
}
