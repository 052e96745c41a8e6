"""SCRUB: a student that departs from its teacher only on D_f.

Kurmanji, Triantafillou, Hayes, Triantafillou: Towards Unbounded Machine Unlearning. NeurIPS 2023,
arXiv:2302.09880.

    forget   maximise KL( teacher || student ) over D_f          in the first `forget_epochs` epochs
    retain   minimise a KL( teacher || student ) + g CE over D_r            after it, in every epoch

The teacher is the original. KL at temperature T is multiplied by T^2, as in all distillation
(Hinton et al. 2015).

Defaults: the JiT study's (3 epochs, 2 of them with D_f, SGD at 5e-4, momentum 0.9, weight decay
5e-4, T = 4). It has two settings. `stated` is what the study says and what its scripts for random
images and for a sub-class do: a = 1, g = 5, the task's batches. `class_script` is what its script
for a class does: a = 0.001, g = 0.99, batches of 128, gradients clipped at norm 1. There 1 and 5
are never passed on.

Differs 1: The learning rate does not decay, unlike in the authors' code.
Differs 2: The student is not rewound to an earlier epoch, unlike in the authors' code.
Differs 3: D_f is shuffled, unlike in the authors' code.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from learning.images import batches
from learning.training import SGD, fit, sgd, task_batch_size
from methods._method import Method, resolved
from metrics import logits_of
from splits import Split

# clip 0: no clipping; batch_size None: the task's.
STUDIES: dict[str, dict] = {
    "stated": {"kl_weight": 1.0, "ce_weight": 5.0, "clip": 0.0, "batch_size": None},
    "class_script": {"kl_weight": 0.001, "ce_weight": 0.99, "clip": 1.0, "batch_size": 128},
}


def defaults(
    model: nn.Module,
    split: Split,
    batch_size: int | None = None,
    chosen: dict | None = None,
) -> dict:
    """The settings of a study: study, kl_weight, ce_weight, clip, batch_size.

    batch_size: the task's; None for the released scripts'. chosen: {name: value} that the user has
    set; its "study" says whose settings these are.
    """
    study = (chosen or {}).get("study", "stated")
    settings = {"study": study, **STUDIES[study]}
    if settings["batch_size"] is None:
        settings["batch_size"] = task_batch_size(split) if batch_size is None else batch_size
    return settings


def unlearn(
    model: nn.Module,
    split: Split,
    *,
    study: Literal["stated", "class_script"] = "stated",
    batch_size: int | None = None,
    epochs: int = 3,
    forget_epochs: int = 2,
    lr: float = 5e-4,
    kl_weight: float | None = None,
    ce_weight: float | None = None,
    clip: float | None = None,
    temperature: float = 4.0,
) -> nn.Module:
    """Alternate between both parts, un-augmented, in shuffled batches, in place.

    kl_weight, ce_weight: a and g. clip: the largest norm of a step's gradient, 0 for no limit.
    These and batch_size: None takes the study's, as `defaults` says.
    """
    usual = defaults(model, split, chosen={"study": study})
    values = resolved(
        usual, kl_weight=kl_weight, ce_weight=ce_weight, clip=clip, batch_size=batch_size
    )
    teacher_on_forget = logits_of(model, split.forget, "D_f")  # [N, C]
    teacher_on_retain = logits_of(model, split.retain, "D_r")  # [N, C]

    def forget_loss(student, x, y, index):
        return -divergence(teacher_on_forget[index], student(x), temperature)

    def retain_loss(student, x, y, index):
        logits = student(x)
        kl = divergence(teacher_on_retain[index], logits, temperature)
        return values["kl_weight"] * kl + values["ce_weight"] * F.cross_entropy(logits, y)

    optimizer = sgd(model, lr)
    clip = values["clip"]
    forget = batches(split.forget, model, values["batch_size"], shuffle=True)
    retain = batches(split.retain, model, values["batch_size"], shuffle=True)
    for epoch in range(epochs):
        if epoch < forget_epochs:
            fit(model, forget, optimizer, 1, loss=forget_loss, clip=clip, title="scrub: forget")
        fit(model, retain, optimizer, 1, loss=retain_loss, clip=clip, title="scrub: retain")
    return model.eval()


def divergence(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """T^2 KL( teacher || student ) at temperature T, mean over the batch, in nats.

    teacher, student: logits [B, C].
    """
    log_p = (teacher / temperature).log_softmax(1)
    log_q = (student / temperature).log_softmax(1)
    return temperature**2 * F.kl_div(log_q, log_p, log_target=True, reduction="batchmean")


METHOD = Method(
    unlearn,
    family="other",
    heals=True,
    optimizer=SGD,
    ranges={
        "lr": (1e-5, 1e-2),
        "epochs": (1, 10),
        "forget_epochs": (1, 10),
        "ce_weight": (0.1, 10),
    },
    defaults=defaults,
)
