"""The build backend (PEP 517): scikit-build-core, and two things of our own.

An sdist is built where the library's sources lie one folder up; it takes a copy of them along, so that it builds alone and
offline. And the version is the one place's, include/ctkd/version.h.
"""
import contextlib
import pathlib
import re
import shutil

from scikit_build_core import build as _backend
from scikit_build_core.build import (  # noqa: F401  what a frontend calls
    build_editable,
    build_wheel,
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


def dynamic_metadata(field, settings=None):
    """scikit-build-core's provider of `version`."""
    if field != "version" or settings:
        raise ValueError(f"found field {field!r} with settings {settings!r}, expected the version without any")
    path = _sources() / "include/ctkd/version.h"
    numbers = dict(re.findall(r"^#define CTKD_VERSION_(MAJOR|MINOR|PATCH) (\d+)$", path.read_text(), re.MULTILINE))
    if len(numbers) != 3:
        raise ValueError(f"{path}: found {sorted(numbers)}, expected CTKD_VERSION_MAJOR, _MINOR and _PATCH")
    return ".".join(numbers[part] for part in ("MAJOR", "MINOR", "PATCH"))
