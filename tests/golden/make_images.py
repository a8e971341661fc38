# Writes small image data sets in their published formats, for tests and as seeds of the fuzz targets.
# They go to cifar/ and idx/; NumPy 2; Python 2's pickle is written by hand.
import io
import pickle
import struct
import pathlib
import tarfile

import numpy

folder = str(pathlib.Path(__file__).parent)
COARSE, FINE = [19, 3], [99, 0]
pixels = numpy.array([[(p // 128 + 100 * i) % 256 for p in range(3072)] for i in range(2)], dtype=numpy.uint8)


def python2():
    """As cPickle of Python 2 wrote the published files: protocol 2, texts are bytes."""

    def text(t):
        return b"U" + bytes([len(t)]) + t

    def numbers(values):
        return b"](" + b"".join(b"K" + bytes([v]) for v in values) + b"e"

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04"
        b"(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nq\x05U\x02u1K\x00K\x01\x87Rq\x06"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<I", pixels.size) + pixels.tobytes() + b"tb"
    )
    names = b"](" + text(b"a_s_000001.png") + text(b"b_s_000002.png") + b"e"
    return (
        b"\x80\x02}q\x01(" + text(b"filenames") + names + text(b"batch_label") + text(b"testing batch 1 of 1")
        + text(b"fine_labels") + numbers(FINE) + text(b"coarse_labels") + numbers(COARSE)
        + text(b"data") + array + b"u."
    )


def python3(protocol, data, labels):
    keys = (b"data", b"fine_labels", b"coarse_labels") if protocol < 4 else ("data", "fine_labels", "coarse_labels")
    return pickle.dumps(dict(zip(keys, (data, labels(FINE), labels(COARSE)))), protocol=protocol)


def tar(path, members):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as out:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            out.addfile(entry, io.BytesIO(content))
        end = out.offset + 1024
    with open(path, "r+b") as file:  # two blocks of zeros are the end; no padding to a tape's record
        file.truncate(end)


def idx(values):
    return struct.pack(">I%dI" % values.ndim, 0x0800 + values.ndim, *values.shape) + values.tobytes()


forms = {
    "python2": python2(),
    "protocol2": python3(2, pixels, lambda v: numpy.array(v)),
    "protocol4": python3(4, numpy.asfortranarray(pixels), lambda v: numpy.array(v, dtype=">i2")),
    "protocol5": python3(5, numpy.asfortranarray(pixels), list),
}
for name, content in forms.items():
    with open(folder + "/cifar/" + name + ".pickle", "wb") as out:
        out.write(content)
tar(folder + "/cifar/python.tar", {"cifar-100-python/" + part: forms["python2"] for part in ("train", "test")})
records = b"".join(bytes([c, f]) + row.tobytes() for c, f, row in zip(COARSE, FINE, pixels))
tar(folder + "/cifar/binary.tar", {"cifar-100-binary/" + part + ".bin": records for part in ("train", "test")})

images = (numpy.arange(3 * 4 * 5) % 7 * 40).astype(numpy.uint8).reshape(3, 4, 5)
labels = numpy.array([9, 0, 3], dtype=numpy.uint8)
with open(folder + "/idx/pair.idx", "wb") as out:
    out.write(idx(images) + idx(labels))
tar(folder + "/idx/mnist.tar", {
    "MNIST/raw/%s-%s" % (part, what): content
    for part in ("train", "t10k")
    for what, content in (("images-idx3-ubyte", idx(images)), ("labels-idx1-ubyte", idx(labels)))
})
