"""What the columns of the tables hold; docs/glossary.md has more."""

LEGEND = {
    "D_r": "accuracy on the test images of what is kept, in percent.",
    "D_f": (
        "accuracy on the test images of what is forgotten, in percent. "
        "Random images: on the forgotten images themselves."
    ),
    "MIA": ("forgotten training images that an attack judges to have been trained on, in percent."),
    "±": (
        "sample standard deviation over unlearning seeds. "
        "Where there are several trained networks, that over these is given apart."
    ),
    "[a, b]": "95 % interval by Student's t, over pairs of a run and the retrain of its seeds.",
    "retrain": "the goal. Closer to its row is better, in each column.",
    "distance": (
        "mean of |difference to retrain| over D_r, D_f and MIA, in points. "
        "It is the retrain of the same seed, or each of them where the method is deterministic."
    ),
    "ToW": (
        "tug of war, the product of one minus each difference to retrain: "
        "in D_r, in D_f and in the accuracy on all test images. 1 is retrain's own."
    ),
    "U-LiRA AUC": (
        "how well an attacker with many networks tells forgotten images from ones never learned; "
        "0.5 is best (docs/audit.md)."
    ),
    "seconds": "the time of the method, without I_D.",
    "faster": "retrain's seconds over the method's.",
    "I_D s": (
        "seconds of SSD's importances over the whole training set. "
        "They are paid once per trained network."
    ),
    "selected": "parameters that were dampened, in percent.",
    "n": "the number of runs.",
    "deterministic": (
        "the method draws no random number. One run is compared with the retrains of all seeds."
    ),
    "COLLAPSED": (
        "runs whose D_r is more than 10 points below the baseline's, "
        "or whose D_f is more than 10 below retrain's. Corrupted data: D_r only."
    ),
    "UNCHANGED": (
        "runs whose D_f is within a point of the baseline's though the method was to change it. "
        "Where retrain's is too, there was little to forget."
    ),
    "Corrupted data": (
        "clean is the accuracy on the clean test images. "
        "healed is that on the true labels of test images with the trigger (patch) "
        "or of the corrupted training images (label). "
        "attack counts the triggered images that are sent to the attacked class. "
        "REM Healed and REM Utility are those of REM's benchmark: the share of all corrupted "
        "training images that get their true class, and the accuracy on clean test images "
        "(two classes confused: of the others). "
        "The goal is the retrain to which all corrupted images are known, where it was run."
    ),
    "Trials on validation images": (
        "a part of the training images that was not trained on stands in for the test images."
    ),
}
