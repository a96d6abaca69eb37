"""A network of its own for a test that needs an address which is not loopback, and that nobody outside can reach."""

import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys
import traceback

ADDRESS = "192.0.2.10"  # TEST-NET-1, RFC 5737

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCSIFFLAGS, _SIOCSIFADDR = 0x8914, 0x8916
_IFF_UP, _IFF_RUNNING = 0x1, 0x40


def run_in_own_network(function):
    """Calls `function()` in a child process whose only network is lo, with ADDRESS beside 127.0.0.1."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _enter()
            function()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            _end_children()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "it failed in its own network, see its output"


def _end_children():
    """What a test that failed has left running would outlive it."""
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/children") as file:
            for pid in file.read().split():
                os.kill(int(pid), signal.SIGKILL)


def _unshare(flags):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare: this needs root, or user namespaces")


def _enter():
    user, group = os.geteuid(), os.getegid()
    try:
        _unshare(_CLONE_NEWNET)
    except PermissionError:
        _unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
        for name, text in (("uid_map", f"{user} {user} 1"), ("setgroups", "deny"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP | _IFF_RUNNING))
        address = struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, socket.inet_aton(ADDRESS))
        fcntl.ioctl(control, _SIOCSIFADDR, address)
