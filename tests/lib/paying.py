"""What tests do again and again: pay a shop, look at a device's deliveries."""

from node import FakeNode
from relay import wait_until


def notify(relay, notices):
    """Each of them answered 200."""
    node = FakeNode(relay.http_port, keep_alive=True)
    try:
        for notice in notices:
            assert node.notify(notice).status == 200
    finally:
        node.close()


def pay(relay, payer, shop, count=1, amount=10**27):
    """That many payments, one after another; returns their notices."""
    notices = [payer.send(shop, amount) for _ in range(count)]
    notify(relay, notices)
    return notices


def hashes(notices):
    return [notice.hash for notice in notices]


def in_order(relay, device):
    """The device's deliveries by seq."""
    return sorted(relay.deliveries(device=device["id"]), key=lambda delivery: delivery["seq"])


def wait_served(relay, device, count, timeout=60):
    """Until the device has that many deliveries, each of them final; returns them."""

    def served():
        deliveries = in_order(relay, device)
        final = all(delivery["state"] in ("actuated", "refused") for delivery in deliveries)
        return deliveries if len(deliveries) == count and final else None

    return wait_until(served, timeout, f"the end of {count} deliveries")
