"""One file over a connection that breaks in every way: the file is right, or absent."""

import json
import random
import threading

import pytest
from nersemble_server import box, jpeg, mp4, serving

from vhap.data.nersemble.content import find_damage
from vhap.data.nersemble.http import TransferError, join_url
from vhap.data.nersemble.transfer import Part, Policy, fetch, remote_version

NAME = "017/sequences/EXP-3-cheeks+nose/images/cam_222200037.mp4"
CONTENT = mp4(200_000)
POLICY = Policy(timeout_s=10, retries=2, backoff_s=0.01)
IMPATIENT = Policy(timeout_s=0.4, retries=2, backoff_s=0.01)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serving({NAME: CONTENT}) as dataset:
        yield dataset


@pytest.fixture
def target(tmp_path):
    return tmp_path / NAME


def get(server, target, policy=POLICY):
    return fetch(join_url(server.url, NAME), target, policy)


def assert_whole(target):
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == [target.name], "nothing is left beside it"


def test_good_server(server, target):
    version = get(server, target)
    assert_whole(target)
    assert (version.size, version.validator) == (len(CONTENT), '"1"')
    assert server.asked == [(NAME, 0, 206)]
    assert remote_version(join_url(server.url, NAME), POLICY) == version


@pytest.mark.parametrize(
    "fault",
    [
        *(
            "cut 0",
            "cut 1",
            "cut 150000",
            "stall 3000",
            "trickle",
            "says too much",
            "says too little",
            "contradicts itself",
        ),
        *("says another total", "sends another range", "nonsense length", "chunks cut", "page", "garbage", "416"),
        *("500", "503", "429", "408", "chunks", "whole"),
    ],
)
def test_one_fault_is_survived(server, target, fault):
    server.faults[NAME] = [fault]
    get(server, target, IMPATIENT if fault in ("stall 3000", "trickle") else POLICY)
    assert_whole(target)


@pytest.mark.parametrize(
    ("fault", "said", "requests"),
    [
        ("cut 0", "cut", 3),
        ("says too much", "cut", 3),
        ("says too little", "ends within a box", 3),
        ("contradicts itself", "contradicts", 3),
        ("says another total", "ends within a box", 3),
        ("sends another range", "another range", 3),
        ("chunks cut", "failed", 3),
        ("page", "no mp4", 3),
        ("500", "500", 3),
        ("403", "403", 1),
        ("404", "404", 1),
        ("no length", "length", 1),
        ("encoded", "encoded", 1),
    ],
)
def test_lasting_fault_fails_and_leaves_no_file(server, target, fault, said, requests):
    server.always[NAME] = fault
    with pytest.raises(TransferError, match=said) as failure:
        get(server, target)
    assert "\n" not in str(failure.value)
    assert server.url not in str(failure.value)
    assert len(server.asked) == requests
    assert not target.exists()
    server.always.clear()
    get(server, target)
    assert_whole(target)


def test_a_lasting_stall_fails_in_time(server, target):
    server.always[NAME] = "trickle"
    with pytest.raises(TransferError, match=r"stalled|timed out"):
        get(server, target, Policy(timeout_s=0.2, retries=1, backoff_s=0.01))
    assert not target.exists()


def test_nobody_listens(target):
    with pytest.raises(TransferError, match="connection failed"):
        fetch("http://127.0.0.1:9/x.mp4", target, Policy(0.4, 1, 0.01))


def test_progress_forgives_any_number_of_cuts(server, target):
    server.faults[NAME] = ["cut 20000"] * 9
    get(server, target)
    assert_whole(target)
    assert server.starts(NAME) == [20000 * index for index in range(10)], "each continues where the last one ended"


def test_pieces_are_put_together(server, target):
    server.always[NAME] = "piece"
    get(server, target)
    assert_whole(target)
    assert server.starts(NAME) == [0, 50_000, 100_000, 150_000]


def test_a_wrong_range_is_not_appended(server, target):
    server.faults[NAME] = ["cut 50000", "sends another range"]
    get(server, target)
    assert_whole(target)
    assert server.starts(NAME) == [0, 50_000, 0]


def test_server_without_ranges_starts_again(server, target):
    server.faults[NAME] = ["cut 20000", "whole"]
    get(server, target)
    assert_whole(target)


@pytest.mark.parametrize("fault", ["", "ignores If-Range"])
def test_a_file_that_changed_meanwhile_starts_again(server, target, fault):
    server.files[NAME] = mp4(len(CONTENT), seed=9)
    server.faults[NAME] = ["cut 50000", "403"]
    with pytest.raises(TransferError):
        get(server, target)
    assert Part(target).size() == 50000
    server.files[NAME] = CONTENT
    server.etags[NAME] = '"2"'
    server.faults[NAME] = [fault]
    get(server, target)
    assert_whole(target)
    assert len(server.asked) == (4 if fault else 3), "If-Range saves a request"


def test_without_validator_nothing_is_continued(server, target):
    server.has_validators = False
    server.files[NAME] = mp4(len(CONTENT), seed=9)
    server.faults[NAME] = ["cut 50000", "403"]
    with pytest.raises(TransferError):
        get(server, target)
    server.files[NAME] = CONTENT
    get(server, target)
    assert_whole(target)
    assert set(server.starts(NAME)) == {0}


@pytest.mark.parametrize("note", [None, "", '{"size": 200000', '{"size": "x", "validator": 3}', "[]", "7"])
def test_part_without_a_sound_note_is_not_believed(server, target, note):
    part = Part(target)
    target.parent.mkdir(parents=True)
    part.path.write_bytes(b"x" * 1000)
    if note is not None:
        part.note.write_text(note)
    get(server, target)
    assert_whole(target)


def test_part_longer_than_the_file_is_not_believed(server, target):
    part = Part(target)
    target.parent.mkdir(parents=True)
    part.path.write_bytes(CONTENT + b"x")
    part.note.write_text(json.dumps({"size": len(CONTENT), "validator": '"1"'}))
    get(server, target)
    assert_whole(target)


def test_part_that_only_lacks_its_name_needs_no_transfer(server, target):
    part = Part(target)
    target.parent.mkdir(parents=True)
    part.path.write_bytes(CONTENT)
    part.note.write_text(json.dumps({"size": len(CONTENT), "validator": '"1"'}))
    get(server, target)
    assert_whole(target)
    assert not server.asked


def test_stops_waiting_when_told(server, target):
    server.always[NAME] = "503"
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(TransferError):
        fetch(join_url(server.url, NAME), target, Policy(0.4, 1000, 5.0), stop)


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_faults(server, target, seed):
    """At every moment the file is absent or right, and the same call completes it at last."""
    chance = random.Random(seed)
    kinds = ["cut 0", "cut 40000", "cut 199999", "says too much", "says too little", "sends another range", "500"]
    kinds += ["page", "chunks cut", "whole", "contradicts itself", "416", "garbage", "404", "says another total"]
    server.faults[NAME] = chance.choices(kinds, k=12)
    for _ in range(14):
        try:
            get(server, target)
        except TransferError:
            assert not target.exists()
        else:
            break
    assert_whole(target)


def test_content_checks(tmp_path):
    samples = {
        ".mp4": CONTENT,
        ".jpg": jpeg(1),
        ".json": b'{"a": [1, 2]}',
    }
    for suffix, content in samples.items():
        path = tmp_path / f"sample{suffix}"
        path.write_bytes(content)
        assert find_damage(path, suffix) is None
        for count in (0, 1, 5, len(content) // 2, len(content) - 3):
            path.write_bytes(content[:count])
            assert find_damage(path, suffix), f"{count} bytes of a {suffix[1:]}"
        path.write_bytes(b"<html>no</html>")
        assert find_damage(path, suffix)


@pytest.mark.parametrize(
    ("content", "is_whole"),
    [(b"a,b\n1,2\n", True), (b"a,b\r\n1,2", True), (b"a,b\n1", False), (b"<html>\n", False), (b"\xff\xfe", False)],
)
def test_content_of_tables(tmp_path, content, is_whole):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    assert (find_damage(path, ".csv") is None) == is_whole


def test_long_boxes(tmp_path):
    path = tmp_path / "long.mp4"
    long = b"\x00\x00\x00\x01mdat" + (16 + 50).to_bytes(8, "big") + bytes(50)
    last = b"\x00\x00\x00\x00moov" + bytes(20)
    path.write_bytes(box(b"ftyp", b"isom") + long + last)
    assert find_damage(path, ".mp4") is None
    path.write_bytes(box(b"ftyp", b"isom") + long[:-1])
    assert find_damage(path, ".mp4")
