"""Which files a selection means, against the official kit's lists; and what is damaged of each format."""

import pytest
from benchmark_files import TIMESTEPS, npz, png

from vhap.data.nersemble.content import find_damage
from vhap.data.nersemble.settings import find_benchmark_url
from vhap.nersemble.benchmark import assets, constants
from vhap.nersemble.benchmark.metadata import NVSMetadata, NVSSequenceMetadata
from vhap.util.errors import InputError

METADATA = NVSMetadata({p: NVSSequenceMetadata(s, TIMESTEPS) for p, s in constants.BENCHMARK_NVS_IDS_AND_SEQUENCES})


def files(benchmark, *words, **filters):
    return assets.list_files(assets.select(benchmark, *words, **filters), METADATA)


def test_counts_of_the_specification():
    assert len(files("nvs")) == 140
    assert len(files("nvs", participants=["388"])) == 28
    assert len(files("mono_flame_avatar")) == 295
    assert len(files("mono_flame_avatar", participants=["393"])) == 59
    assert len(files("svfr")) == 391
    for benchmark in assets.BENCHMARKS:
        assert len(set(files(benchmark))) == len(files(benchmark)), "each file once"


def test_filters():
    assert files("nvs", ["calibration"], ["475,388"]) == [f"{p}/calibration/camera_params.json" for p in (388, 475)]
    clouds = files("nvs", ["pointclouds"], ["475"], pointcloud_frames=["6,0"])
    assert clouds == [f"475/sequences/HAIR/pointclouds/frame_0000{t}.pcd" for t in (6, 0)]
    assert files("nvs", ["pointclouds"], ["475"], pointcloud_frames=["1"]) == []
    test_files = files("mono_flame_avatar", ["images", "alpha_maps", "flame2023_tracking"], ["393"], ["FREE"])
    assert test_files == [], "of test sequences, only the current tracking is served"
    assert len(files("mono_flame_avatar", ["flame2023_tracking"], ["393"])) == 18
    assert files("svfr", participants=["17"], sequences=["EXP-8-jaw-1"]) == ["017/EXP-8-jaw-1_489_222200041/rgb.png"]


def test_paths_of_the_official_kit():
    kit = pytest.importorskip("nersemble_benchmark.scripts.download_data")
    nvs = [
        (p, s, constants.BENCHMARK_NVS_TRAIN_SERIALS, TIMESTEPS) for p, s in constants.BENCHMARK_NVS_IDS_AND_SEQUENCES
    ]
    for frames, ours in (([0], ["0"]), ("all", ["all"])):
        theirs = kit.collect_relative_urls("nvs", nvs, kit.validate_assets("nvs", "all"), pointcloud_frames=frames)
        assert sorted(files("nvs", pointcloud_frames=ours)) == sorted(theirs)
    serial = [constants.BENCHMARK_MONO_FLAME_AVATAR_TRAIN_SERIAL]
    ids = constants.BENCHMARK_MONO_FLAME_AVATAR_IDS
    for chosen in ("all", ["flame2023_tracking", "images"]):
        theirs = set()
        names = kit.validate_assets("mono_flame_avatar", chosen)
        for sequences, wanted in (
            (constants.BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TRAIN, names),
            (constants.BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TEST, [n for n in names if n == "flame2023_tracking_v2"]),
        ):
            entries = [(p, s, serial, None) for p in ids for s in sequences]
            theirs |= set(kit.collect_relative_urls("mono_flame_avatar", entries, wanted))
        assert set(files("mono_flame_avatar", [chosen] if chosen == "all" else chosen)) == theirs
    images = [(p, s, [c], [t]) for p, keys in constants.BENCHMARK_SVFR_IMAGE_KEYS.items() for s, t, c in keys]
    assert files("svfr") == kit.collect_relative_urls("svfr", images, ["images"])


def test_estimates_are_near_the_published_sums():
    for benchmark, megabytes in (("nvs", 3340), ("mono_flame_avatar", 144), ("svfr", 125)):
        names = files(
            benchmark,
            [name for name in assets.asset_names(benchmark) if name not in ("pointclouds", "flame2023_tracking")],
        )
        assert assets.estimate_bytes(benchmark, names) / 1e6 == pytest.approx(megabytes, rel=0.02)


def test_metadata_of_another_person_are_refused():
    other = NVSMetadata({388: NVSSequenceMetadata("FREE", [0])})
    with pytest.raises(InputError, match="found FREE"):
        assets.list_files(assets.select("nvs", participants=["388"]), other)
    with pytest.raises(InputError, match="found nothing"):
        assets.list_files(assets.select("nvs", participants=["422"]), other)


@pytest.mark.parametrize("content", [png(), npz()], ids=["png", "npz"])
def test_files_cut_short_are_damaged(tmp_path, content):
    suffix = ".png" if content.startswith(b"\x89PNG") else ".npz"
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    assert find_damage(path, suffix) is None
    for damaged in (content[:-4], content[: len(content) // 2], b"", b"<html></html>", b"x" + content[1:]):
        path.write_bytes(damaged)
        assert find_damage(path, suffix) is not None


def test_address_of_the_benchmark(tmp_path):
    file = tmp_path / ".env"
    with pytest.raises(InputError, match='write a line NERSEMBLE_BENCHMARK_URL="'):
        find_benchmark_url({}, file)
    lines = (
        'HOST="host.example"',
        "NERSEMBLE_DATA_URL=https://a.example",
        'NERSEMBLE_BENCHMARK_URL = "https://${HOST}/b/"',
    )
    file.write_text("\n".join(lines))
    assert find_benchmark_url({}, file) == "https://host.example/b"
    assert find_benchmark_url({"NERSEMBLE_BENCHMARK_URL": "http://here/b"}, file) == "http://here/b"
    assert find_benchmark_url({"NERSEMBLE_DATA_URL": "http://here/d"}, file) == "https://host.example/b"
    file.write_text("NERSEMBLE_BENCHMARK_URL=https://${UNKNOWN}/b\n")
    with pytest.raises(InputError, match="found something else"):
        find_benchmark_url({}, file)
