"""A relay that says only what a test scripts, for one device after another."""

import asyncio
import hashlib
import json
import struct

import websockets
from nacl.bindings import crypto_kx_keypair, crypto_kx_server_session_keys
from nacl.signing import SigningKey, VerifyKey

EPOCH = "0123456789abcdef0123456789abcdef"


class ScriptedRelay:
    """`async with ScriptedRelay(script) as relay`: each connection runs `await script(conversation)`."""

    def __init__(self, script, conversation=None):
        self._script = script
        self._conversation = conversation or Conversation
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
            await self._script(self._conversation(socket))
        except Exception as failure:
            self.failures.append(failure)


class Conversation:
    """A session by token."""

    def __init__(self, socket):
        self.socket = socket
        self.statuses = []

    async def say(self, **frame):
        await self.socket.send(json.dumps(frame))

    async def hear(self):
        """The next frame that is no status; those are kept."""
        while True:
            frame = json.loads(self.unseal(await asyncio.wait_for(self.socket.recv(), 5)))
            if frame["type"] != "status":
                return frame
            self.statuses.append(frame)

    def unseal(self, text):
        return text

    async def hear_close(self):
        """The code with which the device closed."""
        await asyncio.wait_for(self.socket.wait_closed(), 5)
        return self.socket.close_code

    def rest(self):
        """What came since, but for statuses."""
        frames = [json.loads(text) for text in self.socket.messages]
        return [frame for frame in frames if frame["type"] != "status"]

    def welcome(self, hello, last_acked, pending, version, config):
        return {
            "type": "welcome",
            "time": "2026-11-20T12:00:00.000Z",
            "last_acked": max(last_acked, hello["resume"]),
            "pending": pending,
            "config_version": version,
            "config": config,
        }

    async def greet(self, last_acked=0, pending=0, epoch=EPOCH, version=0, config=None):
        """Challenge, hello, welcome; returns the hello."""
        await self.say(type="challenge", nonce="00" * 32, epoch=epoch)
        hello = await self.hear()
        await self.say(**self.welcome(hello, last_acked, pending, version, config))
        return hello

    async def pay(self, seq, amount=10**27, age_s=0, hash=None, **members):
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
        await self.say(type="payment", seq=seq, payment=payment, **members)


class KeyConversation(Conversation):
    """A session by key: the relay's side, written from the protocol's page alone. `change_…` is where a test lies."""

    relay_key = SigningKey(b"R" * 32)
    device_public = None  # set by the test

    def __init__(self, socket):
        super().__init__(socket)
        self.pair, self.secret = crypto_kx_keypair()
        self.received = self.sent = 0
        self.keys = None

    def change_challenge(self, challenge):
        return challenge

    def change_welcome(self, text):
        return text

    def seal(self, body, counter):
        mac = hashlib.blake2b(struct.pack(">Q", counter) + body, digest_size=16, key=self.keys[1]).hexdigest()
        return (body + b',"mac":"' + mac.encode() + b'"}').decode()

    async def say(self, **frame):
        """Sealed, once there are keys."""
        text = json.dumps(frame)
        if self.keys is not None:
            text = self.seal(text[:-1].encode(), self.sent)
            self.sent += 1
        await self.socket.send(text)

    def unseal(self, text):
        if self.keys is None:
            return text
        data = text.encode()
        body, tail = data[:-42], data[-42:]
        mac = hashlib.blake2b(struct.pack(">Q", self.received) + body, digest_size=16, key=self.keys[0]).hexdigest()
        assert tail == b',"mac":"' + mac.encode() + b'"}', text
        self.received += 1
        return text

    def transcript(self, label, device, challenge, hello):
        return b"".join(
            [
                label + b"\0",
                bytes(self.relay_key.verify_key),
                struct.pack(">H", len(device)) + device,
                self.device_public,
                struct.pack(">I", len(challenge)) + challenge,
                struct.pack(">I", len(hello)) + hello,
            ]
        )

    async def greet(self, last_acked=0, pending=0, epoch=EPOCH, version=0, config=None):
        challenge = {"type": "challenge", "nonce": "5a" * 32, "key": self.pair.hex()}
        challenge.update(relay=bytes(self.relay_key.verify_key).hex(), epoch=epoch)
        challenge = json.dumps(self.change_challenge(challenge), separators=(",", ":")).encode()
        await self.socket.send(challenge.decode())
        text = await asyncio.wait_for(self.socket.recv(), 5)
        hello = json.loads(text)
        body = text.encode()[: -len(',"sig":""}') - 128]
        assert text.encode()[len(body) :] == b',"sig":"' + hello["sig"].encode() + b'"}'
        told = (hello["device"].encode(), challenge, body)
        VerifyKey(self.device_public).verify(self.transcript(b"coinslot.v1 device", *told), bytes.fromhex(hello["sig"]))
        welcome = json.dumps(self.welcome(hello, last_acked, pending, version, config), separators=(",", ":")).encode()[:-1]
        signed = self.transcript(b"coinslot.v1 relay", *told) + struct.pack(">I", len(welcome)) + welcome
        signature = self.relay_key.sign(signed).signature.hex()
        await self.socket.send(self.change_welcome(welcome.decode() + f',"sig":"{signature}"}}'))
        self.keys = crypto_kx_server_session_keys(self.pair, self.secret, bytes.fromhex(hello["key"]))
        return hello
