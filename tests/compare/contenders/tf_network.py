"""TensorFlow's gradients of a network on one thread, without an update; prints the speed as a line of JSON.

    tf_network.py --network network.py --samples samples.npz --batch 64 --warmup 5 --steps 20
"""

from __future__ import annotations

import json

import keras
import network
import tensorflow as tf
import tf_cnn
import timing


def build(layers: list[network.Layer], shape: tuple[int, ...], classes: int) -> keras.Model:
    """The network in Keras. A convolution with padding and a stride takes Keras's own, which may lie one pixel further."""
    x = inputs = keras.Input(shape)
    residuals = []
    for layer in layers:
        match layer.name:
            case "residual":
                residuals.append((x, None))
            case "shortcut":
                start, _ = residuals.pop()
                residuals.append((start, x))
                x = start
            case "add":
                start, body = residuals.pop()
                x = keras.layers.Add()([x, start if body is None else body])
            case _:
                x = keras_layer(layer, classes)(x)
    return keras.Model(inputs, x)


def keras_layer(layer: network.Layer, classes: int) -> keras.layers.Layer:
    layers = keras.layers
    numbers = [int(number) for number in layer.numbers]
    match layer.name:
        case "conv":
            padding = "same" if layer.get("padding", 0) else "valid"
            bias = layer.settings.get("bias") != "false"
            groups = layer.get("groups", 1)
            return layers.Conv2D(*numbers, layer.get("stride", 1), padding, groups=groups, use_bias=bias)
        case "maxpool":
            return layers.MaxPooling2D(numbers[0], layer.get("stride", numbers[0]))
        case "avgpool":
            return layers.AveragePooling2D(numbers[0], layer.get("stride", numbers[0]))
        case "globalavgpool":
            return layers.GlobalAveragePooling2D()
        case "flatten":
            return layers.Flatten()
        case "dense":
            return layers.Dense(numbers[0] if numbers else classes)
        case "batchnorm":
            return layers.BatchNormalization()
        case "layernorm":
            return layers.LayerNormalization()
        case "groupnorm":
            return layers.GroupNormalization(numbers[0])
        case "dropout":
            return layers.Dropout(layer.numbers[0])
        case name:
            return layers.Activation(name)


def main() -> None:
    flags = network.flags()
    tf_cnn.one_thread()
    images, labels = network.samples(flags.samples, flags.batch)
    model = build(network.layers(flags.network), images.shape[1:], int(labels.max()) + 1)
    images, labels = tf.constant(images), tf.constant(labels, tf.int32)

    @tf.function
    def gradient() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            logits = model(tf.cast(images, tf.float32) / 255.0, training=True)
            loss = tf_cnn.mean_loss(logits, labels)
        return tape.gradient(loss, model.trainable_variables)

    speed = timing.samples_per_second(lambda: gradient()[0].numpy(), flags)
    print(json.dumps({"samples_per_s": speed}), flush=True)


if __name__ == "__main__":
    main()
