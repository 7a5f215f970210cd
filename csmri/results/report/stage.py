"""HTML of the cine player, or what stands in its place where there are no images."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from string import Template
from typing import Any

from csmri.results.report.sprites import CEILING, MARGIN

FINE = (
    "Errors are |reconstruction − ground truth| × gain, stored in steps of at most {step:.2g} % of white; images "
    "are stored in 8 bits up to {ceiling:.0f} % of white, and the NMSE under them is that of the full-precision images "
    "over the heart box. White is the 99.5th percentile of the ground truth in the heart box of a slice, the same for "
    "all methods. The profile shows two beats; time runs down, or to the right where the line stands upright.{more}"
)


def player_html(data: Mapping[str, Any], template: str, *, note: str, caption: str) -> str:
    """Fill the player's template: a panel for the ground truth and one for every method."""
    errors = [
        one["step"] for part in data["slices"] for place in part["accelerations"] for one in place["errors"].values()
    ]
    more = f" Shown is the heart box with {100 * MARGIN:.0f} % around it." if data["cropped"] else ""
    if data["left_out"]:
        n = len(data["slices"])
        more += f" {n} of {n + data['left_out']} slices are shown, to keep the file small."
    panels = [_panel("reference", "Ground truth", "", "c-gt", data)]
    panels += [_panel(one["name"], one["title"], one["short"], one["colour"], data) for one in data["methods"]]
    return Template(template).substitute(
        note=f'<p class="notice">{escape(note)}</p>' if note else "",
        width=data["width"],
        height=data["height"],
        columns=len(panels),
        panels="\n".join(panels),
        fine=(f"{escape(caption)}<br>" if caption else "")
        + FINE.format(step=100 * max(errors, default=0), ceiling=100 * CEILING, more=more),
    )


def missing_html(note: str) -> str:
    """What stands where the player would be in a clone without the pixels of the data set."""
    said = f'<p class="notice">{escape(note)}</p>' if note else ""
    return (
        '<section id="player" class="stage empty" aria-labelledby="player-title"><div class="page">'
        f'<h2 id="player-title">The images, beating</h2>{said}'
        "<p>Here a player would show ground truth and reconstructions side by side. Its images are pixels of the data "
        "set, which has a licence of its own, so they are not kept with the results.</p>"
        "<p>To get them, evaluate the trained networks again with <code>csmri evaluate</code> or "
        "<code>csmri study</code>, which write <code>examples.npz</code> into the results folder; or give images "
        "of your own with <code>csmri report RESULTS --examples EXAMPLES.npz</code>. Everything else on this page is "
        "complete.</p>"
        "</div></section>"
    )


def _panel(name: str, title: str, short: str, colour: str, data: Mapping[str, Any]) -> str:
    label = escape(title, quote=True)
    abbreviation = f" <small>{escape(short)}</small>" if short and short != title else ""
    reference = name == "reference"
    size = f'width="{data["width"]}" height="{data["height"]}"'
    line = (
        '<div class="line" role="slider" tabindex="0" aria-label="Profile line" aria-valuemin="0" aria-valuemax="1" '
        'aria-valuenow="0"></div>'
        if reference
        else '<div class="line" aria-hidden="true"></div>'
    )
    lower = (
        '<div class="cell numbers"><p>Over the beat <span id="nmse-top"></span></p>'
        '<svg id="beat" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        'aria-label="NMSE of every frame, one line a method"></svg>'
        '<p>Error, % of white</p><canvas id="scale" width="128" height="1" aria-hidden="true"></canvas>'
        '<p class="ends"><span>0</span><span id="scale-end"></span></p></div>'
        if reference
        else f'<div class="cell"><canvas class="error" {size} role="img" aria-label="Error of {label}"></canvas></div>'
    )
    number = '<p class="nmse">heart box</p>' if reference else '<p class="nmse"><b>–</b> <small></small></p>'
    return (
        f'<figure class="panel {colour}" data-method="{escape(name, quote=True)}">'
        f"<figcaption><i class='swatch'></i>{escape(title)}{abbreviation}</figcaption>"
        f'<div class="cell picture"><canvas class="image" {size} role="img" aria-label="{label}"></canvas>'
        f'<div class="box" aria-hidden="true"></div>{line}</div>'
        f"{number}{lower}"
        f'<div class="cell profile"><canvas class="time" role="img" aria-label="Temporal profile of {label}"></canvas>'
        '<div class="now" aria-hidden="true"></div></div></figure>'
    )
