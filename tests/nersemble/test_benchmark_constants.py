"""The benchmark's constants, against the specification's figures and the official kit's."""

import pytest

from vhap.nersemble.benchmark import constants


def test_figures_of_the_specification():
    keys = constants.BENCHMARK_SVFR_IMAGE_KEYS
    assert (len(keys), sum(map(len, keys.values())), len(constants.SERIALS)) == (20, 391, 16)
    assert sorted(keys) == constants.BENCHMARK_SVFR_IDS
    assert all(len(set(images)) == len(images) for images in keys.values())
    assert (len(keys[175]), len(keys[215])) == (19, 13)
    assert keys[17][0] == ("EMO-1-shout+laugh", 156, "221501007")
    assert keys[372][-1] == ("EMO-2-surprise+fear", 345, "222200036")
    assert {serial for images in keys.values() for _, _, serial in images} == set(constants.SERIALS)
    assert len(constants.BENCHMARK_NVS_TRAIN_SERIALS) == 13
    assert constants.BENCHMARK_NVS_TRAIN_SERIALS[:3] == ["222200042", "222200044", "222200040"]
    assert len(constants.BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TRAIN) == 18
    assert len(set(constants.BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES)) == 22
    assert constants.BENCHMARK_MONO_FLAME_AVATAR_SERIALS == ["222200037", "222200046", "220700191", "222200039"]


def test_equal_to_the_official_kit():
    official = pytest.importorskip("nersemble_benchmark.constants")
    names = [name for name in vars(official) if name.isupper() and not name.endswith("_URL")]
    assert len(names) >= 17
    for name in names:
        assert getattr(constants, name) == getattr(official, name), name
