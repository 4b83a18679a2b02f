"""Pickles of arrays: every way of writing them is read; what would run code, crash or never end is one line."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pickle_files
import pytest
import torch
from scipy.sparse import csc_matrix, csr_matrix

from vhap.head import pickle_machine
from vhap.head.flame_pickle import numbers_of, read_object_array, read_pickle, whole_numbers_of
from vhap.head.pickle_objects import plain_pickle
from vhap.util.errors import InputError

WAYS = pickle_files.array_pickles()


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_writing_an_array_is_read(way):
    content, array = WAYS[way]
    found = plain_pickle(content)["a"]
    assert type(found) is np.ndarray
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


def test_ways_hold_what_they_are_there_for():
    together = b"".join(content for content, _ in WAYS.values())
    for text in (b"_codecs", b"numpy._core.multiarray", b"numpy.core.multiarray", b"_frombuffer", b"core.numeric"):
        assert text in together
    assert b"__builtin__\nbytes" in together


def test_array_of_python_2_as_text():
    content = (
        b"(dp0\nS'a'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\ntp6\nRp7\n"
        b"(I1\n(I2\ntp8\ncnumpy\ndtype\np9\n(S'i2'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nb"
        b"I00\nS'\\x01\\x80\\xff\\x00'\np15\ntp16\nbs."
    )
    assert plain_pickle(content)["a"].tolist() == [-32767, 255]


def test_transposed_arrays_of_numpy_2_keep_their_axes():
    values = np.arange(24, dtype="<f4").reshape(2, 3, 4)
    before = pickle.dumps({"a": values}, 5)
    end = before.index(b"\x8c\x01C\x94t\x94")
    content = before[:end] + b"\x8c\x01K\x94K\x01K\x02K\x00\x87t\x94" + before[end + 6 :]
    np.testing.assert_array_equal(plain_pickle(content)["a"], values.transpose(1, 2, 0))
    with pytest.raises(ValueError, match="axes"):
        plain_pickle(content.replace(b"K\x01K\x02K\x00\x87", b"K\x01K\x02K\x01\x87"))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("module", ["chumpy.ch", "chumpy"])
def test_chumpy_arrays_of_every_protocol(protocol, module):
    state = {"x": np.arange(4.0).reshape(2, 2), "_dirty_vars": {"x"}, "_itr": None}
    content = pickle_files.named_instance(module, "Ch", state, protocol)
    np.testing.assert_array_equal(plain_pickle(content)["a"], state["x"])


def test_chumpy_selection_is_the_entries_that_it_names():
    state = {"a": np.arange(12.0).reshape(3, 4), "idxs": np.array([11, 0, 5, 6]), "preferred_shape": (2, 2)}
    content = pickle_files.named_instance("chumpy.reordering", "Select", state, 2)
    assert plain_pickle(content)["a"].tolist() == [[11, 0], [5, 6]]
    content = pickle_files.named_instance("chumpy.reordering", "Select", {**state, "idxs": np.array([12])}, 2)
    with pytest.raises(ValueError, match="indices"):
        plain_pickle(content)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", [csc_matrix, csr_matrix])
def test_sparse_matrices_come_dense(protocol, kind):
    dense = np.array([[0, 2.5, 0], [1, 0, -3]])
    np.testing.assert_array_equal(plain_pickle(pickle.dumps(kind(dense), protocol)), dense)


@pytest.mark.parametrize(
    "state",
    [
        {"_shape": (2, 10**12), "data": np.ones(1), "indices": np.zeros(1, int), "indptr": np.array([0, 1])},
        {"_shape": (2, 1), "data": np.ones(1), "indices": np.array([2]), "indptr": np.array([0, 1])},
        {"_shape": (2, 1), "data": np.ones(1), "indices": np.zeros(1, int), "indptr": np.array([0, 1, 1])},
        {"_shape": (2, 2), "data": np.ones(2), "indices": np.zeros(2, int), "indptr": np.array([0, 2, 1])},
        {"data": np.ones(1)},
    ],
)
def test_sparse_matrices_whose_parts_do_not_fit_are_refused(state):
    with pytest.raises(pickle_machine.Unreadable):
        plain_pickle(pickle_files.named_instance("scipy.sparse.csc", "csc_matrix", state, 2))


@pytest.mark.parametrize("protocol", range(6))
def test_tensors_with_strides_and_offsets(protocol):
    whole = torch.arange(24.0).reshape(4, 6)
    for tensor in (whole, whole.t()[1:3], whole[1, 2:], torch.tensor([1, 2]), torch.tensor(True)):
        np.testing.assert_array_equal(plain_pickle(pickle.dumps(tensor, protocol)), tensor.numpy())


def test_tensor_beyond_its_storage_is_refused():
    content = pickle.dumps(torch.arange(6.0).reshape(2, 3), 2)
    assert content.count(b"K\x02K\x03\x86") == 1
    with pytest.raises(ValueError, match="larger than its storage"):
        plain_pickle(content.replace(b"K\x02K\x03\x86", b"K\x03K\x03\x86"))


def object_reduce(*reduced):
    return type("Reduced", (), {"__reduce__": lambda self: reduced})()


RECONSTRUCTED = (np.empty(0).__reduce__()[0], (np.ndarray, (0,), b"b"))
CASES = {
    "shape beyond the bytes": object_reduce(*RECONSTRUCTED, (1, (10**9,), np.dtype("f8"), False, b"12345678")),
    "negative shape": object_reduce(*RECONSTRUCTED, (1, (-1, -1), np.dtype("f8"), False, b"12345678")),
    "objects out of bytes": object_reduce(*RECONSTRUCTED, (1, (1,), np.dtype("O"), False, b"12345678")),
    "no state": object_reduce(*RECONSTRUCTED),
    "shape without data": object_reduce(np.ndarray, ((10**6, 10**6),)),
    "structured dtype": np.zeros(2, [("a", "f4"), ("b", "i4")]),
    "dates": np.zeros(2, "M8[s]"),
    "complex numbers": np.zeros(2, complex),
    "wrong state": object_reduce(*RECONSTRUCTED, {"x": 1}),
    "long integer": 1 << 5000,
    "key of tuples": {((),): 1},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_what_no_array_may_be_is_one_line(tmp_path, case, protocol):
    path = tmp_path / "flame2023.pkl"
    path.write_bytes(pickle.dumps({"a": CASES[case]}, protocol))
    with pytest.raises(InputError, match=r"^expected .*flame2023\.pkl, found .*; download"):
        read_pickle(path)


def doubling_lists(levels: int) -> bytes:
    parts = [b"\x80\x02]q\x00K\x01a"]
    for level in range(levels):
        parts.append(b"0(" + 2 * (b"h" + bytes([level])) + b"lq" + bytes([level + 1]))
    return b"".join(parts) + b"."


BOMBS = {
    "lists of lists twice": (doubling_lists(200), "nested deeper"),
    "flat but many times": (b"\x80\x02]q\x00(" + b"K\x01" * 5000 + b"e0(" + b"h\x00" * 5000 + b"l.", "many times"),
    "list in itself": (b"\x80\x02]q\x00h\x00a.", "contains itself"),
    "deep tuples": (b"\x80\x02)" + b"\x85" * 10**6 + b".", "nested deeper"),
    "deep marks": (b"\x80\x02" + b"(" * 10**6 + b"t" * 10**6 + b".", "nested deeper"),
    "bytes many times": (
        b"c_codecs\nencode\nq\x00X"
        + (10**5).to_bytes(4, "little")
        + b"a" * 10**5
        + b"X\x06\0\0\0latin1\x86q\x01"
        + b"h\x00h\x01R" * 10**5
        + b".",
        "many times",
    ),
    "length beyond the file": (b"\x80\x04\x8e" + b"\xff" * 8 + b".", "too early"),
    "digits": (b"I" + b"9" * 10**6 + b"\n.", "many digits"),
    "nothing after the mark": (b"(", "too early"),
    "persistent id": (b"\x80\x02K\x01Q.", "persistent"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_at_once(tmp_path, bomb):
    content, reason = BOMBS[bomb]
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(InputError, match=reason):
        read_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    "name", ["os\nsystem", "builtins\neval", "builtins\ngetattr", "numpy\nload", "numpy.core.multiarray\nfromfile"]
)
def test_names_are_refused_though_nothing_calls_them(tmp_path, name):
    (tmp_path / "a.pkl").write_bytes(b"c" + name.encode() + b"\n.")
    with pytest.raises(InputError, match="could run code"):
        read_pickle(tmp_path / "a.pkl")


def test_npy_files_with_and_without_a_pickle(tmp_path):
    np.save(tmp_path / "a.npy", np.array({"a": np.eye(2)}, dtype=object), allow_pickle=True)
    assert read_object_array(tmp_path / "a.npy")["a"].tolist() == [[1, 0], [0, 1]]
    np.save(tmp_path / "b.npy", np.asfortranarray(np.arange(6).reshape(2, 3)))
    assert read_object_array(tmp_path / "b.npy").tolist() == [[0, 1, 2], [3, 4, 5]]
    for broken in ((tmp_path / "a.npy").read_bytes()[:-9], (tmp_path / "b.npy").read_bytes()[:-9], b"\x93NUMPY", b""):
        (tmp_path / "c.npy").write_bytes(broken)
        with pytest.raises(InputError, match=r"c\.npy"):
            read_object_array(tmp_path / "c.npy")


@pytest.mark.parametrize("value", ["text", [[1], [1, 2]], None, np.array([np.nan]), np.array([1e300]), {"x": 1}])
def test_other_than_numbers_are_named(value):
    with pytest.raises(InputError, match=r"numbers as weights in model\.pkl"):
        numbers_of({"weights": value}, "weights", Path("model.pkl"))


@pytest.mark.parametrize("value", [[-1], [7], [0.5], [True]])
def test_other_than_whole_numbers_in_range_are_named(value):
    with pytest.raises(InputError, match=r"whole numbers .*lips"):
        whole_numbers_of({"lips": value}, "lips", Path("masks.pkl"), 7)
    assert whole_numbers_of({"lips": [0.0, 6]}, "lips", Path("masks.pkl"), 7).tolist() == [0, 6]


def test_mutated_pickles_are_values_or_one_line(tmp_path):
    here = Path(__file__).parent
    command = [sys.executable, str(here / "mutate_pickles.py"), str(tmp_path), "2000", "14"]
    path = os.pathsep.join([str(here), str(here.parent.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr[-2000:]
    read, refused = map(int, done.stdout.split())
    assert read > 100
    assert refused > 1000
