"""What a sweep shows: a progress bar on a terminal, a line for each run in a log file."""

import sys

from tqdm import tqdm

from sweeps.jobs import Job
from sweeps.worker import Outcome, State

BAR = "{percentage:3.0f} % |{bar}| {desc} [{elapsed}]"


class Log:
    """A line for each run, for a file or a pipe."""

    def note(self, text: str):
        """Something that a sweep meets on its way."""
        print(text, flush=True)

    def warn(self, text: str):
        """Something that somebody should look at."""
        print(text, file=sys.stderr, flush=True)

    def again(self, job: Job, outcome: Outcome):
        """A run is to be tried again."""
        self.warn(f"once more: {job}: {outcome.error}\n{outcome.printed}".rstrip())

    def ended(self, job: Job, outcome: Outcome, status: str):
        """A run has ended; status: where the sweep stands, in words."""
        if outcome.state is State.DONE:
            lines = [line.strip() for line in outcome.printed.splitlines()]
            self.note(f"[{status}] {'   '.join(lines)}")
        else:
            self.note(f"[{status}] {job}\n{outcome.printed}".rstrip())
            self.warn(f"error: {outcome.error}")

    def refresh(self, ended: int, status: str):
        """Time has passed; `ended` runs have ended."""

    def end(self):
        """Nothing is shown any more."""

    def failed(self, texts: list[str]):
        """What has failed, once more at the end."""
        for text in texts:
            self.warn(f"failed: {text}")


class Bar:
    """A progress bar, and above it a line for each run that failed or collapsed."""

    def __init__(self, total: int):
        self.bar = tqdm(total=total, bar_format=BAR, dynamic_ncols=True, leave=False)

    def note(self, text: str):
        """Something that only a log file needs."""

    def warn(self, text: str):
        """Something that somebody should look at."""
        self.bar.write(text)

    def again(self, job: Job, outcome: Outcome):
        """A run is to be tried again."""
        self.warn(f"once more: {job}: {outcome.error}")

    def ended(self, job: Job, outcome: Outcome, status: str):
        """A run has ended; status: where the sweep stands, in words."""
        if outcome.state is not State.DONE:
            self.warn(f"failed: {job}: {outcome.error}")
        elif outcome.collapse:
            self.warn(f"COLLAPSED: {job}: {'; '.join(outcome.collapse)}")

    def refresh(self, ended: int, status: str):
        """Time has passed; `ended` runs have ended."""
        self.bar.n = ended
        self.bar.set_description_str(status)

    def end(self):
        """Nothing is shown any more."""
        self.bar.close()

    def failed(self, texts: list[str]):
        """What has failed: it stands above already."""


def display(total: int) -> Log | Bar:
    """What is right for where the output goes."""
    on_terminal = sys.stdout.isatty() and sys.stderr.isatty()
    return Bar(total) if on_terminal else Log()
