"""The meter's core as an ESP32-C3 gets it: how large it is, how deep its stack goes, and its unit tests, run as rv32 under qemu.

Sizes and depths are without what a port and its cryptography take. They are guarded: what grows past these limits has to be meant.
"""

import os
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

FLASH_MOST = 32 * 1024
RAM_MOST = 48 * 1024  # struct core, which is all that it ever uses but for the stack
STACK_MOST = 4 * 1024

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "rv32"
GCC = "riscv64-unknown-elf-gcc"
TARGET = ["-march=rv32imc_zicsr_zifencei", "-mabi=ilp32"]
CFLAGS = [*TARGET, "--specs=picolibc.specs", "-std=c11", "-Os", "-Wall", "-Wextra", "-Werror", "-ffunction-sections", "-fdata-sections"]
# Debian's picolibc has no rv32imc; its rv32imac runs on qemu's machine, and the objects under test stay what they are.
LINK = ["-march=rv32imac", "-mabi=ilp32", "--specs=picolibc.specs", "-Wl,--gc-sections"]
# qemu's `virt` has its memory from here on.
MEMORY = [f"-Wl,--defsym={name}" for name in
          ("__flash=0x80000000", "__flash_size=0x400000", "__ram=0x80400000", "__ram_size=0xc00000")]

CORE = [*sorted((ROOT / "firmware/core").glob("*.c")), ROOT / "src/payment/amount.c", ROOT / "src/payment/nano_text.c",
        ROOT / "src/verify/layout.c"]
RIG = [ROOT / f"tests/firmware/{name}.c" for name in ("rig", "blake2b", "toy_crypto")]
TESTS = [path for path in sorted((ROOT / "tests/firmware").glob("test_*.c")) if path.stem != "test_firmware_vectors"]


def run(*command, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


def compile_file(source, *options):
    target = BUILD / (source.stem + ".o")
    includes = ["-I", ROOT / "firmware", "-I", ROOT / "src", "-I", ROOT / "tests", "-I", ROOT / "tests/firmware/bare",
                "-isystem", BUILD / "include"]
    run(GCC, *CFLAGS, *options, *includes, "-c", source, "-o", target)
    return target


@pytest.fixture(scope="module")
def core():
    shutil.rmtree(BUILD, ignore_errors=True)
    (BUILD / "include").mkdir(parents=True)
    shutil.copy("/usr/include/jsmn.h", BUILD / "include")  # of the host's headers this one alone
    return [compile_file(source, "-fcallgraph-info=su") for source in CORE]


@pytest.fixture(scope="module")
def rig(core):
    return [compile_file(source, "-DCOINSLOT_BARE", "-std=gnu11") for source in RIG]


def test_flash_is_under_32_kilobytes(core):
    """All of core that is reachable from its entry points, with the helpers of libgcc and of the C library that it needs."""
    alone = BUILD / "alone.c"
    alone.write_text("void __assert_func(const char *a, int b, const char *c, const char *d);\n"
                     "void __assert_func(const char *a, int b, const char *c, const char *d)\n"
                     "{ (void)a; (void)b; (void)c; (void)d; for (;;) { } }\n", encoding="ascii")
    entries = ["core_init", "core_on_tick", "core_on_connect", "core_on_message", "core_on_disconnect", "core_report"]
    linked = BUILD / "core.elf"
    run(GCC, *LINK, "-nostartfiles", "-Wl,-e,core_init", *[f"-Wl,-u,{entry}" for entry in entries], compile_file(alone), *core, "-o", linked)
    text, data = map(int, run("riscv64-unknown-elf-size", linked).splitlines()[1].split()[:2])
    print(f"flash: {text + data} bytes of {FLASH_MOST} (all of core, without cryptography)")
    assert text + data < FLASH_MOST
    for line in run("riscv64-unknown-elf-size", *core).splitlines()[1:]:
        assert line.split()[1:3] == ["0", "0"], f"core has a variable of its own: {line}"


def test_ram_is_one_struct_of_constant_size(core):
    source = BUILD / "sizes.c"
    source.write_text('#include "core/core_struct.h"\nconst char size_of_core[sizeof(struct core)] = {1};\n'
                      "const char size_of_memory[sizeof(struct core_memory)] = {1};\n", encoding="ascii")
    symbols = run("riscv64-unknown-elf-nm", "-S", compile_file(source, "-include", "stdint.h"))
    sizes = {line.split()[3]: int(line.split()[1], 16) for line in symbols.splitlines()}
    print(f"RAM: struct core has {sizes['size_of_core']} bytes of {RAM_MOST}, of these {sizes['size_of_memory']} are what it remembers")
    assert sizes["size_of_core"] < RAM_MOST
    for object_file in core:
        assert not re.search(r" U (malloc|calloc|realloc|free|printf|snprintf)$", run("riscv64-unknown-elf-nm", object_file), re.M)


def call_graph():
    """Of all objects: frame sizes and calls. The one table of functions in core, in frame.c, is followed; ports are not."""
    frames, calls, indirect = {}, defaultdict(set), set()
    for graph in BUILD.glob("*.ci"):
        text = graph.read_text(encoding="utf-8")
        for title, label in re.findall(r'node: \{ title: "([^"]+)" label: "([^"]*)"', text):
            size = re.search(r"(\d+) bytes \((\w+)", label)
            if size:
                assert size[2] == "static", f"{title} has a stack frame of no fixed size"
                frames[title] = int(size[1])
        for source, target in re.findall(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', text):
            if target == "__indirect_call":
                indirect.add(source)
            calls[source].add(target)
    readers = {name for name in frames if re.search(r"frame\.c:read_", name)}
    assert len(readers) >= 8
    for name in frames:
        if name.endswith("core_frame_read") and name in indirect:
            calls[name] |= readers
    return frames, calls


def deepest(name, frames, calls, above=()):
    assert name not in above, f"{name} calls itself"
    below = [deepest(called, frames, calls, (*above, name)) for called in calls[name] if called in frames]
    depth, path = max(below, default=(0, ()))
    return depth + frames[name], (name, *path)


def test_the_stack_is_never_deeper_than_stated(core):
    frames, calls = call_graph()
    worst = 0
    for entry in ("core_init", "core_on_tick", "core_on_connect", "core_on_message", "core_on_disconnect"):
        depth, path = deepest(entry, frames, calls)
        worst = max(worst, depth)
        print(f"stack: {entry} {depth} bytes: {' > '.join(name.rsplit(':', 1)[-1] for name in path)}")
    print(f"stack: {worst} bytes of {STACK_MOST} at worst, to which a callback's own comes")
    assert worst < STACK_MOST


@pytest.mark.parametrize("source", TESTS, ids=lambda path: path.stem)
def test_the_unit_tests_pass_as_rv32(core, rig, source):
    program = BUILD / (source.stem + ".elf")
    run(GCC, *LINK, "--oslib=semihost", "--crt0=semihost", *MEMORY, "-T", "picolibc.ld",
        compile_file(source, "-DCOINSLOT_BARE", "-std=gnu11"), *rig, *core, "-o", program)
    done = subprocess.run(["qemu-system-riscv32", "-M", "virt", "-m", "16M", "-bios", "none", "-nographic",
                           "-semihosting-config", "enable=on,target=native", "-kernel", str(program)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, env={"PATH": os.environ["PATH"]})
    said = done.stdout + done.stderr  # what is printed by semihosting comes out at either, by qemu's version
    passed = len(re.findall("^ok ", said, re.M))
    print(f"{passed} tests passed as rv32")
    assert done.returncode == 0 and passed == source.read_text(encoding="utf-8").split("int main", 1)[1].count("),"), said
