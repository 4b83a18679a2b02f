from eyes_and_mouth import COLUMNS, table_rows


def test_rows_hold_each_seed_and_the_mean_of_what_was_measured():
    names = [name for name, _ in COLUMNS.values()]
    first = dict.fromkeys(names, 0.02) | {"closed_lid_gap": None, "teeth_outside_mm": None}
    second = dict.fromkeys(names, 0.04) | {"teeth_outside_mm": None}
    rows = table_rows("builtin", "noisy478", (3, 4), [first, second])
    assert [row[:3] for row in rows] == [["builtin", "noisy478", seed] for seed in ("3", "4", "mean")]
    cells = dict(zip(COLUMNS, rows[-1][3:]))
    assert cells["lid gap error"] == "0.030"
    assert cells["gap of closed lids"] == "0.040"
    assert cells["gaze error, degrees"] == "0.03"
    assert cells["teeth outside, mm"] == "-"
