import pytest
import torch
from landmark_speed import main

from vhap.util.threads import get_threads, set_threads


@pytest.fixture(autouse=True)
def _threads_stay():
    before = torch.get_num_threads(), get_threads()
    yield
    torch.set_num_threads(before[0])
    set_threads(before[1])


def rows_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]


def test_the_table_has_times_errors_and_the_same_bits_for_any_number_of_threads(capsys):
    found = []
    for threads in ("1", "2"):
        main(["--heads", "builtin", "--frames", "20", "--threads", threads])
        header, row = rows_of(capsys.readouterr().out)
        found.append(dict(zip(header, row)))
    assert found[0]["points"] == "478"
    assert float(found[0]["face, mm"]) < 3
    assert float(found[0]["frames a second"]) > 0
    assert found[0]["checksum"] == found[1]["checksum"]
