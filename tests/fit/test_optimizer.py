import torch

from vhap.fit.optimizer import RowAdam
from vhap.fit.params import CAMERA, TrackParams
from vhap.render.shading import uniform_lights


def some_params() -> TrackParams:
    def zeros(*shape: int) -> torch.Tensor:
        return torch.zeros(shape)

    return TrackParams(
        *(zeros(4, 3) for _ in range(4)),
        zeros(4, 6),
        zeros(4, 5),
        zeros(7),
        *(torch.ones(1) for _ in CAMERA),
        uniform_lights(),
        zeros(1, 2, 2, 3),
    )


def test_agrees_with_torch_on_whole_tensors_and_full_batches() -> None:
    torch.manual_seed(0)
    params, rows = some_params(), torch.arange(4)
    expr = torch.zeros(4, 5, requires_grad=True)
    shape = torch.zeros(7, requires_grad=True)
    reference, ours = torch.optim.Adam([expr, shape], lr=0.1), RowAdam()
    for _ in range(7):
        expr.grad, shape.grad = torch.randn(4, 5), torch.randn(7)
        gradients = {"expr": expr.grad.clone(), "shape": shape.grad.clone()}
        ours.step(params, gradients, rows, {"expr": 0.1, "shape": 0.1})
        reference.step()
    torch.testing.assert_close(params.expr, expr.detach())
    torch.testing.assert_close(params.shape, shape.detach())


def test_frames_outside_the_batch_do_not_move() -> None:
    params, optimizer = some_params(), RowAdam()
    optimizer.step(params, {"expr": torch.ones(4, 5)}, torch.arange(4), {"expr": 0.1})
    before = params.expr.clone()
    optimizer.step(params, {"expr": torch.ones(2, 5)}, torch.tensor([1, 3]), {"expr": 0.1})
    moved = (params.expr != before).any(1)
    assert moved.tolist() == [False, True, False, True]
