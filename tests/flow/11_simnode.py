"""The simulated node of `coinslot simulate --rpc --ws`: what it can be told, and how badly it can behave."""

import pytest

from relay import wait_until
from simnode import RpcError


def callback_url(relay):
    return f"http://127.0.0.1:{relay.http_port}/callback/"


def test_what_it_pays_arrives_by_callback(relay, device, shop, make_simnode):
    node = make_simnode(callback=callback_url(relay))
    hashes = node.pay(shop, amount=10**27, count=3) + node.pay(shop, amount=5, style="legacy")
    stored = wait_until(lambda: len(relay.payments()) == 4 and relay.payments())
    assert {payment["hash"]: payment["amount"] for payment in stored} == dict(zip(hashes, ["1" + "0" * 27] * 3 + ["5"], strict=True))
    wait_until(lambda: node.status()["callbacks_accepted"] == "4")
    assert [payment["callback"] for payment in node.payments()] == ["true"] * 4


def test_what_nobody_announces_stands_in_its_ledger_alone(relay, device, shop, make_simnode):
    node = make_simnode(callback=callback_url(relay))
    (silent,) = node.pay(shop, announce="none")
    (told,) = node.pay(shop)
    assert [payment["hash"] for payment in wait_until(relay.payments)] == [told]
    assert set(node.rpc("receivable", account=shop.address)["blocks"]) == {silent, told}


def test_unconfirmed_payments_wait_until_they_are_confirmed(simnode):
    shop = simnode.account()
    (hash,) = simnode.pay(shop, amount=7, confirmed=False)
    assert simnode.rpc("receivable", account=shop)["blocks"] == ""
    assert simnode.rpc("blocks_info", hashes=[hash])["blocks"][hash]["confirmed"] == "false"
    simnode.confirm(hash)
    assert simnode.rpc("receivable", account=shop)["blocks"] == [hash]
    assert simnode.rpc("blocks_info", hashes=[hash])["blocks"][hash]["confirmed"] == "true"


def test_a_wallet_pockets_what_it_is_told_to_or_everything_at_once(simnode):
    first, second = simnode.accounts(2)
    sends = simnode.pay(first, count=3, amount=4)
    receives = simnode.pocket(first)
    found = simnode.rpc("blocks_info", hashes=sends, receive_hash=True)["blocks"]
    assert {block["receive_hash"] for block in found.values()} == set(receives)
    assert simnode.rpc("receivable", account=first)["blocks"] == ""
    simnode.tell("auto_receive", account=second)
    simnode.pay(second, amount=9)
    info = simnode.rpc("account_info", account=second, include_confirmed=True)
    assert (info["confirmed_balance"], info["confirmed_height"]) == ("9", "1")


def test_it_pockets_for_accounts_whose_key_it_is_given(simnode, shop):
    simnode.pay(shop, amount=3)
    with pytest.raises(RpcError, match="key is not known"):
        simnode.pocket(shop)
    assert simnode.adopt(shop) == shop.address
    simnode.pocket(shop)
    assert simnode.rpc("account_balance", account=shop.address)["balance"] == "3"
