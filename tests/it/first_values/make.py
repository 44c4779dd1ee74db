"""Writes the files of this folder: a small network's values by PyTorch and by Keras, and expected.rs.

    python make.py

Expected are the logits that each program computes in float64 from the values in its file. Needs torch,
safetensors and tensorflow.
"""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from pathlib import Path

import keras
import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).parent
HEIGHT, WIDTH, CHANNELS, SAMPLES = 8, 7, 3, 4


class Network(nn.Module):
    """The network that expected.rs names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 3, 3)
        self.bn1 = nn.BatchNorm2d(3)
        self.conv2 = nn.Conv2d(3, 4, 2, bias=False)
        self.bn2 = nn.BatchNorm1d(8)
        self.fc1 = nn.Linear(8, 4)
        self.norm1 = nn.LayerNorm(4)
        self.fc2 = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 2)
        x = self.bn2(self.conv2(x).relu().flatten(1))
        return self.fc2(self.norm1(self.fc1(x).relu()))


LAYERS = (
    "conv(3,3) batchnorm relu maxpool(2) conv(4,2,bias=false) relu flatten batchnorm dense(4) relu layernorm dense"
)


def pixels() -> np.ndarray:
    """Bytes [n, height, width, channels]."""
    count = SAMPLES * HEIGHT * WIDTH * CHANNELS
    return (np.arange(count) * 37 % 251).astype(np.uint8).reshape(SAMPLES, HEIGHT, WIDTH, CHANNELS)


def logits_of(state: dict[str, torch.Tensor]) -> np.ndarray:
    model = Network().double()
    model.load_state_dict(state)
    x = torch.from_numpy(pixels()).double().permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        return model.eval()(x).numpy()


def varies(logits) -> bool:
    """Whether no sample's logits are another's: whether enough values pass the layers of relu."""
    return len(np.unique(np.round(np.asarray(logits)[:, 0], 2))) == SAMPLES


def in_torch() -> dict[str, np.ndarray]:
    model = Network().to(memory_format=torch.channels_last)
    for seed in range(1000):
        torch.manual_seed(seed)
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5) if "var" in name else tensor.uniform_(-1, 1)
        state = model.state_dict()
        if varies(logits_of(state)):
            break
    assert not state["conv1.weight"].is_contiguous()
    torch.save(state, HERE / "torch.pth")
    double = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    nested = {"epoch": 3, "model_state_dict": double, "optimizer": {"state": {0: torch.zeros(3)}}}
    torch.save(nested, HERE / "nested.pt", pickle_protocol=4)
    torch.save(model, HERE / "whole.pth")
    views = {name: tensor[:1] if name == "fc2.bias" else tensor for name, tensor in state.items()}
    views["fc2.bias"] = torch.zeros(30)[:3]
    torch.save(views, HERE / "view.pth")
    floating = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    half = {
        name: (tensor.bfloat16() if "bias" in name else tensor.half()).contiguous()
        for name, tensor in floating.items()
    }
    save_file(half, HERE / "half.safetensors")
    return {"TORCH": logits_of(state), "HALF": logits_of(half | {n: t for n, t in state.items() if n not in half})}


def in_keras() -> dict[str, np.ndarray]:
    keras.utils.set_random_seed(2)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((HEIGHT, WIDTH, CHANNELS)),
            layers.Conv2D(3, 3),
            layers.BatchNormalization(epsilon=1e-5),
            layers.ReLU(),
            layers.MaxPooling2D(2),
            layers.Conv2D(4, 2, use_bias=False, activation="relu"),
            layers.Flatten(),
            layers.BatchNormalization(epsilon=1e-5),
            layers.Dense(4, activation="relu"),
            layers.LayerNormalization(epsilon=1e-5),
            layers.Dense(3),
        ]
    )
    for seed in range(1000):
        random = np.random.default_rng(seed)
        for variable in model.variables:
            low, high = (0.5, 1.5) if "variance" in variable.path else (-1, 1)
            variable.assign(random.uniform(low, high, variable.shape))
        if varies(model(pixels() / 255, training=False)):
            break
    model.save_weights(HERE / "keras.weights.h5")
    keras.config.set_floatx("float64")
    double = keras.Sequential.from_config(
        {**model.get_config(), "layers": [as_double(layer) for layer in model.get_config()["layers"]]}
    )
    double.set_weights([value.astype(np.float64) for value in model.get_weights()])
    return {"KERAS": np.asarray(double(pixels().astype(np.float64) / 255, training=False))}


def as_double(layer: dict) -> dict:
    return {**layer, "config": {**layer["config"], "dtype": "float64"}}


def main() -> None:
    text = "//! Printed by make.py.\n\n/// The network.\n"
    text += f'pub(super) const LAYERS: &str = "{LAYERS}";\n'
    for name, logits in (in_torch() | in_keras()).items():
        numbers = ", ".join(f"{value:.9}" for value in logits.flatten())
        text += f"#[rustfmt::skip]\npub(super) const {name}: [f64; {logits.size}] = [{numbers}];\n"
    (HERE / "expected.rs").write_text(text)


main()
