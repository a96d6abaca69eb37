"""schema/examples/tariff-vectors.json, which the firmware's tests read too: two programs, one price."""

import json
from pathlib import Path

from coinslot.tariff import Granted, Tariff

VECTORS = Path(__file__).resolve().parents[3] / "schema/examples/tariff-vectors.json"


def test_prices_are_those_of_the_vectors():
    prices = 0
    for row in json.loads(VECTORS.read_text(encoding="utf-8"))["tariffs"]:
        tariff = Tariff().under(row["config"])
        for price in row["prices"]:
            said = tariff.price(int(price["amount"]), price["age_s"])
            if isinstance(said, Granted):
                assert said.seconds == price["seconds"]
            else:
                assert said.reason == price["refused"]
            prices += 1
    assert prices > 300
