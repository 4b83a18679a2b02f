"""A network from a file, as a torch module that runs batches on any device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from vhap.detect.networks.operators import OPERATORS
from vhap.detect.networks.program import program_of
from vhap.detect.networks.tflite_file import Graph, read_graph
from vhap.util.errors import InputError, shown

if TYPE_CHECKING:
    from vhap.detect.networks.program_runner import ProgramRunner


class Network(nn.Module):
    """(B, H, W, C) float32 -> the graph's outputs, each with the batch first."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self._names = {number: f"constant_{number}" for number in graph.constants}
        for number, values in graph.constants.items():
            self.register_buffer(self._names[number], torch.from_numpy(values.copy()))
        self._ends = _last_uses(graph)
        self._runner: ProgramRunner | None = None

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if self._runner is None or x.device.type != "cpu":
            return self.in_torch(x)
        values = self._constants() | self._runner.run(x)
        for operator in self._runner.program.left:
            values[operator.output] = OPERATORS[operator.kind](
                [values[number] for number in operator.inputs], operator.options
            )
        return tuple(values[number] for number in self.graph.outputs)

    def in_torch(self, x: Tensor, shapes: dict[int, tuple[int, ...]] | None = None) -> tuple[Tensor, ...]:
        """The same operator by operator, on any device. shapes: is filled with those of all tensors."""
        values = self._constants()
        values[self.graph.inputs[0]] = x
        for operator, ended in zip(self.graph.operators, self._ends):
            inputs = [values[number] for number in operator.inputs]
            values[operator.output] = OPERATORS[operator.kind](inputs, operator.options)
            if shapes is not None:
                shapes[operator.output] = tuple(values[operator.output].shape)
            for number in ended:
                del values[number]
        return tuple(values[number] for number in self.graph.outputs)

    def make_program(self) -> None:
        """From now on a CPU runs what it can in one piece, which checks nothing: only for graphs that torch has run,
        and whose tensors have the shapes that they declare."""
        program = program_of(self.graph)
        if program is not None:
            from vhap.detect.networks.program_runner import ProgramRunner

            self._runner = ProgramRunner(program)

    def _constants(self) -> dict[int, Tensor]:
        # Not by get_buffer, which takes a millisecond for all of them.
        buffers = cast(dict[str, Tensor], self._buffers)
        return {number: buffers[name] for number, name in self._names.items()}


def load_network(content: bytes, path: str | Path, device: str | torch.device = "cpu") -> Network:
    """A network from the bytes of a file, tried once; InputError for a file that holds none that runs here."""
    graph = read_graph(content, path)
    network = Network(graph).eval().requires_grad_(False)
    shapes: dict[int, tuple[int, ...]] = {}
    try:
        with torch.inference_mode():
            found = network.in_torch(torch.zeros(graph.shapes[graph.inputs[0]]), shapes)
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
    if torch.device(device).type == "cpu" and all(graph.shapes[number] == shape for number, shape in shapes.items()):
        network.make_program()
    return network.to(device)


def _last_uses(graph: Graph) -> list[list[int]]:
    """For each operator the tensors that nothing reads after it; a batch's would fill the memory."""
    last = {number: step for step, operator in enumerate(graph.operators) for number in operator.inputs}
    ends: list[list[int]] = [[] for _ in graph.operators]
    for number, step in last.items():
        if number not in graph.outputs and number not in graph.constants:
            ends[step].append(number)
    return ends
