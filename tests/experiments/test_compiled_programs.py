"""What is read in compiled programs, and which deviations are found in broken ones."""

import dataclasses
import functools
import re
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from jax import lax
from studies.aot import compilation, hlo, targets

from jaxgan.config import Config, Run
from jaxgan.methods import NetworkState
from jaxgan.methods.dcgan import DCGAN
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


@pytest.mark.parametrize(
    ("name", "parallel"),
    [("vanilla_gan", "pmap"), ("vanilla_gan", "shard_map"), pytest.param("wgan", "pmap", marks=pytest.mark.slow)],
)
def test_a_program_sums_each_gradient_once_and_donates_its_state(name, parallel):
    text, carry = compiled(name, parallel)
    assert deviations(text, carry) == []
    program = hlo.parse(text)
    summed = sum(c.bytes for c in hlo.collectives(program, program.body))
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


@pytest.mark.parametrize(("summed", "holds"), [((0, 1), True), ((0, 1, 1), False), ((1,), False)])
def test_concatenated_gradients_are_counted_by_their_elements(summed, holds):
    _, carry = compiled("vanilla_gan", "pmap")
    sizes = [sum(x.size for x in jax.tree.leaves(network.params)) for network in compilation.networks(carry)]
    sums = [
        f"  %gradients.{i} = f32[{sizes[network]}]{{0}} constant(0)\n  %sum.{i} = f32[] all-reduce(%gradients.{i})\n"
        for i, network in enumerate(summed, start=10)
    ]
    program = hlo.parse(TPU_TEXT.replace("  %sum.1 = ", "".join(sums) + "  %sum.1 = "))
    assert (compilation.unexpected_collectives(program, carry, chips=CHIPS, joined=True) == []) == holds


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
    (sums,) = hlo.collectives(program, program.body)
    assert (sums.kind, sums.bytes) == ("all-reduce", 4 * 128 + 4)
    assert hlo.reduced_sizes([sums]) == {128: 1, 1: 1}
    assert sum(i.cycles for _, i in program.kernels(program.body)) == 700 + 7774
    # Through HBM go 16 images of 60,000, in and out; the weights; and a scalar, in and out of the sum.
    assert hlo.traffic(program, program.body) == 2 * 16 * 784 + 4 * 100 * 128 + 2 * 4
    assert hlo.whole_copies(program, program.body, size=60_000 * 784) == []


def test_products_are_on_the_matrix_unit_or_taken_apart_into_sums():
    found = hlo.products(hlo.parse(TPU_TEXT))
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
    assert compilation.outside_of_matrix_unit(hlo.products(hlo.parse(TPU_TEXT.replace(old, new)))) == [deviation]


def test_a_copy_of_the_data_in_a_step_is_found():
    copied = TPU_TEXT.replace(
        "  %batch = ", "  %copy.247 = u8[60000,784]{0,1:T(8,128)(4,1)S(1)} copy(%images)\n  %batch = "
    )
    program = hlo.parse(copied)
    assert hlo.whole_copies(program, program.body, size=60_000 * 784) == ["copy.247"]


# What the compiler makes of a sum over two slices of four chips, each with an array of 384 elements.
CROSSING = """\
  %gradients = f32[3,128]{1,0} constant(0)
  %reduced = f32[3,128]{1,0} all-reduce(%gradients), channel_id=1, replica_groups={{0,1,2,3}}, to_apply=%add
  %part = f32[1,128]{1,0} fusion(%reduced), kind=kLoop, calls=%inner
  %dealt = f32[1,128]{1,0} collective-permute(%reduced), channel_id=1, source_target_pairs={{0,1},{1,2}}
  %token = token[] after-all()
  %send.8 = (f32[1,128]{1,0}, u32[], token[]) send(%part, %token), channel_id=3, is_host_transfer=true, \
frontend_attributes={_xla_megascale_reduce_operation="SUM",_xla_megascale_transfer_type="ALL_REDUCE"}
  %send-done.8 = token[] send-done(%send.8), channel_id=3, is_host_transfer=true
  %recv.9 = (f32[1,128]{1,0}, u32[], token[]) recv(%token), channel_id=2, is_host_transfer=true
  %recv-done.8 = (f32[1,128]{1,0}, token[]) recv-done(%recv.9), channel_id=2, is_host_transfer=true
  %received = f32[1,128]{1,0} get-tuple-element(%recv-done.8), index=0
  %all-gather.6 = f32[4,128]{1,0} all-gather(%received), channel_id=1, replica_groups={{0,1,2,3}}, dimensions={0}
"""


SUMMING = """\
%summing (input_0: f32[3,128]) -> f32[3,128] {
  %input_0 = f32[3,128]{1,0} parameter(0)
  ROOT %all-reduce.47 = f32[3,128]{1,0} all-reduce(%input_0), channel_id=1, replica_groups={{0,1,2,3}}, to_apply=%add
}

"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", []),
        ("(%received)", "(%part)", ["an all-gather of 512 bytes", "128 elements are summed over slices"]),
        ('"ALL_REDUCE"', '"ALL_GATHER"', ["an all-gather of 512 bytes"]),
        ("collective-permute(%reduced)", "collective-permute(%part)", ["an collective-permute of 512 bytes"]),
        ("all-reduce(%gradients)", "fusion(%gradients), kind=kCustom, calls=%summing", []),
        ("(%part, %token)", "(%token, %token)", ["385 elements are summed over slices"]),
    ],
)
def test_a_sum_over_slices_is_summed_sent_and_gathered(old, new, expected):
    network = NetworkState(params=[np.zeros(500)], batch_stats=[], opt_state=())  # less what is padded
    text = TPU_TEXT.replace("  %sum.1 = ", CROSSING.replace(old, new) + "  %sum.1 = ")
    program = hlo.parse(text.replace("%add (a:", SUMMING + "%add (a:"))
    carry = Carry(state=network, metric_sums={}, count=0)
    found = compilation.unexpected_collectives(program, carry, chips=8, slices=2)
    assert len(found) == len(expected)
    assert all(words in line for words, line in zip(expected, found, strict=True))


def test_a_collective_that_is_started_and_waited_for_counts_once():
    halves = "  %start = f32[128]{0} all-reduce-start(%fusion.2), to_apply=%add\n"
    halves += "  %done = f32[128]{0} all-reduce-done(%start)\n"
    program = hlo.parse(TPU_TEXT.replace("  %sum.1 = ", halves + "  %sum.1 = "))
    assert [c.bytes for c in hlo.collectives(program, program.body)] == [516, 512]


def test_the_roofline_is_the_longest_of_the_times_of_the_peaks():
    chip = targets.Chip("a chip", "tpu", 1e12, 16e9, 1e9, 1e8, 1, 1e7)
    four, alone, pair = (targets.Target(chip, "", shape, slices) for shape, slices in (((4,), 1), ((1,), 1), ((4,), 2)))
    found = targets.roofline(four, flops=2e9, hbm_bytes=1e6, reduced_bytes=1e6)
    assert found == pytest.approx((2e-3, 1e-3, 15e-3, 0))
    assert (found.seconds, found.bound) == (pytest.approx(15e-3), "links")
    found = targets.roofline(alone, flops=2e9, hbm_bytes=1e6, reduced_bytes=0)
    assert (found.links, found.bound) == (0, "compute")
    found = targets.roofline(
        pair, flops=2e9, hbm_bytes=1e6, reduced_bytes=1e6, gathered_bytes=25e4, crossing_bytes=25e4
    )
    assert found == pytest.approx((2e-3, 1e-3, 15e-3 + 7.5e-3, 25e-3))
    assert found.bound == "network"


def test_operations_are_counted_in_the_kernels_of_the_chip():
    config, h100 = Config(method=DCGAN(width=4), run=Run(batch_size=4)), targets.parse_target("h100:1")
    cpu = dataclasses.replace(h100, chip=dataclasses.replace(h100.chip, platform="cpu"))  # tiles have margins there
    assert 0 < compilation.traced_flops(config, h100) < compilation.traced_flops(config, cpu)
