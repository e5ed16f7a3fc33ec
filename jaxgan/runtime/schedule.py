"""When a run logs, samples and saves: functions of the step, so a resumed run does so at the same steps."""

from dataclasses import dataclass

from jaxgan.config import Run


@dataclass(frozen=True)
class Schedule:
    """The steps at which a run logs, samples and saves; step s is the state after s updates."""

    steps_per_epoch: int  # full batches in the data set
    run: Run  # how long, and how often each happens

    @property
    def total_steps(self) -> int:
        """The step at which the run is finished."""
        return self.run.epochs * self.steps_per_epoch

    def row_end(self, step: int) -> int:
        """Returns the next step that completes a row of metrics: every ``log_every`` steps and at each epoch's end."""
        every = self.run.log_every or self.steps_per_epoch
        start = step - step % self.steps_per_epoch
        return start + min(((step - start) // every + 1) * every, self.steps_per_epoch)

    def call_end(self, step: int) -> int:
        """Returns the last step that a call from here may reach: a row's end, or the start or stop of the trace."""
        traced = self.run.profiled
        return min(bound for bound in (self.row_end(step), traced.start, traced.stop) if bound > step)

    def row_ends(self, step: int) -> bool:
        """Whether a row of metrics is complete at this step; step 0 starts the first."""
        return step == 0 or self.row_end(step - 1) == step

    def samples(self, step: int) -> bool:
        """Whether images are drawn at this step: after the chosen epochs and the last one."""
        return self.ends_epoch(step) and (
            step // self.steps_per_epoch in self.run.sample_epochs or step >= self.total_steps
        )

    def evaluates(self, step: int) -> bool:
        """Whether samples are evaluated at this step."""
        every = self.run.evaluate_every
        return every is not None and self.ends_epoch(step) and step // self.steps_per_epoch % every == 0

    def saves(self, step: int) -> bool:
        """Whether a checkpoint is due at this step."""
        return self.ends_epoch(step) and (
            step // self.steps_per_epoch % self.run.checkpoint_every == 0 or step >= self.total_steps
        )

    def ends_epoch(self, step: int) -> bool:
        """Whether an epoch is complete at this step."""
        return step > 0 and step % self.steps_per_epoch == 0
