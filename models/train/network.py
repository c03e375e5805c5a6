"""Runs sub-networks, and recalibrates their batch normalisation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from layers import activate, channels_last, depthwise
from space import Block
from supernet import SubNet, Tensors

BN_EPS = 1e-5

#: Normalises the output of a layer, which it finds by its name.
Normalise = Callable[[Tensors, Tensor, str], Tensor]


def by_batch(tensors: Tensors, x: Tensor, name: str) -> Tensor:
    """Batch normalisation as in training: with the batch's statistics."""
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return F.batch_norm(x, None, None, weight, bias, True, 0.0, BN_EPS)


def by_running(tensors: Tensors, x: Tensor, name: str) -> Tensor:
    """Batch normalisation as in use: with the running statistics."""
    mean = tensors[f"{name}.running_mean"]
    return _by(tensors, x, name, mean, tensors[f"{name}.running_var"])


def _by(
    tensors: Tensors, x: Tensor, name: str, mean: Tensor, variance: Tensor
) -> Tensor:
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, BN_EPS)


def forward(net: SubNet, images: Tensor, normalise: Normalise) -> Tensor:
    """Logits [N, classes] of preprocessed images [N, C, r, r]."""
    tensors = net.tensors
    stem = tensors["first_conv.conv.weight"]
    x = channels_last(F.conv2d(images, stem, None, net.stem_stride, 1))
    x = activate(normalise(tensors, x, "first_conv.bn"), "h_swish")
    for block in net.blocks:
        y = _run_block(block, tensors, x, normalise)
        x = x + y if block.shortcut else y
    x = F.conv2d(x, tensors["final_expand_layer.conv.weight"])
    x = activate(normalise(tensors, x, "final_expand_layer.bn"), "h_swish")
    x = F.adaptive_avg_pool2d(x, 1)
    x = F.conv2d(x, tensors["feature_mix_layer.conv.weight"])
    x = activate(x, "h_swish").flatten(1)
    weight = tensors["classifier.linear.weight"]
    return F.linear(x, weight, tensors["classifier.linear.bias"])


def _run_block(
    block: Block, tensors: Tensors, x: Tensor, normalise: Normalise
) -> Tensor:
    at = f"blocks.{block.slot}"
    if block.expands:
        layer = f"{at}.inverted_bottleneck"
        x = F.conv2d(x, tensors[f"{layer}.conv.weight"])
        x = activate(normalise(tensors, x, f"{layer}.bn"), block.act)
    layer = f"{at}.depth_conv"
    x = depthwise(x, tensors[f"{layer}.conv.weight"], block.stride)
    x = activate(normalise(tensors, x, f"{layer}.bn"), block.act)
    if block.se:
        x = x * _gate(tensors, f"{layer}.se.fc", x)
    layer = f"{at}.point_linear"
    x = F.conv2d(x, tensors[f"{layer}.conv.weight"])
    return normalise(tensors, x, f"{layer}.bn")


def _gate(tensors: Tensors, at: str, x: Tensor) -> Tensor:
    """Squeeze-and-excitation (arXiv:1709.01507) with a hard sigmoid."""
    weight, bias = tensors[f"{at}.reduce.weight"], tensors[f"{at}.reduce.bias"]
    x = F.relu(F.conv2d(F.adaptive_avg_pool2d(x, 1), weight, bias))
    weight, bias = tensors[f"{at}.expand.weight"], tensors[f"{at}.expand.bias"]
    return F.hardsigmoid(F.conv2d(x, weight, bias))


@torch.no_grad()
def recalibrate(net: SubNet, batches: Iterable[Tensor]) -> SubNet:
    """The sub-network with running statistics of its own.

    A sub-network's differ from the super-network's, as each channel sees
    other inputs (OFA's ``set_running_statistics``). A batch is normalised
    with its own statistics, so later layers see them; the result is the
    average over batches, weighted by images, of means and of biased
    variances.
    """
    sums: Tensors = {}
    images = 0
    for batch in batches:

        def collect(tensors: Tensors, x: Tensor, name: str) -> Tensor:
            variance, mean = torch.var_mean(x, (0, 2, 3), unbiased=False)
            _add(sums, f"{name}.running_mean", mean * x.shape[0])
            _add(sums, f"{name}.running_var", variance * x.shape[0])
            # Not by_batch: its own statistics are off by 1e-4 in this order
            # of memory, which training does not mind.
            return _by(tensors, x, name, mean, variance)

        forward(net, batch, collect)
        images += batch.shape[0]
    averages = {name: total / images for name, total in sums.items()}
    return replace(net, tensors={**net.tensors, **averages})


def _add(sums: Tensors, name: str, value: Tensor) -> None:
    sums[name] = sums[name] + value if name in sums else value
