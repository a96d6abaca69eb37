"""`./dev run`'s demo, without a terminal."""

import json
import os
import re
import subprocess
import sys

from meter import CLIENT
from network import ADDRESS, run_in_own_network
from posix_meter import run_meter
from relay import BINARY, assert_clean, run_coinslot


def demo(folder, script, *arguments):
    command = [sys.executable, "-m", "coinslot.demo", "--data", str(folder), "--http-port", "0", "--ws-port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(CLIENT), "COINSLOT_BINARY": str(BINARY)}
    done = subprocess.run(
        [*command, "--rate", "4", "--script", script, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert_clean((folder / "relay.log").read_text())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "\033" not in done.stdout
    assert run_coinslot("check", "--data", folder / "relay").returncode == 0
    return done.stdout


def test_the_meter_gets_what_it_missed_and_what_nobody_told_of_and_a_second_run_goes_on(tmp_path):
    folder = tmp_path / "demo"
    out = demo(folder, "3s,m,p,m,2s,p,2s,q")
    assert re.search(r"driver  paid \d+(\.\d+)? nano → the relay stored [0-9A-F]{8}… and answered 200", out)
    assert "meter   shows: Paid |" in out and "meter   runs the machine" in out
    assert "█▀▀▀▀▀█" in out and "meter   is dark" in out
    assert re.search(r"meter   is unplugged; 3 waiting for it", out)
    missed = int(re.search(r"plugged the meter in again; it missed (\d+)", out).group(1))
    assert missed >= 3
    seqs = [int(seq) for seq in re.findall(r"meter   got seq (\d+):", out)]
    # A plug that is pulled between persisting and printing takes one line with it.
    assert seqs == sorted(set(seqs)) and len(seqs) >= seqs[-1] - 1
    stored = len(re.findall("the relay stored", out))
    # The last one may have been on its way when the drivers were stopped.
    assert int(re.search(r"(\d+) payments stored in all runs", out).group(1)) - stored in (0, 1)
    assert "is told its tariff, version 2: 0.1 nano for 6 min 00 s," in out
    assert "curl" in out and "/api/v1/deliveries" in out
    meter = json.loads((folder / "meter.json").read_text())

    again = demo(folder, "1s,l,7s,r,4s,q")
    assert json.loads((folder / "meter.json").read_text()) == meter
    assert "pulled the relay's plug" in again
    assert "meter   lost the relay" in again
    assert "is told that it has everything" in again
    # Of these nobody told the relay: it was kept from it, or the relay was away.
    untold = len(re.findall("and the node tells nobody|nobody answered", again))
    assert again.count("and the node tells nobody") == 3 and untold > 3
    assert len(re.findall("found by asking the node", again)) == untold
    paid = len(re.findall("driver  paid", out + again))
    # The last one of each run may have been on its way when the drivers were stopped.
    assert int(re.search(r"(\d+) payments stored in all runs", again).group(1)) - paid in (0, 1, 2)
    later = [int(seq) for seq in re.findall(r"meter   got seq (\d+):", again)]
    assert later == list(range(later[0], later[0] + len(later)))
    assert later[0] == seqs[-1] + 1
    shown = run_meter("--show", "--state", folder / "meter-state", "--device", meter["id"])
    assert json.loads(shown.stdout)["seq"] == later[-1]


def test_for_the_local_network_it_says_what_that_implies(tmp_path):
    def elsewhere():
        out = demo(tmp_path / "demo", "1s,q", "--lan")
        assert "HTTP on 0.0.0.0:" in out
        assert f"From the local network: http://{ADDRESS}:" in out
        assert "The API's token goes over it unencrypted" in out

    run_in_own_network(elsewhere)
