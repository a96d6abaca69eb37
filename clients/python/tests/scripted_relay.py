"""A relay that says only what a test scripts, for one device after another."""

import asyncio
import json

import websockets

EPOCH = "0123456789abcdef0123456789abcdef"


class ScriptedRelay:
    """`async with ScriptedRelay(script) as relay`: each connection runs `await script(conversation)`."""

    def __init__(self, script):
        self._script = script
        self.failures = []

    async def __aenter__(self):
        self._server = await websockets.serve(self._serve, "127.0.0.1", 0, subprotocols=["coinslot.v1"])
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exception):
        self._server.close()
        await self._server.wait_closed()
        if self.failures and exception[0] is None:
            raise self.failures[0]

    async def _serve(self, socket):
        try:
            await self._script(Conversation(socket))
        except Exception as failure:
            self.failures.append(failure)


class Conversation:
    def __init__(self, socket):
        self.socket = socket

    async def say(self, **frame):
        await self.socket.send(json.dumps(frame))

    async def hear(self):
        return json.loads(await asyncio.wait_for(self.socket.recv(), 5))

    async def hear_close(self):
        """The code with which the device closed."""
        await asyncio.wait_for(self.socket.wait_closed(), 5)
        return self.socket.close_code

    async def greet(self, last_acked=0, pending=0, epoch=EPOCH):
        """Challenge, hello, welcome; returns the hello."""
        await self.say(type="challenge", nonce="00" * 32, epoch=epoch)
        hello = await self.hear()
        await self.say(type="welcome", time="2026-11-20T12:00:00.000Z", last_acked=max(last_acked, hello["resume"]), pending=pending)
        return hello

    async def pay(self, seq, amount=10**27, age_s=0, hash=None):
        payment = {
            "chain": "nano",
            "hash": hash or f"{seq:064X}",
            "output": 0,
            "from": "nano_1111111111111111111111111111111111111111111111111111hifc8npp",
            "to": "nano_1111111111111111111111111111111111111111111111111111hifc8npp",
            "amount": str(amount),
            "stored_at": "2026-11-20T12:00:00.000Z",
            "age_s": age_s,
        }
        await self.say(type="payment", seq=seq, payment=payment)
