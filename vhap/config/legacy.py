"""Options of other trackers' scripts, and of this one's earlier versions, that have another name here or that no run
needs any more. They are accepted on the command line (translate.py), as keywords (keywords.py) and in the config.yml of
earlier runs (loading.py).

To retire an option: delete its field, and add its line to REMOVED.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXELS = "the texture is estimated texel by texel, see --model.tex_resolution"
_BACKGROUND = "the input picture stands behind the head, see --data.background_color"
_NO_RATES = "stages solve least squares, which have no rates; see --pipeline.rgb_init_all.num_steps"
_LIGHT = "the light is separated from the albedo in closed form; --model.light_path gives one"
_TEXTURE = "the texture is the one that explains all pictures best; holes take the base texture's colours"
_NO_PICTURES = "landmark stages see no pictures; set those of the rgb stages"

REMOVED = {
    "async_func": "what can run at the same time does by itself",
    "data._target": "each kind of capture has a command of its own: track, track-nersemble, track-multiview, ...",
    "data.camera_convention_conversion": "axes are always converted",
    "data.target_extrinsic_type": "the way of writing cameras is fixed, see doc/conventions.md",
    "exp.keyframes": "frames of the initialisation are chosen by themselves, from --begin_timestep on",
    "log.stack_views_in_rows": "cameras stand side by side",
    "log.view_indices": "pictures show --log.max_num_views cameras, evenly chosen",
    "lr.base": _NO_RATES,
    "lr.camera": _NO_RATES,
    "lr.dynamic_offset": _NO_RATES,
    "lr.expr": _NO_RATES,
    "lr.light": _NO_RATES,
    "lr.static_offset": _NO_RATES,
    "lr.translation": _NO_RATES,
    "micro_batch_size": "pictures are evaluated one by one, on all cores",
    "model.n_tex": _TEXELS,
    "model.tex_clusters": "pictures are compared at points of the surface; nothing behind the head is",
    "model.tex_extra": "the albedo is always estimated; --model.fix_texture keeps that of an earlier run",
    "pipeline.lmk_global_tracking.align_boundary_except": _NO_PICTURES,
    "pipeline.lmk_global_tracking.align_texture_except": _NO_PICTURES,
    "pipeline.lmk_init_all.align_boundary_except": _NO_PICTURES,
    "pipeline.lmk_init_all.align_texture_except": _NO_PICTURES,
    "pipeline.lmk_init_rigid.align_boundary_except": _NO_PICTURES,
    "pipeline.lmk_init_rigid.align_texture_except": _NO_PICTURES,
    "pipeline.lmk_sequential_tracking.align_boundary_except": _NO_PICTURES,
    "pipeline.lmk_sequential_tracking.align_texture_except": _NO_PICTURES,
    "render.background_eval": _BACKGROUND,
    "render.background_train": _BACKGROUND,
    "render.disturb_rate_bg": "pictures are compared at points of the surface; nothing behind the head is",
    "render.disturb_rate_fg": "pictures are compared at points of the surface; nothing behind the head is",
    "render.lighting_space": "light stands still in the world, see --render.lighting_type",
    "render.use_opengl": "see --render.backend",
    "seed": "runs have no random numbers",
    "w.blur_iter": "the first stages take smaller pictures by themselves",
    "w.reg_diffuse": _LIGHT,
    "w.reg_light": _LIGHT,
    "w.reg_tex_pca": _TEXELS,
    "w.reg_tex_res": _TEXTURE,
    "w.reg_tex_res_clusters": _TEXTURE,
    "w.reg_tex_res_for": _TEXTURE,
    "w.reg_tex_tv": _TEXTURE,
    "w.smooth_eyes": "eyes follow the irises, frame by frame",
}
"""Options of tracking that no script has, and what does their job now."""

ELSEWHERE = {
    "data.align_cameras_to_axes": "the only camera stands on the world's axes",
    "data.division": "it divides NeRSemble's cameras; use --data.subset, or --data.cameras of a rig",
    "data.image_size_during_calibration": "it is NeRSemble's; other calibrations say their pictures' size",
    "data.use_color_correction": "it is NeRSemble's, whose colours track-nersemble corrects",
}
"""Options of tracking that scripts for other kinds of capture lack, and what does their job there."""

NONE_MEANS = {
    "w.*": "0",
    "log.interval_*": "0",
    "*scale_factor": "1",
}
"""What None stands for, by patterns of options that have no None here: a term, a rate or a log that is off."""

VALUE_MEANS = {
    ("render.lighting_type", "front"): ("constant", "a light that is not estimated"),
    ("render.lighting_type", "front-range"): ("constant", "a light that is not estimated"),
    ("render.backend", "pytorch3d"): ("auto", "there is no such renderer here"),
}


def line_of_removed(given: str, name: str) -> str:
    """given: the option as it was typed; name: dotted, of REMOVED or ELSEWHERE."""
    return f"{given} has no effect: {REMOVED.get(name) or ELSEWHERE[name]}"


def without_removed(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The options of a run's config.yml without those of REMOVED, and without groups that held no others."""
    kept = {}
    for name, value in plain.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, Mapping):
            inner = without_removed(value, f"{dotted}.")
            if inner or not value:
                kept[name] = inner
        elif dotted not in REMOVED:
            kept[name] = value
    return kept
