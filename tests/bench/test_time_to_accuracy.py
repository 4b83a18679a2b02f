import math
import xml.etree.ElementTree as ET

import pytest
from common import FilmOptions, face_error_mm, film_data, make_film, prepared_run, result_of, run_config
from curve_plot import Line, plot_svg, ticks
from error_curve import Curve, Sample, truth_of
from first_order_tracker import FIFTY
from time_to_accuracy import ENGINE, LANDMARKS, cut_short, ends_table, main, plot_of, ratios_table

from vhap.head.model import pose
from vhap.pipeline.open_run import scene_of
from vhap.util.threads import get_threads, set_threads


@pytest.fixture(autouse=True)
def _threads_stay():
    before = get_threads()
    yield
    set_threads(before)


def curve(name: str, *samples: tuple[float, float], finished: bool = True) -> Curve:
    return Curve(name, [Sample(t, 2 * t, "s", error, error) for t, error in samples], finished)


ENGINE_CURVE = curve(ENGINE, (1, 2.0), (2, 0.9), (3, 1.1), (4, 0.8), (5, 0.7))
ALONE = curve(LANDMARKS, (1, 2.0))


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def test_ratio_is_of_the_times_from_which_errors_stay_there():
    slow = curve("slow", (1, 0.5), (10, 3.0), (80, 1.01), (100, 1.0))
    rows = cells(ratios_table([ENGINE_CURVE, ALONE, slow]))
    assert len(rows) == 4
    assert rows[0] == ["slow", "its own face, 1.000 mm", "80.0", "4.0", "20.0", "20.0"]
    assert rows[1] == ["slow", "this engine's face, 0.700 mm", "not reached in 100", "5.0", "-", "-"]


def test_a_cut_schedule_is_named_and_nothing_is_guessed():
    slow = curve("slow", (10, 3.0), (20, 2.5), finished=False)
    rows = cells(ratios_table([ENGINE_CURVE, ALONE, slow]))
    assert rows[0][0] == "slow (cut at 20 s)"
    assert rows[0][2:4] == ["20.0", "1.0"]
    assert "| slow (cut at 20 s) | 2.500 |" in ends_table([ENGINE_CURVE, slow])


def test_an_engine_that_ends_above_has_no_ratio():
    rows = cells(ratios_table([ENGINE_CURVE, curve("better", (50, 0.1))]))
    assert rows[0][2:] == ["50.0", "not reached in 5", "-", "-"]


def test_plot_is_xml_with_a_path_for_each_run():
    slow = curve("a < b", (10, 3.0), (80, 1.0), (90, math.nan))
    root = ET.fromstring(plot_of([ENGINE_CURVE, slow], "face_mm", "film"))
    space = "{http://www.w3.org/2000/svg}"
    colours = [path.get("stroke") for path in root.iter(f"{space}path") if path.get("stroke-width") == "2"]
    assert len(set(colours)) == 2
    assert "a < b" in [text.text for text in root.iter(f"{space}text")]


def test_plot_of_nothing_is_refused():
    with pytest.raises(ValueError, match="one point"):
        plot_svg("t", "x", "y", [Line("a", [])])


@pytest.mark.parametrize(("low", "high"), [(0.3, 700), (1, 1e6), (0.5, 0.9)])
def test_ticks_are_round_and_inside(low, high):
    found = ticks(low, high)
    assert 1 <= len(found) <= 8
    assert all(low <= value <= high for value in found)


def test_cut_short_keeps_the_batch():
    assert cut_short(FIFTY, None) == FIFTY
    short = cut_short(FIFTY, 2)
    assert (short.batch, short.init_steps, short.frame_steps, short.epochs) == (16, 2, 2, 2)


def test_errors_are_those_of_an_evaluation(tmp_path):
    options = FilmOptions(tmp_path, frames=2, size=64)
    film = make_film(options, 0)
    run = prepared_run(run_config(options, film_data(options, film, "noisy68"), "run"))
    params = run.tracker().params
    result = result_of(run.config, run.head, run.capture, params)
    scene = scene_of(tmp_path / "tracked_flame_params_0.npz", 0, run.config, run.head, run.capture, result)
    face, _ = truth_of(film, run.head).errors_mm(pose(run.head, params.head()))
    assert face == pytest.approx(face_error_mm(scene, film), rel=1e-4)


def test_program_runs_everything_on_a_tiny_film(tmp_path, capsys):
    main(["--output", str(tmp_path), "--frames", "2", "--size", "64", "--steps", "1", "--schedules", "310"])
    out = capsys.readouterr().out
    for name in (ENGINE, LANDMARKS, "Adam, 310 steps a frame"):
        assert f"| {name} | " in out
    stages = [
        line.split(",")[1]
        for line in (tmp_path / "errors.csv").read_text().splitlines()
        if line.startswith(f'"{ENGINE}"')
    ]
    assert stages[0] == "first_guess"
    assert "rgb_global_tracking" in stages
    assert (tmp_path / "errors_face.svg").is_file()
    assert (tmp_path / "errors_head.svg").is_file()
