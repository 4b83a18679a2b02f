"""One file over a connection that breaks in every way: the file is right, or absent."""

import contextlib
import json
import random
import threading
import time

import pytest
from nersemble_server import box, jpeg, mp4, serving

from vhap.data.nersemble.content import find_damage
from vhap.data.nersemble.http import TransferError, Version, join_url
from vhap.data.nersemble.part import Part
from vhap.data.nersemble.transfer import Policy, fetch, remote_version

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


@pytest.mark.parametrize("fault", ["drips status", "drips header", "drips chunk", "drips trailer"])
def test_a_server_that_drips_does_not_hold_a_request(server, target, fault):
    """One byte each 0.05 s, which no timeout of a socket notices. Held to its end, it would be another error."""
    server.always[NAME] = fault
    with pytest.raises(TransferError, match="connection stalled"):
        get(server, target, Policy(timeout_s=0.3, retries=1, backoff_s=0.01))
    assert not target.exists()
    server.always.clear()
    get(server, target)
    assert_whole(target)


def test_what_stands_beside_a_redirect_is_not_read(server, target):
    server.always[NAME] = "drips redirect"
    with pytest.raises(TransferError, match="404"):
        get(server, target)


def test_a_slow_disk_is_not_a_slow_server(server, target, monkeypatch):
    opened = Part.open

    @contextlib.contextmanager
    def slowly(part):
        with opened(part) as append:
            yield lambda block: (time.sleep(0.3), append(block))

    monkeypatch.setattr(Part, "open", slowly)
    get(server, target, Policy(timeout_s=0.2, retries=0))
    assert_whole(target)
    assert len(server.asked) == 1


def test_no_watch_is_left(server, target):
    server.faults[NAME] = ["cut 20000", "drips header"]
    get(server, target, IMPATIENT)
    deadline = time.monotonic() + 5
    while any("_watch" in thread.name for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [thread for thread in threading.enumerate() if "_watch" in thread.name]


@pytest.mark.parametrize("fault", ["shouts", "shouts length", "shouts range", "shouts encoding", "shouts garbage"])
def test_what_a_server_says_is_shortened_and_plain(server, target, fault):
    server.always[NAME] = fault
    with pytest.raises(TransferError) as failure:
        get(server, target, Policy(timeout_s=10, retries=0))
    assert len(str(failure.value)) < 250
    assert str(failure.value).isprintable()


@pytest.mark.parametrize("fault", ["says endless", "redirects to ftp", "redirects for ever"])
def test_what_is_never_a_file(server, target, fault):
    server.always[NAME] = fault
    with pytest.raises(TransferError):
        get(server, target)
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


def begin(target, content: bytes, version: Version) -> Part:
    """A part as a process that was killed leaves it."""
    part = Part(target)
    part.start(version)
    with part.open() as append:
        for start in range(0, len(content), 10_000):
            append(content[start : start + 10_000])
    return part


def test_part_that_only_lacks_its_name_costs_one_byte(server, target):
    begin(target, CONTENT, Version(len(CONTENT), '"1"'))
    get(server, target)
    assert_whole(target)
    assert server.asked == [(NAME, 0, 206)]
    assert server.sent <= 1


@pytest.mark.parametrize("version", [Version(100_000, '"1"'), Version(len(CONTENT), '"7"'), Version(1 << 31, '"1"')])
def test_a_note_of_another_version_is_not_believed(server, target, version):
    """Not even where the part has all the bytes that it speaks of."""
    begin(target, mp4(min(version.size, len(CONTENT)), seed=5), version)
    get(server, target)
    assert_whole(target)


@pytest.mark.parametrize("place", [0, 70_000, 149_999])
def test_wrong_bytes_in_a_part_are_thrown_away(server, target, place):
    """Of a disk, a power cut, another program: the file's own structure does not show all of them."""
    part = begin(target, CONTENT[:150_000], Version(len(CONTENT), '"1"'))
    content = bytearray(part.path.read_bytes())
    content[place] ^= 1
    part.path.write_bytes(content)
    get(server, target)
    assert_whole(target)
    (start,) = server.starts(NAME)
    assert max(0, place - 2 * 65_536) <= start <= place, "what is right is kept"


def test_a_part_shorter_than_its_note_says(server, target):
    part = begin(target, CONTENT[:150_000], Version(len(CONTENT), '"1"'))
    part.path.write_bytes(CONTENT[:100_000])
    get(server, target)
    assert_whole(target)
    assert 0 < server.starts(NAME)[0] <= 100_000


@pytest.mark.parametrize(
    "end", ["", "1", "15", "150000 ", "150000 12\n", "x y\n", "1 2 3\n", "0 0\n", "-1 0\n", "[\n" * 9]
)
def test_a_note_cut_short_or_grown(server, target, end):
    part = begin(target, CONTENT[:150_000], Version(len(CONTENT), '"1"'))
    with open(part.note, "a") as file:
        file.write(end)
    for _ in range(2):
        Part(target).keep_usable()
    get(server, target)
    assert_whole(target)


@pytest.mark.parametrize(
    "first",
    [
        *("[" * 100_000, "\xff", "null", '{"size": true, "validator": "x"}', '{"size": -5, "validator": "x"}'),
        *('{"size": 1e999, "validator": "x"}', '{"size": 200000, "validator": "a\\nb"}', "9" * 10_000_000),
        json.dumps({"size": 200_000, "validator": '"' + "v" * 100_000 + '"'}),
        json.dumps({"size": 200_000, "validator": '"\u00fc\u4e2d"'}),
    ],
)
def test_a_poisoned_note_is_thrown_away(server, target, first):
    part = begin(target, CONTENT[:150_000], Version(len(CONTENT), '"1"'))
    lines = part.note.read_text().splitlines()
    part.note.write_bytes("\n".join([first, *lines[1:], ""]).encode("latin-1", "replace"))
    get(server, target)
    assert_whole(target)
    assert server.starts(NAME) == [0]


@pytest.mark.parametrize("status", ["400", "412", "416", "431"])
def test_a_rest_that_the_server_refuses_is_asked_for_no_more(server, target, status):
    begin(target, CONTENT[:150_000], Version(len(CONTENT), '"1"'))
    server.faults[NAME] = [status]
    get(server, target)
    assert_whole(target)
    assert server.starts(NAME) == [150_000, 0]


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
