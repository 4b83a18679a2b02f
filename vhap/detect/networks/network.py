"""A network from a file, as a torch module that runs batches on any device."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from vhap.detect.networks.operators import OPERATORS
from vhap.detect.networks.tflite_file import Graph, read_graph
from vhap.util.errors import InputError, shown


class Network(nn.Module):
    """(B, H, W, C) float32 -> the graph's outputs, each with the batch first."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self._names = {number: f"constant_{number}" for number in graph.constants}
        for number, values in graph.constants.items():
            self.register_buffer(self._names[number], torch.from_numpy(values.copy()))
        self._ends = _last_uses(graph)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        # Not by get_buffer, which takes a millisecond for all of them.
        buffers = cast(dict[str, Tensor], self._buffers)
        values = {number: buffers[name] for number, name in self._names.items()}
        values[self.graph.inputs[0]] = x
        for operator, ended in zip(self.graph.operators, self._ends):
            inputs = [values[number] for number in operator.inputs]
            values[operator.output] = OPERATORS[operator.kind](inputs, operator.options)
            for number in ended:
                del values[number]
        return tuple(values[number] for number in self.graph.outputs)


def load_network(content: bytes, path: str | Path, device: str | torch.device = "cpu") -> Network:
    """A network from the bytes of a file, tried once; InputError for a file that holds none that runs here."""
    graph = read_graph(content, path)
    network = Network(graph).eval().requires_grad_(False)
    try:
        with torch.inference_mode():
            found = network(torch.zeros(graph.shapes[graph.inputs[0]]))
    except (RuntimeError, ValueError, IndexError, KeyError, TypeError) as error:
        raise InputError(
            f"expected a network in {path} whose operators fit together, found others ({shown(str(error))}); get the "
            "published file again"
        ) from error
    declared = [graph.shapes[number] for number in graph.outputs]
    if [tuple(values.shape) for values in found] != declared:
        raise InputError(
            f"expected outputs of shapes {shown(declared)} from the network in {path}, found "
            f"{shown([tuple(values.shape) for values in found])}; get the published file again"
        )
    return network.to(device)


def _last_uses(graph: Graph) -> list[list[int]]:
    """For each operator the tensors that nothing reads after it; a batch's would fill the memory."""
    last = {number: step for step, operator in enumerate(graph.operators) for number in operator.inputs}
    ends: list[list[int]] = [[] for _ in graph.operators]
    for number, step in last.items():
        if number not in graph.outputs and number not in graph.constants:
            ends[step].append(number)
    return ends
