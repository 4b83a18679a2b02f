"""The page as a browser shows it: no errors, every picture decodes, slider, keys, links and narrow screens work."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from vhap.evaluate.chart import Chart
from vhap.evaluate.jpeg import encode_jpeg
from vhap.evaluate.page import PageFrame, Report, render_page

NUMBERS = (0, 4, 9)
STATE = """
const state = async () => {
  const images = [...document.querySelectorAll('#frames img')];
  await Promise.all(images.map(image => image.decode()));
  return [document.querySelector('#frames output').textContent, images.map(image => image.naturalWidth)];
};
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    frames = [
        PageFrame(
            number,
            f"caption {number}",
            {
                label: encode_jpeg(np.zeros((8, 10 + number + k, 3), np.uint8))
                for k, label in enumerate(("input", "error"))
            },
        )
        for number in NUMBERS
    ]
    errors = Chart("errors", {"errors": [float(k) for k in range(10)]}, marked={"errors": [9]}, frames=True)
    report = Report(
        "A title " + "of_one_long_word" * 20,
        metrics={"a_metric_with_a_very_long_name": 1.5},
        settings={"a_setting_with_a_long_name": "value" * 40},
        stage_seconds={"rgb_sequential_tracking": 2.0},
        frames=frames,
        tables={"Cameras": {f"a_column_{k}_with_a_long_name": ["222200037", 31.25] for k in range(6)}},
        charts={"Errors": [errors, Chart("losses", {"total": [1.0, 0.1]}, log=True)]},
    )
    path = tmp_path / "report.html"
    path.write_text(render_page(report), encoding="utf-8")
    return path


def shown(number: int) -> list:
    return [f"caption {number}", [10 + number, 11 + number]]


def test_the_file_needs_no_server(browser, page, tmp_path):
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    address = page.as_uri() + "#frame=4"
    done = subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, timeout=120, check=True)
    assert "<output>caption 4</output>" in done.stdout


def test_the_first_frame_is_shown_and_its_pictures_decode(in_browser, page):
    assert in_browser(page, STATE + "return state();") == shown(0)


@pytest.mark.parametrize(("asked", "number"), [("#frame=4", 4), ("#frame=8", 9), ("#frame=1000", 9), ("#other", 0)])
def test_the_address_chooses_the_nearest_frame(in_browser, page, asked, number):
    assert in_browser(page, STATE + "return state();", asked) == shown(number)


def test_slider_keys_links_and_charts_change_the_frame(in_browser, page):
    script = """
    const slider = document.querySelector('#frames input'), seen = [];
    const press = key => document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
    slider.value = 1; slider.dispatchEvent(new Event('input')); seen.push(await state());
    press('ArrowRight'); seen.push(await state());
    press('ArrowRight'); seen.push(await state());
    press('ArrowLeft'); seen.push(await state());
    press('x'); seen.push(await state());
    document.querySelector('.below a').click(); seen.push(await state());
    const plot = document.querySelector('.plot[data-last]'), bounds = plot.getBoundingClientRect();
    const clientX = bounds.left + 0.4 * bounds.width;
    plot.dispatchEvent(new MouseEvent('click', { clientX, bubbles: true })); seen.push(await state());
    seen.push(document.querySelector('.cursor').style.left, slider.value);
    return seen;
    """
    *states, cursor, value = in_browser(page, STATE + script)
    assert states == [shown(number) for number in (4, 9, 9, 4, 4, 9, 4)]
    assert float(cursor.rstrip("%")) == pytest.approx(100 * 4 / 9, abs=0.01)
    assert value == "1"


def test_a_click_enlarges_a_picture(in_browser, page):
    script = """
    const tile = document.querySelector('.tile'), widths = [tile.clientWidth];
    for (let k = 0; k < 2; k++) { tile.click(); widths.push(tile.clientWidth); }
    return widths;
    """
    before, large, after = in_browser(page, script)
    assert large > 2 * before
    assert after == before


@pytest.mark.parametrize("width", [320, 390, 700, 1200])
def test_no_sideways_scrolling(in_browser, page, width):
    script = f"""
    const frame = document.createElement('iframe');
    frame.style.width = '{width}px';
    frame.srcdoc = document.documentElement.outerHTML.replace(/<script(?! type)[^]*?<\\/script>/g, '');
    document.body.append(frame);
    await new Promise(resolve => frame.addEventListener('load', resolve));
    return [frame.contentDocument.documentElement.scrollWidth, frame.clientWidth];
    """
    wide, window = in_browser(page, script)
    assert window <= width
    assert wide <= window
