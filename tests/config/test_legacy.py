"""Scripts of other trackers: every option that their users know parses in every tracking script, mapped or named."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from vhap import cli
from vhap.config.export import CombineConfig, ExportConfig
from vhap.config.legacy import ELSEWHERE, REMOVED
from vhap.config.no_effect import lines_of_no_effect, traits_of
from vhap.config.preprocess import PreprocessConfig
from vhap.config.track import (
    MonocularTrackConfig,
    MultiviewTrackConfig,
    NersembleTrackConfig,
    NersembleV2TrackConfig,
    SingleFrameTrackConfig,
)
from vhap.config.translate import options_of, translated
from vhap.util.errors import InputError

PLACE = ["--data.root_folder", "root", "--data.sequence", "s"]
SUBJECT = [*PLACE, "--data.subject", "074"]
EXPORT = ["--src_folder", "a", "--tgt_folder", "b"]
COMBINE = ["--src_folders", "a", "b", "--tgt_folder", "c"]
SCRIPTS = {
    MonocularTrackConfig: PLACE,
    MultiviewTrackConfig: PLACE,
    SingleFrameTrackConfig: PLACE,
    NersembleTrackConfig: SUBJECT,
    NersembleV2TrackConfig: SUBJECT,
}
KNOWN = (
    """
--data.calibrated|--data.no_calibrated
--data.align_cameras_to_axes|--data.no_align_cameras_to_axes
--data.camera_convention_conversion opencv->opengl|--data.camera_convention_conversion None
--data.n_downsample_rgb 4|--data.n_downsample_rgb None
--data.scale_factor 0.5|--data.scale_factor 1.0
--data.background_color white|--data.background_color black|--data.background_color None
--data.use_alpha_map|--data.no_use_alpha_map
--data.use_landmark|--data.no_use_landmark
--data.use_color_correction|--data.no_use_color_correction
--data.image_size_during_calibration 3208 2200
--data.landmark_detector_njobs 8
--data.landmark_source mediapipe|--data.landmark_source face-alignment|--data.landmark_source star
--data.landmark_source both
--data.subset ti3|--data.subset ti3tj9|--data.subset tn20_ci0|--data.subset None
--data.division train|--data.division front-view|--data.division None
--model.n_shape 300|--model.n_expr 100|--model.n_tex 100
--model.use_static_offset|--model.no_use_static_offset
--model.use_dynamic_offset|--model.no_use_dynamic_offset
--model.add_teeth|--model.no_add_teeth
--model.remove_lip_inside|--model.no_remove_lip_inside
--model.tex_resolution 2048
--model.tex_painted|--model.no_tex_painted
--model.tex_extra|--model.no_tex_extra
--model.residual_tex|--model.no_residual_tex
--model.tex_clusters skin hair boundary lips_tight teeth sclerae irises
--model.occluded hair neck_lower
--model.flame_params_path a.npz|--model.flame_params_path None
--render.background_train target|--render.background_eval target
--render.disturb_rate_fg 0.5|--render.disturb_rate_bg 0.5|--render.disturb_rate_fg None|--render.disturb_rate_bg None
--render.lighting_type SH|--render.lighting_type constant|--render.lighting_type front
--render.lighting_type front-range|--render.lighting_space world
--render.backend nvdiffrast|--render.backend pytorch3d
--render.use_opengl|--render.no_use_opengl
--lr.base 5e-3|--lr.translation 1e-3|--lr.expr 5e-2|--lr.static_offset 5e-4|--lr.dynamic_offset 5e-4
--lr.camera 5e-3|--lr.light 5e-3|--seed 0|--micro_batch_size 8|--w.reg_tex_res 10
--w.landmark 10|--w.landmark None|--w.photo 30|--w.photo None|--w.always_enable_jawline_landmarks
--w.no_always_enable_jawline_landmarks|--w.reg_shape 0.3|--w.reg_expr 0.03|--w.reg_neck 0.3|--w.reg_jaw 0.3
--w.reg_eyes 0.03|--w.reg_tex_tv 1e4|--w.reg_tex_tv None|--w.reg_tex_res_clusters 10|--w.reg_tex_res_for sclerae teeth
--w.reg_tex_pca 1e-4|--w.reg_light None|--w.reg_diffuse 100|--w.reg_diffuse None|--w.reg_offset 300|--w.reg_offset None
--w.reg_offset_relax_coef 1|--w.reg_offset_relax_for hair ears|--w.reg_offset_lap 1e6|--w.reg_offset_lap_relax_coef 0.1
--w.reg_offset_lap_relax_for hair ears|--w.reg_offset_rigid 300|--w.reg_offset_rigid_for left_ear right_ear
--w.reg_offset_dynamic 3e5|--w.blur_iter 0|--w.smooth_trans 300|--w.smooth_rot 30|--w.smooth_neck 30|--w.smooth_jaw 0.1
--w.smooth_eyes 0|--w.smooth_expr 1
--log.interval_scalar 100|--log.interval_media 500|--log.interval_media None|--log.image_format jpg
--log.max_num_views 3|--log.view_indices 0 2|--log.stack_views_in_rows|--log.no_stack_views_in_rows
--pipeline.lmk_init_rigid.num_steps 500|--pipeline.rgb_global_tracking.num_epochs 30
--pipeline.rgb_init_all.optimizable_params cam pose shape joints expr texture lights
--pipeline.rgb_init_all.disable_jawline_landmarks|--pipeline.rgb_init_all.align_texture_except hair boundary neck
--pipeline.rgb_init_all.align_boundary_except hair bottomline
--exp.output_folder out|--exp.reuse_landmarks|--exp.no_reuse_landmarks|--exp.photometric|--exp.no_photometric
--exp.keyframes 0|--exp.keyframes 0 10 20
--async_func|--no_async_func|--no-async-func|--async_func False
--data.target_extrinsic_type w2c|--data._target vhap.data.video_dataset.VideoDataset
--begin_stage rgb_init_all|--begin_timestep 2|--batch_size 4|--batch_size None|--device cpu|--device cuda
""".replace("\n", "|")
    .strip("|")
    .split("|")
)


@pytest.mark.parametrize("kind", SCRIPTS)
@pytest.mark.parametrize("hyphens", [False, True])
def test_every_option_that_users_know_parses_in_every_tracking_script(kind, hyphens):
    # In one command line: of options that stand in it twice the last counts.
    words = []
    for typed in KNOWN:
        option, *values = typed.split(" ")
        words += [f"--{option[2:].replace('_', '-')}" if hyphens else option, *values]
    config, lines = cli.parse_with_lines(kind, None, [*SCRIPTS[kind], *words])
    assert (config.batch_size, config.device, config.exp.photometric) == (4, "cuda", False)
    assert (config.w.smooth_expr, config.w.reg_offset, config.log.max_num_views) == (1, 0, 3)
    assert len(lines) > 20
    named = [line.split(" ")[0].replace("-", "_").replace("__", "--", 1) for line in lines]
    named = [name.replace(".no_", ".").replace("--no_", "--") for name in named]
    assert len(named) == len(set(named)), "an option is named twice"
    typed = {option.split(" ")[0].lstrip("-") for option in KNOWN}
    removed = {name for name in REMOVED if {name, name.replace(".", ".no_")} & typed}
    assert {f"--{name}" for name in removed} <= {*named}
    assert {name for name in REMOVED if not name.startswith("pipeline.")} == removed


def said(*words: str, kind: type = MonocularTrackConfig) -> list[str]:
    config, lines = cli.parse_with_lines(kind, None, [*SCRIPTS[kind], *words])
    return [*lines, *lines_of_no_effect(config, traits_of(config))]


@pytest.mark.parametrize(
    "typed",
    [
        "--async_func",
        "--no_async_func",
        "--render.use_opengl",
        "--exp.keyframes 0 10 20",
        "--data.target_extrinsic_type w2c",
        "--data._target vhap.data.video_dataset.VideoDataset",
        "--data.division train",
        "--data.align_cameras_to_axes",
        "--data.camera_convention_conversion opencv->opengl",
        "--data.camera_convention_conversion None",
        "--w.blur_iter 0",
        "--model.no_tex_extra",
        "--log.view_indices 3 5",
        "--pipeline.lmk_init_all.align_texture_except hair",
    ],
)
@pytest.mark.parametrize("kind", SCRIPTS)
def test_what_has_no_effect_is_named_once_with_what_does_the_job(kind, typed):
    lines = said(*typed.split(" "), *typed.split(" "), kind=kind)
    if typed.split(" ")[0].lstrip("-") in dict(options_of(kind)):
        assert lines == []
        return
    (line,) = lines
    assert line.startswith(f"{typed} has no effect: ")


def test_of_two_values_the_last_is_named():
    (line,) = said("--exp.keyframes", "0", "--exp.keyframes", "0", "10")
    assert line.startswith("--exp.keyframes 0 10 has no effect: ")


@pytest.mark.parametrize("name", REMOVED)
@pytest.mark.parametrize("kind", [MonocularTrackConfig, NersembleTrackConfig])
def test_a_removed_option_is_taken_in_every_spelling(kind, name):
    group, dot, last = name.rpartition(".")
    off = f"{group}{dot}no_{last}"
    for spelt in (name, off, name.replace("_", "-"), off.replace("_", "-"), f"no-{name}"):
        for words in ([f"--{spelt}"], [f"--{spelt}", "3"], [f"--{spelt}=3"]):
            kept, (line,) = translated([*SCRIPTS[kind], *words], kind)
            assert kept == SCRIPTS[kind]
            assert line == f"{' '.join(words).replace('=', ' ')} has no effect: {REMOVED[name]}"


def test_no_script_has_an_option_that_was_removed():
    for kind in SCRIPTS:
        assert not REMOVED.keys() & dict(options_of(kind)).keys()
    for name in ELSEWHERE:
        assert [kind for kind in SCRIPTS if name in dict(options_of(kind))]
        assert [kind for kind in SCRIPTS if name not in dict(options_of(kind))]


def test_what_does_the_job_is_an_option_that_is_there():
    known = {name for kind in SCRIPTS for name, _ in options_of(kind)}
    named = {name for line in (*REMOVED.values(), *ELSEWHERE.values()) for name in re.findall(r"--([\w.]+)", line)}
    assert named
    assert named <= known


@pytest.mark.parametrize(
    ("typed", "group", "name", "value"),
    [
        ("--w.photo None", "w", "photo", 0),
        ("--w.landmark None", "w", "landmark", 0),
        ("--w.silhouette=None", "w", "silhouette", 0),
        ("--w.reg-offset None", "w", "reg_offset", 0),
        ("--log.interval_media None", "log", "interval_media", 0),
        ("--data.scale_factor None", "data", "scale_factor", 1),
        ("--model.occluded None", "model", "occluded", ()),
        ("--render.lighting_type front", "render", "lighting_type", "constant"),
        ("--render.lighting_type front-range", "render", "lighting_type", "constant"),
        ("--render.backend pytorch3d", "render", "backend", "auto"),
        ("--data.no_use_landmark", "w", "landmark", 0),
        ("--data.use_landmark False", "w", "landmark", 0),
    ],
)
@pytest.mark.parametrize("kind", [MonocularTrackConfig, NersembleTrackConfig])
def test_what_is_mapped_is_said(kind, typed, group, name, value):
    words = typed.replace("=", " ").split(" ") if "front" in typed else typed.split(" ")
    config, lines = cli.parse_with_lines(kind, None, [*SCRIPTS[kind], *words])
    assert getattr(getattr(config, group), name) == value
    (line,) = lines
    assert " is taken as " in line
    assert line.startswith(words[0].partition("=")[0])


@pytest.mark.parametrize("kind", SCRIPTS)
def test_the_batch_size_without_a_value_is_the_default_of_the_script(kind):
    usual = cli.parse(kind, None, SCRIPTS[kind]).batch_size
    config, (line,) = cli.parse_with_lines(kind, None, [*SCRIPTS[kind], "--batch_size", "None"])
    assert config.batch_size == usual
    assert line == f"--batch_size None is taken as the default, {usual}"


@pytest.mark.parametrize(
    ("kind", "required", "typed", "name", "value"),
    [
        (PreprocessConfig, ["--input", "v.mp4"], "--matting_method None", "matting_method", "none"),
        (PreprocessConfig, ["--input", "v.mp4"], "--matting-method None", "matting_method", "none"),
        (PreprocessConfig, ["--input", "v.mp4"], "--downsample_scales None", "downsample_scales", ()),
        (ExportConfig, EXPORT, "--scale_factor None", "scale_factor", 1),
        (ExportConfig, EXPORT, "--background-color None", "background_color", "white"),
        (ExportConfig, EXPORT, "--subset None", "subset", None),
        (CombineConfig, COMBINE, "--division_mode None", "division_mode", "none"),
    ],
)
def test_none_in_the_other_commands(kind, required, typed, name, value):
    config, lines = cli.parse_with_lines(kind, None, [*required, *typed.split(" ")])
    assert getattr(config, name) == value
    assert lines == [] if value is None else lines[0].startswith(f"{typed} is taken as ")


@pytest.mark.skipif(importlib.util.find_spec("nvdiffrast") is not None, reason="nvdiffrast is installed")
def test_a_renderer_that_is_not_installed_gives_way():
    (line,) = said("--render.backend", "nvdiffrast")
    assert line == "--render.backend nvdiffrast is taken as --render.backend auto: nvdiffrast is not installed"


@pytest.mark.parametrize(
    "typed",
    [
        "--model.no_use_static_offset",
        "--model.no-use-static-offset",
        "--no-model.use_static_offset",
        "--no_model.use_static_offset",
        "--model.use_static_offset False",
        "--model.use_static_offset=False",
    ],
)
def test_every_spelling_of_a_switch_that_is_off(typed):
    config, lines = cli.parse_with_lines(MonocularTrackConfig, None, [*PLACE, *typed.split(" ")])
    assert not config.model.use_static_offset
    assert lines == []


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("--model.no-fix-offset", False),
        ("--no-model.fix_offset", False),
        ("--model.fix_offset", True),
        ("--model.fix_offset false", False),
        ("--model.fix-offset=True", True),
        ("--model.fix_offset None", None),
    ],
)
def test_a_switch_that_may_be_none_has_the_spellings_of_others(typed, value):
    config, lines = cli.parse_with_lines(MonocularTrackConfig, None, [*PLACE, *typed.split(" ")])
    assert config.model.fix_offset is value
    assert lines == []


def test_the_output_folder_has_a_default():
    assert cli.parse(MonocularTrackConfig, None, PLACE).exp.output_folder == Path("output/track")


def test_empty_values_are_named():
    with pytest.raises(InputError, match=r"a value for --data.sequence, found an empty one"):
        cli.parse(MonocularTrackConfig, None, ["--data.root_folder", "root", "--data.sequence", ""])


def test_options_that_nobody_knows_are_refused_still(capsys):
    for words in (["--data.horse", "1"], ["--async_funk"], ["--w.photo", "nothing"]):
        with pytest.raises(SystemExit):
            cli.parse(MonocularTrackConfig, None, [*PLACE, *words])
        assert words[0].lstrip("-") in capsys.readouterr().err.replace("-", "_") or "photo" in words[0]
