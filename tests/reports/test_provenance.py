"""Where the numbers of a table come from."""

from handmade import markdown_of, record

from reports.provenance import command_of, made_by

FINE = {"C": 2.0, "tol": 1e-10, "max_iter": 1000}


def test_seeds_machines_days_and_code():
    runs = [
        {**record("ssd", 0, 1, 1, 1, mia=FINE), "date": "2026-11-25"},
        {**record("jit", 1, 1, 1, 1, training=1, mia=FINE), "date": "2026-11-24"},
    ]
    wanted = "training seeds 0, 1; on a CPU; 2026-11-24 to 2026-11-25; code ccccccc"
    assert made_by(runs) == wanted


def test_records_without_a_day():
    assert made_by([record("ssd", 0, 1, 1, 1, mia=FINE)]) == (
        "training seed 0; on a CPU; code ccccccc"
    )


def test_several_versions_are_said():
    runs = [record("ssd", 0, 1, 1, 1), record("jit", 0, 1, 1, 1, commit="e" * 40 + "-dirty")]
    assert "code ccccccc, eeeeeee-dirty (several versions are averaged)" in made_by(runs)


# ---- MIA's fit, identical images, earlier forgetting ----


def test_the_fit_of_mia_is_not_said_where_it_is_the_same():
    runs = [record("finetune", seed, 90, 0, 20, mia=FINE) for seed in range(3)]
    assert "MIA was fitted" not in markdown_of(runs)


def test_differing_tolerances_of_mia_are_said():
    runs = [record("finetune", seed, 90, 0, 20, mia=FINE) for seed in range(2)]
    runs.append(record("finetune", 2, 90, 0, 20))
    sentence = "MIA was fitted at tolerance 1e-10 in 2 of 3 runs, at tolerance 0.0001 in 1 of 3"
    assert sentence in markdown_of(runs)


def test_the_old_tolerance_of_mia_is_said():
    runs = [record("jit", 0, 1, 1, 1)] * 9
    assert "MIA was fitted at tolerance 0.0001 in all 9 runs" in made_by(runs)


def test_other_differences_in_the_fit_of_mia_are_said():
    runs = [
        record("finetune", 0, 90, 0, 20, mia=FINE),
        record("finetune", 1, 90, 0, 20, mia={**FINE, "C": 1.0}),
    ]
    sentence = "MIA was fitted with C 1, max_iter 1000 or C 2, max_iter 1000"
    assert sentence in markdown_of(runs)


def test_handling_of_identical_images_is_said_where_it_differs():
    runs = [record("jit", 0, 90, 0, 20, duplicates="drop_test")]
    runs += [record("jit", seed, 90, 0, 20, duplicates="keep") for seed in (1, 2)]
    assert "Identical images: drop_test in 1 runs, keep in 2 runs" in made_by(runs)
    assert "Identical images" not in made_by(runs[1:])


def test_what_was_forgotten_before_is_said():
    second = record("ssd", 1, 50, 0, 20)
    second["forgotten_before"] = [{"forget": "cat"}, {"forget": "owl"}]
    sentence = "Forgotten before: 1 of 2 runs from a network that had forgotten cat, owl"
    assert sentence in made_by([record("ssd", 0, 90, 0, 20), second])


# ---- the command ----


def with_command(command):
    return {**record("ssd", 0, 1, 1, 1), "command": command}


def test_what_differs_is_named_in_capitals_and_what_some_lack_is_in_brackets():
    same = "python forget_x_main.py -net Net -data 'a b' -method"
    runs = [
        with_command(f"{same} ssd -seed 0 -lambda -1 -gpu"),
        with_command(f"{same} jit -seed 1 -gpu"),
    ]
    wanted = "-net Net -data 'a b' -method METHOD -seed SEED [-lambda -1] -gpu"
    assert command_of(runs) == f"python forget_x_main.py {wanted}"


def test_a_flag_with_several_values():
    runs = [with_command("python x.py -set lr=1 epochs=2"), with_command("python x.py -gpu")]
    assert command_of(runs) == "python x.py [-set lr=1 epochs=2] [-gpu]"


def test_a_command_without_flags():
    assert command_of([with_command("python x.py")]) == "python x.py"


def test_records_without_a_command():
    assert command_of([record("ssd", 0, 1, 1, 1)]) == ""


def test_the_command_heads_the_table():
    text = markdown_of([with_command("python forget_x_main.py -net Net")])
    assert "\n\n    python forget_x_main.py -net Net\n\n" in text


def test_a_table_of_records_without_a_command_has_none():
    assert "    python" not in markdown_of([record("baseline", 0, 1, 1, 1)])
