#!/usr/bin/env python3
"""Writes trees/*: the same few files in archives of every kind that is read in place, as Python's zipfile and tarfile write them.

usage: trees.py      test_tree.c compares their names and contents; the fuzz target `tree` begins with them
"""
import io
import os
import tarfile
import zipfile

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "trees")
LONG = "train/ant/" + "deep/" * 20 + "long.jpg"
FILES = {  # in no order
    "train/bee/2.jpg": b"the second bee " * 20, "train/ant/1.jpg": b"an ant", "train/bee/1.jpg": b"", LONG: b"long", "val/ant/1.jpg": b"test ant",
    "val/bee/1.png": bytes(range(256)), "train/.hidden/1.jpg": b"not seen", "__MACOSX/train/ant/1.jpg": b"not seen",
}


def write_zip(name, method, large=False):
    with zipfile.ZipFile(os.path.join(FOLDER, name), "w", method) as archive:
        for path, data in FILES.items():
            info = zipfile.ZipInfo(path)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=large) as file:
                file.write(data)


def add(archive, path, data):
    info = tarfile.TarInfo(path)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def write_tar(target, form, files, prefix=""):
    with tarfile.open(fileobj=target, mode="w", format=form) as archive:
        folder = tarfile.TarInfo(prefix + "empty")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for path, data in files.items():
            add(archive, prefix + path, data)


def classes_as_tars():
    for name in ("ant", "bee"):
        inner = io.BytesIO()
        write_tar(inner, tarfile.USTAR_FORMAT, {p.split("/")[2]: d for p, d in FILES.items() if p.startswith(f"train/{name}/") and p != LONG})
        yield f"train/{name}.tar", inner.getvalue()


os.makedirs(FOLDER, exist_ok=True)
write_zip("deflated.zip", zipfile.ZIP_DEFLATED)
write_zip("stored.zip", zipfile.ZIP_STORED)
write_zip("large.zip", zipfile.ZIP_DEFLATED, large=True)
for name, form in ("gnu.tar", tarfile.GNU_FORMAT), ("pax.tar", tarfile.PAX_FORMAT), ("ustar.tar", tarfile.USTAR_FORMAT):
    with open(os.path.join(FOLDER, name), "wb") as file:
        write_tar(file, form, FILES, "./")
with open(os.path.join(FOLDER, "nested.tar"), "wb") as file:
    write_tar(file, tarfile.GNU_FORMAT, dict(classes_as_tars(), **{p: d for p, d in FILES.items() if p.startswith("val")}))
