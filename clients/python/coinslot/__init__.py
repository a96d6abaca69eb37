"""Coinslot's client library: the reference device of the protocol `coinslot.v1`.

    from coinslot.device import Device, TokenCredential
    from coinslot.state import StateFile

Amounts are integers of the smallest unit (Nano: raw), never floats.
"""

__all__ = ["amount", "device", "state", "tariff"]
