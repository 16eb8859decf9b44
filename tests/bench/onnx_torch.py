"""An ONNX network that pe-node exported, as PyTorch operations: they give gradients of the network that is served."""

import numpy
import onnx
import torch
from onnx import helper, numpy_helper


class Network:
    """Runs a graph operator by operator; every value on the way can be asked for."""

    def __init__(self, path):
        graph = onnx.load(path).graph
        self.nodes = list(graph.node)
        self.inputs = [value.name for value in graph.input]
        self.outputs = [value.name for value in graph.output]
        self.constants = {value.name: torch.from_numpy(numpy_helper.to_array(value).copy()) for value in graph.initializer}
        unknown = sorted({node.op_type for node in self.nodes} - set(OPERATORS))
        if unknown:
            raise NotImplementedError(f"{path} has operators that this reader does not know: {', '.join(unknown)}")

    def run(self, *inputs):
        """All values by name."""
        values = {"": None, **self.constants, **dict(zip(self.inputs, inputs, strict=True))}
        for node in self.nodes:
            attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
            values[node.output[0]] = OPERATORS[node.op_type](attributes, *(values[name] for name in node.input))
        return values


def numbers(tensor):
    """A tensor of sizes or axes as whole numbers."""
    return [int(value) for value in tensor.reshape(-1)]


def convolution(attributes, values, weight, bias=None):
    """Conv with equal padding at both ends."""
    dimensions = weight.dim() - 2
    pads = attributes.get("pads", [0] * (2 * dimensions))
    assert pads[:dimensions] == pads[dimensions:], "uneven padding"
    function = (torch.nn.functional.conv1d, torch.nn.functional.conv2d)[dimensions - 1]
    return function(values, weight, bias, tuple(attributes["strides"]), tuple(pads[:dimensions]), tuple(attributes["dilations"]), attributes["group"])


def resize(attributes, values, _region, scales, sizes=None):
    """Resize of the last two axes, as torch's interpolation."""
    assert attributes["mode"] == b"linear" and attributes["coordinate_transformation_mode"] == b"half_pixel"
    if sizes is None:
        sizes = [round(size * float(scale)) for size, scale in zip(values.shape, scales, strict=True)]
    return torch.nn.functional.interpolate(values, size=tuple(numbers(torch.as_tensor(sizes))[-2:]), mode="bilinear", align_corners=False)


def reshape(_attributes, values, shape):
    """Reshape, in which 0 keeps an axis."""
    return values.reshape([values.shape[axis] if size == 0 else size for axis, size in enumerate(numbers(shape))])


def reduce_sum(attributes, values, axes=None):
    """ReduceSum."""
    axes = list(range(values.dim())) if axes is None else numbers(axes)
    return values.sum(axes, keepdim=bool(attributes.get("keepdims", 1)))


def gather(attributes, values, indices):
    """Gather along one axis."""
    axis = attributes.get("axis", 0)
    taken = values.index_select(axis, indices.reshape(-1).long())
    return taken.reshape([*values.shape[:axis], *indices.shape, *values.shape[axis + 1 :]])


OPERATORS = {
    "Add": lambda _attributes, left, right: left + right,
    "Concat": lambda attributes, *parts: torch.cat(parts, attributes["axis"]),
    "Conv": convolution,
    "Div": lambda _attributes, left, right: left / right,
    "Exp": lambda _attributes, values: values.exp(),
    "Gather": gather,
    "Log": lambda _attributes, values: values.log(),
    "MatMul": lambda _attributes, left, right: left @ right,
    "Mul": lambda _attributes, left, right: left * right,
    "ReduceSum": reduce_sum,
    "Relu": lambda _attributes, values: values.relu(),
    "Reshape": reshape,
    "Resize": resize,
    "Shape": lambda _attributes, values: torch.from_numpy(numpy.array(values.shape, dtype=numpy.int64)),
    "Tanh": lambda _attributes, values: values.tanh(),
}
