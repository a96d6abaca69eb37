#!/usr/bin/python3
"""What the original server does, on tornado: POST /callback/ from the node, WebSocket /call for the clients, the node's object passed on as it is.

    tests/bench/tornado_relay.py PORT
"""

import asyncio
import collections
import json
import sys

import tornado.web
import tornado.websocket

CLIENTS = collections.defaultdict(list)  # by address


class Callback(tornado.web.RequestHandler):
    async def post(self):
        data = json.loads(self.request.body.decode())
        block = json.loads(data["block"])
        for client in CLIENTS.get(block.get("link_as_account"), ()):
            client.write_message(json.dumps(data))


class Call(tornado.websocket.WebSocketHandler):
    def open(self):
        self.addresses = []

    def on_message(self, message):
        if message != "Connected":
            self.addresses.append(json.loads(message)["address"])
            CLIENTS[self.addresses[-1]].append(self)

    def on_close(self):
        for address in self.addresses:
            CLIENTS[address].remove(self)


async def main():
    tornado.web.Application([("/callback/", Callback), ("/call", Call)]).listen(int(sys.argv[1]), "127.0.0.1")
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
