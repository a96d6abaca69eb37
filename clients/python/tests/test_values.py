"""Amounts, tariffs and the state file by themselves."""

import json

import pytest

from coinslot.address import format_address
from coinslot.amount import RAW_MOST, format_nano, parse_nano, parse_raw
from coinslot.state import GRANTED_KEPT, OUTCOMES_KEPT, REFUSED_KEPT, State, StateFile
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
    tariff = Tariff(((10**30 + 1, 1),))
    assert tariff.price(7 * 10**30 + 6, 0) == Granted(6)
    assert tariff.price(7 * 10**30 + 7, 0) == Granted(7)
    assert Tariff(((1, 1),), cap_s=7200).price(RAW_MOST, 0) == Granted(7200)
    assert Tariff(((3, 1),)).price(8, 0) == Granted(2)


STEPS = ((100, 60), (200, 150), (400, 400))


@pytest.mark.parametrize(
    "amount, minimum, priced",
    [
        (99, 0, Refused("below_minimum")),
        (100, 0, Granted(60)),
        (199, 0, Granted(60)),
        (200, 0, Granted(150)),
        (399, 0, Granted(150)),
        (400, 0, Granted(400)),
        (401, 0, Granted(401)),
        (999, 0, Granted(999)),
        (1001, 0, Granted(1000)),  # cap_s
        (50, 50, Granted(30)),
        (49, 50, Refused("below_minimum")),
        (1, 1, Refused("below_minimum")),  # not a whole second
        (2, 1, Granted(1)),
        (100, 150, Refused("below_minimum")),
        (150, 150, Granted(60)),
    ],
)
def test_what_an_amount_buys_in_steps(amount, minimum, priced):
    assert Tariff(STEPS, minimum, cap_s=1000).price(amount, 0) == priced


def test_below_minimum_and_too_late():
    tariff = Tariff(((10, 1),), minimum=20, late_after_s=60)
    assert tariff.price(19, 0) == Refused("below_minimum")
    assert tariff.price(20, 60) == Granted(2)
    assert tariff.price(20, 61) == Refused("too_late")
    assert tariff.price(19, 61) == Refused("below_minimum")


def test_a_config_is_read_whole_and_what_it_leaves_open_is_the_devices_own():
    own = Tariff(((5, 1),), late_after_s=7)
    tariff = {"steps": [{"amount": "200", "seconds": 150}, {"amount": "100", "seconds": 60}], "minimum": "50", "cap_s": 1000}
    assert own.under({"addresses": [], "tariff": tariff, "late_after_s": 900}) == Tariff(((100, 60), (200, 150)), 50, 1000, 900)
    assert own.under({"tariff": {"steps": [{"amount": "1", "seconds": 1}]}}) == Tariff(((1, 1),))
    assert own.under({"addresses": []}) == own
    assert own.under({"late_after_s": 8}) == Tariff(((5, 1),), late_after_s=8)


@pytest.mark.parametrize(
    "config",
    [
        {"tariff": {}},
        {"tariff": []},
        {"tariff": {"steps": []}},
        {"tariff": {"steps": [{"amount": 5, "seconds": 1}]}},
        {"tariff": {"steps": [{"amount": "5", "seconds": "1"}]}},
        {"tariff": {"steps": [{"amount": "5", "seconds": 1.5}]}},
        {"tariff": {"steps": [{"amount": "5", "seconds": 0}]}},
        {"tariff": {"steps": [{"amount": "5", "seconds": 1}, {"amount": "5", "seconds": 2}]}},
        {"tariff": {"steps": [{"amount": "5", "seconds": 1}], "minimum": 5}},
        {"tariff": {"steps": [{"amount": "5", "seconds": 1}], "cap_s": 0}},
        {"late_after_s": "soon"},
        {"late_after_s": -1},
    ],
)
def test_a_config_that_nothing_can_be_priced_by_is_refused(config):
    with pytest.raises(ValueError):
        Tariff().under(config)


def test_the_state_is_bounded_and_comes_back_as_it_was(tmp_path):
    file = StateFile(tmp_path / "state")
    for seq in range(1, 2000):
        file.state.seq = seq
        file.state.grant(f"nano:{seq}:0", 1, now_ms=5000)
        file.state.refuse(f"nano:{seq}:1", "too_late")
        file.state.keep_outcome(seq, 1 if seq % 2 else "too_late")
        file.state.take_config(seq, {"late_after_s": seq})
    file.save()
    file.close()
    again = StateFile(tmp_path / "state")
    again.close()
    assert again.state == file.state
    assert (len(again.state.granted), len(again.state.refused)) == (GRANTED_KEPT, REFUSED_KEPT)
    assert len(again.state.outcomes) == OUTCOMES_KEPT
    assert again.state.outcome_of("nano:1999:0") == 1
    assert again.state.outcome_of("nano:1999:1") == "too_late"
    assert again.state.outcome_of("nano:1:0") is None
    assert again.state.configs == [(1999, {"late_after_s": 1999}), (1998, {"late_after_s": 1998})]
    assert again.state.ends_at_ms == 5000 + 1999 * 1000
    assert isinstance(again.state, State)


def test_a_state_from_before_configs_were_kept_is_read(tmp_path):
    old = {"version": 1, "epoch": None, "seq": 2, "credit_s": 6, "granted": [["nano:A:0", 6]], "outcomes": [[2, "too_late"]]}
    (tmp_path / "state").write_text(json.dumps(old))
    file = StateFile(tmp_path / "state")
    file.close()
    assert (file.state.seq, file.state.config_version, file.state.outcome_of("nano:A:0")) == (2, 0, 6)


def test_an_older_config_is_ignored_and_another_store_begins_anew():
    state = State(epoch="a")
    assert state.take_config(3, {}) and state.take_config(5, {})
    assert not state.take_config(5, {"late_after_s": 1}) and not state.take_config(4, {})
    assert [version for version, _ in state.configs] == [5, 3]
    state.adopt_epoch("b")
    assert state.config_version == 0 and state.take_config(1, {})


def test_an_address_is_written_as_the_node_writes_it():
    # From the recorded callbacks: link and link_as_account of one block.
    key = bytes.fromhex("66327FFECDBF7616CED4ACED29647B6F8D4A10BF4DB1A45C9D4E1B53EF7A4EAB")
    assert format_address(key) == "nano_1sjkhzzeuhup4u9fbd9f77k9puwfbaadymfjnjgbtmiuchqqnmodbwrsnhn9"
    assert format_address(bytes(32)) == "nano_1111111111111111111111111111111111111111111111111111hifc8npp"
