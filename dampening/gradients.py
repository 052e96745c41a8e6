"""Sums of squared gradients without a copy of all gradients.

A backward pass hands over each parameter's gradient as soon as it is complete. It is squared, added
to the sum, and freed. So memory holds the parameters, the sums, and the gradients of a layer or
two.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor

from dampening.processes import Processes, is_sharded, local
from per_sample_gradients import FLOAT16_RETRIES, at_least_float32, loss_scale

NO_GRADIENT_ARRIVES = (
    "no gradient of the loss reaches a parameter of the model that is not frozen; the loss must be "
    "computed by this model, and with FSDP set_requires_gradient_sync must be True"
)
FIRST_SCALE = 2.0**16  # of a float16 loss whose logits are not known, as torch's GradScaler has it


def add_gradients(
    sums: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    loss: Tensor,
    power: int,
    processes: Processes,
    *,
    in_float16: bool = False,
    logits: Tensor | None = None,
) -> None:
    """Add |gradient of the loss|^power to the sums, for all parameters.

    parameters: {name: parameter that is not frozen}. loss: a scalar, already weighed for this
    process. power: 1 or 2. in_float16: small gradients would vanish unless the loss is scaled.
    logits: through which all gradients pass, where they are known, to find that scale.
    ValueError where a gradient is sparse.
    """
    scale = None
    if in_float16:
        scale = _float16_scale(parameters, loss, logits)
        loss = loss * scale

    def add(name, gradient):
        gradient = at_least_float32(gradient)
        if scale is not None:
            gradient = gradient / scale
        total = local(sums[name])
        if power == 2:
            total.addcmul_(gradient, gradient)
        else:
            total.add_(gradient.abs())

    if processes.group is None:
        _backward(loss, parameters, add)
    else:
        _add_over_group(parameters, loss, processes.group, add)


def _backward(loss, parameters, receive, retain_graph=False):
    """A backward pass: receive(name, gradient) for each parameter that has one."""

    received = []

    def hand_over(name, parameter):
        received.append(name)
        gradient = parameter.grad
        parameter.grad = None
        _check_dense(name, gradient)
        if is_sharded(parameter):
            gradient = gradient.redistribute(placements=parameter.placements).to_local()
        receive(name, gradient)

    with _own_gradients_kept(parameters):
        hooks = []
        for name, p in parameters.items():
            hooks.append(p.register_post_accumulate_grad_hook(partial(hand_over, name)))
        try:
            loss.backward(retain_graph=retain_graph)
        finally:
            for hook in hooks:
                hook.remove()
    if not received:
        raise ValueError(NO_GRADIENT_ARRIVES)


def _add_over_group(parameters, loss, group, add):
    """The same with gradients summed over the processes of a group first.

    Here all gradients are held for a moment: a process may lack one that others have, and all must
    sum them in one order.
    """
    with _own_gradients_kept(parameters):
        loss.backward()
        if all(p.grad is None for p in parameters.values()):
            raise ValueError(NO_GRADIENT_ARRIVES)
        for name, p in parameters.items():
            gradient = torch.zeros_like(p) if p.grad is None else p.grad
            p.grad = None
            _check_dense(name, gradient)
            gradient = at_least_float32(gradient)
            dist.all_reduce(gradient, group=group)
            add(name, gradient)


@contextmanager
def _own_gradients_kept(parameters) -> Iterator[None]:
    """Whatever gradients the parameters had, they have afterwards."""
    kept = [(p, p.grad) for p in parameters.values()]
    for p in parameters.values():
        p.grad = None
    try:
        yield
    finally:
        for p, gradient in kept:
            p.grad = gradient


def _check_dense(name, gradient):
    if gradient.layout != torch.strided:
        raise ValueError(f"the gradient of {name} is sparse; make its layer with sparse=False")


# ---- float16 ----


def _float16_scale(parameters, loss, logits) -> Tensor:
    """A power of two for the loss, so that gradients neither vanish nor overflow in float16."""
    if logits is None:
        scale = torch.tensor(FIRST_SCALE, device=loss.device)
    else:
        (logit_gradients,) = torch.autograd.grad(loss, logits, retain_graph=True)
        scale = loss_scale(logit_gradients.flatten())
    for _ in range(FLOAT16_RETRIES):
        if _all_finite(parameters, loss * scale):
            break
        scale = scale / 256
    return scale


def _all_finite(parameters, loss) -> bool:
    """Whether all gradients of the loss are finite."""
    finite: list[bool] = []

    def look(name, gradient):
        finite.append(bool(torch.isfinite(gradient).all()))

    _backward(loss, parameters, look, retain_graph=True)
    return all(finite)
