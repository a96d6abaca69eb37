"""kill -9 under load: what was answered 200 is there, and no device is credited twice."""

import random

from harness import LONG, Crowd, run, the_seed

KILLS = 1000 if LONG else 30
KILLS_IN_A_FOLDER = 100 if LONG else KILLS


def life_of(number, randomly):
    """(plan, seconds until SIGKILL). Every n-th commit is met before its sync and after it: that is between commit and push."""
    nth = 1 + number // 4
    if number % 4 == 0:
        return f"action=kill_before calls=sync files=wal at={nth}", 5
    if number % 4 == 1:
        return f"action=kill_after calls=sync files=wal at={nth}", 5
    if number % 4 == 2:
        return f"action=kill_before calls=write at={1 + randomly.randrange(400)}", 5
    return None, randomly.uniform(0.01, 0.4)


async def kill_again_and_again(folder, seed, first, count):
    randomly = random.Random(seed)
    async with Crowd(folder, seed) as crowd:
        for number in range(first, first + count):
            plan, seconds = life_of(number, randomly)
            code = await crowd.live(plan, seconds)
            assert code == -9, f"life {number} ended with {code}:\n{crowd.relay.stderr()}"
        return await crowd.finish()


def test_a_thousand_kills_lose_nothing_and_credit_nothing_twice(tmp_path):
    seed, answered = the_seed(), 0
    for first in range(0, KILLS, KILLS_IN_A_FOLDER):
        answered += run(kill_again_and_again(tmp_path / str(first), seed + first, first, KILLS_IN_A_FOLDER))
    print(f"{KILLS} kills, {answered} payments answered 200, none lost, none credited twice")
    assert answered > KILLS
