"""What is read in compiled programs, and which deviations are found in broken ones."""

import functools
import re
from pathlib import Path

import jax
import optax
import pytest
from jax import lax
from studies.aot import compilation, hlo

from jaxgan.config import Config, Run
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.methods.wgan import WGAN
from jaxgan.runtime.program import Carry

SMALL = {"vanilla_gan": VanillaGAN(latent_size=5, hidden_units=12), "wgan": WGAN(latent_size=5, width=2)}
IMAGES, BATCH, CHIPS = (40, 6, 5, 1), 16, 2

# From a DCGAN compiled for v5e:2x2, with its names, shapes and layouts; most of it is left out.
TPU_TEXT = Path(__file__).with_name("tpu_step.hlo").read_text()


@functools.cache
def compiled(name: str, parallel: str, optimizer: optax.GradientTransformation | None = None) -> tuple[str, Carry]:
    config = Config(method=SMALL[name], run=Run(batch_size=BATCH))
    lowered, carry = compilation.lower(
        config, jax.devices()[:CHIPS], parallel=parallel, images=IMAGES, optimizer=optimizer
    )
    return lowered.compile().as_text(), carry


def deviations(text: str, carry: Carry) -> list[str]:
    program = hlo.parse(text)
    unexpected = compilation.unexpected_collectives(program, carry, chips=CHIPS)
    return unexpected + compilation.undonated(program, carry)


SLOW = [("vanilla_gan", "shard_map"), ("wgan", "pmap")]


@pytest.mark.parametrize(
    ("name", "parallel"), [("vanilla_gan", "pmap"), *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]
)
def test_a_program_sums_each_gradient_once_and_donates_its_state(name, parallel):
    text, carry = compiled(name, parallel)
    assert deviations(text, carry) == []
    program = hlo.parse(text)
    summed = sum(c.bytes for c in program.collectives(program.body))
    assert summed > sum(4 * n for n in compilation.gradient_sizes(carry).elements()) > 0


def test_a_second_sum_of_gradients_is_found():
    def update(gradients, state, params=None):
        return lax.pmean(jax.tree.map(lambda g: g * (1.0 + lax.axis_index("data")), gradients), "data"), state

    twice = optax.GradientTransformation(lambda params: optax.EmptyState(), update)
    found = deviations(*compiled("vanilla_gan", "pmap", optimizer=twice))
    assert any("neither gradients nor statistics" in line for line in found)


def edited(pattern: str, replacement: str) -> list[str]:
    """What is found in the chunk after a change to each instruction that looks so."""
    text, carry = compiled("vanilla_gan", "pmap")
    changed = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    assert changed != text
    return deviations(changed, carry)


def test_a_gradient_that_is_not_summed_is_found():
    assert any(line.startswith("no gradient of 360 elements") for line in edited(r" all-reduce\(", " maximum("))


@pytest.mark.parametrize(
    "kind", ["all-gather", "reduce-scatter", "all-to-all", "collective-permute", "all-gather-start"]
)
def test_any_other_exchange_is_found(kind):
    found = edited(r" all-reduce\(", f" {kind}(")
    assert any(line.startswith(f"a step has an {kind.removesuffix('-start')} of ") for line in found)


def test_an_exchange_outside_of_the_loop_is_found():
    found = edited(r"^ENTRY (.*)$", r"ENTRY \1\n  %early = f32[4]{0} all-reduce(), to_apply=%add")
    assert found == ["1 collectives lie outside of the loop over steps"]


def test_a_state_that_is_not_donated_is_found():
    found = edited(r"input_output_alias=\{ \{0\}: \(\d+, \{\}, may-alias\), ", "input_output_alias={ ")
    assert found == [".state.step is not donated"]


def test_the_text_of_a_tpu_program_is_read():
    program = hlo.parse(TPU_TEXT)
    assert program.aliased == {0, 2}
    assert program.body == "body"
    (sums,) = program.collectives(program.body)
    assert (sums.kind, sums.bytes) == ("all-reduce", 4 * 128 + 4)
    assert hlo.reduced_sizes([sums]) == {128: 1, 1: 1}
    assert program.whole_copies(60_000 * 784) == []


def test_products_are_on_the_matrix_unit_or_taken_apart_into_sums():
    found = hlo.parse(TPU_TEXT).products()
    assert found == (1, [], ["jit(run)/while/body/Discriminator/output/dot_general"])
    assert compilation.outside_of_matrix_unit(found) == []


@pytest.mark.parametrize(
    ("old", "new", "deviation"),
    [
        ('"convolution_algorithm_config"', '"no_algorithm"', "fusion.2 is outside of the matrix unit"),
        (
            "Discriminator/output/dot_general",
            "conv_0/conv_general_dilated",
            "jit(run)/while/body/conv_0/conv_general_dilated is outside of the matrix unit",
        ),
    ],
)
def test_a_convolution_outside_of_the_matrix_unit_is_found(old, new, deviation):
    assert TPU_TEXT.count(old) == 1
    assert compilation.outside_of_matrix_unit(hlo.parse(TPU_TEXT.replace(old, new)).products()) == [deviation]


def test_a_copy_of_the_data_in_a_step_is_found():
    copied = TPU_TEXT.replace(
        "  %batch = ", "  %copy.247 = u8[60000,784]{0,1:T(8,128)(4,1)S(1)} copy(%images)\n  %batch = "
    )
    program = hlo.parse(copied)
    assert program.whole_copies(60_000 * 784) == ["copy.247"]


def test_a_collective_that_is_started_and_waited_for_counts_once():
    halves = "  %start = f32[128]{0} all-reduce-start(%fusion.2), to_apply=%add\n"
    halves += "  %done = f32[128]{0} all-reduce-done(%start)\n"
    program = hlo.parse(TPU_TEXT.replace("  %sum.1 = ", halves + "  %sum.1 = "))
    assert [c.bytes for c in program.collectives(program.body)] == [516, 512]


def test_an_exchange_on_the_cores_beside_counts_where_it_is_called():
    beside = "%beside (x: f32[128]) -> f32[128] {\n  %x = f32[128]{0} parameter(0)\n"
    beside += "  ROOT %apart = f32[128]{0} all-reduce(%x), to_apply=%add\n}\n\n"
    halves = "  %start = ((f32[128]{0}), f32[128]{0}) call-start(%fusion.2), to_apply=%beside\n"
    halves += "  %done = f32[128]{0} call-done(%start)\n"
    called = TPU_TEXT.replace("  %sum.1 = ", halves + "  %sum.1 = ").replace("%body (", beside + "%body (")
    program = hlo.parse(called)
    assert [c.bytes for c in program.collectives(program.body)] == [516, 512]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ("{{0,1},{2,3}}", ((0, 1), (2, 3))),
        ("[2,2]<=[4]", ((0, 1), (2, 3))),
        ("[2,2]<=[2,2]T(1,0)", ((0, 2), (1, 3))),
        ("{}", ()),
    ],
)
def test_the_groups_of_an_exchange_are_read(groups, expected):
    program = hlo.parse(TPU_TEXT.replace("replica_groups={{0,1,2,3}}", f"replica_groups={groups}"))
    (sums,) = program.collectives(program.body)
    assert sums.groups == expected


@pytest.mark.slow
def test_replicas_sum_gradients_over_the_devices_of_a_group_alone():
    config = Config(method=SMALL["vanilla_gan"], run=Run(batch_size=BATCH))
    lowered, carry = compilation.lower(config, jax.devices()[:4], parallel="shard_map", images=IMAGES, replicas=2)
    text = lowered.compile().as_text()
    find = functools.partial(compilation.unexpected_collectives, carry=carry, chips=2, groups=2)
    assert find(hlo.parse(text)) == []
    crossed = text.replace("replica_groups={{0,1},{2,3}}", "replica_groups={{0,2},{1,3}}")
    assert all("is among the chips ((0, 2), (1, 3))" in line for line in find(hlo.parse(crossed)))
    assert find(hlo.parse(crossed))
