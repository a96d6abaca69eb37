"""Power cuts under load: all that was not synced is dropped, torn, garbled and re-ordered, and nothing answered 200 is lost."""

import random
import subprocess

import pytest

from harness import BUILD, CUT_EXIT, FAST_BUILD, LONG, Crowd, lost, run, the_seed

STORE_CUTS = 1000 if LONG else 80
RELAY_CUTS = 100 if LONG else 20
CUTS_IN_A_FOLDER = 20 if LONG else RELAY_CUTS
CUTS_IN_A_GROUP = 10  # of crash_store


def crash_store(*arguments, build=FAST_BUILD, timeout=1500):
    done = subprocess.run([str(build / "crash_store"), *map(str, arguments)], capture_output=True, text=True, timeout=timeout)
    print(done.stdout[-6000:], done.stderr[-2000:])
    return done.returncode


def test_the_store_survives_every_cut():
    assert crash_store("cuts", "--groups", STORE_CUTS // CUTS_IN_A_GROUP, "--seed", the_seed()) == 0


def test_the_store_survives_every_cut_under_the_sanitizers():
    assert crash_store("cuts", "--groups", 10 if LONG else 1, "--seed", the_seed(), build=BUILD) == 0


@pytest.mark.parametrize("mistake", [("--synchronous", "OFF"), ("--synchronous", "NORMAL"), ("--early",)])
def test_the_same_cuts_find_a_store_that_does_not_keep_its_word(mistake):
    assert crash_store("cuts", "--groups", 20 if LONG else 6, "--seed", the_seed(), *mistake) == 3


# ---- the whole relay --------------------------------------------------------------------------------------------------


def plan_of_a_cut(randomly):
    """Somewhere among the first calls, or among many: starting up, and running under load."""
    when = randomly.choice(["before", "after"])
    at = 1 + randomly.randrange(16 << randomly.randrange(10))
    return f"action=cut_{when} calls=write,sync,truncate,open,delete at={at} seed={randomly.randrange(2**32)}"


async def cut_again_and_again(folder, seed, cuts, **mistake):
    """True when every promise was kept; without a mistake, anything else is an assertion here."""
    randomly = random.Random(seed)
    async with Crowd(folder, seed) as crowd:
        for number in range(cuts):

            async def pull_the_plug():
                await crowd.relay.control(f"cut {seed + number}")

            code = await crowd.live(plan_of_a_cut(randomly), randomly.uniform(0.3, 1.5), pull_the_plug, sync_us=300, **mistake)
            gone, double = lost(crowd.relay.data, crowd.ledger)
            if mistake and (gone or double):
                return False
            assert code == CUT_EXIT, f"cut {number} ended with {code}:\n{crowd.relay.stderr()}"
            assert gone == 0, f"cut {number} lost {gone} payments that were answered 200:\n{crowd.relay.stderr()}"
            assert double == 0, f"cut {number} left {double} payments twice"
        answered = await crowd.finish()
        print(f"{cuts} cuts of the whole relay, {answered} payments answered 200, none lost, none credited twice")
        assert answered > cuts
        return True


def test_the_relay_survives_every_cut(tmp_path):
    seed = the_seed()
    for first in range(0, RELAY_CUTS, CUTS_IN_A_FOLDER):
        assert run(cut_again_and_again(tmp_path / str(first), seed + first, CUTS_IN_A_FOLDER))


@pytest.mark.parametrize("mistake", [{"synchronous": "OFF"}, {"early": 1}], ids=["synchronous=OFF", "200 before the commit"])
def test_the_same_cuts_find_a_relay_that_does_not_keep_its_word(tmp_path, mistake):
    """Without syncs, or with the 200 sent before the commit, the very same test must fail."""
    assert not run(cut_again_and_again(tmp_path, the_seed(), 30, **mistake)), "nothing was lost: the test is blind"
