"""SCRUB: a student that departs from its teacher on D_f alone. Kurmanji et al., NeurIPS 2023, arXiv:2302.09880.

    forget   maximise KL( teacher || student ) over D_f                      in the first `forget_epochs` epochs, before
    retain   minimise a KL( teacher || student ) + g CE over D_r             in every epoch

teacher: the original. KL at temperature T is times T^2, as in all distillation (Hinton et al. 2015). Defaults: the JiT study's
(3 epochs, 2 of them with D_f, SGD 5e-4, momentum 0.9, weight decay 5e-4, a = 1, g = 5, T = 4).
"""

import torch.nn.functional as F

from images import batches, numbered
from metrics import logits_of
from training import fit, sgd

RANGES = {"lr": (1e-5, 1e-2), "epochs": (1, 10), "forget_epochs": (1, 10), "ce_weight": (0.1, 10)}


def unlearn(model, split, *, batch_size, epochs=3, forget_epochs=2, lr=5e-4, kl_weight=1.0, ce_weight=5.0, temperature=4.0):
    """Alternate between both parts, un-augmented, in shuffled batches, in place."""
    teacher_forget, teacher_retain = logits_of(model, split.forget, "D_f"), logits_of(model, split.retain, "D_r")

    def apart(student, x, number):
        return -divergence(teacher_forget[number], student(x), temperature)

    def retained(student, x, number):
        logits, labels = student(x), split.retain.labels[number]
        return kl_weight * divergence(teacher_retain[number], logits, temperature) + ce_weight * F.cross_entropy(logits, labels)

    optimizer = sgd(model, lr)
    forget, retain = (batches(numbered(part), model, batch_size, shuffle=True) for part in (split.forget, split.retain))
    for epoch in range(epochs):
        if epoch < forget_epochs:
            fit(model, forget, optimizer, 1, loss=apart, what="scrub: forget")
        fit(model, retain, optimizer, 1, loss=retained, what="scrub: retain")
    return model.eval()


def divergence(teacher, student, temperature):
    """T^2 KL( teacher || student ) at temperature T, mean over the batch, nats; both logits [B, C]."""
    log_p, log_q = ((logits / temperature).log_softmax(1) for logits in (teacher, student))
    return temperature**2 * F.kl_div(log_q, log_p, log_target=True, reduction="batchmean")
