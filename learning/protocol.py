"""The places where the authors' released code departs from the paper, each with a name.

Both readings run. The released scripts crash in two of their three tasks where SSD is asked for.
What is replayed there is what their code says that it would do.
"""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Protocol:
    """False is what the paper says, done correctly; True replays the released code.

    | field | released code (True) | paper (False) |
    |---|---|---|
    | retrain_resets_last_layer_only | retrain re-initialises the last layer alone | a fresh network |
    | retrain_by_short_recipe | lr 0.01, two epochs of warm-up to 0.02, plain images, the task's batches | pre-training's recipe |
    | accuracy_averages_batches | unweighted mean of the batches' accuracies | correct / N |
    | zrf_by_elementwise_kl | KL(m||p) and KL(m||q), over N C; untrained network in train mode | Jensen-Shannon, eval mode |
    | bad_teacher_zrf_in_eval_mode | bad teacher's ZRF: untrained network in eval mode | as all |
    | unsir_uses_three_noises | 3 of the 32 noise images are used; trained in train mode | all 32; eval mode |
    | unsir_keeps_noise_gradients | the noise's steps leave their gradients to impair | none left |
    | unsir_scores_in_batches_of_32 | UNSIR's RetainTestAcc: mean over batches of 32 | correct / N |
    | jit_accumulates_in_train_mode | JiT: train mode, gradients never cleared | eval mode, a fresh gradient per step |
    | untrained_vit_is_pretrained | "untrained" ViT: ImageNet's backbone under a random head | random weights |
    | checkpoint_is_best_on_test | pre-training keeps the epoch that is best on the test set | the last epoch |
    | pins_is_tested_on_training_images | Pins' test set is its training set | a disjoint stratified split |
    | full_set_ends_with_forget_set | class tasks' D: D_r by class, then D_f | D by class |
    | initial_weights_are_pytorchs | ResNet18's first weights: PyTorch's default | Kaiming fan-out |

    The gradients that unsir_keeps_noise_gradients speaks of are those of the network's own weights,
    summed over the noise's steps. They enter the first impair step and with it Adam's moments.
    """

    retrain_resets_last_layer_only: bool
    retrain_by_short_recipe: bool
    accuracy_averages_batches: bool
    zrf_by_elementwise_kl: bool
    bad_teacher_zrf_in_eval_mode: bool
    unsir_uses_three_noises: bool
    unsir_keeps_noise_gradients: bool
    unsir_scores_in_batches_of_32: bool
    jit_accumulates_in_train_mode: bool
    untrained_vit_is_pretrained: bool
    checkpoint_is_best_on_test: bool
    pins_is_tested_on_training_images: bool
    full_set_ends_with_forget_set: bool
    initial_weights_are_pytorchs: bool


ROWS = [row.name for row in fields(Protocol)]


PAPER = Protocol(*[False] * len(ROWS))


RELEASED = Protocol(*[True] * len(ROWS))


PROTOCOLS = {"paper": PAPER, "released": RELEASED}
