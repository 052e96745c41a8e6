"""SCRUB: a student that departs from its teacher on D_f alone. Kurmanji et al., NeurIPS 2023, arXiv:2302.09880.

    forget   maximise KL( teacher || student ) over D_f                      in the first `forget_epochs` epochs, before
    retain   minimise a KL( teacher || student ) + g CE over D_r             in every epoch

teacher: the original. KL at temperature T is times T^2, as in all distillation (Hinton et al.
2015). Defaults: the JiT study's (3 epochs, 2 of them with D_f, SGD 5e-4, momentum 0.9, weight decay
5e-4, T = 4), of which there are two. `stated` is what the study says and what its scripts for random
images and for a sub-class do: a = 1, g = 5, the task's batches. `class_script` is what its script
for a class does: a = 0.001, g = 0.99, batches of 128, gradients clipped at norm 1. There 1 and 5
are never passed on.

Differs 1: The learning rate does not decay, unlike in the authors' code.
Differs 2: The student is not rewound to an earlier epoch, unlike in the authors' code.
Differs 3: D_f is shuffled, unlike in the authors' code.
"""

from typing import Literal

import torch.nn.functional as F

from learning.images import batches
from learning.training import SGD, fit, sgd, task_batch_size
from methods._method import Method
from metrics import logits_of

STUDIES = {  # clip 0: no clipping; batch_size None: the task's
    "stated": {"kl_weight": 1.0, "ce_weight": 5.0, "clip": 0.0, "batch_size": None},
    "class_script": {"kl_weight": 0.001, "ce_weight": 0.99, "clip": 1.0, "batch_size": 128},
}


def defaults(model, split, batch_size=None, chosen=None):
    """The study's settings, as a dict: study, kl_weight, ce_weight, clip, batch_size.

    batch_size: the task's, None for the released scripts'. chosen: {name: value} of what the user
    has set, of which "study" says whose settings these are.
    """
    study = (chosen or {}).get("study", "stated")
    settings = {"study": study, **STUDIES[study]}
    if settings["batch_size"] is None:
        settings["batch_size"] = task_batch_size(split) if batch_size is None else batch_size
    return settings


def unlearn(
    model,
    split,
    *,
    study: Literal["stated", "class_script"] = "stated",
    batch_size: int | None = None,
    epochs=3,
    forget_epochs=2,
    lr=5e-4,
    kl_weight: float | None = None,
    ce_weight: float | None = None,
    clip: float | None = None,
    temperature=4.0,
):
    """Alternate between both parts, un-augmented, in shuffled batches, in place.

    kl_weight, ce_weight: a and g. clip: the largest norm of a step's gradient, 0 for no limit.
    These and batch_size: None takes the study's, as `defaults` says.
    """
    usual = defaults(model, split, chosen={"study": study})
    kl_weight = usual["kl_weight"] if kl_weight is None else kl_weight
    ce_weight = usual["ce_weight"] if ce_weight is None else ce_weight
    clip = usual["clip"] if clip is None else clip
    batch_size = usual["batch_size"] if batch_size is None else batch_size
    teacher_forget = logits_of(model, split.forget, "D_f")
    teacher_retain = logits_of(model, split.retain, "D_r")

    def apart(student, x, y, index):
        return -divergence(teacher_forget[index], student(x), temperature)

    def retained(student, x, y, index):
        logits = student(x)
        kept = divergence(teacher_retain[index], logits, temperature)
        return kl_weight * kept + ce_weight * F.cross_entropy(logits, y)

    optimizer = sgd(model, lr)
    forget = batches(split.forget, model, batch_size, shuffle=True)
    retain = batches(split.retain, model, batch_size, shuffle=True)
    for epoch in range(epochs):
        if epoch < forget_epochs:
            fit(model, forget, optimizer, 1, loss=apart, clip=clip, what="scrub: forget")
        fit(model, retain, optimizer, 1, loss=retained, clip=clip, what="scrub: retain")
    return model.eval()


def divergence(teacher, student, temperature):
    """T^2 KL( teacher || student ) at temperature T, mean over the batch, nats; both logits [B, C]."""
    log_p, log_q = ((logits / temperature).log_softmax(1) for logits in (teacher, student))
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
