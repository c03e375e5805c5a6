"""Reads and writes safetensors files: float32 tensors and text metadata.

The format: eight bytes with the length of the header, the header in JSON,
the tensors' bytes. https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import numpy
import torch
from torch import Tensor

from problem import Problem


def write_safetensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]
) -> None:
    """Writes all or nothing: under another name first, then renamed."""
    header: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + 4 * tensor.numel()
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    # The padding keeps the tensors aligned to 8 bytes.
    text += b" " * (-len(text) % 8)
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            data = tensor.detach().contiguous().numpy()
            file.write(data.astype("<f4").tobytes())
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Float32 tensors by name, in the header's order, and the metadata.

    Other tensors are left out: OFA's counters ``num_batches_tracked``.
    """
    try:
        content = path.read_bytes()
        (length,) = struct.unpack_from("<Q", content)
        header = json.loads(content[8:8 + length])
        metadata = header.pop("__metadata__", {})
        tensors = {
            name: _tensor(content, 8 + length, entry)
            for name, entry in header.items()
            if entry["dtype"] == "F32"
        }
    except (OSError, KeyError, ValueError, struct.error) as error:
        raise Problem(f"{path}: not readable as safetensors: {error}") from (
            error
        )
    return tensors, metadata


def _tensor(content: bytes, base: int, entry: dict[str, list[int]]) -> Tensor:
    start, end = entry["data_offsets"]
    data = numpy.frombuffer(content[base + start:base + end], dtype="<f4")
    return torch.from_numpy(data.copy()).reshape(entry["shape"])
