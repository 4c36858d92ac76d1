from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from medfl.publish import curves, figures
from medfl.publish.drawing import COLOURS, apart, look
from medfl.publish.pictures import plates
from medfl.publish.pictures_of_parts import pictures
from medfl.publish.plots import line_panel, roc_curve
from medfl.publish.plots_by_site import forest_plot
from medfl.publish.ways import ALONE, CENTRALISED, Mark
from medfl.store.comparison import Estimate
from medfl.store.views import ExecutionView


def test_the_same_figure_is_the_same_text(trial: ExecutionView) -> None:
    first, second = (plates(trial, "auc") for _ in range(2))
    assert [plate.drawings for plate in first.values()] == [plate.drawings for plate in second.values()]


def test_text_stays_text_in_the_type_of_the_page(demo: ExecutionView) -> None:
    drawing = roc_curve(curves.rocs(demo)[0], name="roc-0")
    assert ">Sensitivity</text>" in drawing
    assert ">federated</text>" in drawing
    assert "font-family" not in drawing


def test_a_drawing_refers_to_nothing_outside_itself(trial: ExecutionView) -> None:
    for plate in plates(trial, "auc").values():
        for drawing in plate.drawings:
            assert not re.search(r"https?:|url\((?!#)|href=\"(?!#)|<style|<!DOCTYPE|<\?xml|<metadata", drawing)
            ids = re.findall(r' id="([^"]+)"', drawing)
            assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', drawing)) == set(ids)


def test_no_id_is_used_twice_in_a_page(trial: ExecutionView) -> None:
    drawings = [drawing for plate in plates(trial, "auc").values() for drawing in plate.drawings]
    ids = [found for drawing in drawings for found in re.findall(r' id="([^"]+)"', drawing)]
    assert len(ids) == len(set(ids))


def test_every_colour_follows_the_page(trial: ExecutionView) -> None:
    known = set(COLOURS.values())
    for plate in plates(trial, "auc").values():
        for drawing in plate.drawings:
            assert set(re.findall(r"#[0-9a-f]{6}\b", drawing)) <= known
            assert not re.search(r"(?<!, )#[0-9a-f]{6}\b", drawing)


def test_a_drawing_says_in_words_what_it_shows(demo: ExecutionView) -> None:
    panel = figures.course(demo, "auc")[0]
    drawing = line_panel(panel, name="course-0")
    assert 'role="img"' in drawing
    assert f"all sites ends at {panel.lines[-1].y[-1]:.3f}" in drawing


def test_names_of_sites_cannot_become_markup() -> None:
    estimate = Estimate(0.8, None, None, 1, "single value")
    row = figures.ForestRow(site="<b>&\"'", test_rows=3, estimates=((ALONE, estimate),))
    view = figures.Forest(metric="auc", rows=(row,), pooled=replace(row, site=""))
    drawing = forest_plot(view, name="forest")
    assert "&lt;b&gt;&amp;" in drawing
    assert "<b>" not in drawing


def test_mathematical_marks_in_a_name_are_taken_as_they_are() -> None:
    line = figures.Line(mark=Mark("x", "arm"), name="$\\frac", x=(0.0, 1.0), y=(0.1, 0.2))
    assert "$\\frac" in line_panel(figures.Panel(title="a $ b", lines=(line,)), name="p")


def test_ways_of_learning_differ_without_colour() -> None:
    marks = [ALONE, CENTRALISED, *(Mark(f"arm {place}", "arm", place) for place in range(12))]
    told_by_shape = {(look(mark).marker, look(mark).fill, str(look(mark).dash)) for mark in marks[:8]}
    assert len(told_by_shape) == 8
    assert len({(look(mark).marker, look(mark).colour) for mark in marks}) == len(marks)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_labels_are_moved_apart_in_their_order(places: list[float]) -> None:
    moved = apart(places, gap=0.05, low=0.0, high=1.0)
    order = sorted(range(len(places)), key=lambda index: places[index])
    steps = [moved[after] - moved[before] for before, after in pairwise(order)]
    assert all(step >= 0.05 - 1e-9 for step in steps)
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in moved)


def test_labels_that_are_far_from_each_other_stay() -> None:
    assert apart([0.8, 0.1], gap=0.05, low=0.0, high=1.0) == [0.8, 0.1]


def test_matplotlib_is_imported_only_to_draw_and_keeps_its_settings() -> None:
    code = (
        "import sys, medfl.publish.report, medfl.publish.terminal, medfl.publish.model_card, medfl.publish.pictures\n"
        "print('matplotlib' in sys.modules)\n"
        "from matplotlib import rcParams\n"
        "kept = lambda: {name: rcParams[name] for name in rcParams if name != 'backend'}\n"
        "before = kept()\n"
        "from medfl.publish.drawing import sheet, svg\n"
        "with sheet(1, 1) as figure: svg(figure, name='a', description='')\n"
        "print(kept() == before, 'matplotlib.pyplot' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]


def test_a_figure_taken_out_of_the_page_is_whole(trial: ExecutionView) -> None:
    for name, picture in pictures(trial, "auc").items():
        file = picture.draw(name=name).file
        root = ElementTree.fromstring(file)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.attrib["width"].endswith("pt")
        assert "var(" not in file
        assert root[0].attrib["fill"] == "#ffffff"


def test_a_figure_is_a_picture_too_the_same_each_time(demo: ExecutionView) -> None:
    picture = pictures(demo, "auc")["decision"]
    first, second = (picture.draw(name="decision").png(dpi=60) for _ in range(2))
    assert first.startswith(b"\x89PNG\r\n")
    assert first == second
