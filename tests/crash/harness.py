"""A relay that is killed, cut off and failed on purpose; payers that remember every 200, and devices that remember every credit."""

import asyncio
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import websockets

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "lib"), str(ROOT / "clients" / "python")]

from coinslot.address import format_address  # noqa: E402
from ports import free_port  # noqa: E402

LONG = os.environ.get("COINSLOT_LONG") == "1"
CONFIG = "[callback]\nconfirm = source\n[verify]\nsignature = never\n"
CUT_EXIT = 77
ANSWER_S = 30  # the relay must have answered by then, or ended


def _folder_of_binaries():
    """Where the sanitizers matter less than how much is tried, the release build serves, if it is there."""
    given = Path(os.environ.get("COINSLOT_BINARY", ROOT / "build" / "debug" / "coinslot")).resolve().parent
    release = ROOT / "build" / "release"
    return given, release if (release / "coinslot-fault").exists() else given


BUILD, FAST_BUILD = _folder_of_binaries()


def the_seed():
    """COINSLOT_SEED replays; printed by every test, which pytest shows when it fails."""
    seed = int(os.environ.get("COINSLOT_SEED") or random.SystemRandom().randrange(2**32))
    print(f"replay with COINSLOT_SEED={seed}")
    return seed


def run(coroutine, seconds=3000 if LONG else 300):
    """To its end, which has to come; else every task says where it waits."""

    async def bounded():
        task = asyncio.ensure_future(coroutine)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            for waiting in asyncio.all_tasks():
                waiting.print_stack(file=sys.stdout)
            raise AssertionError(f"it did not end within {seconds} s")
        return task.result()

    return asyncio.run(bounded())


# ---- payments ---------------------------------------------------------------------------------------------------------


class Block:
    """A send, with a true hash; its signature is not checked under `signature = never`."""

    def __init__(self, number, sender, previous, key, address):
        balance, amount = 10**30, 10**24 + number
        raw = (6).to_bytes(32, "big") + sender + previous + sender + balance.to_bytes(16, "big") + key
        self.hash = hashlib.blake2b(raw, digest_size=32).hexdigest().upper()
        self.amount, self.address = str(amount), address
        account = format_address(sender)
        block = {
            "type": "state",
            "account": account,
            "previous": previous.hex().upper(),
            "representative": account,
            "balance": str(balance),
            "link": key.hex().upper(),
            "link_as_account": address,
            "signature": hashlib.blake2b(raw + b"signature", digest_size=64).hexdigest().upper(),
            "work": "c0ffee0000000001",
        }
        body = {"account": account, "hash": self.hash, "block": json.dumps(block), "amount": self.amount}
        self.body = json.dumps({**body, "is_send": "true", "subtype": "send"}).encode()


class Ledger:
    """What the payers know: which blocks were answered 200, which were tried and not answered. Lives through all crashes."""

    def __init__(self, seed, keys):
        self._random = random.Random(seed)
        self._keys = [(key, format_address(key)) for key in keys]
        self._sender = hashlib.blake2b(b"payer", digest_size=32).digest()
        self._made = 0
        self._again = []  # not answered, or answered 503
        self._order = []
        self.blocks, self.answered = {}, set()
        self.refused = 0

    def next(self):
        """Mostly a new block; now and then one that was not answered, or one that was: a node may notify again after months."""
        if self._again and self._random.random() < 0.5:
            return self._again.pop()
        if self._order and self._random.random() < 0.02:
            return self._random.choice(self._order)
        return self.new()

    def new(self):
        self._made += 1
        previous = hashlib.blake2b(b"%d" % self._made, digest_size=32).digest()
        key, address = self._random.choice(self._keys)
        block = Block(self._made, self._sender, previous, key, address)
        self.blocks[block.hash] = block
        self._order.append(block)
        return block

    def was_answered(self, block):
        self.answered.add(block.hash)

    def was_not(self, block):
        self._again.append(block)

    def unanswered(self):
        return [block for block in self.blocks.values() if block.hash not in self.answered]


class NoAnswer(Exception):
    pass


class Payer:
    """One keep-alive connection of a node."""

    def __init__(self, port):
        self._port = port
        self._reader = self._writer = None

    async def post(self, block):
        """(status, headers), or NoAnswer when the relay went away in between."""
        try:
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writer.write(
                b"POST /callback/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(block.body) + block.body
            )
            answer = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), ANSWER_S)
            head = answer.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
            await self._reader.readexactly(int(headers.get("content-length", 0)))
        except asyncio.TimeoutError:
            raise AssertionError(f"{block.hash} got no answer within {ANSWER_S} s") from None
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            raise NoAnswer() from None
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(head[0].split(" ")[1]), headers

    def close(self):
        if self._writer is not None:
            self._writer.transport.abort()
            self._reader = self._writer = None


async def pay(relay, ledger, until, payers=6):
    """Load from several connections until the event is set, or the relay is gone."""

    async def one():
        payer = Payer(relay.http_port)
        try:
            while not until.is_set():
                block = ledger.next()
                try:
                    status, _ = await payer.post(block)
                except (NoAnswer, asyncio.CancelledError) as end:
                    ledger.was_not(block)
                    if isinstance(end, NoAnswer):
                        return
                    raise
                if status == 200:
                    ledger.was_answered(block)
                else:
                    assert status == 503, f"{block.hash} was answered {status}"
                    ledger.refused += 1
                    ledger.was_not(block)
                    await asyncio.sleep(0.01)
        finally:
            payer.close()

    await asyncio.gather(*(one() for _ in range(payers)))


# ---- devices ----------------------------------------------------------------------------------------------------------


class Device:
    """Persists seq and credit, in the memory of the test, before it acks; comes back for ever."""

    def __init__(self, name, key):
        self.name, self.key, self.address = name, key, format_address(key)
        self.id = self.token = self.epoch = None
        self.persisted = 0
        self.granted = {}  # hash -> seq
        self.broken = None  # a promise that was
        self._task, self._stopping = None, False

    def start(self, ports):
        self._task = asyncio.create_task(self._run(ports))

    async def stop(self):
        self._stopping = True  # a cancellation may be lost in a connection that fails at that moment
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, ports):
        while self.broken is None and not self._stopping:
            try:
                url = f"ws://127.0.0.1:{ports['ws']}/device"
                options = {"subprotocols": ["coinslot.v1"], "compression": None, "ping_interval": None, "close_timeout": 1}
                async with websockets.connect(url, open_timeout=5, **options) as socket:
                    await self._session(socket)
            except (OSError, websockets.WebSocketException, asyncio.TimeoutError):
                await asyncio.sleep(0.01)
            except Exception as error:
                self.broken = self.broken or f"{self.name}: {error!r}"

    async def _session(self, socket):
        challenge = json.loads(await socket.recv())
        hello = {"type": "hello", "device": self.id, "token": self.token, "resume": self.persisted}
        if self.epoch is not None:
            hello["epoch"] = self.epoch
        self.epoch = challenge["epoch"]
        await socket.send(json.dumps(hello))
        async for text in socket:
            frame = json.loads(text)
            if frame["type"] == "payment":
                self._grant(frame)
                await socket.send(json.dumps({"type": "ack", "seq": self.persisted}))
                if self.persisted % 3 == 0:
                    await socket.send(json.dumps({"type": "actuated", "seq": self.persisted, "seconds": 60}))
            elif frame["type"] == "error" and frame["code"] in ("busy", "going_away"):
                await asyncio.sleep(0.05)  # a full disk, or a relay that stops: come again
                return
            elif frame["type"] in ("gap", "error"):
                self.broken = f"{self.name} was sent {frame}"
                return

    def _grant(self, frame):
        seq, payment_hash = frame["seq"], frame["payment"]["hash"]
        if seq != self.persisted + 1:
            self.broken = f"{self.name}: seq {seq} came after {self.persisted}"
        elif payment_hash in self.granted:
            self.broken = f"{self.name}: {payment_hash} was granted as seq {self.granted[payment_hash]}, and now as {seq}"
        if self.broken:
            raise RuntimeError(self.broken)
        self.granted[payment_hash] = seq
        self.persisted = seq


# ---- the relay --------------------------------------------------------------------------------------------------------


class Relay:
    """`coinslot-fault serve`, on a folder that outlives it. Its ports stay the same, so that everybody finds it again."""

    def __init__(self, folder, build=None, config=CONFIG, data=None):
        self.folder, self.build = Path(folder), build or FAST_BUILD
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = Path(data) if data else self.folder / "data"
        self.config, self.log = self.folder / "coinslot.conf", self.folder / "relay.log"
        self.config.write_text(config)
        self.ports = {"http": free_port(), "ws": free_port()}
        self.control_path = Path(tempfile.mkdtemp(prefix="coinslot_")) / "control"
        self.process = None
        self._token = None

    @property
    def http_port(self):
        return self.ports["http"]

    async def start(self, plan=None, timeout=60, **environment):
        """True once it is ready, False when it ended before."""
        given = {f"COINSLOT_FAULT_{name.upper()}": str(value) for name, value in environment.items()}
        given["COINSLOT_FAULT_CONTROL"] = str(self.control_path)
        if plan:
            given["COINSLOT_FAULT"] = plan
        with open(self.log, "wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(str(self.build / "coinslot-fault"), "serve", "--config", str(self.config), "--data", str(self.data)),
                *("--http", f"127.0.0.1:{self.ports['http']}", "--ws", f"127.0.0.1:{self.ports['ws']}"),
                env={**os.environ, **given},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        line = await asyncio.wait_for(self.process.stdout.readline(), timeout)
        return line.startswith(b'{"ready":true') or not self._ended(line)

    def _ended(self, line):
        assert line == b"", f"instead of its ready line the relay said {line!r}"
        return True

    async def wait(self, timeout=60):
        try:
            return await asyncio.wait_for(self.process.wait(), timeout)
        except asyncio.TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise AssertionError(f"the relay did not end within {timeout} s:\n{self.stderr()}") from None

    async def kill(self):
        try:
            self.process.kill()
        except ProcessLookupError:
            pass
        return await self.wait()

    async def terminate(self):
        """SIGTERM, unless it has ended by itself."""
        try:
            self.process.send_signal(signal.SIGTERM)
        except ProcessLookupError:
            pass

    async def stop(self):
        await self.terminate()
        code = await self.wait()
        assert code == 0, f"the relay exited {code}:\n{self.stderr()}"

    def stderr(self):
        return self.log.read_text(errors="replace")[-4000:]

    def reason(self):
        """The last line that says why the relay ended; None when there is none."""
        lines = [line for line in self.stderr().splitlines() if line.startswith("coinslot serve: ") or " error " in line]
        return lines[-1] if lines else None

    async def control(self, line):
        """The answer to one line; "" when it ended the relay, or the relay had ended by itself."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.control_path))
        except ConnectionError:
            return ""
        try:
            writer.write(line.encode() + b"\n")
            return (await reader.readline()).decode().strip()
        except ConnectionError:
            return ""
        finally:
            writer.close()

    async def run(self, *arguments, timeout=120):
        """A subcommand of the plain binary: (exit code, its output)."""
        process = await asyncio.create_subprocess_exec(
            str(self.build / "coinslot"), *map(str, arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output, _ = await asyncio.wait_for(process.communicate(), timeout)
        return process.returncode, output.decode()

    async def request(self, method, path, body=None, token=True, timeout=30):
        """(status, headers, text) over a connection of its own."""
        text = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", f"Content-Length: {len(text)}"]
        lines += ["Content-Type: application/json"] if body is not None else []
        lines += [f"Authorization: Bearer {self._token}"] if token else []
        reader, writer = await asyncio.open_connection("127.0.0.1", self.http_port)
        try:
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + text)
            answer = await asyncio.wait_for(reader.read(), timeout)
        finally:
            writer.close()
        head, _, content = answer.decode().partition("\r\n\r\n")
        first, *rest = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        return int(first.split(" ")[1]), headers, content

    async def make_devices(self, devices):
        """On a running relay: each device with its address."""
        code, output = await self.run("token", "create", "--data", self.data, "--name", "crash tests", "--role", "admin")
        assert code == 0, output
        self._token = output.strip()
        for device in devices:
            status, _, text = await self.request("POST", "/api/v1/devices", {"name": device.name, "auth": "token"})
            assert status == 201, text
            made = json.loads(text)
            device.id, device.token = made["id"], made["token"]
            body = {"chain": "nano", "address": device.address, "minimum": "0"}
            status, _, text = await self.request("POST", f"/api/v1/devices/{device.id}/subscriptions", body)
            assert status == 201, text

    def close(self):
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
        shutil.rmtree(self.control_path.parent, ignore_errors=True)


# ---- judgement --------------------------------------------------------------------------------------------------------


def stored_hashes(data):
    """The hashes in the store as a recovery would find them, read from a copy: the relay's own recovery is left to the relay."""
    with tempfile.TemporaryDirectory(prefix="coinslot_") as folder:
        for name in ("coinslot.db", "coinslot.db-wal"):
            if (Path(data) / name).exists():
                shutil.copy(Path(data) / name, folder)
        with sqlite3.connect(Path(folder) / "coinslot.db") as db:
            return [row[0].hex().upper() for row in db.execute("SELECT hash FROM payment")]


def lost(data, ledger):
    """How many payments that were answered 200 are not in the store, and how many are there twice. A damaged store has lost all."""
    try:
        stored = stored_hashes(data)
    except sqlite3.DatabaseError:
        stored = []
    return len(ledger.answered - set(stored)), len(stored) - len(set(stored))


async def settle(relay, ledger, devices, timeout=60):
    """On a running relay: pays what was not answered, waits until every device has all that was answered, and judges."""
    payer = Payer(relay.http_port)
    for block in ledger.unanswered():
        status, _ = await payer.post(block)
        assert status == 200, f"{block.hash} was answered {status}: {relay.stderr()}"
        ledger.was_answered(block)
    payer.close()
    due = {device.address: {hash for hash, block in ledger.blocks.items() if block.address == device.address} for device in devices}
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    while loop.time() < end and any(due[device.address] - device.granted.keys() and not device.broken for device in devices):
        await asyncio.sleep(0.05)
    for device in devices:
        assert device.broken is None, device.broken
        missing = due[device.address] - device.granted.keys()
        assert not missing, f"{device.name} never got {len(missing)} of {len(due[device.address])}, as {sorted(missing)[:3]}"
        assert device.granted.keys() == due[device.address], f"{device.name} was credited what nobody paid"
        assert sorted(device.granted.values()) == list(range(1, len(device.granted) + 1))


async def check(relay):
    """The store's own check, on a relay that is stopped."""
    code, output = await relay.run("check", "--full", "--data", relay.data)
    assert code == 0, output


class Crowd:
    """One folder with a relay, three devices and their payers."""

    def __init__(self, folder, seed, **options):
        keys = [hashlib.blake2b(b"shop %d" % number, digest_size=32).digest() for number in range(3)]
        self.relay = Relay(folder, **options)
        self.devices = [Device(f"Meter {number}", key) for number, key in enumerate(keys)]
        self.ledger = Ledger(seed, keys)

    async def __aenter__(self):
        assert await self.relay.start(), self.relay.stderr()
        await self.relay.make_devices(self.devices)
        await self.relay.stop()
        for device in self.devices:
            device.start(self.relay.ports)
        return self

    async def __aexit__(self, *error):
        for device in self.devices:
            await device.stop()
        self.relay.close()

    def assert_unbroken(self):
        for device in self.devices:
            assert device.broken is None, device.broken

    async def live(self, plan, seconds, then=None, **environment):
        """One life under load. After `seconds` comes `then`, else SIGKILL. Returns the exit code."""
        if await self.relay.start(plan, **environment):
            until = asyncio.Event()
            load = asyncio.create_task(pay(self.relay, self.ledger, until))
            try:
                await asyncio.wait_for(asyncio.shield(self.relay.process.wait()), seconds)
            except asyncio.TimeoutError:
                if then is not None:
                    await then()
                else:
                    await self.relay.kill()
            code = await self.relay.wait()
            until.set()
            await asyncio.wait_for(load, 30)
        else:
            code = await self.relay.wait()
        self.assert_unbroken()
        return code

    async def finish(self):
        """A last life without faults, a clean stop, and the judgement."""
        assert await self.relay.start(), self.relay.stderr()
        await settle(self.relay, self.ledger, self.devices)
        await self.relay.stop()
        await check(self.relay)
        assert lost(self.relay.data, self.ledger) == (0, 0)
        return len(self.ledger.answered)
