"""The benchmark's metadata.json: read as the official kit does, refused where it is damaged."""

import json

import pytest

from vhap.nersemble.benchmark.metadata import MonoFLAMEAvatarMetadata, NVSMetadata, metadata_path
from vhap.util.errors import InputError


def store(folder, benchmark, content):
    path = metadata_path(folder, benchmark)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def mono(n_frames=3, name="FREE", participant="393"):
    return {"participants_metadata": {participant: {"sequences_metadata": {name: {"n_frames": n_frames}}}}}


def nvs(timesteps=(0, 1, 3), name="GLASSES", participant="388"):
    return {"sequences": {participant: {"sequence_name": name, "timesteps": list(timesteps)}}}


def test_load(tmp_path):
    store(tmp_path, "nvs", nvs())
    store(tmp_path, "mono_flame_avatar", mono())
    sequence = NVSMetadata.load(tmp_path).sequences[388]
    assert (sequence.sequence_name, sequence.timesteps) == ("GLASSES", [0, 1, 3])
    participant = MonoFLAMEAvatarMetadata.load(str(tmp_path)).participants_metadata[393]
    assert participant.sequences_metadata["FREE"].n_frames == 3


@pytest.mark.parametrize(
    ("benchmark", "content"),
    [
        ("nvs", {}),
        ("nvs", nvs(timesteps=())),
        ("nvs", nvs(timesteps=(0, 0))),
        ("nvs", nvs(timesteps=(-1,))),
        ("nvs", nvs(timesteps=(0.5,))),
        ("nvs", nvs(name="../GLASSES")),
        ("nvs", nvs(participant="0388")),
        ("nvs", mono()),
        ("mono_flame_avatar", mono(n_frames=0)),
        ("mono_flame_avatar", mono(n_frames=10**9)),
        ("mono_flame_avatar", mono(n_frames="3")),
        ("mono_flame_avatar", mono(name="a/b")),
        ("mono_flame_avatar", mono(participant="p1")),
    ],
)
def test_damage_is_refused(tmp_path, benchmark, content):
    store(tmp_path, benchmark, content)
    kind = NVSMetadata if benchmark == "nvs" else MonoFLAMEAvatarMetadata
    with pytest.raises(InputError) as refusal:
        kind.load(tmp_path)
    assert "metadata.json" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_missing_metadata_name_the_command_that_brings_them(tmp_path):
    for kind in (NVSMetadata, MonoFLAMEAvatarMetadata):
        with pytest.raises(InputError, match="vhap benchmark download"):
            kind.load(tmp_path)
