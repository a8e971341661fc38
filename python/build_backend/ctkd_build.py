"""The build backend (PEP 517): scikit-build-core, and three things of our own.

An sdist is built where the library's sources lie one folder up; it takes a copy of them along, so that it builds alone and
offline. The version is the one place's, include/ctkd/version.h. And a wheel says which glibc its library needs
(manylinux_2_N, PEP 600): the newest that one of its symbols asks for.
"""
import base64
import contextlib
import hashlib
import pathlib
import re
import shutil
import zipfile

from scikit_build_core import build as _backend
from scikit_build_core.build import (  # noqa: F401  what a frontend calls
    build_editable,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

PACKAGE = pathlib.Path(__file__).resolve().parent.parent
COPY = PACKAGE / "libctkd"
# What the library alone is built from (CMakeLists.txt with CTKD_TOOLS=OFF).
PARTS = ("CMakeLists.txt", "LICENSE", "include", "scripts/ctkd.pc.in", "src/lib")


def _sources():
    """The library's sources: the copy that an sdist holds, else the checkout around the package."""
    return COPY if COPY.is_dir() else PACKAGE.parent


@contextlib.contextmanager
def _copied():
    """libctkd/ beside the package while an sdist is made; one that is there already (an unpacked sdist) stays."""
    if COPY.is_dir():
        yield
        return
    try:
        for part in PARTS:
            source, target = PACKAGE.parent / part, COPY / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy2(source, target)
        yield
    finally:
        shutil.rmtree(COPY, ignore_errors=True)


def build_sdist(sdist_directory, config_settings=None):
    with _copied():
        return _backend.build_sdist(sdist_directory, config_settings)


def _needed_glibc(library):
    """(2, N) of an ELF file's bytes; None where it asks for no glibc (musl, macOS)."""
    return max(((int(major), int(minor)) for major, minor in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", library)), default=None)


def _retag(path, platform):
    """Writes the wheel anew with another platform: in its name, its WHEEL and the sum of that in its RECORD."""
    old = path.stem.split("-")[-1]
    target = path.with_name(path.name.replace(old, platform))
    with zipfile.ZipFile(path) as wheel:
        files = {item: wheel.read(item) for item in wheel.infolist()}
    tags, = (item for item in files if item.filename.endswith(".dist-info/WHEEL"))
    record, = (item for item in files if item.filename.endswith(".dist-info/RECORD"))
    files[tags] = files[tags].replace(old.encode(), platform.encode())
    digest = base64.urlsafe_b64encode(hashlib.sha256(files[tags]).digest()).rstrip(b"=").decode()
    files[record] = re.sub(rf"^({re.escape(tags.filename)}),.*$", rf"\1,sha256={digest},{len(files[tags])}",
                           files[record].decode(), flags=re.MULTILINE).encode()
    with zipfile.ZipFile(target, "w") as wheel:
        for item, data in files.items():
            wheel.writestr(item, data)
    path.unlink()
    return target.name


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    path = pathlib.Path(wheel_directory) / _backend.build_wheel(wheel_directory, config_settings, metadata_directory)
    with zipfile.ZipFile(path) as wheel:
        glibc = _needed_glibc(wheel.read("ctkd/libctkd.so"))
    platform = path.stem.split("-")[-1]
    if glibc is None or not platform.startswith("linux_"):
        return path.name
    return _retag(path, f"manylinux_{glibc[0]}_{glibc[1]}_{platform[len('linux_'):]}")


def dynamic_metadata(field, settings=None):
    """scikit-build-core's provider of `version`."""
    if field != "version" or settings:
        raise ValueError(f"found field {field!r} with settings {settings!r}, expected the version without any")
    path = _sources() / "include/ctkd/version.h"
    numbers = dict(re.findall(r"^#define CTKD_VERSION_(MAJOR|MINOR|PATCH) (\d+)$", path.read_text(), re.MULTILINE))
    if len(numbers) != 3:
        raise ValueError(f"{path}: found {sorted(numbers)}, expected CTKD_VERSION_MAJOR, _MINOR and _PATCH")
    return ".".join(numbers[part] for part in ("MAJOR", "MINOR", "PATCH"))
