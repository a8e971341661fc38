# Writes small compressed files with every kind of sum that their containers know, for tests and as seeds of a fuzz target.
# They go to archives/; Python's own zlib and lzma make them.
import io
import lzma
import struct
import pathlib
import tarfile
import zlib

folder = str(pathlib.Path(__file__).with_name("archives"))
SMALL = b"12345"
LARGE = bytes((i * i * 31 + i // 7) % 256 for i in range(300))  # does not compress


def gzip_member(data, flags=0, fields=b"", header_sum=False):
    """RFC 1952; 2: sum of the header, 4: extra field, 8: name, 16: comment."""
    head = b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\0\x03" + fields
    if header_sum:
        head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return head + deflate.compress(data) + deflate.flush() + struct.pack("<II", zlib.crc32(data), len(data))


def tar():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in (("top/large.bin", LARGE), ("small.bin", SMALL)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def write(name, data):
    with open(f"{folder}/{name}", "wb") as file:
        file.write(data)


fields = struct.pack("<H", 4) + b"ab\0\0" + b"large.bin\0" + b"a comment\0"
write("one.gz", gzip_member(LARGE))
write("fields.gz", gzip_member(LARGE, 2 + 4 + 8 + 16, fields, header_sum=True))
write("members.gz", gzip_member(LARGE[:100]) + gzip_member(b"") + gzip_member(LARGE[100:]) + bytes(7))
write("pair.tar.gz", gzip_member(tar()))
write("halves.tar.gz", gzip_member(tar()[:700]) + gzip_member(tar()[700:]))
for word, check in (("crc32", lzma.CHECK_CRC32), ("crc64", lzma.CHECK_CRC64), ("sha256", lzma.CHECK_SHA256)):
    write(f"{word}.tar.xz", lzma.compress(tar(), check=check))
write("halves.tar.xz", lzma.compress(tar()[:700]) + lzma.compress(tar()[700:]) + bytes(4))
