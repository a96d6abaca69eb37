#!/usr/bin/python3
"""Makes schema/examples/tariff-vectors.json: what clients/python/coinslot/tariff.py says of amounts at, around and far from each step.

    PYTHONPATH=clients/python tests/firmware/make_tariff_vectors.py

The Python device's tests and the meter's read it: two programs, one price.
"""

import json
import random
from pathlib import Path

from coinslot.tariff import SECONDS_MOST, Granted, Tariff

MOST = 2**128 - 1


def configs(chance):
    yield {"steps": [{"amount": str(10**27), "seconds": 6}], "cap_s": 7200}, None
    yield {"steps": [{"amount": "1", "seconds": SECONDS_MOST}], "cap_s": SECONDS_MOST}, None
    yield {"steps": [{"amount": str(MOST), "seconds": 1}], "minimum": "1", "cap_s": 1}, 1
    yield {"steps": [{"amount": str(MOST - 1), "seconds": SECONDS_MOST}], "minimum": "1", "cap_s": SECONDS_MOST}, 60
    for _ in range(24):
        count, bits = chance.randint(1, 6), chance.randint(8, 127)
        amounts = sorted({chance.randint(1, 2**bits) for _ in range(count)})
        steps = [{"amount": str(amount), "seconds": chance.randint(1, 2 ** chance.randint(1, 31) - 1)} for amount in amounts]
        chance.shuffle(steps)
        tariff = {"steps": steps, "cap_s": chance.choice([1, 600, 86400, SECONDS_MOST])}
        if chance.random() < 0.5:
            tariff["minimum"] = str(chance.randint(0, amounts[-1]))
        yield tariff, chance.choice([None, 1, 900])


def amounts_around(config, chance):
    at = {0, 1, MOST, MOST - 1, chance.randint(0, MOST)}
    for value in [*(int(step["amount"]) for step in config["steps"]), int(config.get("minimum", "0"))]:
        at |= {value - 1, value, value + 1, value * chance.randint(2, 9), value // chance.randint(2, 9)}
    return sorted(value for value in at if 0 <= value <= MOST)


def main():
    chance = random.Random(6)
    rows = []
    for tariff, late_after_s in configs(chance):
        config = {"addresses": [], "tariff": tariff, "late_after_s": late_after_s}
        prices = []
        for amount in amounts_around(tariff, chance):
            age_s = chance.choice([0, 1, 2, 900, 901])
            price = Tariff().under(config).price(amount, age_s)
            said = {"seconds": price.seconds} if isinstance(price, Granted) else {"refused": price.reason}
            prices.append({"amount": str(amount), "age_s": age_s, **said})
        rows.append({"config": config, "prices": prices})
    about = "What payments buy under a config: docs/device-protocol.md. Made by tests/firmware/make_tariff_vectors.py."
    target = Path(__file__).resolve().parents[2] / "schema/examples/tariff-vectors.json"
    target.write_text(json.dumps({"about": about, "tariffs": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
