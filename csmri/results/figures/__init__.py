"""Records, logs, examples and a network -> the paper's figures; never runs a model."""

from csmri.results.figures.area import render_area
from csmri.results.figures.beating import render_beating
from csmri.results.figures.blocks import render_blocks
from csmri.results.figures.curves import render_learning_curves
from csmri.results.figures.example import middle_slice, render_example
from csmri.results.figures.panels import Panels, choose_examples, make_panels, read_panels, write_panels
from csmri.results.figures.phantoms import render_phantoms
from csmri.results.figures.pictures import ANIMATED, PAGE, picture_suffix
from csmri.results.figures.reconstructions import render_panels, render_reconstructions
from csmri.results.figures.savings import render_savings
from csmri.results.figures.sweep import render_sweep, render_sweep_lines
from csmri.results.figures.transfer import render_transfer, render_transfer_curves
from csmri.results.figures.unet import Operation, describe_network, render_unet
from csmri.results.figures.variants import render_variants

__all__ = [
    "ANIMATED",
    "PAGE",
    "Operation",
    "Panels",
    "choose_examples",
    "describe_network",
    "make_panels",
    "middle_slice",
    "picture_suffix",
    "read_panels",
    "render_area",
    "render_beating",
    "render_blocks",
    "render_example",
    "render_learning_curves",
    "render_panels",
    "render_phantoms",
    "render_reconstructions",
    "render_savings",
    "render_sweep",
    "render_sweep_lines",
    "render_transfer",
    "render_transfer_curves",
    "render_unet",
    "render_variants",
    "write_panels",
]
