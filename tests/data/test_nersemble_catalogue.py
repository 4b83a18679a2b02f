"""What the filters mean, against the official kit where it is installed; settings."""

import importlib

import pytest
from nersemble_server import TABLE

from vhap.data.nersemble.catalogue import ASSETS, SERIALS, estimate_bytes, list_files, read_catalogue, select
from vhap.data.nersemble.settings import find_data_url, read_settings
from vhap.util.errors import InputError

CATALOGUE = read_catalogue(TABLE)
FILTERS = [
    ("all", "all", "all", ("all",)),
    ("17", "all", "all", ("images",)),
    ("17,240", "EXP-1-head,EMO-1-shout+laugh", "222200037", ("all",)),
    ("18-100", "EXP-3-cheeks+nose", "221501007,222200042", ("all",)),
    ("33", "BACKGROUND", "all", ("images", "backgrounds")),
    ("all", "all", "222200040", ("calibration", "metadata_sequences")),
    ("240", "EXP-1-head", "222200040", ("color_calibration", "metadata_participants", "images")),
]


def chosen(participant="all", sequence="all", camera="all", assets=("all",)) -> list[str]:
    return list_files(CATALOGUE, select(CATALOGUE, participant, sequence, camera, assets))


def test_table():
    assert CATALOGUE.sequences == {
        17: ("EXP-1-head", "EXP-3-cheeks+nose"),
        18: ("EXP-1-head", "EMO-1-shout+laugh"),
        33: ("EMO-1-shout+laugh",),
        240: ("EXP-3-cheeks+nose",),
    }
    assert CATALOGUE.sequence_names[0] == "BACKGROUND"
    assert len(set(SERIALS)) == 16
    assert SERIALS[8] == "222200037"


@pytest.mark.parametrize(
    "text", ["", "<html>", "ID,../../etc\n1,x\n", "ID,A\nx,x\n", "ID,A\n1\n", "A,B\n1,2\n", "ID,A,A\n1,x,x\n"]
)
def test_other_tables_are_refused(text):
    with pytest.raises(ValueError, match="expected"):
        read_catalogue(text)


def test_files_of_one_video():
    assert chosen("17", "EXP-3-cheeks+nose", "222200037", ["images"]) == [
        "017/sequences/EXP-3-cheeks+nose/images/cam_222200037.mp4"
    ]
    assert len(chosen("17,33", assets=["backgrounds", "calibration"])) == 2 * 17
    assert estimate_bytes(chosen(assets=["images"])) == pytest.approx(6 * 16 * 1490e9 / 170631, rel=1e-3)


def test_lists_and_ranges_of_participants():
    pick = [select(CATALOGUE, words, "all", "all", ["all"]).participants for words in ("18-33,17", "33,33", "all")]
    assert pick == [(18, 33, 17), (33,), (17, 18, 33, 240)]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"participant": "19"}, "found 19"),
        ({"participant": "50-100"}, "between 50 and 100"),
        ({"participant": "33-18"}, "between 33 and 18"),
        ({"participant": "abc"}, "abc"),
        ({"participant": "17,"}, "17,"),
        ({"sequence": "EXP-1-hed"}, "EXP-1-head"),
        ({"sequence": "EXP-1-head,"}, "''"),
        ({"camera": "222200099"}, "222200099"),
    ],
)
def test_wrong_filters_are_named(wrong, named):
    with pytest.raises(InputError, match="expected") as error:
        chosen(**wrong)
    assert named in str(error.value)


@pytest.mark.parametrize(("participant", "sequence", "camera", "assets"), FILTERS)
def test_same_files_as_the_official_kit(monkeypatch, tmp_path, participant, sequence, camera, assets):
    pytest.importorskip("nersemble_data")
    kit = pytest.importorskip("nersemble_data.scripts.manage_data", exc_type=ImportError)
    metadata = importlib.import_module("nersemble_data.util.metadata")
    (tmp_path / "metadata_sequences.csv").write_text(TABLE)
    brought = []
    monkeypatch.setattr(metadata, "NERSEMBLE_DATA_URL", str(tmp_path))
    monkeypatch.setattr(kit, "NERSEMBLE_DATA_URL", "http://host")
    monkeypatch.setattr(kit, "download_file", lambda url, target: brought.append((url, target)))
    monkeypatch.setattr("builtins.input", lambda _: "y")
    kit.download("folder", participant, sequence, camera, "all" if assets == ("all",) else assets)
    ours = chosen(participant, sequence, camera, assets)
    assert sorted(brought) == sorted((f"http://host/{path}", f"folder/{path}") for path in ours)
    theirs = metadata.NeRSembleMetadata().list_sequences_for_all_participants()
    # An x in the column wears_glasses makes the kit list that as a sequence.
    names = {number: tuple(name for name in there if name != "wears_glasses") for number, there in theirs.items()}
    assert names == CATALOGUE.sequences


def test_constants_of_the_official_kit():
    constants = pytest.importorskip("nersemble_data.constants")
    assert list(SERIALS) == constants.SERIALS
    assert set(ASSETS) == {name for group in constants.ASSETS.values() for name in group}


def test_settings(tmp_path):
    file = tmp_path / ".env"
    file.write_text(
        "# the mail's address\n"
        'OTHER="a # b"\n'
        "export NERSEMBLE_BENCHMARK_URL='https://old.example/x'\n"
        '  NERSEMBLE_DATA_URL = "https://host.example/data/"  # new\n'
        "PLAIN=word # comment\n\n"
    )
    ours = read_settings(file)
    assert find_data_url({}, file) == "https://host.example/data"
    assert find_data_url({"NERSEMBLE_BENCHMARK_URL": "http://here/b"}, file) == "http://here/b"
    assert find_data_url({"NERSEMBLE_DATA_URL": " "}, file) == "https://host.example/data"
    assert ours == {
        "OTHER": "a # b",
        "NERSEMBLE_BENCHMARK_URL": "https://old.example/x",
        "NERSEMBLE_DATA_URL": "https://host.example/data/",
        "PLAIN": "word",
    }
    dotenv = pytest.importorskip("dotenv")
    assert ours == dict(dotenv.dotenv_values(file))


@pytest.mark.parametrize("url", ["ftp://h/x", "secret", "http://", "https://u:p@h/x", "http://h/x?s=1", "http://h:x/"])
def test_unusable_addresses_are_not_repeated(tmp_path, url):
    with pytest.raises(InputError, match="NERSEMBLE_DATA_URL in the environment") as error:
        find_data_url({"NERSEMBLE_DATA_URL": url}, tmp_path / "none")
    assert url not in str(error.value)


def test_missing_settings_say_what_to_write(tmp_path):
    with pytest.raises(InputError, match="NERSEMBLE_DATA_URL="):
        find_data_url({}, tmp_path / ".env")
