"""A method's compiled program over random images, as tests step through it."""

from typing import NamedTuple

import jax
import numpy as np

from jaxgan.data.order import epoch_order
from jaxgan.methods import build
from jaxgan.runtime.devices import mapped_axis, replicated
from jaxgan.runtime.program import Carry, Inputs, Program, compile_program


class Stepper(NamedTuple):
    """A program beside the images that it trains on."""

    program: Program
    resident: tuple[jax.Array, ...]  # images, labels, order, seed

    def start(self, state=None) -> Carry:
        """The carry of step 0, of the seed or of a given state."""
        seed = self.resident[3]
        if state is None:
            return self.program.init(seed)
        zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), jax.eval_shape(self.program.init, seed))
        return jax.device_put(zeros.replace(state=state), seed.sharding)

    def advance(self, carry: Carry, *, stop: int) -> Carry:
        return self.program.train_steps(carry, Inputs(*self.resident, np.int32(stop)))

    def rows(self, carry: Carry, *, steps: int) -> tuple[list[dict[str, float]], list[Carry]]:
        """The metrics of each step, and the carry after each, on the host."""
        rows, carries = [], []
        for step in range(steps):
            carry = self.advance(carry, stop=step + 1)
            rows.append({name: float(value) for name, value in carry.metric_sums.items()})
            carry = self.program.reset_metrics(carry)
            carries.append(jax.device_get(carry))
        return rows, carries


def training_data(image_shape, *, batch_size, steps):
    """Random images for so many steps, their labels, and the order in which steps take them."""
    images = np.random.default_rng(0).integers(0, 256, (batch_size * steps, *image_shape), dtype=np.uint8)
    labels = np.arange(len(images), dtype=np.int32) % 10
    return images, labels, epoch_order(len(images), seed=0, epoch=0)


def stepper(config, *, devices=1, image_shape, batch_size, steps, parallel="auto", seed=3, **build_options) -> Stepper:
    """Builds a method for the first so many devices, with images for so many steps."""
    chosen = jax.devices()[:devices]
    method = build(config, image_shape=image_shape, axis_name=mapped_axis(chosen), **build_options)
    program = compile_program(method, chosen, image_shape=image_shape, batch_size=batch_size, parallel=parallel)
    resident = (*training_data(image_shape, batch_size=batch_size, steps=steps), np.uint32(seed))
    return Stepper(program, jax.device_put(resident, replicated(chosen)))
