"""The layout keeps its promise: boxes apart, arrows over no box, for any graph."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.graph.plan_world import HEAD, plan_of_text
from zoo.draw import Drawing, Edge, Node, drawing, mermaid, svg
from zoo.draw.layout import Layout, lay_out


@st.composite
def drawings(draw: st.DrawFn) -> Drawing:
    count = draw(st.integers(2, 14))
    nodes = []
    for number in range(count):
        lines = draw(st.integers(1, 3))
        kind = draw(st.sampled_from(["module", "function", "parameter"])) if number else "input"
        nodes.append(Node(f"n{number}", kind, "x" * draw(st.integers(1, 30)), *["y" * 5] * (lines - 1)))
    edges = []
    for target in range(1, count):
        for _ in range(draw(st.integers(1, 3))):
            edges.append(Edge(f"n{draw(st.integers(0, target - 1))}", f"n{target}"))
    return Drawing("any", tuple(nodes), tuple(edges))


def touching_boxes(layout: Layout) -> list[tuple[str, str]]:
    return [
        (a, b)
        for (a, one), (b, two) in combinations(layout.boxes.items(), 2)
        if abs(one.x - two.x) < (one.width + two.width) / 2
        and max(one.y, two.y) < min(one.y + one.height, two.y + two.height)
    ]


def boxes_run_over(layout: Layout) -> list[tuple[str, str]]:
    """Boxes that some arrow crosses; a curve stays within its end points' rectangle."""
    found = []
    for edge, points in layout.routes:
        for (x0, y0), (x1, y1) in pairwise(points):
            for name, box in layout.boxes.items():
                if name in (edge.source, edge.target):
                    continue
                inside_x = min(x0, x1) < box.x + box.width / 2 and max(x0, x1) > box.x - box.width / 2
                inside_y = min(y0, y1) < box.y + box.height - 0.01 and max(y0, y1) > box.y + 0.01
                if inside_x and inside_y:
                    found.append((f"{edge.source}->{edge.target}", name))
    return found


@settings(max_examples=150, deadline=None)
@given(drawings())
def test_no_two_boxes_touch_and_no_arrow_runs_over_a_box(drawing: Drawing) -> None:
    layout = lay_out(drawing)
    assert touching_boxes(layout) == []
    assert boxes_run_over(layout) == []
    assert len(layout.routes) == len(drawing.edges)
    for box in layout.boxes.values():
        assert box.x - box.width / 2 >= 0
        assert box.x + box.width / 2 <= layout.width
        assert box.y + box.height <= layout.height


@settings(max_examples=50, deadline=None)
@given(drawings())
def test_every_arrow_points_down(drawing: Drawing) -> None:
    for edge, points in lay_out(drawing).routes:
        assert all(upper[1] <= lower[1] + 1e-6 for upper, lower in pairwise(points)), edge


@settings(max_examples=50, deadline=None)
@given(drawings())
def test_what_a_box_gives_goes_one_way_until_it_branches_off(drawing: Drawing) -> None:
    routes = lay_out(drawing).routes
    for (one, points), (other, others) in combinations(routes, 2):
        if one.source == other.source and len(points) > 4 and len(others) > 4:  # both pass a row
            shared = min(len(points), len(others)) - 2
            assert points[:shared] == others[:shared]
    assert svg(drawing).count("marker-end") == len(drawing.edges)


def test_outputs_of_several_names_go_ways_of_their_own() -> None:
    nodes = tuple(Node(name, "module", name) for name in "abc")
    edges = (Edge("a", "b"), Edge("b", "c"), Edge("a", "c", "high"), Edge("a", "c", "low"))
    (_, high), (_, low) = lay_out(Drawing("outputs", nodes, edges)).routes[2:]
    assert not set(high) & set(low)


def test_layers_that_read_all_before_them_do_not_multiply_lanes() -> None:
    """Lanes and lines of text grow as the square of their number, not as the cube."""
    count = 60
    nodes = tuple(Node(f"n{number}", "module", f"n{number}") for number in range(count))
    edges = tuple(Edge(f"n{source}", f"n{target}") for target in range(count) for source in range(target))
    dense = Drawing("dense", nodes, edges)
    points = {point for _, points in lay_out(dense).routes for point in points}
    assert len(points) < 4 * count**2 < count**3 / 3
    assert len(svg(dense)) < 200 * count**2


def test_the_checks_notice_an_overlap() -> None:
    drawing = Drawing(
        "pair",
        (Node("a", "input", "a"), Node("b", "module", "b"), Node("c", "module", "c")),
        (Edge("a", "b"), Edge("a", "c")),
    )
    layout = lay_out(drawing)
    layout.boxes["c"].x = layout.boxes["b"].x
    assert touching_boxes(layout) == [("b", "c")]
    layout.boxes["c"].y = layout.boxes["b"].y - 20
    assert ("a->b", "c") in boxes_run_over(layout)


def test_text_is_escaped() -> None:
    drawing = Drawing("<&>", (Node("a", "input", '<script>"&'),), ())
    assert "<script>" not in svg(drawing)
    assert '"#lt;script#gt;#quot;#amp;"' in mermaid(drawing)


def test_every_shape_and_text_has_a_colour_without_style_sheets() -> None:
    kinds = ("input", "module", "function", "block", "parameter", "output")
    nodes = tuple(Node(kind, kind, kind, "Conv2d") for kind in kinds)  # type: ignore[arg-type]
    edges = tuple(Edge(a, b, "high") for a, b in pairwise(kinds))
    picture = ElementTree.fromstring(svg(Drawing("kinds", nodes, edges)))
    coloured = [each for each in picture.iter() if each.tag.rpartition("}")[2] in ("rect", "path", "text")]
    literal = re.compile("#[0-9a-f]{6}")
    assert len(coloured) == 1 + 1 + len(kinds) * 3 + len(edges) * 2
    assert all(
        literal.fullmatch(each.get("fill", "")) or literal.fullmatch(each.get("stroke", "")) for each in coloured
    )
    assert all("fill" in each.attrib for each in coloured)  # black is what is not said
    assert "prefers-color-scheme: dark" in svg(Drawing("kinds", nodes, edges))


def test_a_batch_that_does_not_come_first_is_named() -> None:
    turned = "t: {op: transpose, dim0: 0, dim1: 1}, u: {op: transpose, dim0: 0, dim1: 1}"
    folded = "f: {op: flatten, end_dim: 1}, g: {op: unflatten, dim: 0, sizes: [-1, 3]}"
    plan = plan_of_text(f"{HEAD}layers: {{{turned}, {folded}}}")
    details = {node.title: node.detail for node in drawing(plan).nodes}
    assert (details["t"], details["u"], details["f"]) == ("3 x batch x 32 x 32", "3 x 32 x 32", "3 * batch x 32 x 32")
