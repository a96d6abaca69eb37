"""Every n-th I/O call failing once, and a disk that is full: a clear error, no 200 for what is not stored, nothing lost."""

import asyncio
import errno
import os
import random
import subprocess
import time

import pytest

from harness import BUILD, CONFIG, FAST_BUILD, LONG, Crowd, NoAnswer, Payer, check, lost, run, settle, the_seed

STEP = 1 if LONG else 5
RELAY_FAULTS = 300 if LONG else 15
FAULTS_IN_A_FOLDER = 15


def crash_store(*arguments, build=FAST_BUILD):
    done = subprocess.run([str(build / "crash_store"), *map(str, arguments)], capture_output=True, text=True, timeout=1500)
    print(done.stdout[-6000:], done.stderr[-2000:])
    return done.returncode


@pytest.mark.parametrize("action", ["full", "io_error", "short_write"])
def test_every_call_of_the_store_may_fail_once(action):
    assert crash_store("faults", "--action", action, "--step", STEP, "--seed", the_seed()) == 0


@pytest.mark.parametrize("action", ["full", "share"])
def test_the_store_stays_up_while_the_disk_is_full(action):
    assert crash_store("outage", "--action", action, "--seed", the_seed(), build=BUILD) == 0


# ---- the whole relay --------------------------------------------------------------------------------------------------


async def fail_again_and_again(folder, seed, faults):
    randomly = random.Random(seed)
    async with Crowd(folder, seed) as crowd:
        for number in range(faults):
            action = randomly.choice(["io_error", "short_write", "full"])
            calls = "open,write,truncate,share" if action == "full" else "all"
            at = 1 + randomly.randrange(8 << randomly.randrange(10))
            plan = f"action={action} calls={calls} at={at} seed={randomly.randrange(2**32)}"
            code = await crowd.live(plan, 0.4, crowd.relay.terminate)
            if code != 0:
                assert code == 1, f"with «{plan}» the relay ended with {code}:\n{crowd.relay.stderr()}"
                assert crowd.relay.reason(), f"with «{plan}» the relay ended without a reason:\n{crowd.relay.stderr()}"
            assert lost(crowd.relay.data, crowd.ledger) == (0, 0), f"«{plan}» lost payments:\n{crowd.relay.stderr()}"
        await crowd.finish()


def test_any_call_of_the_relay_may_fail_once(tmp_path):
    seed = the_seed()
    for first in range(0, RELAY_FAULTS, FAULTS_IN_A_FOLDER):
        run(fail_again_and_again(tmp_path / str(first), seed + first, FAULTS_IN_A_FOLDER))


async def post_new(crowd):
    """The answer to a payment nobody has seen yet."""
    payer, block = Payer(crowd.relay.http_port), crowd.ledger.new()
    try:
        status, headers = await payer.post(block)
    finally:
        payer.close()
    if status == 200:
        crowd.ledger.was_answered(block)
    else:
        crowd.ledger.was_not(block)
    return status, headers


async def assert_readable_and_closed(crowd):
    """What a relay on a full disk does."""
    status, headers = await post_new(crowd)
    assert status == 503, f"a callback on a full disk was answered {status}"
    assert int(headers["retry-after"]) > 0
    for path, wanted in (("/api/v1/payments", 200), ("/api/v1/deliveries", 200), ("/api/v1/devices", 200), ("/healthz", 200)):
        status, _, text = await crowd.relay.request("GET", path)
        assert status == wanted, f"{path}: {status} {text}"
    status, _, text = await crowd.relay.request("GET", "/readyz")
    assert status == 503 and "full" in text.lower(), f"/readyz: {status} {text}"


async def becomes(what, timeout=30):
    end = time.monotonic() + timeout
    while not await what():
        assert time.monotonic() < end, f"{what.__name__} did not come within {timeout} s"
        await asyncio.sleep(0.05)


async def assert_goes_on(crowd):
    async def a_payment_is_taken_again():
        return (await post_new(crowd))[0] == 200

    async def the_relay_is_ready_again():
        return (await crowd.relay.request("GET", "/readyz"))[0] == 200

    await becomes(a_payment_is_taken_again)
    await becomes(the_relay_is_ready_again)
    await settle(crowd.relay, crowd.ledger, crowd.devices)
    await crowd.relay.stop()
    await check(crowd.relay)
    assert lost(crowd.relay.data, crowd.ledger) == (0, 0)


async def fill_the_shim(folder, seed):
    async with Crowd(folder, seed, build=BUILD) as crowd:
        assert await crowd.relay.start(), crowd.relay.stderr()
        for _ in range(50):
            assert (await post_new(crowd))[0] == 200
        assert await crowd.relay.control("action=full calls=write,truncate,share at=1 lasting=1") == "ok"
        for _ in range(20):
            await assert_readable_and_closed(crowd)
        assert await crowd.relay.control("action=none") == "ok"
        await assert_goes_on(crowd)


def test_a_full_disk_leaves_the_relay_up_and_readable(tmp_path):
    run(fill_the_shim(tmp_path, the_seed()))


# ---- a real disk that is really full ------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True) if os.geteuid() == 0 else None
    if done is None or done.returncode != 0:
        pytest.skip("mounting a tmpfs needs root" if done is None else f"no tmpfs can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder, leave):
    """A file that takes all room but `leave` bytes, beside a relay that takes some at the same time."""
    ballast = folder / "ballast"
    with open(ballast, "wb") as file:
        for step in (1 << 20, 1 << 12):
            while True:
                status = os.statvfs(folder)
                if status.f_bavail * status.f_frsize < leave + step:
                    break
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, step)
                except OSError as error:
                    assert error.errno == errno.ENOSPC
                    break
    return ballast


async def fill_for_real(folder, disk, seed, min_free_mb, leave):
    config = f"{CONFIG}[store]\nmin_free_mb = {min_free_mb}\n"
    async with Crowd(folder, seed, build=BUILD, config=config, data=disk / "data") as crowd:
        assert await crowd.relay.start(), crowd.relay.stderr()
        for _ in range(50):
            assert (await post_new(crowd))[0] == 200
        ballast = fill(disk, leave)

        async def a_payment_is_refused():
            return (await post_new(crowd))[0] == 503

        await becomes(a_payment_is_refused)
        for _ in range(10):
            await assert_readable_and_closed(crowd)
        ballast.unlink()
        await assert_goes_on(crowd)


@pytest.mark.parametrize("min_free_mb,leave", [(0, 0), (0, 300_000), (4, 2_000_000)], ids=["full", "nearly full", "below the limit"])
def test_a_real_full_disk_leaves_the_relay_up_and_readable(tmp_path, small_disk, min_free_mb, leave):
    run(fill_for_real(tmp_path / "relay", small_disk, the_seed(), min_free_mb, leave))


async def start_on_a_full_disk(folder, disk, seed):
    """Restarted while the disk is full, a relay must either come up readable, or say what is wrong; and lose nothing."""
    config = f"{CONFIG}[store]\nmin_free_mb = 0\n"
    async with Crowd(folder, seed, build=BUILD, config=config, data=disk / "data") as crowd:
        assert await crowd.relay.start(), crowd.relay.stderr()
        for _ in range(50):
            assert (await post_new(crowd))[0] == 200
        await crowd.relay.kill()
        ballast = fill(disk, 0)
        if await crowd.relay.start():
            try:
                assert (await post_new(crowd))[0] == 503
            except NoAnswer:
                pass
            await crowd.relay.kill()
        else:
            assert await crowd.relay.wait() == 1
            assert crowd.relay.reason(), crowd.relay.stderr()
        ballast.unlink()
        await crowd.finish()


def test_a_restart_on_a_full_disk_loses_nothing(tmp_path, small_disk):
    run(start_on_a_full_disk(tmp_path / "relay", small_disk, the_seed()))
