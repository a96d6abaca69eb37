#!/usr/bin/python3
"""What `./dev bench` runs: the relay and what people would use instead, one scenario after the other, each system in turn and again.

    tests/bench/bench.py [--quick | --full] [--rounds N] [SCENARIO...]

docs/performance.md says what is measured, and how. The table goes to stdout, everything to build/bench/results.json.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace

from kept import Kept, measure_restart
from systems import FOLDER, GENERATOR, ROOT, SYSTEMS, Failure, raise_file_limit

DEFAULT, NEVER, KEYS, NEVER_KEYS, NODE = (
    "coinslot",
    "coinslot, signature = never",
    "coinslot, keys",
    "coinslot, signature = never, keys",
    "coinslot, node's WebSocket",
)
REDIS, MOSQUITTO, TORNADO = "redis always", "mosquitto", "tornado"
GROWN = "coinslot, signature = never, much in its store"


@dataclass(frozen=True)
class Size:
    """What differs between a quick run and a whole one."""

    rounds: int
    warm_s: float
    run_s: float
    settle_s: float
    many: int  # devices, where there are many
    queued: int
    stored: int  # payments in the store that has grown
    registered: int  # devices in it
    addresses: int  # of each of them


QUICK = Size(rounds=2, warm_s=0.3, run_s=0.8, settle_s=0.5, many=2000, queued=20_000, stored=100_000, registered=10_000, addresses=1)
USUAL = Size(rounds=5, warm_s=1, run_s=4, settle_s=2, many=10_000, queued=100_000, stored=1_000_000, registered=100_000, addresses=10)
FULL = Size(rounds=5, warm_s=1, run_s=4, settle_s=2, many=10_000, queued=100_000, stored=10_000_000, registered=100_000, addresses=10)


@dataclass(frozen=True)
class Scenario:
    title: str
    systems: tuple
    rivals: tuple  # whose medians the others are divided by
    figures: tuple  # (name, unit, more is better)
    run: object  # (system, size) -> the figures, and more


# ---- one run --------------------------------------------------------------------------------------------------------


def with_system(name, wanted, scenario, *options):
    system = SYSTEMS[name](FOLDER / "run", wanted)
    try:
        system.start()
        found = system.run(scenario, *options)
        system.settle(found)
        return found
    finally:
        system.stop()


def signatures(name, devices):
    """Real ones where they are checked, made once."""
    return ["--signatures", FOLDER / f"signatures-{devices}"] if name in (DEFAULT, KEYS) else []


def timed(size):
    return ["--warm", size.warm_s, "--run", size.run_s]


def throughput(name, size, *options):
    most = 20_000 if name in (DEFAULT, KEYS) else 80_000
    payments = int(most * (size.warm_s + size.run_s))
    return with_system(name, {"devices": 1000}, "throughput", "--payments", payments, *timed(size), *signatures(name, 1000), *options)


def per_payment(name, size):
    return throughput(name, size, "--per-payment")


def parts_of(found):
    return {**found, **{part: found["latency_us"][part] for part in ("p50", "p99", "p99_9")}}


def latency(rate):
    def run(name, size):
        payments = int(rate * (size.warm_s + size.run_s) + 1)
        options = ("--payments", payments, "--rate", rate, *timed(size), *signatures(name, 1000))
        return parts_of(with_system(name, {"devices": 1000}, "latency", *options))

    return run


def connect(name, size):
    return with_system(name, {"devices": size.many}, "connect", "--payments", 1, "--settle", size.settle_s)


def resume(name, size):
    return with_system(name, {"devices": 100}, "resume", "--payments", size.queued)


def fan_out(name, size):
    found = with_system(name, {"devices": size.many, "everybody": True}, "fan-out", "--payments", 2 * size.rounds, "--settle", size.settle_s)
    return {**found, "ms": statistics.median(found["milliseconds"])}


def growth(name, size):
    """Throughput, then latency, of a relay that has nothing yet, or much."""
    system = Kept(size) if name == GROWN else SYSTEMS[NEVER](FOLDER / "run", {"devices": 1000})
    payments = int(80_000 * (size.warm_s + size.run_s)), int(1000 * (size.warm_s + size.run_s) + 1)
    try:
        system.start()
        first = [system.next(count) for count in payments] if name == GROWN else [("--payments", payments[0]), ("--payments", payments[1], "--first", payments[0])]
        flood = system.run("throughput", *first[0], *timed(size))
        system.settle(flood)
        drip = system.run("latency", *first[1], "--rate", 1000, *timed(size))
        system.settle(drip)
        if name == GROWN:
            system.keep()
        return {**parts_of(drip), "per_s": flood["per_s"], "server_us": flood["server_us"]}
    finally:
        system.stop()


PER_S, P50, P99, P99_9 = ("per_s", "/s", True), ("p50", "µs", False), ("p99", "µs", False), ("p99_9", "µs", False)
CPU = (("server_us", "µs", False), ("generator_us", "µs", False))
ALL_THROUGHPUT = (NEVER, REDIS, MOSQUITTO, DEFAULT, NODE, NEVER_KEYS, KEYS)

SCENARIOS = {
    "throughput": Scenario("Throughput, 1,000 devices, acked end to end", ALL_THROUGHPUT, (REDIS, MOSQUITTO), (PER_S, *CPU), throughput),
    "per-payment": Scenario("The same, a connection per callback", (NEVER, TORNADO), (TORNADO,), (PER_S, *CPU), per_payment),
    "latency-1000": Scenario("Latency at 1,000/s", (NEVER, REDIS, MOSQUITTO), (REDIS, MOSQUITTO), (P50, P99, P99_9, *CPU), latency(1000)),
    "latency-5000": Scenario("Latency at 5,000/s", (NEVER, REDIS, MOSQUITTO), (REDIS, MOSQUITTO), (P50, P99, P99_9, *CPU), latency(5000)),
    "connect": Scenario(
        "Connecting many devices, and what each costs while idle",
        (DEFAULT, KEYS, REDIS, MOSQUITTO),
        (REDIS, MOSQUITTO),
        (PER_S, ("bytes_each", "B", False), *CPU),
        connect,
    ),
    "resume": Scenario("What was queued for 100 devices, acked", (NEVER, NEVER_KEYS, REDIS, MOSQUITTO), (REDIS, MOSQUITTO), (("seconds", "s", False), *CPU), resume),
    "fan-out": Scenario("One payment to many devices", (NEVER, NEVER_KEYS, REDIS, MOSQUITTO), (REDIS, MOSQUITTO), (("ms", "ms", False),), fan_out),
    "growth": Scenario(
        "With many payments, devices and addresses in the store: throughput, and latency at 1,000/s",
        (NEVER, GROWN),
        (NEVER,),
        (PER_S, P50, P99, ("server_us", "µs", False)),
        growth,
    ),
    "restart": Scenario("SIGKILL to first push, the same store", (GROWN,), (), (("ms", "ms", False), ("ready_ms", "ms", False)), measure_restart),
}


# ---- all of them ----------------------------------------------------------------------------------------------------


def say(text):
    print(text, file=sys.stderr, flush=True)


def measure(scenario, size):
    """One run of each system, then again: what changes on the machine meanwhile meets all of them."""
    runs, failures = {name: [] for name in scenario.systems}, []
    for number in range(size.rounds):
        for name in scenario.systems:
            began = time.monotonic()
            try:
                runs[name].append(scenario.run(name, size))
            except Failure as failure:
                failures.append(f"{scenario.title}, {name}: {failure}")
                say(f"FAILED: {failures[-1]}")
                continue
            shown = ", ".join(f"{figure} {show(runs[name][-1][figure])} {unit}" for figure, unit, _ in scenario.figures)
            say(f"  {number + 1}/{size.rounds} {name}: {shown} ({time.monotonic() - began:.1f} s)")
    return runs, failures


def summarise(scenario, runs):
    summary = {}
    for name, found in runs.items():
        summary[name] = {}
        for figure, unit, _ in scenario.figures:
            values = sorted(run[figure] for run in found)
            if values:
                summary[name][figure] = {"unit": unit, "median": statistics.median(values), "least": values[0], "most": values[-1]}
    for name, figures in summary.items():
        for figure, row in figures.items():
            others = {rival: summary[rival].get(figure) for rival in scenario.rivals if rival != name}
            row["ratio"] = {rival: row["median"] / other["median"] for rival, other in others.items() if other and other["median"]}
    return summary


def show(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(scenario, summary):
    lines = [f"### {scenario.title}", ""]
    heads = ["", *(f"{figure} ({unit})" for figure, unit, _ in scenario.figures)]
    lines += ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name, figures in summary.items():
        cells = []
        for figure, *_ in scenario.figures:
            row = figures.get(figure)
            if row is None:
                cells.append("failed")
                continue
            ratios = "" if figure in ("server_us", "generator_us") else "".join(f", **{ratio:.2f}** × {rival}" for rival, ratio in row["ratio"].items())
            cells.append(f"{show(row['median'])} ({show(row['least'])} – {show(row['most'])}){ratios}")
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join([*lines, ""])


def first_line(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.partition("\n")[0]


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")), platform.machine())
    with open("/proc/meminfo", encoding="utf-8") as info:
        memory_mb = int(info.readline().split()[1]) // 1024
    disk = subprocess.run(["df", "--output=source,fstype", str(FOLDER)], capture_output=True, text=True, check=False).stdout.splitlines()[-1]
    return {
        "processor": model,
        "processors": len(os.sched_getaffinity(0)),
        "memory_mb": memory_mb,
        "kernel": platform.release(),
        "disk": " ".join(disk.split()),
        "load_before": os.getloadavg(),
        "redis": first_line("redis-server", "--version"),
        "commit": first_line("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two minutes: two rounds, and smaller")
    parser.add_argument("--full", action="store_true", help="10 million payments in the store that is killed; preparing them takes a while, once")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    arguments = parser.parse_args()
    unknown = set(arguments.scenarios) - set(SCENARIOS)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    size = QUICK if arguments.quick else FULL if arguments.full else USUAL
    if arguments.rounds:
        size = replace(size, rounds=arguments.rounds)
    raise_file_limit()
    FOLDER.mkdir(parents=True, exist_ok=True)
    assert GENERATOR.exists(), f"{GENERATOR} is not there: ./dev bench builds it"

    results, failures = {"machine": machine(), "size": size.__dict__, "scenarios": {}}, []
    for name in arguments.scenarios or SCENARIOS:
        say(f"{name}: {SCENARIOS[name].title}")
        runs, failed = measure(SCENARIOS[name], size)
        summary = summarise(SCENARIOS[name], runs)
        results["scenarios"][name] = {"summary": summary, "runs": runs, "failures": failed}
        failures += failed
        print(table(SCENARIOS[name], summary), flush=True)
        (FOLDER / "results.json").write_text(json.dumps(results, indent=1))
    if failures:
        say(f"{len(failures)} runs failed, see above")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
