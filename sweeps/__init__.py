"""Many runs: lines of a grid, a plan of jobs, a scheduler, and workers here or on a cluster.

- lines.py, jobs.py, plan.py: what there is to do. estimate.py: how long it takes.
- scheduler.py, pool.py: who does what. worker.py: what a process does.
- local.py, ray_cluster.py: where the processes are.
- display.py: what one sees. dry_run.py: what would be done.
- grid.py: what MAIN_run_experiments.sh asks.
- tuning.py, study.py: the search for hyper-parameters.

These files may import everything above them, the scripts included. `sweep` and `tune` use them.
"""
