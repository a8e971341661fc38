"""Runs one script of this folder and writes what it was made with into the text files it wrote; for scripts/golden.

usage: regenerate.py NAME

The line begins with "# NAME.py: " and stands first; readers pass over lines that begin with "#". What is counted are the
packages of requirements.txt that the script has loaded. pictures.py writes such a line itself, one for each Pillow.
"""
import importlib.metadata
import io
import pathlib
import re
import runpy
import sys

HERE = pathlib.Path(__file__).resolve().parent
MODULES = {"pillow": "PIL", "scikit-learn": "sklearn"}  # where a package's name is not its module's
NAMES = {"mpmath": "mpmath", "numpy": "NumPy", "onnx": "ONNX", "onnxruntime": "ONNX Runtime", "pillow": "Pillow",
         "safetensors": "safetensors", "scikit-learn": "scikit-learn", "scipy": "SciPy", "torch": "PyTorch",
         "torchmetrics": "torchmetrics"}


def texts():
    return {path: path.read_text() for path in HERE.glob("*.txt") if path.name != "requirements.txt"}


def versions():
    loaded = [name for name in NAMES if MODULES.get(name, name) in sys.modules]
    python = ".".join(map(str, sys.version_info[:3]))
    # "2.13.0+cpu" is how a build is called, not another version.
    return ", ".join([f"Python {python}"] + [f"{NAMES[n]} {re.sub('[+].*', '', importlib.metadata.version(n))}" for n in loaded])


def main():
    script = HERE / f"{sys.argv[1]}.py"
    before = texts()
    times = {path: path.stat().st_mtime_ns for path in before}
    sys.argv = [str(script)]
    sys.path.insert(0, str(HERE))
    for value in runpy.run_path(str(script), run_name="__main__").values():
        if isinstance(value, io.TextIOBase) and value not in (sys.stdout, sys.stderr):
            value.close()  # several scripts leave it to the end of the program
    for path, text in texts().items():
        if times.get(path) != path.stat().st_mtime_ns and not text.startswith("#"):
            path.write_text(f"# {script.name}: {versions()}\n{text}")
    for path, text in sorted(texts().items()):
        if before.get(path) != text:
            print(f"{path.name}: changed")


if __name__ == "__main__":
    main()
