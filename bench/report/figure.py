"""A figure of the report: one declaration, from which the page, the pictures and the table of its data come."""

import io
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from xml.etree import ElementTree

import altair
import vl_convert
from PIL import Image

from bench.report.table import Table
from fixtures.record import Results

SVG = "http://www.w3.org/2000/svg"
CIRCLE, GROUP, LINE, PATH, TEXT = (f"{{{SVG}}}{name}" for name in ("circle", "g", "line", "path", "text"))
PICTURE_WIDTH = 760
PICTURE_SCALE = 2
PICTURE_COLOURS = 64
# Altair has no such setting: one legend below the other.
LEGENDS = {"top": {"direction": "vertical", "anchor": "start", "margin": 6}}
# What Vega writes for its own events and for readers of single marks; the whole picture has one name here.
LEFT_OUT = re.compile(r"role|aria-.*|class|pointer-events|font-family|stroke-miterlimit")
INHERITED = ("fill", "fill-opacity", "stroke", "stroke-opacity", "font-size", "font-weight", "text-anchor")
SHORTER = re.compile(r"-?\d+\.\d{2,}(?:e-\d+)?")
# A mark in the shape of a circle as Vega writes it, and the place that it is moved to.
ROUND = re.compile(r"M([\d.]+),0A\1,\1,0,1,1,-\1,0A\1,\1,0,1,1,\1,0")
PLACE = re.compile(r"translate\(([-\d.]+),([-\d.]+)\)")
LINES = re.compile(r"(M[-\d.,]+l[-\d.,]+)+")


@dataclass(frozen=True)
class Figure:
    """A chart with what it shows in one sentence, and the same numbers as a table.

    `key` names files and anchors, such as figure-3. The chart is a concatenation of panels that wraps, so that it fits
    windows of any width: see `spec`. Its texts and axes have the colour `currentColor`, and it has no background.
    """

    key: str
    title: str
    caption: str
    chart: altair.ConcatChart
    table: Table

    def spec(self, width: int = PICTURE_WIDTH) -> dict[str, Any]:
        """The chart in Vega-Lite, as wide as this many pixels.

        `usermeta` has the `margin` beside every panel, the least `width` of one and the width of a `label` of the
        legends: as many columns of each as fit, and every panel as wide as its column without the margin. A page does
        the same when its window changes.
        """
        spec = deepcopy(self._declared)
        margin, least, label = (spec["usermeta"][name] for name in ("margin", "width", "label"))
        spec["columns"] = max(1, min(len(spec["concat"]), width // (margin + least)))
        for panel in spec["concat"]:
            panel["width"] = max(least // 2, width // spec["columns"] - margin)
        spec["config"]["legend"] |= {"columns": max(1, (width - margin) // label), "layout": LEGENDS}
        return spec

    @cached_property
    def _declared(self) -> dict[str, Any]:
        return self.chart.to_dict()

    def svg(self, background: str = "white") -> str:
        """The chart as a picture of lines; the same records give the same text.

        Args:
            background: Its colour; "transparent" for a page, whose `color` its texts then take.

        Returns:
            The text of an SVG file without ids, styles or scripts, so that a page may hold many.
        """
        if background == "transparent":
            return self._picture
        return self._picture.replace(">", f'><rect width="100%" height="100%" fill="{background}" />', 1)

    @cached_property
    def _picture(self) -> str:
        return _shortened(vl_convert.vegalite_to_svg(self.spec()), self.title)

    def png(self) -> bytes:
        """The chart as a picture of points, on white, in as many colours as such pictures have."""
        drawn = Image.open(io.BytesIO(vl_convert.svg_to_png(self.svg(), scale=PICTURE_SCALE))).convert("RGB")
        file = io.BytesIO()
        drawn.quantize(PICTURE_COLOURS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        return file.getvalue()


@dataclass(frozen=True)
class Missing:
    """A figure that cannot be drawn from a run, and why."""

    key: str
    title: str
    reason: str


Draw = Callable[[Results], list[Figure | Missing]]
"""Draws the figures of one kind; what the run has no case for is missing with a reason."""


def _shortened(svg: str, title: str) -> str:
    """The same picture in a third of the bytes, under a name that is read out."""
    root = ElementTree.fromstring(svg)  # noqa: S314  (written by vl-convert just now)
    _shorten(root)
    root.attrib |= {"role": "img", "aria-label": title, "font-family": "system-ui, sans-serif"}
    ElementTree.register_namespace("", SVG)
    return ElementTree.tostring(root, encoding="unicode")


def _shorten(element: ElementTree.Element) -> None:
    """Leave out what is not seen, round coordinates, and give a group what all of its parts share."""
    for child in list(element):
        _shorten(child)
        if _invisible(child):
            element.remove(child)
    for name, value in list(element.attrib.items()):
        if LEFT_OUT.fullmatch(name) or (name in ("opacity", "stroke-width") and value == "1"):
            del element.attrib[name]
        elif name in ("d", "transform", "x2", "y2", "width", "height"):
            element.set(name, SHORTER.sub(_short, value))
    if "stroke" not in element.attrib:
        element.attrib.pop("stroke-width", None)
    _place(element)
    for name in INHERITED if len(element) else ():
        values = {child.get(name) for child in element}
        if len(values) == 1 and (value := values.pop()) is not None:
            element.set(name, value)
            for child in element:
                del child.attrib[name]
    _join(element)


def _place(element: ElementTree.Element) -> None:
    """Draw a circle, a line or a text where it is seen, instead of at zero and moved from there."""
    moved = PLACE.fullmatch(element.get("transform", "translate(0,0)"))
    circle, is_text = ROUND.fullmatch(element.get("d", "")), element.tag == TEXT and not len(element)
    if not moved or not (circle or is_text or element.tag == LINE):
        return
    element.attrib.pop("transform", None)
    x, y = moved.groups()
    if circle:
        del element.attrib["d"]
        element.tag = CIRCLE
        element.attrib |= {"cx": x, "cy": y, "r": circle[1]}
    elif is_text:
        element.attrib |= {"x": x, "y": y}
    else:
        element.tag = PATH
        element.set("d", f"M{x},{y}l{element.attrib.pop('x2')},{element.attrib.pop('y2')}")


def _join(element: ElementTree.Element) -> None:
    """Draw neighbouring lines that look alike as one path, and the parts of a group that changes nothing without it."""
    parts = [part for child in element for part in (child if child.tag == GROUP and not child.attrib else [child])]
    element[:] = parts[:1]
    for part in parts[1:]:
        ours, others = element[-1].attrib, part.attrib
        are_lines = all(LINES.fullmatch(found.get("d", "")) and "opacity" not in found for found in (ours, others))
        if are_lines and ours | {"d": ""} == others | {"d": ""}:
            ours["d"] += others["d"]
        else:
            element.append(part)


def _short(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _invisible(element: ElementTree.Element) -> bool:
    empty = element.tag == GROUP and not len(element)
    unpainted = element.tag == PATH and not (element.get("fill") or element.get("stroke"))
    return empty or unpainted or element.get("display") == "none"
