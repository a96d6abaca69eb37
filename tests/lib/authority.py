"""A certificate authority of a test's own, made by `openssl`, and the certificates that it issues."""

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

from network import ADDRESS

NAMES = f"subjectAltName=DNS:localhost,IP:127.0.0.1,IP:{ADDRESS}"
KEYS = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, stdin=subprocess.DEVNULL)


class Authority:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.pem = self.folder / "ca.pem"
        self._key = self.folder / "ca.key"
        openssl("req", "-x509", "-newkey", *KEYS["ec"], "-nodes", "-keyout", self._key, "-out", self.pem, "-days", 30, "-subj", "/CN=Test")

    def issue(self, name, kind="ec", days=20):
        """A certificate by that name, and its key."""
        pem, key, request, names = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr", "ext"))
        openssl("req", "-newkey", *KEYS[kind], "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        names.write_text(NAMES)
        signing = ("-CA", self.pem, "-CAkey", self._key, "-CAcreateserial", "-days", days, "-extfile", names)
        openssl("x509", "-req", "-in", request, *signing, "-out", pem)
        return pem, key

    def context(self):
        """What a client that trusts this authority, and no other, connects with."""
        return ssl.create_default_context(cafile=self.pem)


class Installed:
    """The two files that a relay is told of."""

    def __init__(self, folder):
        self.pem, self.key = Path(folder) / "relay.pem", Path(folder) / "relay.key"

    def put(self, pem=None, key=None):
        for source, target in ((pem, self.pem), (key, self.key)):
            if source is not None:
                fresh = target.with_suffix(".new")
                shutil.copyfile(source, fresh)
                fresh.rename(target)

    def config(self):
        return f"[tls]\ncertificate = {self.pem}\nkey = {self.key}\n"


def name_shown(port, context, host="127.0.0.1"):
    """The name on the certificate that a new connection is shown."""
    with socket.create_connection((host, port), 10) as plain, context.wrap_socket(plain, server_hostname=host) as secure:
        return dict(pair for part in secure.getpeercert()["subject"] for pair in part)["commonName"]
