"""What the methods of the SSD family share: importances and dampening."""

import ssd
from learning.images import batches


def importance(model, images, what, *, batch_size, measure, per_sample):
    """I_S over a set of images in un-augmented, unshuffled batches."""
    return ssd.importance(
        model, batches(images, model, batch_size, what=what), measure=measure, per_sample=per_sample
    )


def dampened(model, full, forget, alpha, lam, notes):
    """The model dampened in place and in eval mode; what was selected goes into `notes`."""
    shares = {}
    selected = ssd.dampen(model, full, forget, alpha=alpha, lam=lam, shares=shares)
    if notes is not None:
        notes.update(selected=selected, selected_by_name=shares)
    return model.eval()
