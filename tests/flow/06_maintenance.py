"""Backup, check and migrate, beside a running relay and without one."""

import shutil
import sqlite3
import threading

import pytest

from node import FakeNode
from relay import Relay, run_coinslot


def pay(relay, payer, shop, count):
    node = FakeNode(relay.http_port)
    notices = [payer.send(shop, 10**27) for _ in range(count)]
    for notice in notices:
        assert node.notify(notice).status == 200
    return [notice.hash for notice in notices]


def check(data, *arguments):
    return run_coinslot("check", "--data", data, *arguments)


def restore(tmp_path, backup, name="restored"):
    """A relay's folder made of a backup, as `coinslot backup --help` says."""
    relay = Relay(tmp_path / name)
    relay.data.mkdir(mode=0o700)
    shutil.copy(backup, relay.data / "coinslot.db")
    shutil.copy(f"{backup}.key", relay.data / "relay.key")
    return relay


def test_a_backup_under_load_is_whole_and_holds_all_that_was_answered_before_it(relay, device, payer, shop, tmp_path):
    before = pay(relay, payer, shop, 20)
    notices = [payer.send(shop, 10**27) for _ in range(60)]
    paying = threading.Thread(target=lambda: [FakeNode(relay.http_port).notify(notice) for notice in notices])
    paying.start()
    done = run_coinslot("backup", "--data", relay.data, tmp_path / "backup.db")
    paying.join()
    assert done.returncode == 0, done.stderr
    for name in ("backup.db", "backup.db.key"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    restored = restore(tmp_path, tmp_path / "backup.db")
    assert check(restored.data, "--full").returncode == 0
    restored.start()
    stored = [payment["hash"] for payment in restored.payments()]
    assert set(before) <= set(stored) <= set(before) | {notice.hash for notice in notices}
    restored.close()


def test_a_device_notices_that_it_meets_a_restored_store(relay, device, payer, shop, tmp_path, make_either_meter):
    pay(relay, payer, shop, 2)
    meter = make_either_meter(relay, device).plug_in()
    meter.wait_for("noted", 2)
    meter.stop()
    assert run_coinslot("backup", "--data", relay.data, tmp_path / "backup.db").returncode == 0
    relay.stop()
    restored = restore(tmp_path, tmp_path / "backup.db").start()
    try:
        # Tokens of before are good: the key is part of the backup.
        again = make_either_meter(restored, device).plug_in()
        assert again.wait_for("store_changed")["seq"] == 2
        assert again.state()["seq"] == 2
        again.close()
    finally:
        restored.close()


def test_a_backup_overwrites_nothing(relay, tmp_path):
    (tmp_path / "backup.db").write_text("precious")
    done = run_coinslot("backup", "--data", relay.data, tmp_path / "backup.db")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "backup.db").read_text() == "precious"


def test_a_backup_whose_key_has_no_place_leaves_nothing_behind(relay, tmp_path):
    (tmp_path / "backup.db.key").write_text("precious")
    done = run_coinslot("backup", "--data", relay.data, tmp_path / "backup.db")
    assert done.returncode == 1
    assert not (tmp_path / "backup.db").exists()
    assert (tmp_path / "backup.db.key").read_text() == "precious"


def test_check_finds_nothing_beside_a_running_relay_nor_after_it(relay, device, payer, shop):
    pay(relay, payer, shop, 10)
    assert check(relay.data).returncode == 0
    relay.stop()
    assert check(relay.data, "--full").returncode == 0


@pytest.mark.parametrize(
    "damage, word",
    [
        ("DELETE FROM delivery WHERE seq = 2", "hole"),
        ("UPDATE delivery SET payment = 99 WHERE seq = 2", "payment"),
        ("UPDATE delivery SET payment = 1 WHERE seq = 2", "times"),
        ("UPDATE delivery SET state = 'acked', acked_at = 1 WHERE seq = 3", "never sent"),
        ("UPDATE device_cursor SET head = 9", "hole"),
        ("UPDATE payment SET hash = (SELECT hash FROM payment WHERE num = 1)", "stored"),
    ],
)
def test_check_names_each_broken_promise_and_exits_1(make_relay, payer, shop, damage, word, tmp_path):
    relay = make_relay()
    device = relay.create_device()
    relay.subscribe(device, shop)
    pay(relay, payer, shop, 3)
    relay.stop()
    broken = tmp_path / "broken"
    shutil.copytree(relay.data, broken, ignore=lambda folder, names: [name for name in names if name.endswith(".sock")])
    with sqlite3.connect(broken / "coinslot.db") as db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute(damage)
    db.close()
    done = check(broken)
    assert done.returncode == 1
    assert word in done.stdout, done.stdout
    assert len(done.stderr.splitlines()) == 1


def test_check_finds_a_damaged_file(make_relay, payer, shop, tmp_path):
    relay = make_relay()
    device = relay.create_device()
    relay.subscribe(device, shop)
    pay(relay, payer, shop, 30)
    relay.stop()
    broken = tmp_path / "broken"
    broken.mkdir()
    content = bytearray((relay.data / "coinslot.db").read_bytes())
    for place in range(8192, len(content), 4096):
        content[place : place + 64] = b"\xff" * 64
    (broken / "coinslot.db").write_bytes(content)
    assert check(broken).returncode == 1


def test_migrate_has_nothing_to_do_on_a_new_store_and_waits_for_no_relay(relay):
    done = run_coinslot("migrate", "--data", relay.data)
    assert done.returncode == 1
    assert str(relay.data) in done.stderr
    relay.stop()
    done = run_coinslot("migrate", "--data", relay.data)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_store_from_a_newer_version_is_refused_and_left_alone(make_relay, tmp_path):
    relay = make_relay()
    relay.stop()
    broken = tmp_path / "newer"
    broken.mkdir()
    shutil.copy(relay.data / "coinslot.db", broken)
    shutil.copy(relay.data / "relay.key", broken)
    with sqlite3.connect(broken / "coinslot.db") as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    before = (broken / "coinslot.db").read_bytes()
    for command in ("migrate", "serve"):
        done = run_coinslot(command, *(["--config", relay.config] if command == "serve" else []), "--data", broken)
        assert done.returncode == 1, command
        assert "newer" in done.stderr.splitlines()[-1]
    assert (broken / "coinslot.db").read_bytes() == before


@pytest.mark.parametrize("command", [("check",), ("migrate",), ("backup", "copy.db")])
def test_a_folder_without_a_store_is_named(tmp_path, command):
    name, *rest = command
    done = run_coinslot(name, "--data", tmp_path / "nothing", *rest, cwd=tmp_path)
    assert done.returncode == 1
    assert str(tmp_path / "nothing") in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
