# For tests of the command: weights as other programs write them.

# bare_weights FROM TO: a .safetensors file without its metadata.
bare_weights() {
    python3 - "$1" "$2" <<'PY'
import json, struct, sys
file = open(sys.argv[1], "rb").read()
size = struct.unpack("<Q", file[:8])[0]
header = json.loads(file[8:8 + size])
del header["__metadata__"]
header = json.dumps(header).encode()
header += b" " * (-len(header) % 8)
open(sys.argv[2], "wb").write(struct.pack("<Q", len(header)) + header + file[8 + size:])
PY
}
