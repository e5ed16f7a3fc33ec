"""Which part of a program each definition is: the table by which `lines` counts both designs."""

from comparing.designs import FUNCTIONAL, NNX, PYTORCH

MODEL, LOSS, UPDATE, ASSEMBLY = "model", "loss", "update", "assembly"
LOOP, CHECKPOINT, DEVICES, RECORDS, COMMAND = "loop", "checkpoint", "multi-device", "records", "command"

CONCERNS = {
    MODEL: "layers, networks, and drawing samples from them",
    LOSS: "losses and penalties",
    UPDATE: "a step: noise, gradients, optimizers, which statistics move",
    ASSEMBLY: "hyperparameters and optimizers, put together to a method",
    LOOP: "order of the data, batches, steps",
    CHECKPOINT: "saving, and going on",
    DEVICES: "several devices",
    RECORDS: "metrics and pictures on disk",
    COMMAND: "flags, their errors, what the terminal shows",
}

# A line of the package that has one of these names is there for several devices, whatever definition it stands in.
DEVICE_NAMES = frozenset(
    {"AXIS", "axis_index", "axis_name", "axis_size", "devices", "everywhere", "parallel", "pcast", "pmap", "pmean"}
    | {"replicated", "shard_map", "sharding", "spread", "vary_alike"}
)

# What both designs read (the data), and what only a recipe's figures need: counted for neither.
OUTSIDE = ("jaxgan/data/*", "jaxgan/figures/*", "jaxgan/__init__.py", "experiments/comparing/*")

# For each design: its files, and in each the patterns of qualified names, as in a shell, with their parts of the
# program. The first that fits decides; what stands outside of definitions is called <module>.
FUNCTIONAL_TABLE = {
    "experiments/vanilla_gan.py": {"*": COMMAND},
    "experiments/dcgan.py": {"*": COMMAND},
    "experiments/wgan.py": {"*": COMMAND},
    "experiments/vae.py": {"*": COMMAND},
    "jaxgan/errors.py": {"*": COMMAND},
    "jaxgan/config/methods.py": {"*": ASSEMBLY},
    "jaxgan/config/fields.py": {"*": COMMAND},
    "jaxgan/config/files.py": {"*": COMMAND},
    "jaxgan/config/run.py": {"*": COMMAND},
    "jaxgan/config/validation.py": {"*": COMMAND},
    "jaxgan/data/order.py": {"*": LOOP},
    "jaxgan/data/stacking.py": {"*": LOOP},
    "jaxgan/nn/autoencoders.py": {"*": MODEL},
    "jaxgan/nn/convolution.py": {"*": MODEL},
    "jaxgan/nn/convolution_forms.py": {"*": MODEL},
    "jaxgan/nn/convolution_layers.py": {"*": MODEL},
    "jaxgan/nn/convolutional.py": {"*": MODEL},
    "jaxgan/nn/dense.py": {"*": MODEL},
    "jaxgan/nn/fully_connected.py": {"*": MODEL},
    "jaxgan/nn/initializers.py": {"*": MODEL},
    "jaxgan/nn/normalization.py": {"*": MODEL},
    "jaxgan/nn/precision.py": {"*": MODEL},
    "jaxgan/nn/spectral.py": {"*": MODEL},
    "jaxgan/nn/noise.py": {"*": UPDATE},
    "jaxgan/nn/varying.py": {"*": DEVICES},
    "jaxgan/methods/losses.py": {"*": LOSS},
    "jaxgan/methods/penalties.py": {"*": LOSS},
    "jaxgan/methods/reconstruction.py": {"*": LOSS},
    "jaxgan/methods/adam.py": {"*": UPDATE},
    "jaxgan/methods/gradients.py": {"*": UPDATE},
    "jaxgan/methods/method.py": {"*": UPDATE},
    "jaxgan/methods/state.py": {"*": UPDATE},
    "jaxgan/methods/exhibits.py": {"*": RECORDS},
    "jaxgan/methods/factory.py": {
        "networks": MODEL,
        "_encoder_and_decoder": MODEL,
        "_convolutional_options": MODEL,
        "*": ASSEMBLY,
    },
    "jaxgan/methods/descent.py": {"initializer*": ASSEMBLY, "*": UPDATE},
    "jaxgan/methods/gan.py": {
        "gan": ASSEMBLY,
        "gan.init*": ASSEMBLY,
        "gan.*.objective*": LOSS,
        "gan.sample*": MODEL,
        "gan.draw": MODEL,
        "gan.exhibits": RECORDS,
        "*": UPDATE,
    },
    "jaxgan/methods/vae.py": {
        "vae": ASSEMBLY,
        "vae.objective": LOSS,
        "kl_divergence": LOSS,
        "reparameterize": LOSS,
        "vae.decode": MODEL,
        "vae.sample": MODEL,
        "*": RECORDS,
    },
    "jaxgan/runtime/best.py": {"*": CHECKPOINT},
    "jaxgan/runtime/assessment.py": {"*": RECORDS},
    "jaxgan/runtime/held_out.py": {"*": RECORDS},
    "jaxgan/runtime/checkpoints.py": {"*": CHECKPOINT},
    "jaxgan/runtime/console.py": {"*": COMMAND},
    "jaxgan/runtime/devices.py": {"enable_compilation_cache": LOOP, "*": DEVICES},
    "jaxgan/runtime/feeding.py": {"*": LOOP},
    "jaxgan/runtime/inspection.py": {"*": COMMAND},
    "jaxgan/runtime/interrupts.py": {"*": COMMAND},
    "jaxgan/runtime/launch.py": {"exhibits": RECORDS, "assessor": RECORDS, "*": COMMAND},
    "jaxgan/runtime/loop.py": {"*": LOOP},
    "jaxgan/runtime/meeting.py": {"*": DEVICES},
    "jaxgan/runtime/processes.py": {"*": DEVICES},
    "jaxgan/runtime/profiling.py": {"*": RECORDS},
    "jaxgan/runtime/program.py": {"*": LOOP},
    "jaxgan/runtime/schedule.py": {"*": LOOP},
    "jaxgan/runtime/tracking.py": {"*": RECORDS},
    "jaxgan/runtime/workdir.py": {"Workdir*": RECORDS, "write_atomically": RECORDS, "*": CHECKPOINT},
}

PYTORCH_TABLE = {
    "jaxgan/errors.py": {"*": COMMAND},
    "experiments/imperative/vanilla_gan.py": {"<module>": COMMAND, "vanilla_gan": ASSEMBLY, "*": MODEL},
    "experiments/imperative/dcgan.py": {"<module>": COMMAND, "dcgan": ASSEMBLY, "*": MODEL},
    "experiments/imperative/wgan.py": {
        "<module>": COMMAND,
        "WGAN": ASSEMBLY,
        "WGAN.__init__": ASSEMBLY,
        "WGAN.gradient_penalty": LOSS,
        "WGAN.sample": MODEL,
        "*": UPDATE,
    },
    "experiments/imperative/vae.py": {
        "<module>": COMMAND,
        "VAE": ASSEMBLY,
        "VAE.__init__": ASSEMBLY,
        "VAE.negative_elbo": LOSS,
        "VAE.draw_latents": UPDATE,
        "VAE.train_step": UPDATE,
        "*": MODEL,
    },
    "experiments/imperative/gan.py": {
        "GAN": ASSEMBLY,
        "GAN.__init__": ASSEMBLY,
        "GAN.*_loss": LOSS,
        "GAN.sample": MODEL,
        "*": UPDATE,
    },
    "experiments/imperative/requirements.py": {"*": COMMAND},
    "experiments/imperative/training.py": {
        "Training*.*state_dict": CHECKPOINT,
        "Training.save": CHECKPOINT,
        "optimizers": CHECKPOINT,
        "Training.log": RECORDS,
        "Training*": LOOP,
        "batch": LOOP,
        "on_device": LOOP,
        "*": COMMAND,
    },
}

NNX_TABLE = {
    "jaxgan/errors.py": {"*": COMMAND},
    "experiments/imperative/nnx_vanilla_gan.py": {
        "<module>": COMMAND,
        "VanillaGAN.draw_latents": UPDATE,
        "VanillaGAN*": ASSEMBLY,
        "*": MODEL,
    },
    "experiments/imperative/nnx_dcgan.py": {
        "<module>": COMMAND,
        "DCGAN.draw_latents": UPDATE,
        "DCGAN*": ASSEMBLY,
        "*": MODEL,
    },
    "experiments/imperative/nnx_gan.py": {
        "GAN": ASSEMBLY,
        "GAN.__init__": ASSEMBLY,
        "*_loss": LOSS,
        "GAN.sample": MODEL,
        "generate": MODEL,
        "*": UPDATE,
    },
    "experiments/imperative/nnx_training.py": {
        "Training.state": CHECKPOINT,
        "Training.save": CHECKPOINT,
        "Training.load": CHECKPOINT,
        "open_checkpoints": CHECKPOINT,
        "Training.log": RECORDS,
        "Training*": LOOP,
        "batch": LOOP,
        "*": COMMAND,
    },
}

TABLES = {FUNCTIONAL: FUNCTIONAL_TABLE, PYTORCH: PYTORCH_TABLE, NNX: NNX_TABLE}
