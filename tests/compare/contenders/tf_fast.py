"""Trains on MNIST in TensorFlow in little time, and prints the test accuracy and the seconds of training as JSON.

    MNIST_DIR=FOLDER tf_fast.py --seed 1 --passes 1.25

The recipe is that of `torch_fast.py`. Ten steps are one call of a `tf.function`, which gathers the samples too, so that
Python is not in the way. The time has no start, no tracing, no reading of files and no test in it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import mnist
import numpy as np
import tensorflow as tf

BATCH = 256
STEPS_A_CALL = 10
TEST_BATCH = 500
RATE = 0.01
BETAS = (0.7, 0.9)
# As in PyTorch's one-cycle: from a 25th up to the rate in 0.3 of the steps, and down to a 250,000th.
RISE = 0.3
FIRST = 25.0
LAST = 1e4


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--passes", type=float, required=True, help="over the training samples")
    flags = parser.parse_args()
    keras.utils.set_random_seed(flags.seed)
    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    images, labels = (tf.constant(array) for array in samples("train"))
    model = network()
    optimizer = keras.optimizers.Adam(RATE, *BETAS)
    optimizer.build(model.trainable_variables)
    calls = int(flags.passes * len(labels)) // BATCH // STEPS_A_CALL
    steps = calls * STEPS_A_CALL
    order = tf.constant(mnist.order(len(labels), steps, BATCH, flags.seed))
    rates = tf.constant([rate(step, steps) for step in range(steps)], tf.float32)

    @tf.function(jit_compile=False)
    def train(first: tf.Tensor) -> None:
        for step in tf.range(first, first + STEPS_A_CALL):
            batch = order[step]
            with tf.GradientTape() as tape:
                logits = model(tf.gather(images, batch), training=True)
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.gather(labels, batch), logits)
                loss = tf.reduce_mean(losses)
            optimizer.learning_rate.assign(rates[step])
            optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))

    kept = [variable.numpy() for variable in model.variables + optimizer.variables]
    train(tf.constant(0))
    for variable, value in zip(model.variables + optimizer.variables, kept):
        variable.assign(value)
    begun = time.perf_counter()
    for call in range(calls):
        train(tf.constant(call * STEPS_A_CALL))
    seconds = time.perf_counter() - begun
    print(json.dumps({"accuracy": accuracy(model), "seconds": seconds}), flush=True)


def rate(step: int, steps: int) -> float:
    top = RISE * steps - 1
    down = step > top
    share = (step - top) / (steps - 1 - top) if down else step / top
    begin, end = (RATE, RATE / FIRST / LAST) if down else (RATE / FIRST, RATE)
    return end + (begin - end) * (1 + math.cos(math.pi * share)) / 2


def network() -> keras.Model:
    """Logits `[batch, 10]` from pixels in [0, 1], `[batch, 28, 28, 1]`."""
    layers = keras.layers
    return keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(24, 5), layers.MaxPooling2D(2), layers.ReLU(),
        layers.Conv2D(32, 3), layers.MaxPooling2D(2), layers.ReLU(),
        layers.Flatten(), layers.Dense(256, activation="relu"), layers.Dense(10),
    ])


def samples(part: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = mnist.load(part)
    return (images[..., np.newaxis] / np.float32(255)).astype(np.float32), labels.astype(np.int32)


def accuracy(model: keras.Model) -> float:
    images, labels = samples("t10k")
    batches = range(0, len(labels), TEST_BATCH)
    answers = [model(images[at : at + TEST_BATCH], training=False).numpy().argmax(1) for at in batches]
    return 100 * float((np.concatenate(answers) == labels).mean())


main()
