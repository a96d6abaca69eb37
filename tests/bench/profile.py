#!/usr/bin/python3
"""Where a payment's microseconds go in the relay: perf's samples under the throughput scenario, counted by stage.

    tests/bench/profile.py [SYSTEM] [--symbols N]        SYSTEM as in systems.py; needs Debian's linux-perf, and the right to use it

`./dev bench` builds what it needs. A stage is a thread, and what it was doing: the first rule of that thread that any function on the stack fits.
"""

import argparse
import collections
import re
import subprocess
import sys
import threading
import time

from bench import signatures
from systems import FOLDER, SYSTEMS, raise_file_limit, wait_until

WARM_S, PERF_S = 2, 5
HERTZ = 997  # no divisor of anything that ticks

SEND, RECEIVE, WAIT = r"__x64_sys_sendto|__x64_sys_sendmsg|__send$", r"__x64_sys_recv|__libc_recv|__recv$", r"__x64_sys_poll|__poll$|epoll_wait|futex"

# By the functions that only this thread has: what it is called, and what it does, in the order in which the rules are tried.
THREADS = (
    (
        "writer",
        "writer_main",
        (
            ("fdatasync, while it runs", "fdatasync"),
            ("commit", "writer_commit"),
            ("acks", "ack_up_to"),
            ("mark pages as sent", "page_apply"),
            ("is it known", "payment_is_known"),
            ("insert payment and proof", "insert_payment"),
            ("insert delivery", "deliver"),
            ("payment, the rest", "payment_store"),
            ("tell push", "push_post|payment_tell"),
            ("answer callbacks", "payment_finish|on_stored|http_answer|MHD_"),
            ("fill the search tables", "search_"),
            ("take from the inbox, wait", "inbox|" + WAIT),
        ),
    ),
    ("checkpoint", "checkpoint_main", (("checkpoint", "."),)),
    ("replay", "replay_main|replayer", (("replay", "."),)),
    (
        "node",
        "nano_ws|nano_wire|loop_run",
        (
            ("JSON", "json_scan_init|json_loadb|json_read|json_decref|json_delete"),
            ("addresses and hash of the block", "notice_read"),
            ("hand to the store", "store_submit"),
            ("receive", RECEIVE),
        ),
    ),
    (
        "push",
        "push_run|push_on_wake|on_session",
        (
            ("send", SEND),
            ("receive", RECEIVE),
            ("epoll_ctl", "epoll_ctl"),
            ("MAC", "proof_seal|proof_open"),
            ("build frames", "device_frame_payment|device_frame_[a-z]+$"),
            ("read frames", "device_frame_read|json_read"),
            ("hand acks to the store", "store_submit"),
            ("posts from the store", "take_post|push_on_wake"),
            ("wake and wait", WAIT + "|eventfd|lws_cancel_service"),
        ),
    ),
    (
        "http",
        "on_request|take_body|MHD_|http_",
        (
            ("check the signature", "notice_check_signature|block_signature_valid"),
            ("JSON", "json_scan_init|json_loadb|json_read|json_decref|json_delete"),
            ("addresses and hash of the block", "notice_read"),
            ("hand to the store", "store_submit"),
            ("send", SEND),
            ("receive", RECEIVE),
            ("wake and wait", WAIT),
            ("answer", "http_answer|MHD_queue_response|MHD_create_response"),
            ("the rest of our request", "on_request"),
        ),
    ),
)


def record(name, data):
    """What the generator found, while perf was watching the relay."""
    system = SYSTEMS[name](FOLDER / "profile", {"devices": 1000})
    try:
        system.start()

        def watch():
            wait_until(lambda: system.relay.metrics()["coinslot_deliveries_acked_total"] > 1000, 60, "the first payments")
            time.sleep(WARM_S / 2)
            command = ["perf", "record", "-q", "-F", str(HERTZ), "-p", str(system.pid), "-o", str(data), "--call-graph", "dwarf,8192"]
            subprocess.run([*command, "--", "sleep", str(PERF_S)], check=True)

        watcher = threading.Thread(target=watch)
        watcher.start()
        options = ["--payments", 60_000 * (WARM_S + PERF_S + 1), "--warm", WARM_S, "--run", PERF_S]
        found = system.run("throughput", *options, *signatures(name, 1000))
        watcher.join()
        return found
    finally:
        system.stop()


def stacks(data):
    """(thread, [(function, library), …] from the innermost) of each sample."""
    command = ["perf", "script", "-i", str(data), "-F", "tid,ip,sym,dso"]
    text = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    for block in text.split("\n\n"):
        head, *lines = block.strip("\n").split("\n")
        if head.strip().isdigit():
            frames = (re.match(r"\s*\S+ (.*?) \(([^()]*)\)$", line) for line in lines)
            yield int(head), [(frame.group(1), frame.group(2).rsplit("/", 1)[-1]) for frame in frames if frame]


def thread_names(samples):
    """By the marks that most of a thread's samples have: a stack that is cut off has none."""
    votes = collections.defaultdict(collections.Counter)
    for thread, frames in samples:
        functions = [function for function, _ in frames]
        for name, marks, _ in THREADS:
            if any(re.search(marks, function) for function in functions):
                votes[thread][name] += 1
                break
    return {thread: counter.most_common(1)[0][0] for thread, counter in votes.items()}


def stage_of(name, frames):
    for thread, _, rules in THREADS:
        for stage, rule in rules if thread == name else ():
            if any(re.search(rule, function) for function, _ in frames):
                return stage
    outer = next((library for _, library in frames if not library.startswith(("[kernel", "libc.so", "coinslot", "[unknown", "inlined"))), "coinslot and kernel")
    return f"the rest, in {outer}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", nargs="?", default="coinslot, signature = never", choices=list(SYSTEMS))
    parser.add_argument("--symbols", type=int, default=25, help="how many functions to list, by their own time")
    arguments = parser.parse_args()
    raise_file_limit()
    FOLDER.mkdir(parents=True, exist_ok=True)
    data = FOLDER / "perf.data"
    found = record(arguments.system, data)
    samples = list(stacks(data))
    names = thread_names(samples)
    stages, threads, functions = collections.Counter(), collections.Counter(), collections.Counter()
    for thread, frames in samples:
        name = names.get(thread, "other")
        threads[name] += 1
        stages[name, stage_of(name, frames)] += 1
        if frames:
            functions[f"{frames[0][0]} ({frames[0][1]})"] += 1
    each_us = found["server_us"] / len(samples)
    print(f"{arguments.system}: {found['per_s']:,.0f}/s, {found['server_us']:.1f} µs of the relay each, {len(samples)} samples\n")
    print("| thread | stage | µs each | part |\n|---|---|---|---|")
    for name, count in threads.most_common():
        print(f"| **{name}** | | **{count * each_us:.1f}** | **{100 * count / len(samples):.1f} %** |")
        for (thread, stage), part in stages.most_common():
            if thread == name and part * 300 >= len(samples):
                print(f"| | {stage} | {part * each_us:.1f} | {100 * part / len(samples):.1f} % |")
    print("\n| function, by its own time | part |\n|---|---|")
    for function, count in functions.most_common(arguments.symbols):
        print(f"| {function} | {100 * count / len(samples):.1f} % |")


if __name__ == "__main__":
    sys.exit(main())
