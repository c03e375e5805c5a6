"""The operations of the network, in the order of memory that is fast.

Everything runs channels-last: on a CPU, PyTorch's batch normalisation and
convolutions are two to four times as fast that way for these small maps.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def activate(x: Tensor, act: str) -> Tensor:
    """``relu``, or ``h_swish``: x * relu6(x + 3) / 6 (arXiv:1905.02244)."""
    return F.relu(x) if act == "relu" else F.hardswish(x)


def channels_last(x: Tensor) -> Tensor:
    """The same values, the channels of a pixel side by side in memory."""
    return x.contiguous(memory_format=torch.channels_last)


def depthwise(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """A depthwise convolution, padded by half a kernel on all sides."""
    if weight.shape[-1] > 3 and weight.requires_grad:
        return _LargeDepthwise.apply(x, weight, stride)
    return _depthwise(x, weight, stride)


def _depthwise(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    pad = weight.shape[-1] // 2
    return F.conv2d(x, weight, None, stride, pad, 1, weight.shape[0])


class _LargeDepthwise(torch.autograd.Function):
    """A depthwise convolution of which the weights' gradient is fast.

    PyTorch 1.13's own takes 5 to 10 ms for a layer and 64 images, this
    one 1 to 2; only for kernels of 3 the own one is fast.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        """Keeps what ``backward`` needs."""
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return _depthwise(x, weight, stride)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of ``x`` and ``weight``."""
        x, weight = ctx.saved_tensors
        size, stride = weight.shape[-1], ctx.stride
        grad = channels_last(grad)
        grad_x, _, _ = torch.ops.aten.convolution_backward(
            grad,
            x,
            weight,
            bias_sizes=None,
            stride=[stride, stride],
            padding=[size // 2, size // 2],
            dilation=[1, 1],
            transposed=False,
            output_padding=[0, 0],
            groups=weight.shape[0],
            output_mask=[True, False, False],
        )
        return grad_x, _weight_gradient(x, grad, size, stride), None


def _weight_gradient(
    x: Tensor, grad: Tensor, size: int, stride: int
) -> Tensor:
    """Gradient of a depthwise convolution's weights, [C, 1, size, size].

    It is the correlation of input and gradient, channel by channel and
    image by image, which is itself a depthwise convolution whose kernels
    are the gradients; only the sum over images remains. With a stride the
    gradients stand that far apart.
    """
    images, channels, height, width = grad.shape
    rows, columns = (height - 1) * stride + 1, (width - 1) * stride + 1
    kernels = grad.new_zeros(images, channels, rows, columns)
    kernels[:, :, ::stride, ::stride] = grad
    stacked = x.reshape(1, images * channels, *x.shape[2:])
    taps = F.conv2d(
        stacked,
        kernels.view(images * channels, 1, rows, columns),
        padding=size // 2,
        groups=images * channels,
    )
    # An even size and a stride leave a row that belongs to no tap.
    taps = taps[:, :, :size, :size].reshape(images, channels, size, size)
    return taps.sum(0).unsqueeze(1)
