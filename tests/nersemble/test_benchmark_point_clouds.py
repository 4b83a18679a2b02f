"""Point clouds of every encoding, written here by struct and by hand, read as what was written."""

import struct

import numpy as np
import pytest

from vhap.nersemble.benchmark.point_clouds import decompress_lzf, read_pcd
from vhap.util.errors import InputError

POINTS = [(0.125, -1.5, 2.0), (0.1, 0.2, 0.3), (-7e-3, 1e3, 0.0)]
NORMALS = [(0.0, 0.0, 1.0), (0.6, -0.8, 0.0), (1.0, 0.0, 0.0)]
COLOURS = [(255, 128, 0), (1, 2, 3), (0, 0, 255)]
CODES = {("F", 4): "f", ("F", 8): "d", ("U", 4): "I", ("I", 4): "i", ("U", 1): "B", ("I", 2): "h", ("U", 8): "Q"}
OPEN3D = [(name, 4, "F", 1) for name in ("x", "y", "z", "normal_x", "normal_y", "normal_z", "rgb")]
MIXED = [
    ("rgba", 4, "U", 1),
    ("label", 1, "U", 1),
    ("z", 8, "F", 1),
    ("histogram", 2, "I", 3),
    ("x", 4, "F", 1),
    ("normal_z", 4, "F", 1),
    ("y", 8, "F", 1),
    ("normal_x", 8, "F", 1),
    ("normal_y", 4, "F", 1),
    ("stamp", 8, "U", 1),
]
SIGNED = [("y", 4, "F", 1), ("rgb", 4, "I", 1), ("x", 4, "F", 1), ("z", 4, "F", 1)]
BARE = [("x", 4, "F", 1), ("y", 4, "F", 1), ("z", 4, "F", 1)]


def value(name: str, kind: str, index: int):
    """What a field of a point holds; colours have an alpha of 200, in the top bits."""
    if name in ("rgb", "rgba"):
        red, green, blue = COLOURS[index]
        bits = struct.pack("<BBBB", blue, green, red, 0 if kind == "F" else 200)
        return struct.unpack({"F": "<f", "U": "<I", "I": "<i"}[kind], bits)[0]
    if name.startswith("normal_"):
        return NORMALS[index]["xyz".index(name[-1])]
    return POINTS[index]["xyz".index(name)] if name in "xyz" else 5


def header(fields, encoding: str, n_points: int = 3) -> bytes:
    lines = [
        "# .PCD v0.7 - Point Cloud Data file format",
        "VERSION 0.7",
        "FIELDS " + " ".join(field[0] for field in fields),
        "SIZE " + " ".join(str(field[1]) for field in fields),
        "TYPE " + " ".join(field[2] for field in fields),
        "COUNT " + " ".join(str(field[3]) for field in fields),
        f"WIDTH {n_points}",
        "HEIGHT 1",
        "VIEWPOINT 0 0 0 1 0 0 0",
        f"POINTS {n_points}",
        f"DATA {encoding}",
    ]
    return ("\n".join(lines) + "\n").encode()


def cells(field, index: int) -> bytes:
    name, size, kind, count = field
    return struct.pack(f"<{count}{CODES[kind, size]}", *[value(name, kind, index)] * count)


def literals(content: bytes) -> bytes:
    """An LZF stream of runs alone."""
    parts = [content[at : at + 32] for at in range(0, len(content), 32)]
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


def body(fields, encoding: str) -> bytes:
    if encoding == "ascii":
        rows = [[repr(value(name, kind, i)) for name, _, kind, n in fields for _ in range(n)] for i in range(3)]
        return "".join(" ".join(row) + "\n" for row in rows).encode()
    if encoding == "binary":
        return b"".join(cells(field, index) for index in range(3) for field in fields)
    content = b"".join(cells(field, index) for field in fields for index in range(3))
    packed = literals(content)
    return struct.pack("<II", len(packed), len(content)) + packed


def pcd(path, fields, encoding: str):
    path.write_bytes(header(fields, encoding) + body(fields, encoding))
    return path


@pytest.mark.parametrize("encoding", ["ascii", "binary", "binary_compressed"])
@pytest.mark.parametrize("fields", [OPEN3D, MIXED, SIGNED, BARE], ids=["open3d", "mixed", "signed", "bare"])
def test_all_encodings_and_fields(tmp_path, fields, encoding):
    points, colors, normals = read_pcd(pcd(tmp_path / "a.pcd", fields, encoding))
    names = [field[0] for field in fields]
    assert points.dtype == colors.dtype == normals.dtype == np.float32
    np.testing.assert_array_equal(points, np.array(POINTS, np.float32))
    has_colour, has_normals = "rgb" in names or "rgba" in names, "normal_x" in names
    np.testing.assert_array_equal(colors, np.float32(np.array(COLOURS) / 255) if has_colour else np.zeros((0, 3)))
    np.testing.assert_array_equal(normals, np.array(NORMALS, np.float32) if has_normals else np.zeros((0, 3)))


def test_what_other_writers_do(tmp_path):
    path = tmp_path / "a.pcd"
    text = header(BARE, "ascii").decode().replace("COUNT 1 1 1\n", "").replace("POINTS 3\n", "")
    path.write_bytes((text + "1 2 nan\n\n 4\t5 6 \n7 8 9").replace("\n", "\r\n").encode())
    points = read_pcd(path)[0]
    np.testing.assert_array_equal(points, np.array([[1, 2, np.nan], [4, 5, 6], [7, 8, 9]], np.float32))
    for encoding, rest in (("ascii", b""), ("binary", b""), ("binary_compressed", bytes(8))):
        path.write_bytes(header(OPEN3D, encoding, 0) + rest)
        assert [part.shape for part in read_pcd(path)] == [(0, 3)] * 3


@pytest.mark.parametrize(
    ("packed", "unpacked"),
    [
        (b"\x02abc", b"abc"),
        (b"\x1f" + bytes(range(32)), bytes(range(32))),
        # Distance 3, length 3: control 1 << 5, low byte 2.
        (b"\x02abc\x20\x02", b"abcabc"),
        # Distance 1, length 8: overlaps what it writes.
        (b"\x00a\xc0\x00", b"a" * 9),
        # Distance 2, length 7 + 5 + 2.
        (b"\x01ab\xe0\x05\x01", b"ab" * 8),
        # Distance 2, length 2 + 1: ends within a period.
        (b"\x01ab\x20\x01", b"ababa"),
        # The longest reference, 264 bytes.
        (b"\x00z\xe0\xff\x00", b"z" * 265),
        # Distance 1 + (1 << 8) + 3: eight high bits in the control byte.
        (literals(bytes(range(256)) + b"wxyz") + b"\x21\x03", bytes(range(256)) + b"wxyz" + bytes(range(3))),
        (b"", b""),
    ],
)
def test_lzf_by_hand(packed, unpacked):
    assert decompress_lzf(packed, len(unpacked)) == unpacked


@pytest.mark.parametrize(
    ("packed", "size", "reason"),
    [
        (b"\x02ab", 3, "unpacked"),
        (b"\x00a\x20\x01", 4, "before the first"),
        (b"\x00a\x20", 4, "an end within"),
        (b"\x00a\xe0", 9, "an end within"),
        (b"\x00a\xe0\xff\x00", 100, "unpacked"),
        (b"\x00a", 1 << 30, "compressed bytes"),
    ],
)
def test_damaged_lzf(packed, size, reason):
    with pytest.raises(ValueError, match=reason):
        decompress_lzf(packed, size)


def test_lzf_of_a_greedy_packer():
    """Against a packer of its own kind, on bytes that repeat at many distances."""
    random = np.random.default_rng(3)
    content = b"".join(bytes(random.integers(0, 4, n, dtype=np.uint8)) * int(n % 5 + 1) for n in range(1, 120))
    packed, at, pending, seen = bytearray(), 0, bytearray(), {}
    while at < len(content):
        start = seen.get(content[at : at + 3], -1)
        length = 0
        if start >= 0 and at - start <= 8192:
            while length < 264 and at + length < len(content) and content[start + length] == content[at + length]:
                length += 1
        if length >= 3:
            packed += literals(bytes(pending))
            pending.clear()
            distance = at - start - 1
            short = min(length - 2, 7)
            packed += bytes([short << 5 | distance >> 8])
            packed += bytes([length - 9] if short == 7 else []) + bytes([distance & 255])
        else:
            pending.append(content[at])
        for step in range(max(length, 1) if length >= 3 else 1):
            seen[content[at + step : at + step + 3]] = at + step
        at += length if length >= 3 else 1
    packed += literals(bytes(pending))
    assert len(packed) < len(content) / 2
    assert decompress_lzf(bytes(packed), len(content)) == content


DAMAGE = {
    "no header": lambda text: b"",
    "no data line": lambda text: text[: text.index(b"DATA")],
    "other encoding": lambda text: text.replace(b"DATA binary", b"DATA zipped"),
    "cut": lambda text: text[:-1],
    "longer": lambda text: text + b"\0",
    "no x": lambda text: text.replace(b"FIELDS x", b"FIELDS u"),
    "x twice": lambda text: text.replace(b"FIELDS x y", b"FIELDS x x"),
    "too few sizes": lambda text: text.replace(b"SIZE 4 4", b"SIZE 4"),
    "half floats": lambda text: text.replace(b"SIZE 4 4", b"SIZE 2 4"),
    "unknown type": lambda text: text.replace(b"TYPE F", b"TYPE G"),
    "negative size": lambda text: text.replace(b"SIZE 4", b"SIZE -4"),
    "count 0": lambda text: text.replace(b"COUNT 1", b"COUNT 0"),
    "huge count": lambda text: text.replace(b"1 1\nWIDTH", b"1 999999999999\nWIDTH"),
    "more points": lambda text: text.replace(b"WIDTH 3", b"WIDTH 4").replace(b"POINTS 3", b"POINTS 4"),
    "very many points": lambda text: text.replace(b"WIDTH 3", b"WIDTH 9" + b"9" * 11).replace(b"POINTS 3\n", b""),
    "points and width differ": lambda text: text.replace(b"POINTS 3", b"POINTS 4"),
    "two widths": lambda text: text.replace(b"WIDTH 3", b"WIDTH 3 3"),
    "type twice": lambda text: text.replace(b"VERSION 0.7", b"TYPE F F F F F F F"),
    "colour of two halves": lambda text: text.replace(b"TYPE F F F F F F F", b"TYPE F F F F F F U").replace(
        b"SIZE 4 4 4 4 4 4 4", b"SIZE 4 4 4 4 4 4 8"
    ),
}


@pytest.mark.parametrize("encoding", ["ascii", "binary", "binary_compressed"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_line(tmp_path, damage, encoding):
    path = pcd(tmp_path / "a.pcd", OPEN3D, encoding)
    text = path.read_bytes()
    if encoding == "ascii" and damage in ("cut", "longer"):
        text = text + b"1 2" if damage == "longer" else text.rpartition(b" ")[0]
        path.write_bytes(text)
    else:
        broken = DAMAGE[damage](text)
        if damage == "other encoding":
            broken = text.replace(f"DATA {encoding}".encode(), b"DATA zipped")
        path.write_bytes(broken)
    with pytest.raises(InputError) as error:
        read_pcd(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("word", [b"one", b"1e", b"0x1p2z", b"\xff"])
def test_text_that_is_no_number(tmp_path, word):
    (tmp_path / "a.pcd").write_bytes(header(BARE, "ascii", 1) + b"1 2 " + word + b"\n")
    with pytest.raises(InputError, match="no number"):
        read_pcd(tmp_path / "a.pcd")


def test_any_cut_of_a_compressed_file(tmp_path):
    text = pcd(tmp_path / "a.pcd", MIXED, "binary_compressed").read_bytes()
    for end in range(len(text)):
        (tmp_path / "b.pcd").write_bytes(text[:end])
        with pytest.raises(InputError):
            read_pcd(tmp_path / "b.pcd")


def test_missing(tmp_path):
    with pytest.raises(InputError, match="found nothing"):
        read_pcd(tmp_path / "none.pcd")
