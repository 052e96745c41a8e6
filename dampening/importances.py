"""Importances: the loop over batches or samples, and what it adds up."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dampening import checks, outputs, samples
from dampening.batches import logits_in, mean_loss
from dampening.gradients import add_gradients
from dampening.measures import MEASURES, Measure
from dampening.processes import Processes, in_step, local, processes_of, resharded
from per_sample_gradients import at_least_float32, computes_in_float16, per_sample_sums


def importance_and_size(
    model: nn.Module,
    batches: Iterable,
    *,
    measure: str,
    per_sample: bool,
    loss: Callable | None,
    reduce_over: Any,
    store: str | torch.device | None,
) -> tuple[dict[str, Tensor], int | None]:
    """(what ssd.importance returns, the number of samples that it was taken from)."""
    checks.check_measure(measure, per_sample, loss)
    checks.check_batches(batches)
    checks.check_store(store)
    checks.checked_parameters(model)
    with _eval_mode(model), resharded(model):
        checks.check_trainable(model)
        parameters = dict(model.named_parameters())
        work = _Work(
            model=model,
            parameters={name: p for name, p in parameters.items() if p.requires_grad},
            measure=MEASURES[measure],
            loss=loss,
            processes=processes_of(model, parameters, reduce_over),
            sums={name: _zeros(p) for name, p in parameters.items()},
        )
        if per_sample:
            checks.check_per_sample(model)
            batch_count, sample_count = _read_samples(work, batches)
        else:
            batch_count, sample_count = _read_batches(work, batches)
        checks.check_sums(work.sums)
    count = sample_count if per_sample else batch_count
    importances = work.sums
    for name, value in importances.items():
        local(value).div_(count)
        if store is not None:
            importances[name] = value.to(store)
    return importances, sample_count


@dataclass(frozen=True, eq=False, kw_only=True)
class _Work:
    """What is measured, and how far it is."""

    model: nn.Module
    parameters: dict[str, Tensor]  # that are not frozen; of a sharded model, as they are sharded
    measure: Measure
    loss: Callable | None
    processes: Processes
    sums: dict[str, Tensor]  # over the batches or samples so far, for all parameters

    @property
    def device(self) -> torch.device:
        """Where the batches are put."""
        return next(iter(self.sums.values())).device


def _zeros(p):
    """Of the parameter's shape, float32 or wider, sharded as it is."""
    return torch.zeros_like(p, dtype=torch.promote_types(p.dtype, torch.float32))


def _read_batches(work, batches):
    """Add every batch's gradient to the sums.

    Returns the number of batches, and that of the samples in them: None where a batch does not say.
    """
    batch_count, sample_count, unknown_count = 0, 0, 0
    in_common = in_step(batches, work.processes, lambda batch: samples.size(batch) == 0)
    for number, batch, is_filler in _numbered(in_common, work):
        with torch.enable_grad():  # the batches may come from a generator in torch.no_grad()
            _add_batch_mean(work, batch, number, work.processes, is_filler)
        batch_count += 1
        size = 0 if is_filler else samples.size(batch)
        if size is None:
            unknown_count += 1
        else:
            sample_count += size
        if batch_count == 1:
            checks.check_sums(work.sums)  # say what is wrong before the other batches are read
    sample_count, unknown_count = work.processes.sum([sample_count, unknown_count])
    checks.check_any_batch(batch_count)
    return batch_count, None if unknown_count else sample_count


def _read_samples(work, batches):
    """Add every sample's gradient to the sums; (number of batches, number of samples in them)."""
    batch_count, sample_count = 0, 0
    for number, batch, is_filler in _numbered(batches, work):
        if is_filler:
            continue
        with torch.enable_grad():
            sample_count += _add_samples(work, batch, number)
        batch_count += 1
        if batch_count == 1:
            checks.check_sums(work.sums)
    batch_count, sample_count = work.processes.sum([batch_count, sample_count])
    checks.check_any_batch(min(batch_count, sample_count))
    if work.processes.count > 1:
        for value in work.sums.values():
            dist.all_reduce(value, group=work.processes.group)
    return batch_count, sample_count


def _numbered(batches, work):
    """(number from 1, the batch on the model's device, whether it is a filler) of each batch.

    Batches without samples are omitted.
    """
    for number, batch in enumerate(batches, 1):
        is_filler = isinstance(batch, samples.Filler)
        content = batch.batch if is_filler else batch
        if work.loss is None:
            content = checks.checked_batch(content, number)
        if samples.size(content) != 0:
            yield number, samples.moved(content, work.device), is_filler


# ---- a batch's mean ----


def _add_batch_mean(work, batch, number, processes, is_filler=False):
    """Add |gradient of the batch's mean loss|^power for all parameters.

    processes: that share the batch; of a filler this process takes part with a weight of 0.
    """
    mean = mean_loss(work.model, batch, number, work.measure, work.loss)
    if processes.count == 1 and mean.is_empty:
        raise ValueError(outputs.NOTHING_COUNTS.format(number=number))
    _add_mean(work, mean, number, processes, is_filler)


def _add_mean(work, mean, number, processes, is_filler):
    value = mean.value
    in_float16 = computes_in_float16(work.model, value)
    if processes.count > 1:
        checks.check_wide_enough(in_float16)
        value = value * processes.loss_weight(0 if is_filler else mean.size(), number)
    add_gradients(
        work.sums,
        work.parameters,
        value,
        work.measure.power,
        processes,
        in_float16=in_float16,
        logits=mean.logits,
    )


# ---- each sample's own ----


def _add_samples(work, batch, number):
    """Add |gradient of each sample's own loss|^power; how many samples have a loss."""
    # Squares of single samples' gradients would keep two digits in the half precision of autocast.
    with torch.autocast(work.device.type, enabled=False), _not_compiled(work.model):
        is_pair = work.loss is None and not isinstance(batch, Mapping)
        is_of_tokens = is_pair and batch[1].dim() > 1 and not batch[1].is_floating_point()
        if is_pair and not is_of_tokens:
            _add_samples_at_once(work, *batch, number)
            return len(batch[1])
        if work.measure.name == "true_fisher":
            raise ValueError(f"true_fisher needs pairs (x, y [B]); batch {number} is no such pair")
        count = 0
        for single in samples.singles(batch):
            mean = mean_loss(work.model, single, number, work.measure, work.loss)
            if not mean.is_empty:
                _add_mean(work, mean, number, Processes(1), is_filler=False)
                count += 1
        return count


def _add_samples_at_once(work, x, y, number):
    """The same for a pair (x [B, ...], y [B]), all samples at once."""
    network, prefix = _without_wrapper(work.model)
    measure = work.measure
    parameters = {name.removeprefix(prefix): p for name, p in work.parameters.items()}

    def losses_of(logits, samples):
        return measure.losses(logits, y[samples])

    def check(output):
        logits = logits_in(output)
        outputs.check_logits(logits, y, number, measure)
        losses = measure.losses(at_least_float32(logits), y)
        if not bool(torch.isfinite(losses).all()):
            outputs.raise_not_finite(work.model, [("x", x)], number)

    parts = per_sample_sums(network, parameters, x, losses_of, measure.power, check, logits_in)
    for name, value in parts:
        work.sums[prefix + name] += value


def _not_compiled(model):
    """Inside, compiled networks run as Python: what looks into layers cannot be compiled."""
    for module in model.modules():
        if hasattr(module, "_orig_mod") or module._compiled_call_impl is not None:
            return torch.compiler.set_stance("force_eager")
    return nullcontext()


def _without_wrapper(model):
    """(the network in what torch.compile or DataParallel gave, the prefix of its names)."""
    if isinstance(model, nn.DataParallel):
        return model.module, "module."
    if hasattr(model, "_orig_mod"):
        return model._orig_mod, "_orig_mod."
    return model, ""


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Every module in eval mode, and each back in its own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
