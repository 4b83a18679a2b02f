"""What follows tracking decodes each picture once and renders the head once in it, whoever takes part."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from vhap import api
from vhap.config.data import DataConfig
from vhap.config.evaluate import EvaluateConfig
from vhap.config.report import ReportConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import ExperimentConfig, ModelConfig, PipelineConfig, TrackConfig
from vhap.data.monocular import MonocularCapture
from vhap.evaluate.frame_pass import RenderedFrame, pass_over
from vhap.evaluate.run_scene import RunScene
from vhap.pipeline import evaluate_tracking, report
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.pipeline.open_run import open_run
from vhap.pipeline.page_frames import SliderPanels
from vhap.util.errors import InputError

FRAMES, SIZE = 10, 96
FILES = ("evaluation.json", "report.html", "overlay.mp4")


class Counts:
    """Decoded pictures by capture and timestep, and renderings by row, since the page was begun."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.decoded: Counter[tuple[int, int]] = Counter()
        self.before: Counter[tuple[int, int]] = Counter()
        self.rendered = 0
        self.captures: list[MonocularCapture] = []
        read, render, page = MonocularCapture._read_frame, RunScene.render_heads, report.run

        def counted_read(capture: MonocularCapture, timestep: int):
            if capture not in self.captures:
                self.captures.append(capture)
            self.decoded[self.captures.index(capture), timestep] += 1
            return read(capture, timestep)

        def counted_render(scene: RunScene, vertices, *arguments):
            self.rendered += len(vertices)
            return render(scene, vertices, *arguments)

        def page_alone(config: ReportConfig) -> Path:
            self.before, self.rendered = self.decoded, 0
            self.decoded = Counter()
            return page(config)

        patch.setattr(MonocularCapture, "_read_frame", counted_read)
        patch.setattr(RunScene, "render_heads", counted_render)
        patch.setattr(report, "run", page_alone)


def quick(capture: Path, output: Path) -> TrackConfig:
    """Landmarks alone, a step a stage."""
    plan = PipelineConfig()
    counts = {f.name: {"num_epochs": 1} if "global" in f.name else {"num_steps": 1} for f in fields(plan)}
    return TrackConfig(
        data=DataConfig(capture.parent, capture.name, landmark_source="face-alignment"),
        exp=ExperimentConfig(output, photometric=False),
        model=ModelConfig(head="builtin"),
        pipeline=replace(plan, **{name: replace(getattr(plan, name), **c) for name, c in counts.items()}),
        device="cpu",
    )


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("root") / "clip"
    settings = SyntheticConfig(
        output, frames=FRAMES, size=SIZE, image_format="png", landmark_source="face-alignment", supersampling=1
    )
    return make_capture(settings)


@pytest.fixture(scope="module")
def tracked(capture, tmp_path_factory) -> tuple[Path, Counts]:
    with pytest.MonkeyPatch.context() as patch:
        counts = Counts(patch)
        folder = api.track(quick(capture, tmp_path_factory.mktemp("output")))
    return folder, counts


def test_after_tracking_each_picture_is_decoded_once_and_the_head_rendered_once(tracked):
    folder, counts = tracked
    assert all((folder / name).is_file() for name in FILES)
    assert sorted(timestep for _, timestep in counts.decoded) == list(range(FRAMES))
    assert set(counts.decoded.values()) == {1}
    assert counts.rendered == FRAMES


def test_before_that_the_check_of_pictures_and_tracking_decode_each_once(tracked):
    _, counts = tracked
    assert set(counts.before.values()) == {1}
    assert len(counts.before) <= 2 * FRAMES


def test_evaluation_and_page_alone_are_the_same_to_the_byte(tracked):
    folder, _ = tracked
    together = {name: (folder / name).read_bytes() for name in FILES}
    for name in FILES:
        (folder / name).unlink()
    evaluate_tracking.run(EvaluateConfig(folder))
    report.run(ReportConfig(folder))
    assert {name: (folder / name).read_bytes() for name in FILES} == together


class Order:
    """Remembers what it was given; frames only by their number."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def look(self, frame: RenderedFrame) -> int:
        return int(frame.picture.rgb.astype(int).sum())

    def add(self, frame: RenderedFrame, seen: int) -> None:
        assert seen == frame.scene.frame(frame.row).rgb.astype(int).sum()
        self.said.append((frame.row, frame.view))

    def end_row(self, row: int) -> None:
        self.said.append(row)


def test_a_pass_gives_rows_in_order_and_only_those_that_are_wanted(tracked):
    order = Order()
    pass_over(open_run(tracked[0]), [order], None, rows=[1, 7, 3])
    assert order.said == [(1, 0), 1, (7, 0), 7, (3, 0), 3]


def test_a_picture_that_cannot_be_read_ends_the_pass_with_its_name(tracked, capture):
    scene, order = open_run(tracked[0]), Order()
    assert isinstance(scene.capture, MonocularCapture)
    path = scene.capture.image_paths[4]
    kept = path.read_bytes()
    try:
        path.write_bytes(b"")
        with pytest.raises(InputError, match=path.name):
            pass_over(scene, [order], None)
    finally:
        path.write_bytes(kept)
    assert not {(row, 0) for row in range(4, FRAMES)} & set(order.said)


def test_a_scene_without_consumers_that_want_a_rendering_renders_nothing(tracked, monkeypatch):
    monkeypatch.setattr(RunScene, "render_heads", None)
    pass_over(open_run(tracked[0]), [Order()], None)


@pytest.mark.parametrize(("count", "most"), [(100, 24), (30, 24), (25, 5), (9, 3), (5, 24)])
def test_the_slider_holds_the_worst_frames_whatever_their_order(count, most):
    values = np.random.default_rng(count).normal(size=(2, count)).round(1)
    values[0, 2] = np.nan
    landmarks, face = values.tolist()
    slider = SliderPanels(count, most, lambda row: {"landmark_nme_percent": landmarks[row], "psnr_face_db": face[row]})
    drawn = 0
    for row in range(count):
        if names := slider.names(row):
            drawn += 1
            slider.add(row, {name: np.full((2, 2, 3), row, np.uint8) for name in names})
        assert len(slider.kept) <= 6
    shown = list(slider.tiles())
    assert shown == sorted(shown)
    assert len(shown) <= most
    places = min(3, -(-count // 4), most // 4) if count > most else 0
    by_landmarks = sorted((row for row in range(count) if row != 2), key=lambda row: -landmarks[row])
    by_face = sorted(range(count), key=face.__getitem__)
    assert {*by_landmarks[:places], *by_face[:places]} <= set(shown)
    assert len(shown) >= min(count, most - 2 * places)
