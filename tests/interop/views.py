#!/usr/bin/env python3
"""Views of image files to the byte as Pillow makes them.

usage: views.py CTKD FOLDER [--boxes 200] [--side 224]

Lists the views of the images in and below FOLDER with the Pillow that runs (tests/golden/image_views.py: that many boxes of each, and the
evaluation view), and has `ctkd selftest views` compare them.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import image_views
import PIL

NO_WEBP = "this build has no WebP support"


def compare(ctkd, folder, text):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(text)
        file.flush()
        return subprocess.run([ctkd, "selftest", "views", folder, "--against", file.name], capture_output=True, text=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ctkd")
    parser.add_argument("folder")
    parser.add_argument("--boxes", type=int, default=200)
    parser.add_argument("--side", type=int, default=224)
    args = parser.parse_args()
    listed = list(image_views.lines(args.folder, args.boxes, args.side))
    done = compare(args.ctkd, args.folder, "\n".join(listed) + "\n")
    faults = [line for line in done.stderr.splitlines() if NO_WEBP not in line]
    unread = done.stderr.count(NO_WEBP)
    faults += done.stdout.splitlines()[:-1]
    if faults or (done.returncode and not unread):
        sys.exit("FAILED: " + "\n".join(faults + done.stdout.splitlines()[-1:]))
    files = len(listed) - 1 - unread
    print(f"views: {files * (args.boxes + 1)} of {files} files as in Pillow {PIL.__version__}")


main()
