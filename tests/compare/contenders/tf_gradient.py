"""TensorFlow's gradients of the CNN on one thread, without an update; prints the speed as a line of JSON.

    MNIST_DIR=... tf_gradient.py --batch 64 --warmup 20 --steps 100
"""

from __future__ import annotations

import argparse
import json

import mnist
import tensorflow as tf
import tf_cnn
import timing


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--batch", "--warmup", "--steps"):
        parser.add_argument(name, type=int, required=True)
    flags = parser.parse_args()
    tf_cnn.one_thread()
    model = tf_cnn.network()
    images, labels = (tf.constant(array[: flags.batch]) for array in mnist.load("train"))
    labels = tf.cast(labels, tf.int32)

    @tf.function
    def gradient() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = tf_cnn.mean_loss(model(tf_cnn.pixels(images), training=True), labels)
        return tape.gradient(loss, model.trainable_variables)

    speed = timing.samples_per_second(lambda: gradient()[0].numpy(), flags)
    print(json.dumps({"samples_per_s": speed}), flush=True)


main()
