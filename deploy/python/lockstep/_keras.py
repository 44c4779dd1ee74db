"""A network's layers in Keras 3."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace


def build(network: SimpleNamespace, weights: Path):
    """A model of these layers, with the weights of a file `.weights.h5`."""
    import keras

    channels, height, width = network.INPUT
    model = keras.Sequential([keras.Input((height, width, channels))])
    for word in network.LAYERS.split():
        added, channels = layers(word, channels, len(network.CLASSES))
        for layer in added:
            model.add(layer)
    model.load_weights(weights)
    if any(network.MEAN) or any(deviation != 1 for deviation in network.DEVIATION):
        variance = [deviation**2 for deviation in network.DEVIATION]
        before = keras.layers.Normalization(axis=-1, mean=network.MEAN, variance=variance)
        model = keras.Sequential([keras.Input((height, width, network.INPUT[0])), before, model])
    model.classes = network.CLASSES
    return model


def layers(word: str, channels: int, classes: int):
    """The layers of Keras for one word of a network's text, and the channels behind them."""
    import keras

    kinds = keras.layers
    name, _, inner = word.rstrip(")").partition("(")
    parts = [part for part in inner.split(",") if part]
    numbers = [float(part) for part in parts if "=" not in part]
    named = dict(part.split("=") for part in parts if "=" in part)
    if name == "conv":
        before = [kinds.ZeroPadding2D(int(named["padding"]))] if "padding" in named else []
        stride, groups = int(named.get("stride", 1)), int(named.get("groups", 1))
        channels, bias = int(numbers[0]), named.get("bias") != "false"
        conv = kinds.Conv2D(channels, int(numbers[1]), stride, groups=groups, use_bias=bias)
        return [*before, conv], channels
    if name == "dense":
        channels = int(numbers[0]) if numbers else classes
        return [kinds.Dense(channels)], channels
    if name in ("maxpool", "avgpool"):
        pool = kinds.MaxPooling2D if name == "maxpool" else kinds.AveragePooling2D
        return [pool(int(numbers[0]), int(named.get("stride", numbers[0])))], channels
    if name == "groupnorm":
        return [kinds.GroupNormalization(int(numbers[0]), epsilon=1e-5)], channels
    if name == "leaky_relu":
        return [kinds.LeakyReLU(numbers[0] if numbers else 0.01)], channels
    if name == "gelu":
        return [kinds.Activation(lambda x: keras.activations.gelu(x, approximate=False))], channels
    if name == "dropout":
        return [kinds.Dropout(numbers[0])], channels
    plain = {
        "globalavgpool": kinds.GlobalAveragePooling2D,
        "flatten": kinds.Flatten,
        "batchnorm": lambda: kinds.BatchNormalization(epsilon=1e-5),
        "layernorm": lambda: kinds.LayerNormalization(epsilon=1e-5),
    }
    return [plain[name]() if name in plain else kinds.Activation(name)], channels
