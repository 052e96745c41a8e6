"""What a network computes on the way to its logits: the features before its head, and by stage."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from common.errors import UserError
from learning.images import Batches
from learning.training import predict

STAGES = 4  # of which features are taken; a network with more layers gives four of them


def head_of(model: nn.Module) -> nn.Linear:
    """The linear layer that turns features into logits: the network's last layer.

    UserError where the last layer is another one.
    """
    leaves = [module for module in model.modules() if not list(module.children())]
    last = leaves[-1]
    if not isinstance(last, nn.Linear):
        raise UserError(
            f"{type(model).__name__} ends in {type(last).__name__}; "
            "what works on its features needs a Linear layer as its last one"
        )
    return last


def before_head(model: nn.Module, data: Batches) -> Tensor:
    """The head's inputs [N, D] for all images, in the batches' order; the model is in eval mode."""
    inputs = []
    hook = head_of(model).register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    try:
        predict(model, data)
    finally:
        hook.remove()
    return torch.cat(inputs)


def by_stage(model: nn.Module, data: Batches) -> dict[str, Tensor]:
    """{stage: features [N, D]} of all images, averaged over the places of a map or the tokens."""
    outputs: dict[str, list[Tensor]] = {}
    with _watched(model, outputs):
        predict(model, data)
    return {name: torch.cat(parts) for name, parts in outputs.items()}


@contextmanager
def _watched(model, outputs) -> Iterator[None]:
    """A context in which every pass adds to `outputs` what the stages give."""
    hooks = []
    for name, module in stages(model).items():

        def keep(module, args, output, name=name):
            outputs.setdefault(name, []).append(_averaged(output))

        hooks.append(module.register_forward_hook(keep))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def stages(model: nn.Module) -> dict[str, nn.Module]:
    """{name: module} of at most four stages, from input to output.

    They are the groups of layers that nn.Sequential or nn.ModuleList hold, or the blocks of the one
    list of them, as in a ViT; where there are none, the network's own modules.
    """
    groups: dict[str, nn.Module] = {}
    for name, module in model.named_children():
        if isinstance(module, nn.Sequential):
            groups[name] = module
    if len(groups) < 2:
        groups = _blocks(model) or dict(model.named_children())
    names = list(groups)
    count = min(STAGES, len(names))
    ends = [round((place + 1) * len(names) / count) - 1 for place in range(count)]
    return {names[end]: groups[names[end]] for end in ends}


def _blocks(model):
    """{name: block} of the longest list of blocks in the network; empty where there is none."""
    longest = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) > len(longest):
            longest = {f"{name}.{place}": block for place, block in enumerate(module)}
    return longest


def _averaged(output):
    """[B, D] of a map [B, D, H, W], of tokens [B, T, D], or of features [B, D]."""
    if isinstance(output, tuple):
        output = output[0]
    output = output.detach().float()
    if output.dim() == 4:
        return output.mean((2, 3))
    return output.mean(1) if output.dim() == 3 else output
