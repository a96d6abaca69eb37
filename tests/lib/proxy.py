"""Somebody on the way between a device and the relay, who reads every frame and may change, drop, repeat or add some."""

import asyncio
import json

import websockets

UP, DOWN = "up", "down"  # from the device, from the relay


class Proxy:
    """
    `tamper(session, direction, text)` says what goes on in place of a frame: a list of texts. It is called in the order in which frames
    come, with the session's frames so far in session.up and session.down. Without one, everything passes.
    """

    def __init__(self, loop, relay_url):
        self._loop = loop
        self._relay_url = relay_url
        self._links = set()
        self._devices = set()  # who is connected
        self.tamper = None
        self.open = True  # False: nobody gets through
        self.sessions = []
        self._server = loop.run(self._listen())
        self.ws_url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _listen(self):
        options = {"ping_interval": None, "compression": None, "max_size": 2**20, "close_timeout": 1}
        return await websockets.serve(self._serve, "127.0.0.1", 0, subprotocols=["coinslot.v1"], **options)

    def close(self):
        self.open = False
        self._loop.run(self._close())

    def cut(self):
        """Ends the connections there are, without a word."""
        self._loop.run(self._cut())

    async def _cut(self):
        for device in list(self._devices):
            device.transport.abort()

    async def _close(self):
        for link in list(self._links):
            link.cancel()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, device, path):
        if not self.open:
            device.transport.abort()
            return
        link = asyncio.current_task()
        self._links.add(link)
        self._devices.add(device)
        options = {"ping_interval": None, "compression": None, "max_size": 2**20, "close_timeout": 1}
        try:
            async with websockets.connect(self._relay_url + path, subprotocols=["coinslot.v1"], **options) as relay:
                session = ProxySession(self)
                self.sessions.append(session)
                ways = {
                    asyncio.ensure_future(session.carry(UP, device, relay)),
                    asyncio.ensure_future(session.carry(DOWN, relay, device)),
                }
                try:
                    await asyncio.wait(ways)
                finally:
                    for way in ways:
                        way.cancel()
        finally:
            self._links.discard(link)
            self._devices.discard(device)


class ProxySession:
    def __init__(self, proxy):
        self._proxy = proxy
        self.up, self.down = [], []  # as they came
        self.closed = {}  # direction: the code with which that end closed

    def of(self, direction, kind):
        return [text for text in getattr(self, direction) if json.loads(text)["type"] == kind]

    async def carry(self, direction, source, target):
        try:
            async for text in source:
                tamper = self._proxy.tamper
                passed = [text] if tamper is None else tamper(self, direction, text)
                getattr(self, direction).append(text)
                for one in passed:
                    await target.send(one)
        except websockets.ConnectionClosed:
            pass  # by an end that was not content, or the target is gone
        code = source.close_code
        self.closed[direction] = code
        await target.close(code if code in (1000, 1001) or (code or 0) >= 4000 else 1011)
