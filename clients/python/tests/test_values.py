"""Amounts, tariffs and the state file by themselves."""

import pytest

from coinslot.address import format_address
from coinslot.amount import RAW_MOST, format_nano, parse_nano, parse_raw
from coinslot.state import GRANTED_KEPT, OUTCOMES_KEPT, State, StateFile
from coinslot.tariff import Granted, Refused, Tariff


def test_raw_and_nano_say_the_same_exactly():
    for nano, raw in [("1", 10**30), ("0.5", 5 * 10**29), ("0." + "0" * 29 + "1", 1), ("0", 0), ("340282366.920938463463374607431768211455", RAW_MOST)]:
        assert parse_nano(nano) == raw
        assert format_nano(raw) == nano


@pytest.mark.parametrize("text", ["", "-1", "+1", "01", "1.0", " 1", "1e3", "٣", str(RAW_MOST + 1), "9" * 50])
def test_what_is_no_amount_of_raw_is_refused(text):
    with pytest.raises(ValueError):
        parse_raw(text)


@pytest.mark.parametrize("text", ["", ".5", "1.", "1e3", "-1", "0." + "0" * 30 + "1", "340282366.920938463463374607431768211456"])
def test_what_is_no_amount_of_nano_is_refused(text):
    with pytest.raises(ValueError):
        parse_nano(text)


def test_a_price_is_exact_where_a_float_would_not_be():
    tariff = Tariff(raw=10**30 + 1, seconds=1)
    assert tariff.price(7 * 10**30 + 6, 0) == Granted(6)
    assert tariff.price(7 * 10**30 + 7, 0) == Granted(7)
    assert Tariff(raw=1, seconds=1, cap_s=7200).price(RAW_MOST, 0) == Granted(7200)
    assert Tariff(raw=3, seconds=1).price(8, 0) == Granted(2)


def test_below_minimum_and_too_late():
    tariff = Tariff(raw=10, seconds=1, minimum=20, late_after_s=60)
    assert tariff.price(19, 0) == Refused("below_minimum")
    assert tariff.price(20, 60) == Granted(2)
    assert tariff.price(20, 61) == Refused("too_late")


def test_the_state_is_bounded_and_comes_back_as_it_was(tmp_path):
    file = StateFile(tmp_path / "state")
    for seq in range(1, 1000):
        file.state.seq = seq
        file.state.grant(f"nano:{seq}:0", 1)
        file.state.keep_outcome(seq, 1 if seq % 2 else "too_late")
    file.save()
    file.close()
    again = StateFile(tmp_path / "state")
    again.close()
    assert again.state == file.state
    assert (len(again.state.granted), len(again.state.outcomes)) == (GRANTED_KEPT, OUTCOMES_KEPT)
    assert again.state.granted_seconds("nano:999:0") == 1
    assert again.state.granted_seconds("nano:1:0") is None
    assert isinstance(again.state, State)


def test_an_address_is_written_as_the_node_writes_it():
    # From the recorded callbacks: link and link_as_account of one block.
    key = bytes.fromhex("66327FFECDBF7616CED4ACED29647B6F8D4A10BF4DB1A45C9D4E1B53EF7A4EAB")
    assert format_address(key) == "nano_1sjkhzzeuhup4u9fbd9f77k9puwfbaadymfjnjgbtmiuchqqnmodbwrsnhn9"
    assert format_address(bytes(32)) == "nano_1111111111111111111111111111111111111111111111111111hifc8npp"
