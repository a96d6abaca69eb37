// A program as people write it for a Nano node's WebSocket: subscribes whenever it is connected, and looks at what comes. It knows nothing of
// the relay but its URL. Usage: node nano_program.mjs LIBRARY URL SUBSCRIPTION [HEADERS]; lines on stdin are sent as they are; what happens is
// printed, a line of JSON each.
import { createInterface } from 'node:readline';
import ReconnectingWebSocket from 'reconnecting-websocket';
import WebSocket from 'ws';

const [library, url, subscription, headers] = process.argv.slice(2);
const say = (event) => process.stdout.write(JSON.stringify(event) + '\n');

const open = {
  ws: () => new WebSocket(url, { headers: JSON.parse(headers ?? '{}') }),
  'reconnecting-websocket': () =>
    new ReconnectingWebSocket(url, [], { WebSocket, connectionTimeout: 2000, minReconnectionDelay: 100, maxReconnectionDelay: 500 }),
};

const socket = open[library]();

socket.onopen = () => {
  say({ event: 'open' });
  socket.send(subscription);
};
socket.onclose = ({ code }) => say({ event: 'close', code });
socket.onerror = ({ message }) => say({ event: 'error', message });
socket.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  if (message.topic === 'confirmation') {
    const { account, amount, hash, block } = message.message;
    say({ event: 'payment', account, amount: BigInt(amount).toString(), hash, to: block?.link_as_account ?? block?.destination, text: data });
  } else if (message.ack) {
    say({ event: 'ack', ack: message.ack, id: message.id });
  } else {
    say({ event: 'other', message });
  }
};

for await (const line of createInterface({ input: process.stdin })) {
  socket.send(line);
}
socket.close();
setTimeout(() => process.exit(0), 2000).unref();
