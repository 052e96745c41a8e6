"""What a sweep would do: every job, whether it is there, and how long the others should take."""

import os

from runs.cache import WORKERS_CACHE, Cache
from sweeps.estimate import Past, kind_of, past_of, span, total_of
from sweeps.jobs import Job
from sweeps.lines import in_words
from sweeps.plan import Plan, check_some_can_run, networks_to_come
from sweeps.worker import Outcome, State, begin, call

WORDS = {State.DONE: "there", State.TO_DO: "to run"}  # what else it may be is wrong


def dry_run(plan: Plan) -> bool:
    """Print every job, and what is wrong; returns whether something is.

    UserError where no line can run.
    """
    check_some_can_run(plan)
    for text in in_words(plan.mistakes):
        print(f"WRONG   {text}")
    begin(os.getcwd())
    past = past_of(plan.jobs)
    to_come = networks_to_come(plan.jobs)
    cache = Cache(WORKERS_CACHE)
    done, left = [], []
    for job in plan.jobs:
        outcome = _look(job, to_come, cache)
        expected = None
        if outcome.state is State.DONE:
            done.append(job)
        if outcome.state is State.TO_DO:
            left.append(job)
            expected = past.expected(kind_of(job))
        took = "" if expected is None else f"   about {span(expected)}"
        error = f"   {outcome.error}" if outcome.error else ""
        print(f"{WORDS.get(outcome.state, 'WRONG'):7} {job}{took}{error}")
    wrong = plan.total - len(done) - len(left)
    counts = f"{len(done)} there, {len(left)} to run, {wrong} wrong"
    print(f"{plan.total} runs: {counts}{_time(left, past)}")
    return wrong > 0


def _look(job: Job, to_come: set[str], cache: Cache) -> Outcome:
    """Whether the job is done, to do or wrong."""
    if job.network in to_come and not os.path.exists(job.network):  # nothing is to be loaded then
        return Outcome(State.TO_DO)
    return call(job.line.script, [*job.line.argv, "-dry_run"], cache)


def _time(left: list[Job], past: Past) -> str:
    """How long the jobs that are left take, as far as records tell."""
    if not left:
        return ""
    total = total_of(left, past)
    if not total.known:
        return "; no record tells yet how long that takes"
    text = f"; about {span(total.seconds)} in one process"
    if total.unknown:
        text += f" for {total.known} of them"
        text += f"; no record tells yet how long the other {total.unknown} take"
    return text
