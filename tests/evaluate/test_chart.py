"""Charts: lines stand where their values are, gaps are gaps, the worst are named."""

import math
import re

import pytest

from vhap.evaluate.chart import MOST_POINTS, MOST_TICKS, Chart, _Scale, chart_html, ticks_between

NAN = math.nan


def points(text: str) -> list[list[tuple[float, float]]]:
    """Points of every unbroken line, of all curves."""
    lines = [part for path in re.findall(r' d="([^"]*)"', text) for part in path.split("M") if part]
    return [[tuple(map(float, point.split())) for point in line.replace("h0", "").split("L")] for line in lines]


def test_lines_break_at_gaps_and_span_the_chart():
    first, second = points(chart_html(Chart("a", {"a": [0.0, 1.0, NAN, 3.0, 2.0]})))
    assert [x for x, _ in first + second] == [0, 250, 750, 1000]
    heights = [100 - y for _, y in first + second]
    assert all(0 < height < 100 for height in heights)
    low, high = heights[0], heights[2]
    assert heights == pytest.approx([low, low + (high - low) / 3, high, low + 2 * (high - low) / 3], abs=0.02)


def test_x_places_points_by_value():
    (line,) = points(chart_html(Chart("a", {"a": [1.0, 2.0, 3.0]}, x=[1, 2, 5])))
    assert [x for x, _ in line] == [0, 250, 1000]


def test_logarithmic_charts_have_equal_steps_for_equal_ratios_and_leave_out_zero():
    text = chart_html(Chart("a", {"a": [100.0, 10.0, 0.0, 1.0, -5.0]}, log=True))
    heights = [y for line in points(text) for _, y in line]
    assert len(heights) == 3
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.02)
    assert re.findall(r"%\">([^<]*)</span>", text) == ["1", "3", "10", "30", "100"]


@pytest.mark.parametrize("values", [[5.0], [0.0, 0.0], [-3.0, -3.0], [1e-9, 2e-9]])
def test_constant_and_tiny_values_have_a_place(values):
    (line,) = points(chart_html(Chart("a", {"a": values})))
    assert len(line) == len(values)
    assert all(0 <= y <= 100 for _, y in line)


def test_nothing_to_show_is_nothing():
    assert chart_html(Chart("a", {"a": [NAN, math.inf]})) == ""
    assert chart_html(Chart("a", {"a": [0.0, -1.0]}, log=True)) == ""
    assert chart_html(Chart("a", {})) == ""


@pytest.mark.parametrize(
    "scale",
    [
        _Scale(0, 1),
        _Scale(-3.3, 77),
        _Scale(1e-7, 3e-7),
        _Scale(0.9, 1.1, log=True),
        _Scale(1e-5, 3e4, log=True),
        _Scale(2, 30, log=True),
    ],
)
def test_ticks_are_few_ascending_and_inside(scale):
    ticks = ticks_between(scale)
    assert 1 <= len(ticks) <= MOST_TICKS
    assert ticks == sorted(set(ticks))
    assert scale.low <= ticks[0] <= ticks[-1] <= scale.high


def test_the_worst_are_named_and_lead_to_their_frame():
    text = chart_html(
        Chart("a", {"a": [1.0, 9.0, 5.0]}, marked={"a": [1, 2]}, names=["000", "0<1", "002"], frames=True)
    )
    links = re.findall(r'href="#frame=(\d+)"', text)
    assert links == ["1", "2", "1", "2"]
    assert "worst: " in text
    assert text.index("0&lt;1") < text.index("002")
    assert "(9)" in text
    assert "0<1" not in text


def test_long_curves_are_thinned_and_keep_what_is_marked():
    values = [0.0] * (10 * MOST_POINTS)
    values[777] = 1.0
    (line,) = points(chart_html(Chart("a", {"a": values}, marked={"a": [777]})))
    assert MOST_POINTS <= len(line) <= MOST_POINTS + 1
    assert min(y for _, y in line) < 10
