import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "lib"), str(ROOT / "clients" / "python")]

from authority import Authority, Installed  # noqa: E402
from blocks import Signer  # noqa: E402
from meter import Meter  # noqa: E402
from node import FakeNode  # noqa: E402
from posix_meter import PosixMeter  # noqa: E402
from proxy import Proxy  # noqa: E402
from relay import CONFIG, Relay  # noqa: E402
from session import Loop, Session  # noqa: E402
from simnode import SimNode  # noqa: E402
from upstream import Machine  # noqa: E402


@pytest.fixture(scope="session")
def signer():
    signer = Signer()
    yield signer
    signer.close()


@pytest.fixture(scope="session")
def loop():
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture
def installed(tmp_path, authority):
    """The files of a relay's certificate, with a good one in them."""
    files = Installed(tmp_path)
    files.put(*authority.issue("first"))
    return files


@pytest.fixture
def make_relay(tmp_path):
    """Relays that are stopped, and judged, at the end of the test."""
    made = []

    def make(config=CONFIG, name="relay", start=True, **options):
        relay = Relay(tmp_path / name, config, **options)
        made.append(relay)
        return relay.start() if start else relay

    yield make
    for relay in made:
        relay.close()


@pytest.fixture
def relay(make_relay):
    return make_relay()


@pytest.fixture
def node(relay):
    node = FakeNode(relay.http_port)
    yield node
    node.close()


@pytest.fixture
def make_simnode(tmp_path):
    """Simulated nodes that are stopped, and judged, at the end of the test."""
    made = []

    def make(name="simnode", start=True, **options):
        simnode = SimNode(tmp_path / name, **options)
        made.append(simnode)
        return simnode.start() if start else simnode

    yield make
    for simnode in made:
        simnode.close()


@pytest.fixture
def simnode(make_simnode):
    """One that makes no callbacks."""
    return make_simnode()


@pytest.fixture
def account(simnode):
    """An account of the simulated node."""
    return simnode.account()


@pytest.fixture
def payer(signer, request):
    """An account with money, another one in each test."""
    return signer.account(f"payer of {request.node.name}")


@pytest.fixture
def shop(signer, request):
    """The account that a device's owner is paid on."""
    return signer.account(f"shop of {request.node.name}")


@pytest.fixture
def device(relay, shop):
    """A device that is subscribed to the shop's address."""
    device = relay.create_device("Meter 12")
    relay.subscribe(device, shop)
    return device


@pytest.fixture
def key_device(relay, shop):
    """The same by key, registered by its public key."""
    device = relay.create_key_device("Meter 13")
    relay.subscribe(device, shop)
    return device


@pytest.fixture
def make_meter(tmp_path):
    made = []

    def make(relay, device, name="meter", arguments=()):
        meter = Meter(tmp_path / name, relay.ws_url, device, arguments)
        made.append(meter)
        return meter

    yield make
    for meter in made:
        meter.close()


@pytest.fixture
def make_posix_meter(tmp_path):
    """Meters for Linux boards; `relay` is anything with a ws_url."""
    made = []

    def make(relay, device, name="meter", arguments=()):
        meter = PosixMeter(tmp_path / name, relay.ws_url, device, arguments)
        made.append(meter)
        return meter

    yield make
    for meter in made:
        meter.close()


@pytest.fixture(params=["reference", "posix"])
def make_either_meter(request):
    """The reference device and the meter for Linux boards, one test each."""
    return request.getfixturevalue("make_meter" if request.param == "reference" else "make_posix_meter")


@pytest.fixture
def machine(relay, connect, device):
    """A session of the device, which people may pay."""
    machine = Machine(relay, connect, device)
    machine.await_state(caught_up=True, payable=True, reason="ok")
    return machine


@pytest.fixture
def make_proxy(loop):
    """Somebody on the way between a device and the relay."""
    made = []

    def make(relay):
        proxy = Proxy(loop, relay.ws_url)
        made.append(proxy)
        return proxy

    yield make
    for proxy in made:
        proxy.close()


@pytest.fixture
def connect(loop):
    """Bare sessions, closed at the end of the test."""
    made = []

    def connect_to(relay, **options):
        if relay.ws_tls:
            options.setdefault("ssl", relay.ws_tls)
        session = Session(loop, relay.ws_url, **options)
        made.append(session)
        return session

    yield connect_to
    for session in made:
        session.abort()
