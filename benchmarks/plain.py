"""The plain way: the experiments as the authors' scripts run them, a process a run: the yardstick.

    python -m benchmarks.plain DATA CHECKPOINT CLASS METHOD [ALPHA LAMBDA]

prints a line of JSON. Images are decoded one by one into Python lists. Networks compute in fp32
with channels first. Attack probabilities are collected at batch size 1. Every score is a pass of
its own, and I_D is computed for every request.

It is written from the papers, to be read, and shares no code with the project. It computes the
paper's reading, so that results can be compared.
"""

import common.threads  # noqa: F401 (before torch)

import copy
import json
import math
import os
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

MEAN = (0.5070751592371323, 0.48654887331495095, 0.4409178433670343)
STD = (0.2673342858792401, 0.2564384629170883, 0.27615047132568404)
AS_TENSOR = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
AUGMENTED = transforms.Compose(
    [
        transforms.RandomCrop(32, padding=4),
        transforms.RandomHorizontalFlip(),
        transforms.RandomRotation(15),
    ]
)
DEVICE = os.environ.get("PLAIN_DEVICE", "cpu")

# ---- images and networks ----


def pictures(folder):
    """[(PIL image, label)], class by class."""
    items = []
    for label, name in enumerate(sorted(os.listdir(folder))):
        for file in sorted(os.listdir(os.path.join(folder, name))):
            picture = Image.open(os.path.join(folder, name, file)).convert("RGB")
            items.append((picture, label))
    return items


def decoded(folder):
    """[(tensor [3, 32, 32], label)], class by class."""
    return [(AS_TENSOR(picture), label) for picture, label in pictures(folder)]


def parted(data, forgotten):
    """(D_r, D_f) of a list of (image, label)."""
    retain = [item for item in data if item[1] != forgotten]
    forget = [item for item in data if item[1] == forgotten]
    return retain, forget


class Pictures(torch.utils.data.Dataset):
    """Augmented by PIL in the main process, image by image."""

    def __init__(self, items, size=32):
        self.items = items
        self.size = size  # pixels a side

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        picture, label = self.items[i]
        x = AS_TENSOR(AUGMENTED(picture))
        if self.size != 32:
            x = transforms.functional.resize(x, [self.size] * 2, antialias=True)
        return x, label


def batches(data, batch_size, shuffle=False):
    for x, y in DataLoader(data, batch_size, shuffle):
        yield x.to(DEVICE), y.to(DEVICE)


def network(num_classes, checkpoint=None):
    """torchvision's ResNet18 with the stem for small images."""
    model = torchvision.models.resnet18(num_classes=num_classes)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    if checkpoint:
        model.load_state_dict(load_file(checkpoint))
    return model.eval().to(DEVICE)


def cross_entropy(model, x, y):
    return F.cross_entropy(model(x), y)


def train(model, data, epochs, optimizer, loss=cross_entropy, batch_size=64):
    model.train()
    for _ in range(epochs):
        for x, y in batches(data, batch_size, shuffle=True):
            optimizer.zero_grad()
            loss(model, x, y).backward()
            optimizer.step()
    return model.eval()


# ---- scores, each by a pass of its own ----


@torch.no_grad()
def accuracy(model, data):
    right = sum(int((model(x).argmax(1) == y).sum()) for x, y in batches(data, 64))
    return 100 * right / len(data)


@torch.no_grad()
def probabilities(model, data):
    """[N, C], one image at a time."""
    return torch.cat([F.softmax(model(x), 1) for x, _ in batches(data, 1)])


def entropies(model, data):
    """[N, 1], in nats and in double precision.

    On float32 features scikit-learn 1.9's lbfgs may stop at its first step (docs/log.md,
    2026-11-25).
    """
    p = probabilities(model, data)
    entropy = -torch.where(p > 0, p * p.log(), p).sum(1, keepdim=True)
    return entropy.double().cpu().numpy()


def mia(model, retain, forget, test):
    """Percent of D_f that is judged to be training images."""
    members, others = entropies(model, retain), entropies(model, test)
    is_member = np.concatenate([np.ones(len(members)), np.zeros(len(others))])
    centre = (members.mean() + others.mean()) / 2
    attack = LogisticRegression(C=2.0, class_weight="balanced", tol=1e-10, max_iter=1000)
    attack.fit(np.concatenate([members, others]) - centre, is_member)
    return 100 * float(attack.predict(entropies(model, forget) - centre).mean())


@torch.no_grad()
def zrf(model, untrained, data):
    """1 - mean Jensen-Shannon divergence."""
    divergences = []
    for x, _ in batches(data, 64):
        p, q = F.softmax(model(x), 1), F.softmax(untrained(x), 1)
        m = (p + q) / 2
        from_p = F.kl_div(m.log(), p, reduction="none")
        from_q = F.kl_div(m.log(), q, reduction="none")
        divergences.append((from_p + from_q).sum(1) / 2)
    return 1 - float(torch.cat(divergences).mean())


def scores(model, train_set, test_set, forgotten):
    retain, forget = parted(train_set, forgotten)
    retain_test, forget_test = parted(test_set, forgotten)
    untrained = network(model.fc.out_features)
    return {
        "TestAcc": accuracy(model, test_set),
        "RetainTestAcc": accuracy(model, retain_test),
        "Df": accuracy(model, forget_test),
        "MIA": mia(model, retain, forget, test_set),
        "ZRF": zrf(model, untrained, forget_test),
    }


# ---- dampening ----


def importances(model, data, norm=False, batch_size=64):
    """I_S; norm: of the label-free measure (LFSSD)."""
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for x, y in batches(data, batch_size):
        model.zero_grad()
        logits = model(x)
        loss = logits.pow(2).sum(1).mean() if norm else F.cross_entropy(logits, y)
        loss.backward()
        for name, p in model.named_parameters():
            total[name] += p.grad.clone().abs() if norm else p.grad.clone().pow(2)
    count = math.ceil(len(data) / batch_size)
    return {name: value / count for name, value in total.items()}


def ssd(model, train_set, forget, alpha, lam, norm=False):
    """Dampen in place; which parameters were selected, bool [P]."""
    i_full, i_forget = importances(model, train_set, norm), importances(model, forget, norm)
    selected = []
    with torch.no_grad():
        for name, p in model.named_parameters():
            chosen = i_forget[name] > alpha * i_full[name]
            ratio = i_full[name][chosen] / i_forget[name][chosen]
            p[chosen] *= (lam * ratio).clamp(max=1)
            selected.append(chosen.flatten())
    return torch.cat(selected)


def fisher(model, data):
    """Diagonal Fisher of single samples over every label: one image, one backward pass a label."""
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for x, _ in batches(data, 1):
        logits = model(x)
        p_label = F.softmax(logits, 1).detach()[0]
        for label in range(len(p_label)):
            model.zero_grad()
            y = torch.tensor([label], device=DEVICE)
            F.cross_entropy(logits, y).backward(retain_graph=True)
            for name, p in model.named_parameters():
                total[name] += p_label[label] * p.grad.pow(2)
    return {name: value / len(data) for name, value in total.items()}


# ---- methods that train ----


def sgd(model, lr):
    return torch.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=5e-4)


def adam(model):
    return torch.optim.Adam(model.parameters(), 1e-4)


def finetune(model, retain, forget, num_classes):
    return train(model, retain, 5, sgd(model, 0.02))


def amnesiac(model, retain, forget, num_classes):
    wrong = []
    for x, y in forget:
        others = [label for label in range(num_classes) if label != y]
        wrong.append((x, random.choice(others)))
    return train(model, retain + wrong, 3, adam(model), batch_size=128)


def bad_teacher(model, retain, forget, num_classes):
    original, untrained = copy.deepcopy(model), network(num_classes)
    some = random.sample(retain, int(0.3 * len(retain)))

    def loss(model, x, is_forgotten):
        with torch.no_grad():
            goal = torch.where(
                is_forgotten[:, None] == 1, F.softmax(untrained(x), 1), F.softmax(original(x), 1)
            )
        return F.kl_div(F.log_softmax(model(x), 1), goal, reduction="batchmean")

    data = [(x, 0) for x, _ in some]
    data += [(x, 1) for x, _ in forget]
    return train(model, data, 1, adam(model), loss, batch_size=256)


def unsir(model, retain, forget, num_classes):
    forgotten = forget[0][1]
    noise = noise_against(model, forgotten)
    kept = []
    for label in range(num_classes):
        kept += [item for item in retain if item[1] == label][:500]
    noisy = [(image, forgotten) for image in noise.detach().cpu()]
    train(model, kept + 80 * noisy, 1, adam(model), batch_size=32)
    return train(model, kept, 1, adam(model), batch_size=128)


def noise_against(model, forgotten):
    """Images [32, 3, 32, 32] that maximise the forgotten class's loss."""
    noise = torch.randn(32, 3, 32, 32, device=DEVICE, requires_grad=True)
    optimizer = torch.optim.Adam([noise], 0.1)
    labels = torch.full((32,), forgotten, device=DEVICE)
    for _ in range(25):
        optimizer.zero_grad()
        size = noise.pow(2).sum((1, 2, 3)).mean()
        (-F.cross_entropy(model(noise), labels) + 0.1 * size).backward()
        optimizer.step()
    return noise


TRAINING_METHODS = {
    "finetune": finetune,
    "amnesiac": amnesiac,
    "bad_teacher": bad_teacher,
    "unsir": unsir,
}


# ---- a run ----


def main(data, checkpoint, forgotten, method, alpha=10.0, lam=1.0):
    train_set, test_set = decoded(Path(data) / "train"), decoded(Path(data) / "test")
    num_classes = 1 + max(y for _, y in train_set)
    model, forgotten = network(num_classes, checkpoint), int(forgotten)
    retain, forget = parted(train_set, forgotten)
    selected = None
    start = time.perf_counter()
    if method in ("ssd", "lfssd"):
        is_selected = ssd(model, train_set, forget, float(alpha), float(lam), method == "lfssd")
        selected = float(is_selected.double().mean())
    elif method != "baseline":
        TRAINING_METHODS[method](model, retain, forget, num_classes)
    seconds = time.perf_counter() - start
    values = scores(model, train_set, test_set, forgotten)
    print(json.dumps({"scores": values, "seconds": seconds, "selected": selected}))


if __name__ == "__main__":
    main(*sys.argv[1:])
