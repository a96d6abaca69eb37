"""firmware/esp32 without ESP-IDF: what one file says agrees with what the others say. (Its sources are type-checked against ESP-IDF elsewhere.)"""
import csv
import importlib.util
import io
import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = ROOT / "firmware/esp32"
CORE = (ROOT / "firmware/core/core.h").read_text()
TARGETS = ("esp32", "esp32s3", "esp32c3")
PAGE, ENTRY, ENTRIES, TAIL = 4096, 32, 126, 12  # NVS: nvs_page.hpp; a blob does not begin in a tail of less than a tenth of a page
FLASH_CYCLES = 100_000


def read(name):
    return (PROJECT / name).read_text()


def partitions():
    rows = [[cell.strip() for cell in row] for row in csv.reader(line for line in read("partitions.csv").splitlines() if not line.startswith("#"))]
    return {row[0]: {"type": row[1], "subtype": row[2], "offset": int(row[3], 0), "size": int(row[4], 0), "flags": row[5]} for row in rows}


def of_core(name):
    return int(re.search(rf"#define {name}\s+(\d+)", CORE).group(1))


def setting_names():
    table = re.search(r"SETTINGS\[\] = \{(.*?)\n\};", read("plain/settings.c"), re.S).group(1)
    return re.findall(r'\{"(\w+)", put_\w+, (?:true|false)\}', table)


@pytest.fixture(scope="module")
def provision():
    spec = importlib.util.spec_from_file_location("provision", PROJECT / "provision.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_managed_component_has_an_exact_version():
    found = {}
    for manifest in sorted(PROJECT.rglob("idf_component.yml")):
        for name, version in yaml.safe_load(manifest.read_text())["dependencies"].items():
            version = version["version"] if isinstance(version, dict) else version
            if name == "idf":
                assert version == ">=5.3.0,<5.4.0"
                continue
            assert re.fullmatch(r"==\d+\.\d+\.\d+(~\d+)?", version), f"{manifest}: {name} is not pinned"
            assert found.setdefault(name, version) == version, f"{name} is pinned twice, otherwise"
    assert set(found) == {"espressif/esp_websocket_client", "espressif/libsodium", "espressif/qrcode", "espressif/jsmn"}


def test_platformio_takes_a_pinned_platform_and_the_same_files():
    text = read("platformio.ini")
    assert re.search(r"^platform = espressif32@\d+\.\d+\.\d+$", text, re.M)
    assert re.search(r"^framework = espidf$", text, re.M) and re.search(r"^src_dir = main$", text, re.M)
    assert re.search(r"^board_build.partitions = partitions.csv$", text, re.M)
    assert len(re.findall(r"^board = ", text, re.M)) == len(TARGETS)


def test_partitions_fit_4_mb_and_do_not_overlap():
    table = partitions()
    end = 0x9000  # behind the bootloader and the table, which has 4 kB at 0x8000
    for name, part in sorted(table.items(), key=lambda item: item[1]["offset"]):
        assert part["offset"] >= end, f"{name} begins within the one before"
        assert part["offset"] % (0x10000 if part["type"] == "app" else 0x1000) == 0 and part["size"] % 0x1000 == 0
        end = part["offset"] + part["size"]
    assert end <= 4 << 20
    assert table["ota_0"]["size"] == table["ota_1"]["size"]
    assert table["otadata"]["size"] == 0x2000
    assert table["nvs_keys"]["flags"] == "encrypted"
    assert f"0x{table['nvs']['size']:x}" in read("README.md")


def test_what_the_meter_remembers_fits_its_partition_and_lasts_ten_years():
    pages = partitions()["meter"]["size"] // PAGE
    usable = ENTRIES - TAIL
    data = -(-of_core("CORE_RECORD_SIZE") // ENTRY)
    record = data + -(-data // (ENTRIES - 1)) + 1 + 1  # a header for each piece, one more where it begins on a used page, and the index
    mark = -(-of_core("CORE_MARK_SIZE") // ENTRY) + 1 + 1
    kept = 2 * record + 2 * mark + 1
    at_work = -(-kept // usable) + -(-record // usable) + 1  # NVS keeps one page free
    assert at_work <= pages

    ten_years_s = 10 * 365.25 * 86400
    marks, records = ten_years_s / 25, ten_years_s / 300  # docs/firmware.md: how often they are written
    entries = marks * mark + records * record
    wearing = pages - -(-kept // usable) - 1  # what lies still does not move
    each = entries / usable / wearing
    assert each * 2 < FLASH_CYCLES

    told = " ".join(read("README.md").split("## Flash")[1].split("\n## ")[0].split())
    for words in (f"at most {of_core('CORE_RECORD_SIZE'):,} bytes is {data} entries", f"1 for its index: {record}. A mark is {mark}.",
                  f"take {at_work} of the {pages} pages", f"{marks / 1e6:.1f} million marks", f"{records / 1e6:.2f} million records",
                  f"{entries / 1e6:.0f} million entries, {entries / usable / 1e6:.1f} million pages erased",
                  f"{wearing} pages: {round(each, -3):,.0f} times each"):
        assert words in told


def test_every_source_is_in_the_lists_and_every_listed_one_is_there():
    def listed(text, word):
        return set(re.search(rf"{word}\s+(.*?)(?:\n\s*\w+_?REQUIRES|INCLUDE_DIRS|\))", text, re.S).group(1).split())

    assert listed(read("main/CMakeLists.txt"), "SRCS") == {path.name for path in (PROJECT / "main").glob("*.c")}
    assert listed(read("plain/CMakeLists.txt"), "SRCS") == {path.name for path in (PROJECT / "plain").glob("*.c")}
    lists = (ROOT / "firmware/sources.cmake").read_text()
    named = re.findall(r"^\s+(\S+\.c)$", lists, re.M)
    assert all((ROOT / "firmware" / name).is_file() for name in named)
    assert {name for name in named if name.startswith("core/")} == {f"core/{path.name}" for path in (ROOT / "firmware/core").glob("*.c")}
    for user in (ROOT / "CMakeLists.txt", PROJECT / "components/core/CMakeLists.txt"):
        assert "sources.cmake" in user.read_text() and "FIRMWARE_CORE_SOURCES" in user.read_text()


def test_what_is_plain_knows_nothing_of_esp_idf():
    for path in (PROJECT / "plain").glob("*.[ch]"):
        for header in re.findall(r'#include [<"]([^>"]+)', path.read_text()):
            assert header.split("/")[0] in ("core", "plain") or header in ("assert.h", "string.h", "stdbool.h", "stddef.h", "stdint.h"), f"{path}: {header}"


def test_every_option_that_is_used_is_defined_for_every_target():
    menu = read("main/Kconfig.projbuild")
    defined = set(re.findall(r"^\s+config (COINSLOT_\w+)", menu, re.M))
    used = {name for path in (PROJECT / "main").glob("*.[ch]") for name in re.findall(r"\bCONFIG_(COINSLOT_\w+)", path.read_text())}
    assert used == defined
    for name, body in re.findall(r"config (COINSLOT_\w+_GPIO)\n(.*?)(?=\n    config |\nendmenu)", menu, re.S):
        assert [target.lower() for target in re.findall(r"default -?\d+ if IDF_TARGET_(\w+)", body)] == list(TARGETS), name
    assert all((PROJECT / f"sdkconfig.defaults.{target}").is_file() for target in TARGETS)


def test_the_pins_of_the_readme_are_those_of_the_menu():
    menu, readme = read("main/Kconfig.projbuild"), read("README.md")
    for option, row in (("ACTUATOR", "machine"), ("OLED_SDA", "display, SDA"), ("OLED_SCL", "display, SCL"), ("OLED_RESET", "display, RST"),
                        ("OLED_POWER", "display's supply")):
        body = re.search(rf"config COINSLOT_{option}_GPIO\n(.*?)(?=\n    config )", menu, re.S).group(1)
        pins = re.findall(r"default (-?\d+) if", body)
        cells = re.search(rf"^\| {row} \|(.*)\|$", readme, re.M).group(1).split("|")
        for pin, cell in zip(pins, cells):
            assert (f"GPIO {pin}" in cell) if int(pin) >= 0 else "GPIO" not in cell, f"{row}: {cell}"


def test_the_build_is_told_what_safety_rests_on():
    defaults = read("sdkconfig.defaults")
    for line in ("CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE=y", "CONFIG_ESP_TASK_WDT_PANIC=y", "CONFIG_ESP_SYSTEM_PANIC_PRINT_REBOOT=y",
                 "CONFIG_COMPILER_OPTIMIZATION_ASSERTIONS_ENABLE=y", "CONFIG_MBEDTLS_CERTIFICATE_BUNDLE=y", 'CONFIG_PARTITION_TABLE_CUSTOM_FILENAME="partitions.csv"',
                 "CONFIG_ESPTOOLPY_FLASHSIZE_4MB=y", "CONFIG_ESP_WS_CLIENT_SEPARATE_TX_LOCK=y"):
        assert line in defaults.splitlines()
    assert "-Wl,--wrap=esp_panic_handler" in read("main/CMakeLists.txt") and "__wrap_esp_panic_handler" in read("main/actuator.c")
    first = re.search(r"void app_main\(void\)\n\{\n\s+(\w+)\(\);", read("main/main.c")).group(1)
    assert first == "actuator_open"


def test_the_version_is_the_projects():
    whole = re.search(r"project\(coinslot VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
    assert f'set(PROJECT_VER "{whole}")' in read("CMakeLists.txt")


def test_the_slots_have_names_that_nvs_takes_one_for_each():
    names = re.search(r"SLOTS\[CORE_SLOTS\] = \{(.*?)\}", read("main/store.c")).group(1)
    names = re.findall(r'"(\w+)"', names)
    assert len(set(names)) == of_core("CORE_SLOTS") and all(len(name) <= 15 for name in names)
    assert '#define PARTITION "meter"' in read("main/store.c")


def test_every_setting_is_in_the_readme_and_in_the_consoles_help():
    names = setting_names()
    assert len(names) == 16
    section = read("README.md").split("## Settings")[1].split("\n## ")[0]
    told = {name for row in re.findall(r"^\| (`.*?) \|", section, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert told == set(names)
    offered = re.search(r'help =\s*"NAME=VALUE(.*?)",\n\s+\.func', read("main/console.c"), re.S).group(1)
    assert {name for name in names if re.search(rf"\b{name}\b", offered)} == set(names) - {"ca"}  # which has more than one line


def split_as_the_console_does(line):
    """ESP-IDF's split_argv.c: a quote counts at the beginning of an argument alone, a backslash everywhere."""
    argument = re.compile(r'"((?:\\.|[^"\\])*)"|((?:\\.|[^ \\])+)')
    return [re.sub(r"\\(.)", r"\1", quoted or plain) for quoted, plain in argument.findall(line)]


def test_what_the_readme_types_at_the_console_arrives_as_settings():
    assert split_as_the_console_does(r'a "b c" d="e f" g\ h') == ["a", "b c", 'd="e', 'f"', "g h"]
    told = {}
    for line in re.findall(r"^meter> (.*)$", read("README.md"), re.M):
        command, *arguments = split_as_the_console_does(line)
        assert f'.command = "{command}"' in read("main/console.c")
        told.update(argument.split("=", 1) for argument in arguments)
    assert set(told) == {"wifi_ssid", "wifi_password", "relay", "device", "secret_key", "relay_key"}
    assert told["wifi_ssid"] == "Market Square" and len(told["relay_key"].split(" ")) == 2


def table_of(text, provision):
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["key", "type", "encoding", "value"]
    assert rows[1] == [provision.NAMESPACE, "namespace", "", ""]
    assert all(row[1:3] in (["data", "string"], ["file", "string"]) for row in rows[2:])
    return {row[0]: row[3] for row in rows[2:]}


def test_the_csv_has_the_namespace_and_the_names_that_the_firmware_reads(provision, capsys, tmp_path):
    device = {"id": "dev_kb4hapepcyyaf3v4", "secret_key": "fa" * 32, "relay_keys": ["1f" * 32, "cf" * 32]}
    (tmp_path / "device.json").write_text(json.dumps(device))
    arguments = ["--wifi-ssid", "Market, Square", "--wifi-password", 'quoted "word"', "--relay", "ws://192.168.1.2:7091"]
    assert provision.main([*arguments, "--set", "proof=yes", "--ca", "ca.pem", str(tmp_path / "device.json")]) == 0
    made = table_of(capsys.readouterr().out, provision)
    assert made["wifi_ssid"] == "Market, Square" and made["wifi_password"] == 'quoted "word"' and made["proof"] == "yes"
    assert made["relay_key"] == "1f" * 32 + " " + "cf" * 32 and made["secret_key"] == "fa" * 32
    assert set(made) <= set(setting_names())
    assert f'#define SETTINGS_NAMESPACE  "{provision.NAMESPACE}"' in read("plain/settings.h")
    example = table_of(read("nvs.example.csv"), provision)
    assert set(made) - {"proof", "ca"} == set(example)


def test_a_device_by_token_gets_its_token_and_one_with_a_key_of_its_own_is_refused(provision, capsys, tmp_path):
    path = tmp_path / "device.json"
    arguments = ["--wifi-ssid", "Open", "--relay", "wss://relay.example", str(path)]
    path.write_text(json.dumps({"id": "dev_kb4hapepcyyaf3v4", "token": "secret"}))
    assert provision.main(arguments) == 0
    made = table_of(capsys.readouterr().out, provision)
    assert made == {"wifi_ssid": "Open", "relay": "wss://relay.example", "device": "dev_kb4hapepcyyaf3v4", "token": "secret"}
    for text in (json.dumps({"id": "dev_kb4hapepcyyaf3v4", "public_key": "24" * 32, "relay_keys": []}), "[]", "no JSON"):
        path.write_text(text)
        assert provision.main(arguments) == 1
        assert "provision.py: " in capsys.readouterr().err


def test_secrets_stay_out_of_git():
    ignored = read(".gitignore").split()
    assert {"nvs.csv", "sdkconfig", "build/", "managed_components/"} <= set(ignored)


def test_from_the_cable_to_paid_are_at_most_eight_commands():
    block = re.search(r"## From the cable to paid\n.*?```\n(.*?)```", read("README.md"), re.S).group(1)
    assert len(block.splitlines()) <= 8
