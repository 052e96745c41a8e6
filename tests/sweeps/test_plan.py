"""What a sweep has to do: what each run waits for, and what is wrong before any work."""

import pytest

from common.errors import UserError
from sweeps.lines import Line, Mistake
from sweeps.plan import check_some_can_run, plan

FLAGS = ["-net", "ResNet18", "-dataset", "Cifar10", "-forget_class", "cat", "-wandb", "disabled"]


def planned(*lines):
    """The plan of forget_full_class_main.py with FLAGS and each line's own flags."""
    argvs = [(*FLAGS, *line.split()) for line in lines]
    return plan([Line("forget_full_class_main", argv, n) for n, argv in enumerate(argvs, 1)])


def reasons(plan):
    """{number of a line: why it cannot run}"""
    return {mistake.number: mistake.reason for mistake in plan.mistakes}


def waits_for(job, other):
    return bool(job.needs & other.makes)


# ---- who waits for whom ----


def test_runs_wait_for_the_retrain_they_are_measured_against():
    """However its folders and its class are spelled."""
    flags = ("-net", "ResNet18", "-dataset", "Cifar20", "-method")
    argvs = [
        (*flags, "ssd", "-forget_class", "vehicle2", "-results", "./results"),
        (*flags, "retrain", "-forget_class", "vehicles_2", "-results", "results"),
        (*flags, "ssd", "-forget_class", "veg", "-results", "results"),
    ]
    jobs = plan([Line("forget_full_class_main", argv) for argv in argvs]).jobs
    training, retrain, ssd, other_class = jobs
    assert training.trains
    assert waits_for(ssd, training) and waits_for(retrain, training)
    assert waits_for(ssd, retrain)
    assert not waits_for(other_class, retrain) and not waits_for(retrain, retrain)


def test_trainings_go_first_then_originals_and_goals():
    lines = ["ssd", "finetune", "baseline", "lfssd", "retrain"]
    jobs = planned(*[f"-method {method}" for method in lines]).jobs
    methods = [job.args.method for job in jobs[1:]]
    assert jobs[0].trains
    assert methods == ["baseline", "retrain", "ssd", "finetune", "lfssd"]


def test_what_is_done_about_duplicates_reaches_the_training_and_tells_goals_apart():
    lines = ["ssd -duplicates drop_train", "retrain", "retrain -duplicates drop_train"]
    jobs = planned(*[f"-method {line}" for line in lines]).jobs
    dropping, usual, plain, dropped, ssd = jobs
    assert dropping.line.argv[-2:] == ("-duplicates", "drop_train")
    assert "drop_train" in dropping.trains
    assert "-duplicates" not in usual.line.argv
    assert "drop_train" not in usual.trains
    assert ssd.needs == dropping.makes | dropped.makes
    assert not waits_for(ssd, plain)


def test_what_is_tested_decides_whose_goal_a_retrain_is():
    lines = ["ssd -duplicates drop_test", "retrain", "retrain -duplicates drop_test"]
    training, plain, dropped, ssd = planned(*[f"-method {line}" for line in lines]).jobs
    assert ssd.needs == training.makes | dropped.makes
    assert plain.needs == dropped.needs
    assert not waits_for(ssd, plain)


def test_a_run_waits_for_the_network_that_an_earlier_line_keeps():
    jobs = planned(
        "-method ssd -save a.safetensors", "-method lfssd -weight_path a.safetensors"
    ).jobs
    training, first, second = jobs
    assert training.trains
    assert waits_for(second, first) and not waits_for(first, second)


def test_old_lines_stay_accepted():
    """Flags and names of the released scripts, and a flag of a former version."""
    old = "-classes 10 -superclasses 10 -subclasses 10 -together=dog -method"
    result = planned(f"{old} ssd_tuning", f"{old} blindspot", f"{old} FisherForgetting")
    assert not result.mistakes
    methods = [job.args.method for job in result.jobs if not job.trains]
    assert methods == ["ssd", "bad_teacher", "fisher"]


# ---- what is wrong ----


def test_two_runs_never_keep_their_networks_in_one_file():
    result = planned(
        "-method ssd -save a.safetensors",
        "-method lfssd -save ./a.safetensors",
        "-method ssd -save b.safetensors",
    )
    assert reasons(result).keys() == {1, 2}
    assert all("several runs would write it" in reason for reason in reasons(result).values())


def test_the_same_run_written_otherwise_may():
    assert not planned(
        "-method ssd -save a.safetensors", "-save a.safetensors -method ssd"
    ).mistakes


def test_no_run_writes_over_a_network_that_another_starts_from():
    usual = "checkpoints/ResNet18-Cifar10-seed0.safetensors"
    assert "starts from" in reasons(planned(f"-method ssd -save {usual}"))[1]
    result = planned(f"-method ssd -train_seed 1 -save {usual}", "-method lfssd")
    assert reasons(result).keys() == {1}
    assert "another line makes or starts from" in reasons(result)[1]


def test_no_run_writes_over_a_network_that_an_earlier_line_names():
    result = planned("-method lfssd -weight_path a.safetensors", "-method ssd -save a.safetensors")
    assert "starts from" in reasons(result)[2]


def test_what_flags_alone_tell_is_a_mistake_before_any_work(place):
    network = place / "checkpoints" / "ResNet18Slim-Digits-seed0.safetensors"
    for line, words in {
        f"-method ssd -weight_path {network}": "was trained for net ResNet18Slim",
        "-method ssd -weight_path nowhere.safetensors": "no checkpoint at nowhere.safetensors",
        f"-method ssd -weight_path {__file__}.safetensors": "no checkpoint at",
        "-method ssd -alpha -1": "-alpha -1",
        "-method ssd -forget_class dragon": "no class 'dragon'",
        f"-method ssd -data {'x' * 5000} -dataset Folder": "too long",
        "-method amnesiac -set epochs=x": "whole number",
        "-method ssd -h": "omit the line",
    }.items():
        assert words in reasons(planned(line))[1], line
    training = ("-net", "ResNet18", "-dataset", "Cifar10", "-epochs", "0")
    (mistake,) = plan([Line("pretrain_model", training)]).mistakes
    assert "-epochs 0" in mistake.reason


def test_a_line_that_asks_for_a_gpu_where_there_is_none():
    lines = [Line("forget_full_class_main", (*FLAGS, "-method", "ssd", "-gpu"), 1)]
    lines.append(Line("forget_full_class_main", (*FLAGS, "-method", "ssd"), 2))
    result = plan(lines, gpu_mistake=lambda: "no GPU here")
    assert reasons(result) == {1: "no GPU here"}
    assert len(result.jobs) == 2  # with the training
    assert not plan(lines, gpu_mistake=lambda: "").mistakes


def test_a_line_that_is_there_twice_counts_once():
    line = Line("forget_full_class_main", (*FLAGS, "-method", "ssd"), 1)
    wrong = Mistake(3, "rm -rf /", "no command")
    result = plan([line, line, wrong, wrong])
    assert result.total == 3  # with the training


def test_where_no_line_can_run_the_first_mistake_is_named():
    lines = [f"-method ssd -protocol banana -seed {seed}" for seed in range(9)]
    with pytest.raises(UserError) as refused:
        check_some_can_run(planned(*lines))
    for words in ("no line can run: line 1 and 8 more: ", "'banana'", "-seed 0"):
        assert words in str(refused.value)
    result = plan([Mistake(1, "x", "one reason"), Mistake(2, "y", "another")])
    with pytest.raises(UserError, match="line 1: one reason: x; and 1 other mistakes"):
        check_some_can_run(result)


def test_planning_ends_at_ctrl_c():
    with pytest.raises(KeyboardInterrupt):
        plan([Line("forget_full_class_main", (*FLAGS, "-method", "ssd"))], stop=[2])
