"""Participants, sequences, cameras and files of the benchmark, under the names of the official kit's constants."""

from __future__ import annotations

from pathlib import Path

from vhap.data.nersemble import catalogue

SERIALS = list(catalogue.SERIALS)
"""The 16 cameras of the rig, in its order."""

_CALIBRATION = "{p_id:03d}/calibration/camera_params.json"
_IMAGES = "{p_id:03d}/sequences/{seq_name:}/images/cam_{serial:}.mp4"
_ALPHA_MAPS = "{p_id:03d}/sequences/{seq_name:}/alpha_maps/cam_{serial:}.mp4"
_POINTCLOUDS = "{p_id:03d}/sequences/{seq_name:}/pointclouds/frame_{timestep:05d}.pcd"
_TRACKING = "{p_id:03d}/sequences/{seq_name:}/tracking/flame2023_tracking.npz"
_TRACKING_V2 = "{p_id:03d}/sequences/{seq_name:}/tracking/flame2023_tracking_v2.npz"
# The timestep is not padded here, in submissions it is.
_SVFR_IMAGE = "{p_id:03d}/{seq_name:}_{timestep:}_{serial:}/rgb.png"
ASSETS = {
    "nvs": {
        "per_person": {"calibration": _CALIBRATION},
        "per_cam": {"images": _IMAGES, "alpha_maps": _ALPHA_MAPS},
        "per_timestep": {"pointclouds": _POINTCLOUDS},
    },
    "mono_flame_avatar": {
        "per_person": {"calibration": _CALIBRATION},
        "per_sequence": {"flame2023_tracking": _TRACKING, "flame2023_tracking_v2": _TRACKING_V2},
        "per_cam": {"images": _IMAGES, "alpha_maps": _ALPHA_MAPS},
        "test_assets": ["flame2023_tracking_v2"],
    },
    "svfr": {"per_image": {"images": _SVFR_IMAGE}},
}
"""Paths of the files, relative to a benchmark's folder, by benchmark and by what there is one of for each."""
OPTIONAL_ASSETS = ["flame2023_tracking"]
"""Left out of `all`."""
FLAME_TRACKING_CURRENT_VERSION = 2
FLAME_TRACKING_VERSION_MAPPING = {1: "flame2023_tracking", 2: "flame2023_tracking_v2"}

BENCHMARK_NVS_IDS_AND_SEQUENCES = [
    (388, "GLASSES"),
    (422, "EXP-2-eyes"),
    (443, "FREE"),
    (445, "EXP-6-tongue-1"),
    (475, "HAIR"),
]
BENCHMARK_NVS_HOLD_OUT_SERIALS = list(catalogue.NVS_HOLD_OUT_SERIALS)
"""Left, centre, right."""
BENCHMARK_NVS_TRAIN_SERIALS = [serial for serial in SERIALS if serial not in BENCHMARK_NVS_HOLD_OUT_SERIALS]

BENCHMARK_MONO_FLAME_AVATAR_IDS = [393, 404, 461, 477, 486]
BENCHMARK_MONO_FLAME_AVATAR_TRAIN_SERIAL = "222200037"
BENCHMARK_MONO_FLAME_AVATAR_HOLD_OUT_SERIALS = ["222200046", "220700191", "222200039"]
"""Left, centre, right; the one in the centre is not that of the novel views."""
BENCHMARK_MONO_FLAME_AVATAR_SERIALS = [
    BENCHMARK_MONO_FLAME_AVATAR_TRAIN_SERIAL,
    *BENCHMARK_MONO_FLAME_AVATAR_HOLD_OUT_SERIALS,
]
BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TRAIN = [
    *("EXP-1-head", "EXP-2-eyes", "EXP-3-cheeks+nose", "EXP-4-lips", "EXP-5-mouth", "EXP-8-jaw-1", "EXP-9-jaw-2"),
    *("EMO-2-surprise+fear", "EMO-3-angry+sad", "EMO-4-disgust+happy"),
    *("SEN-01-cramp_small_danger", "SEN-02-same_phrase_thirty_times", "SEN-03-pluck_bright_rose"),
    *("SEN-04-two_plus_seven", "SEN-05-glow_eyes_sweet_girl", "SEN-06-problems_wise_chief"),
    # Not "friend", as the dataset has it.
    *("SEN-07-fond_note_fried", "SEN-08-clothes_and_lodging"),
]
BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TEST = [
    *("FREE", "EMO-1-shout+laugh", "SEN-09-frown_events_bad", "SEN-10-port_strong_smokey"),
]
BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES = [
    *BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TRAIN,
    *BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TEST,
]


def _read_image_keys(text: str) -> dict[int, list[tuple[str, int, str]]]:
    """Lines `participant`, and below each, indented, `sequence timestep/serial timestep/serial ...`."""
    keys: dict[int, list[tuple[str, int, str]]] = {}
    participant = 0
    for line in text.splitlines():
        first, *images = line.split()
        if not line.startswith(" "):
            participant = int(first)
            keys[participant] = []
        for image in images:
            timestep, serial = image.split("/")
            keys[participant].append((first, int(timestep), serial))
    return keys


BENCHMARK_SVFR_IMAGE_KEYS = _read_image_keys(
    Path(__file__).with_name("svfr_image_keys.txt").read_text(encoding="utf-8")
)
"""Participant -> its pictures as (sequence, timestep, serial), in the official order; 391 in all."""
BENCHMARK_SVFR_IDS = list(BENCHMARK_SVFR_IMAGE_KEYS)
