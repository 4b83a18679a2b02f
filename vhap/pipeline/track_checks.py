"""What is wrong with a tracking run's options, and what they imply, before anything is opened."""

from __future__ import annotations

from vhap.config.data import DataConfig
from vhap.config.ranges import check_ranges
from vhap.config.track import TrackConfig
from vhap.data.video_folders import is_folder_of
from vhap.util.errors import InputError, shown


def check_options(config: TrackConfig) -> None:
    """InputError where a number is out of its range, or where landmarks are switched off."""
    check_ranges(config)
    _check_source(config)
    output = str(config.exp.output_folder)
    if not _is_utf8(output):
        raise InputError(
            f"expected a name in UTF-8 for --exp.output_folder, since TensorBoard writes no other, "
            f"found {shown(output)}; choose another folder"
        )
    if not config.data.use_landmark:
        raise InputError("expected landmarks, from which tracking starts, found --data.no-use-landmark; leave it out")
    if config.exp.photometric and config.w.photo == 0:
        raise InputError(
            "expected a weight of pictures above 0 for --w.photo, found 0; --exp.no_photometric leaves the pictures out"
        )
    model = config.model
    if model.light_path is not None:
        constant = config.render.lighting_type == "constant"
        if constant or not config.exp.photometric:
            found = "--render.lighting_type constant" if constant else "--exp.no_photometric"
            raise InputError(
                f"expected harmonics fitted to pictures with --model.light_path, found {found}; leave one of them out"
            )
        # Here, since it loads torch: options are checked before anything that takes long.
        from vhap.fit.light_file import read_light

        read_light(model.light_path)
    if (model.fix_shape or model.fix_offset or model.fix_texture) and model.flame_params_path is None:
        raise InputError(
            "expected --model.flame_params_path with --model.fix_shape, fix_offset or fix_texture, found none; "
            "name the tracked_flame_params npz of the person"
        )


def lines_of_occlusion(asked: TrackConfig, config: TrackConfig) -> list[str]:
    """What counts as hidden without having been asked for."""
    added = [region for region in config.model.occluded if region not in asked.model.occluded]
    if not added or not config.exp.photometric:
        return []
    reason = "no static offset" if added == ["hair"] else "data.occluded_by_subject"
    if "hair" in added and len(added) > 1:
        reason += ", no static offset"
    return [f"model.occluded is {' '.join(config.model.occluded)} ({reason}): not aligned by texture or outline"]


def _check_source(config: TrackConfig) -> None:
    """InputError where the options name no recording, or two."""
    data = config.data
    if not isinstance(data, DataConfig) or (data.video is None) != (data.sequence == ""):
        return
    if data.video is None:
        raise InputError(
            "expected --data.video, or --data.root_folder and --data.sequence, found none of them; name what to track"
        )
    if not is_folder_of(data.video, data.root_folder / data.sequence):
        raise InputError(
            f"expected --data.video or --data.sequence, found both ({data.video}, {data.sequence}); leave one of them "
            "out"
        )


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
