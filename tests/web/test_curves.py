"""Curves as SVG: scales, gaps, thinning."""

import json
import math
import re
from html import unescape

import pytest

from kgen.web.curves import Line, Panel, figure, fit, label, thin


def told(html: str) -> dict:
    """The numbers that a pointer shows."""
    return json.loads(unescape(re.search(r'data-curve="([^"]*)"', html)[1]))


def ends(html: str) -> list[float]:
    """The values at the ends of the vertical axis."""
    return told(html)["up"][:2]


def paths(html: str) -> list[str]:
    """The curves, not rules and dots."""
    return re.findall(r'<g class="line-\d"><path d="([^"]*)"', html)


def test_places_on_the_axes():
    scale = fit([2.0, 6.0], 100, 200)
    assert [scale(2), scale(4), scale(6)] == [100, 150, 200]
    falling = fit([0.0, 10.0], 200, 0, margin=0.1)  # one unit is free at either end: 12 units are 200
    assert falling(-1) == 200 and falling(11) == 0 and falling(5) == pytest.approx(100)


def test_a_span_of_more_than_three_decades_is_logarithmic():
    assert not fit([1, 900], 0, 1, may_log=True).log and not fit([0, 1e6], 0, 1, may_log=True).log
    scale = fit([1, 1e4], 0, 400, may_log=True)
    assert scale.log and scale(100) == pytest.approx(200) and scale.ticks(5) == [1, 10, 100, 1000, 10000]
    html = figure(Panel("loss", [Line("train", [(1, 1.0), (2, 1e5)])]))
    assert "Logarithmic scale." in html and ">100000<" in html


@pytest.mark.parametrize(
    ("values", "whole", "ticks"),
    [
        ([0, 10], False, [0, 2, 4, 6, 8, 10]),
        ([1, 45], True, [10, 20, 30, 40]),
        ([1, 3], True, [1, 2, 3]),
        ([0.011, 0.019], False, [0.012, 0.014, 0.016, 0.018]),
    ],
)
def test_marks_are_round(values, whole, ticks):
    assert fit(values, 0, 1).ticks(5, whole=whole) == pytest.approx(ticks)
    assert label(0.1 + 0.2) == "0.3" and label(1e-5) == "1e-5" and label(0) == "0"


def test_one_point_and_equal_values_are_drawn():
    html = figure(Panel("loss", [Line("train", [(1, 5.0)])]))
    assert 'class="dots"' in html and "nan" not in html
    assert told(html)["lines"][0] == {"name": "train", "color": 0, "x": [1], "y": [5]}
    assert "nan" not in figure(Panel("loss", [Line("train", [(1, 0.0), (2, 0.0)])]))


def test_rounding_is_drawn_as_a_constant():
    html = figure(Panel("loss", [Line("train", [(1, 300.0), (2, 300.001)])]))
    assert ends(html) == [150, 450.001] and ">300<" in html
    low, high = ends(figure(Panel("loss", [Line("train", [(1, 300.0), (2, 300.1)])])))
    assert low > 299.9 and high < 300.2
    low, high = ends(figure(Panel("recall", [Line("train", [(1, 0.0), (2, 0.0)])])))
    assert -0.1 < low <= 0 and high == 1


def test_units_whole_shares_and_what_to_compare_with():
    lines = [Line("train", [(1, 0.1), (2, 0.2)], 0), Line("test", [(1, 0.1)], 2)]
    html = figure(Panel("D", lines, unit="nats <b>", balance=(1.386, "balance: log 4")))
    assert ">nats &lt;b&gt;</text>" in html and ">epoch</text>" in html and ends(html)[1] > 1.386
    assert re.search('<path class="balance" d="M52 [0-9.]+H390"/>', html) and 'class="curve several"' in html
    assert '<span class="key balance">balance: log 4</span>' in html and "; balance: log 4. Arrow keys" in html
    assert ends(figure(Panel("alive", lines[:1], share=True))) == [-0.04, 1.04]
    assert ends(figure(Panel("alive", [Line("a", [(1, 1.5), (2, 2.5)])], share=True)))[0] > 1


def test_what_is_not_finite_is_a_gap():
    points = [(1, 1.0), (2, 2.0), (3, math.nan), (4, 3.0), (5, math.inf), (6, 1.0), (7, 2.0)]
    html = figure(Panel("loss", [Line("train", points)]))
    assert told(html)["lines"][0]["y"] == [1, 2, None, 3, None, 1, 2]
    (path,) = paths(html)
    assert re.sub(r"[^ML]", "", path) == "MLMML"
    assert "No finite value" in figure(Panel("loss", [Line("train", [(1, math.nan)])]))
    assert "No finite value" in figure(Panel("loss", [Line("train", [])]))


def test_thinning_keeps_ends_extremes_and_gaps():
    points = [(x, math.sin(x / 100)) for x in range(10_000)]
    points[4321] = (4321, 77.0)
    points[1234] = (1234, -77.0)
    points[7777] = (7777, math.nan)
    kept = thin(points)
    assert len(kept) <= 500 and kept == sorted(kept)
    assert {points[0], points[-1], points[4321], points[1234]} <= {*kept}
    assert any(x == 7777 for x, _ in kept)
    assert thin(points[:500]) == points[:500]


def test_names_are_escaped():
    html = figure(Panel("</script><b>", [Line('"><i>', [(1, 1.0)]), Line("other", [(1, 2.0)])], note="<u>"))
    assert not re.search(r"<(i|u|/script)>|<b><", html)
    assert told(html)["lines"][0]["name"] == '"><i>'


def test_the_best_point_is_marked():
    html = figure(Panel("fid", [Line("fid", [(1, 2.0), (2, 1.0)], best=(2, 1.0))]))
    assert 'class="best" cx="390.0"' in html and "best 1" in html
