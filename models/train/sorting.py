"""Puts the most important channels of every block first.

Elastic width keeps the first channels of a block (OFA, section 3.3,
figure 4), so before widths become elastic the channels are sorted by how
much the next layer makes of them: the sum of the absolute weights (L1)
that the projection has for a channel. OFA calls the step
``re_organize_middle_weights``. What the largest sub-network computes
stays the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from space import Space
from supernet import BN_PARTS, Tensors


@torch.no_grad()
def sort_channels(space: Space, tensors: Tensors) -> None:
    """Sorts the expanded channels of all blocks, and the inner channels of
    their squeeze-excites, in place."""
    for slot in range(1, space.slots + 1):
        _sort_block(tensors, f"blocks.{slot}.conv")


def _sort_block(tensors: Tensors, at: str) -> None:
    squeeze = f"{at}.depth_conv.se.fc"
    has_squeeze = f"{squeeze}.reduce.weight" in tensors
    rows = [
        f"{at}.inverted_bottleneck.conv.conv.weight",
        f"{at}.depth_conv.conv.conv.weight",
    ]
    for layer in ("inverted_bottleneck", "depth_conv"):
        rows += [f"{at}.{layer}.bn.bn.{part}" for part in BN_PARTS]
    columns = [f"{at}.point_linear.conv.conv.weight"]
    if has_squeeze:
        rows += [f"{squeeze}.expand.weight", f"{squeeze}.expand.bias"]
        columns += [f"{squeeze}.reduce.weight"]
    _reorder(tensors, _by_importance(tensors[columns[0]]), rows, columns)
    if has_squeeze:
        rows = [f"{squeeze}.reduce.weight", f"{squeeze}.reduce.bias"]
        columns = [f"{squeeze}.expand.weight"]
        _reorder(tensors, _by_importance(tensors[columns[0]]), rows, columns)


def _by_importance(weight: Tensor) -> Tensor:
    """Input channels of a 1x1 convolution, those with most weight first."""
    return torch.argsort(
        weight.abs().sum((0, 2, 3)), descending=True, stable=True
    )


def _reorder(
    tensors: Tensors, order: Tensor, rows: list[str], columns: list[str]
) -> None:
    for name in rows:
        tensors[name].copy_(tensors[name][order])
    for name in columns:
        tensors[name].copy_(tensors[name][:, order])
