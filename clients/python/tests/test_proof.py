"""Payments that prove themselves: schema/examples/device-proofs.json, which the relay's own code made."""

import json
from pathlib import Path

import pytest

from coinslot import proof

ROOT = Path(__file__).resolve().parent.parent.parent.parent
VECTORS = json.loads((ROOT / "schema" / "examples" / "device-proofs.json").read_text(encoding="utf-8"))


def judged(case, **changed):
    frame = {**json.loads(case["frame"]), **changed}
    return proof.check(frame["payment"], frame.get("proof"), [VECTORS["address"]]) or "granted"


def test_there_is_something_to_agree_on():
    assert {case["outcome"] for case in VECTORS["cases"]} == {"granted", proof.NO_PROOF, proof.UNPROVABLE, proof.PROOF_WRONG}
    assert len(VECTORS["cases"]) >= 20


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_the_device_says_the_same_of_it(case):
    assert judged(case) == case["outcome"]


@pytest.mark.parametrize("case", [case for case in VECTORS["cases"] if "block" in case], ids=lambda case: case["name"])
def test_what_is_packed_is_the_block_that_the_node_prints(case):
    packed = json.loads(case["frame"])["proof"]
    for name in ("block", "previous"):
        block, printed = proof.Block.unpack(bytes.fromhex(packed[name])), case[name]
        assert printed["signature"] == block.signature.hex().upper()
        assert printed["type"] == {2: "send", 3: "receive", 4: "open", 5: "change", 6: "state"}[block.type]
        assert packed[name].endswith(printed["work"].lower())
        if "previous" in printed:
            assert printed["previous"] == block.previous.hex().upper()
        if "balance" in printed:
            assert int(printed["balance"], 10 if printed["type"] == "state" else 16) == int.from_bytes(block.balance, "big")


@pytest.mark.parametrize("case", [case for case in VECTORS["cases"] if case["outcome"] == "granted"], ids=lambda case: case["name"])
def test_no_byte_of_what_is_signed_may_change(case):
    whole = json.loads(case["frame"])["proof"]
    for name in ("block", "previous"):
        packed = bytes.fromhex(whole[name])
        for place in range(0, 209, 13):  # the work is not part of the hash
            changed = bytearray(packed)
            changed[place] ^= 0x10
            said = judged(case, proof={**whole, name: changed.hex()})
            # The signature of a state block before is not looked at: its hash is what the payment's block names.
            unsigned = name == "previous" and packed[0] == proof.STATE and place >= 145
            assert said == ("granted" if unsigned else "proof_wrong"), (name, place)


def test_a_proof_that_cannot_be_read_is_wrong():
    case = VECTORS["cases"][0]
    whole = json.loads(case["frame"])["proof"]
    for unreadable in ([], "", {}, {"block": whole["block"]}, {**whole, "block": 7}, {**whole, "previous": "zz" * 217}, {**whole, "block": "06" * 216}):
        assert judged(case, proof=unreadable) == "proof_wrong"


def recorded():
    """Blocks that a real Nano node made and signed."""
    for path in sorted((ROOT / "tests" / "data" / "nano-v27.1").glob("**/callback-*.raw")):
        callback = json.loads(path.read_bytes().split(b"\r\n\r\n", 1)[1])
        block = json.loads(callback["block"])
        if block["type"] == "state":
            yield callback, block


def test_what_a_real_node_has_signed_is_signed():
    seen = 0
    for callback, block in recorded():
        account = proof._key(callback["account"])
        packed = b"".join(
            (
                *(b"\x06", account, bytes.fromhex(block["previous"]), proof._key(block["representative"])),
                *(int(block["balance"]).to_bytes(16, "big"), bytes.fromhex(block["link"]), bytes.fromhex(block["signature"])),
                bytes.fromhex(block["work"]),
            )
        )
        unpacked = proof.Block.unpack(packed)
        assert unpacked.hash.hex().upper() == callback["hash"]
        assert unpacked.signed_by(account) and not unpacked.signed_by(account[::-1])
        # A relaying peer may have added the group's order to S: the node takes that.
        s = int.from_bytes(unpacked.signature[32:], "little") + proof._L
        if s < 2**253:
            assert proof.verify(unpacked.signature[:32] + s.to_bytes(32, "little"), unpacked.hash, account)
        seen += 1
    assert seen >= 10
