#!/usr/bin/python3
"""The walls of the project: who may include whom, which calls are at home where, what may lie at the top.

Prints `FILE:LINE: what is wrong; what to do` for each breach, and exits 1 when there is one.
"""
import os
import re
import subprocess
import sys

# Which modules a module's files may include besides its own. A folder that is not named here is itself a breach.
EVERYBODY = {"base", "payment"}
MAY_INCLUDE = {
    "base": set(),
    "payment": {"base"},
    "verify": EVERYBODY,
    "delivery": EVERYBODY,
    "audit": EVERYBODY,
    "store": EVERYBODY | {"delivery", "audit"},
    "http": EVERYBODY,
    "node": EVERYBODY | {"verify", "store", "http"},
    "push": EVERYBODY | {"delivery", "store", "verify"},
    "admin": EVERYBODY | {"http", "store", "delivery", "audit"},
    "webhook": EVERYBODY | {"store"},
    "rpc": EVERYBODY | {"http", "node"},
    "simulate": EVERYBODY | {"verify", "http"},
}
MAY_INCLUDE["cli"] = set(MAY_INCLUDE) - {"push", "node"}
MAY_INCLUDE["posix"] = EVERYBODY | {"core", "verify"}  # firmware/posix

# A library, by its header and its calls, and the only modules where it is at home.
LIBRARIES = [
    ("SQLite", r"sqlite3\.h", r"sqlite3_\w+\s*\(", {"store"}),
    ("libwebsockets", r"libwebsockets\.h", r"lws_\w+\s*\(", {"push", "node", "rpc", "simulate", "posix"}),
    ("libmicrohttpd", r"microhttpd\.h", r"MHD_\w+\s*\(", {"http"}),
    ("GnuTLS", r"gnutls/\w+\.h", r"gnutls_\w+\s*\(", {"http"}),
    ("OpenSSL", r"openssl/\w+\.h", r"(?:SSL|X509|EVP|PEM|BIO|ERR|ASN1)_\w+\s*\(", {"push"}),
    ("libdecaf", r"decaf(?:/\w+)?\.h", r"decaf_\w+\s*\(", {"verify"}),
    ("libgpiod", r"gpiod\.h", r"gpiod_\w+\s*\(", {"posix"}),
    ("qrcodegen", r"qrcodegen/qrcodegen\.h", r"qrcodegen_\w+\s*\(", {"posix"}),
    ("libcurl", r"curl/\w+\.h", r"curl_\w+\s*\(", {"node", "webhook"}),
]

# The meter's core runs where there is nothing else: these headers are all that it may include.
CORE_INCLUDES = {
    "core/", "payment/amount.h", "payment/nano_text.h", "verify/layout.h",
    "assert.h", "jsmn.h", "stdbool.h", "stddef.h", "stdint.h", "string.h",
}

# Folder, pattern, what is wrong and what to do.
FORBIDDEN = [
    ("firmware/core/", r"\b(?:float|double|__int128)\b", "no float holds money, and small machines have no __int128; use struct amount"),
    ("firmware/core/", r"\b(?:malloc|calloc|realloc|free|s?n?printf|time|rand)\s*\(",
     "core has no heap, no clock, no chance and no printf; it goes through its port"),
    ("src/payment/", r"\b(?:float|double|strtod|strtof|atof)\b", "no float ever holds money; count in raw with struct amount"),
    ("src/payment/", r"\b(?:malloc|calloc|realloc|free|strdup|cs_alloc|cs_realloc|cs_strdup)\s*\(",
     "payment/ is compiled into firmware and has no heap; let the caller pass the memory"),
    ("src/", r"\b__int128\b", "32-bit targets have no __int128; use struct amount or two uint64_t"),
    ("src/", r"\b(?:strcpy|strcat|sprintf|gets)\s*\(", "it does not know the size of its target; use snprintf or memcpy"),
    ("firmware/posix/", r"\b(?:strcpy|strcat|sprintf|gets)\s*\(", "it does not know the size of its target; use snprintf or memcpy"),
    ("firmware/posix/", r"\bNDEBUG\b", "asserts stay on in release; remove it"),
    ("src/", r"\b(?:strtok|localtime|gmtime|ctime|asctime|rand|setenv|putenv|setlocale)\s*\(",
     "it is not thread-safe; use its _r form, or libsodium's randombytes for rand"),
    ("src/", r"\bNDEBUG\b", "asserts stay on in release; remove it"),
]

TOP_LEVEL = {
    "CMakeLists.txt", "CMakePresets.json", "README.md", "LICENSE", "dev",
    "src", "schema", "migrations", "firmware", "clients", "admin-ui", "tests", "docs", "packaging",
}

# What belongs to one machine. (Written so that this file does not match itself.)
MACHINE = [
    (r"(?<![\w.$}~-])/(?:root|work|home/\w+|Users/\w+)/", "names a path of one machine; use a path relative to the repository, or $HOME"),
    (r"\b(?:deb|security|ftp[.]\w+|httpredir|snapshot)[.]debian[.]org\b", "names a package mirror; leave that to the machine's own set-up"),
    (r"\b(?:registry[.]npmjs[.]org|registry[.]yarnpkg[.]com|files[.]pythonhosted[.]org|pypi[.]org/simple)\b",
     "names a package registry; leave it out (npm: `npm config set omit-lockfile-registry-resolved true`, then lock again)"),
    (r"https?://[\w.:-]*(?:artifactory|nexus|[.]pkg[.]dev|mirror)[\w.:-]*/", "names a package mirror; leave that to the machine's own set-up"),
]


def project_files():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and os.path.isfile(name) and not os.path.islink(name)]


def code_of(text):
    """The text with comments and the inside of strings blanked out, line for line."""
    token = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return token.sub(lambda found: ('""' if found.group()[0] == '"' else " ") + "\n" * found.group().count("\n"), text)


def check_includes(name, number, line, module, breaches):
    included = re.match(r'\s*#\s*include\s+([<"])([^">]+)[">]', line)
    if included is None:
        return
    mark, target = included.groups()
    if mark == '"':
        if "/" not in target:
            if module is not None or not os.path.isfile("src/" + target):
                breaches.append((name, number, f'includes "{target}" without its module; write "{module or "MODULE"}/{target}"'))
            return
        other = target.split("/")[0]
        if module is not None and other != module and other not in MAY_INCLUDE[module]:
            allowed = ", ".join(sorted(MAY_INCLUDE[module])) or "nobody"
            breaches.append((name, number, f"{module}/ may not include {other}/ (only {allowed}); "
                                           "move the code, or pass a callback that app.c sets"))
        return
    for library, header, _, homes in LIBRARIES:
        if re.fullmatch(header, target) and module not in homes:
            breaches.append((name, number, f"{library} is at home only in {', '.join(sorted(homes))}; go through that module's header"))


def check_source(name, text, breaches):
    parts = name.split("/")
    module = parts[1] if len(parts) > 2 else None  # None: app.c and main.c, which may use all
    if module is not None and module not in MAY_INCLUDE:
        breaches.append((name, 1, f"src/{module}/ is no module of the design; put the code where it belongs, or add the module here"))
        return
    for number, line in enumerate(text.splitlines(), 1):
        check_includes(name, number, line, module, breaches)
    for number, line in enumerate(code_of(text).splitlines(), 1):
        for library, _, call, homes in LIBRARIES:
            found = re.search(r"\b" + call, line)
            if found and module not in homes:
                breaches.append((name, number, f"{found.group().rstrip(' (')}: {library} is at home only in {', '.join(sorted(homes))}; "
                                               "go through that module's header"))
    check_forbidden(name, code_of(text), breaches)


def check_forbidden(name, code, breaches):
    for number, line in enumerate(code.splitlines(), 1):
        for folder, pattern, words in FORBIDDEN:
            found = re.search(pattern, line)
            if found and name.startswith(folder):
                breaches.append((name, number, f"{found.group().rstrip(' (')}: {words}"))


def check_core(name, text, breaches):
    for number, line in enumerate(text.splitlines(), 1):
        included = re.match(r'\s*#\s*include\s+[<"]([^">]+)[">]', line)
        if included and included.group(1) not in CORE_INCLUDES and not included.group(1).startswith("core/"):
            breaches.append((name, number, f"core/ may not include {included.group(1)}; go through struct core_port or core_crypto"))
    check_forbidden(name, code_of(text), breaches)


def check_machine(name, text, breaches):
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, words in MACHINE:
            found = re.search(pattern, line)
            if found:
                breaches.append((name, number, f"`{found.group()}` {words}"))


def main():
    breaches = []
    files = project_files()
    for top in sorted({name.split("/")[0] for name in files}):
        if not top.startswith(".") and top not in TOP_LEVEL:
            breaches.append((top, 1, "is not a thing of the top level; move it into the folder it belongs to"))
    for name in files:
        with open(name, "rb") as handle:
            data = handle.read()
        if b"\0" in data:
            continue
        text = data.decode("utf-8", "replace")
        check_machine(name, text, breaches)
        if name.startswith(("src/", "firmware/posix/")) and name.endswith((".c", ".h")):
            check_source(name, text, breaches)
        if name.startswith("firmware/core/"):
            check_core(name, text, breaches)
    for name, number, words in breaches:
        print(f"{name}:{number}: {words}")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
