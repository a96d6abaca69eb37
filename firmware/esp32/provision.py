#!/usr/bin/env python3
"""What a meter has to be given, as a CSV from which ESP-IDF makes its NVS: what the relay said of it, and its WiFi.

    provision.py --wifi-ssid NAME --wifi-password WORD --relay ws://HOST:7091 device.json > nvs.csv

device.json is what `coinslot device create --auth key` printed. Needs nothing but Python 3.8, which ESP-IDF brings.
"""
import argparse
import csv
import json
import sys

NAMESPACE = "coinslot"


class ProvisionError(Exception):
    """What was given makes no meter; the text says why."""


def settings_of(device):
    """The settings that follow from the relay's answer."""
    if not isinstance(device, dict) or "id" not in device:
        raise ProvisionError("this is not what `coinslot device create` printed")
    if "token" in device:
        return {"device": device["id"], "token": device["token"]}
    if "secret_key" not in device:
        raise ProvisionError("it holds no secret_key: create the device with --auth key and without --public-key, or set one by --set")
    return {"device": device["id"], "secret_key": device["secret_key"], "relay_key": " ".join(device["relay_keys"])}


def rows_of(settings, ca=None):
    yield "key", "type", "encoding", "value"
    yield NAMESPACE, "namespace", "", ""
    for name, value in settings.items():
        yield name, "data", "string", value
    if ca is not None:
        yield "ca", "file", "string", ca


def arguments_of(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("device", type=argparse.FileType("r"), help="what `coinslot device create` printed; -: from stdin")
    parser.add_argument("--wifi-ssid", required=True, metavar="NAME")
    parser.add_argument("--wifi-password", default="", metavar="WORD", help="left out: the WiFi is open")
    parser.add_argument("--relay", required=True, metavar="URL", help="ws://HOST:PORT, as the board sees it; wss:// where it has a certificate")
    parser.add_argument("--ca", metavar="FILE", help="for wss:// and updates: a certificate to trust (PEM), in place of the public authorities'")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any other setting that README.md names")
    return parser.parse_args(argv)


def main(argv=None):
    arguments = arguments_of(argv)
    try:
        settings = {"wifi_ssid": arguments.wifi_ssid, "wifi_password": arguments.wifi_password, "relay": arguments.relay}
        settings.update(settings_of(json.load(arguments.device)))
        for pair in arguments.set:
            name, equals, value = pair.partition("=")
            if not equals:
                raise ProvisionError(f"--set {pair}: this is no NAME=VALUE")
            settings[name] = value
    except (ValueError, ProvisionError) as error:
        print(f"provision.py: {error}", file=sys.stderr)
        return 1
    csv.writer(sys.stdout, lineterminator="\n").writerows(rows_of({name: value for name, value in settings.items() if value}, arguments.ca))
    return 0


if __name__ == "__main__":
    sys.exit(main())
