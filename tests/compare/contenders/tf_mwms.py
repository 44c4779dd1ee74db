"""One worker of TensorFlow's MultiWorkerMirroredStrategy: trains the CNN and prints its speed as a line of JSON.
With `--network FILE --samples FILE.npz` it trains what `coordinator --describe` has written instead, on those samples.

    TF_CONFIG=... MNIST_DIR=... tf_mwms.py --batch 128 --warmup 50 --steps 200 --steps-per-call 10

The training set lies in memory as bytes, a step gathers its samples by index, and everything from that to Adam's update
is inside one `tf.function`: no `tf.data` pipeline and no Python between the steps of a call.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import keras
import mnist
import network
import tensorflow as tf
import tf_cnn
import tf_network


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--batch", "--warmup", "--steps", "--steps-per-call"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--network", type=Path, help="output of --describe [default: the CNN]")
    parser.add_argument("--samples", type=Path, help=".npz with x_train and y_train [default: MNIST]")
    flags = parser.parse_args()
    tf_cnn.one_thread()
    images, labels = network.samples(flags.samples, None) if flags.samples else mnist.load("train")
    form = (*images.shape[1:3], images[0, 0, 0].size)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        model = tf_network.build(network.layers(flags.network), form, 10) if flags.network else tf_cnn.network()
        optimizer = keras.optimizers.Adam(1e-3)
        optimizer.build(model.trainable_variables)
    replicas = strategy.num_replicas_in_sync
    rank = strategy.cluster_resolver.task_id
    share = flags.batch // replicas
    images, labels = tf.constant(images.reshape(-1, *form)), tf.constant(labels)
    total = flags.warmup + flags.steps
    order = mnist.order(len(images), total, flags.batch, seed=1)[:, rank * share : (rank + 1) * share]

    def step(indices: tf.Tensor) -> tf.Tensor:
        x = tf.cast(tf.gather(images, indices), tf.float32) / 255.0
        y = tf.cast(tf.gather(labels, indices), tf.int32)
        with tf.GradientTape() as tape:
            # The update adds the replicas' gradients, and their sum is to be that of the global batch's mean.
            loss = tf_cnn.mean_loss(model(x, training=True), y) / replicas
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        return loss * replicas

    @tf.function
    def steps(indices: tf.Tensor) -> tf.Tensor:
        """Several steps, `[steps, share]`; the last one's loss on this worker."""
        loss = tf.constant(0.0)
        for i in tf.range(tf.shape(indices)[0]):
            loss = strategy.run(step, (indices[i],))
        return loss

    signature = tf.TensorSpec((None, share), tf.int64)
    call = steps.get_concrete_function(signature)

    def train(first: int, last: int) -> float:
        loss = 0.0
        for at in range(first, last, flags.steps_per_call):
            loss = float(call(tf.constant(order[at : min(at + flags.steps_per_call, last)])))
        return loss

    train(0, flags.warmup)
    begun = time.perf_counter()
    loss = train(flags.warmup, total)
    seconds = time.perf_counter() - begun
    if rank == 0:
        print(json.dumps({"samples_per_s": flags.steps * flags.batch / seconds, "loss": loss}), flush=True)


main()
