"""Fashion-MNIST from its IDX files, and what happens to the images.

H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a Novel Image Dataset for
Benchmarking Machine Learning Algorithms, arXiv:1708.07747.
"""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

from problem import Problem
from space import Space

#: Where Debian's package ``dataset-fashion-mnist`` puts the files.
DEBIAN = Path("/usr/share/datasets/fashion-mnist")

SHIFT = 2 / 28
ERASE = (4 / 28, 10 / 28)
ERASE_CHANCE = 0.25


@dataclass(frozen=True)
class Images:
    """Grey images [N, 1, height, width] in bytes, and their labels [N]."""

    pixels: Tensor
    labels: Tensor

    def first(self, count: int | None) -> Images:
        """The first images only; all with ``None``."""
        return Images(self.pixels[:count], self.labels[:count])


def read_images(folder: Path, part: str) -> Images:
    """Reads ``train`` or ``t10k`` of the folder."""
    pixels = _read_idx(folder / f"{part}-images-idx3-ubyte.gz", 3)
    labels = _read_idx(folder / f"{part}-labels-idx1-ubyte.gz", 1)
    if len(pixels) != len(labels):
        raise Problem(
            f"{folder}: {len(pixels)} images of {part}, {len(labels)} labels"
        )
    return Images(pixels.unsqueeze(1), labels.long())


def _read_idx(path: Path, dimensions: int) -> Tensor:
    """Bytes in IDX form: 0, 0, type 8, dimensions, sizes, values."""
    try:
        with gzip.open(path) as file:
            content = file.read()
        magic, *shape = struct.unpack_from(f">{1 + dimensions}I", content)
        values = numpy.frombuffer(content, numpy.uint8, -1, 4 + 4 * dimensions)
        if magic != 0x800 + dimensions or len(values) != math.prod(shape):
            raise ValueError(f"header {magic:#x} {shape}")
    except (OSError, EOFError, ValueError, struct.error) as error:
        raise Problem(f"{path}: not readable as IDX: {error}") from error
    return torch.from_numpy(values.reshape(shape).copy())


def preprocess(space: Space, images: Tensor, r: int) -> Tensor:
    """From bytes, or floats 0..255, to what the network takes.

    Bilinear with half-pixel centres and without antialiasing, in floats.
    """
    x = images.float() / 255
    if x.shape[-2:] != (r, r):
        x = F.interpolate(x, (r, r), mode="bilinear", align_corners=False)
    mean = torch.tensor(space.mean).view(-1, 1, 1)
    std = torch.tensor(space.std).view(-1, 1, 1)
    return (x - mean) / std


def batches(
    space: Space, images: Tensor, r: int, size: int = 200
) -> Iterator[Tensor]:
    """Preprocessed images in their order."""
    for batch in images.split(size):
        yield preprocess(space, batch, r)


def augment(
    space: Space, images: Tensor, generator: torch.Generator
) -> Tensor:
    """Flips, shifts by up to 2 of 28 pixels, and erases some boxes.

    Erasing: Z. Zhong et al., Random Erasing, arXiv:1708.04896; the box of
    4 to 10 of 28 pixels a side becomes the data's mean.
    """
    images = images.float()
    count, _, height, width = images.shape

    def draw(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, (count, 1), generator=generator)

    shift = round(SHIFT * width)
    columns = torch.arange(width).expand(count, -1)
    columns = torch.where(draw(0, 1) == 1, columns, columns.flip(1))
    columns = columns + draw(-shift, shift)
    rows = torch.arange(height) + draw(-shift, shift)
    images = _pick(_pick(images, rows, 2), columns, 3)
    low, high = (round(share * width) for share in ERASE)
    erased_rows = _inside(draw(0, height - 1), draw(low, high), height)
    erased_columns = _inside(draw(0, width - 1), draw(low, high), width)
    boxes = erased_rows[:, :, None] & erased_columns[:, None, :]
    chosen = torch.rand(count, 1, 1, generator=generator) < ERASE_CHANCE
    mean = 255 * torch.tensor(space.mean).view(-1, 1, 1)
    return torch.where((boxes & chosen)[:, None], mean, images)


def _pick(images: Tensor, places: Tensor, dimension: int) -> Tensor:
    """Rows (2) or columns (3) by place; black where there is none."""
    size = images.shape[dimension]
    shape = [len(images), 1, 1, 1]
    shape[dimension] = size
    inside = ((places >= 0) & (places < size)).view(shape)
    index = places.clamp(0, size - 1).view(shape).expand_as(images)
    return images.gather(dimension, index) * inside


def _inside(centres: Tensor, sizes: Tensor, length: int) -> Tensor:
    """For each image, which of the places lie in its box [N, length]."""
    start = centres - sizes // 2
    places = torch.arange(length)
    return (places >= start) & (places < start + sizes)


def calibration_indices(total: int, count: int, seed: int) -> Sequence[int]:
    """Training images to recalibrate on, drawn by the seed."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(total, generator=generator)
    return order[:count].tolist()
