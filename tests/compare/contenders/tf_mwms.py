"""One worker of TensorFlow's MultiWorkerMirroredStrategy: trains the CNN and prints its speed as a line of JSON.

    TF_CONFIG=... MNIST_DIR=... tf_mwms.py --batch 128 --warmup 50 --steps 200 --steps-per-call 10

The training set lies in memory as bytes, a step gathers its samples by index, and everything from that to Adam's update
is inside one `tf.function`: no `tf.data` pipeline and no Python between the steps of a call.
"""

from __future__ import annotations

import argparse
import json
import time

import keras
import mnist
import tensorflow as tf
import tf_cnn


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--batch", "--warmup", "--steps", "--steps-per-call"):
        parser.add_argument(name, type=int, required=True)
    flags = parser.parse_args()
    tf_cnn.one_thread()
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        model = tf_cnn.network()
        optimizer = keras.optimizers.Adam(1e-3)
        optimizer.build(model.trainable_variables)
    replicas = strategy.num_replicas_in_sync
    rank = strategy.cluster_resolver.task_id
    share = flags.batch // replicas
    images, labels = (tf.constant(array) for array in mnist.load("train"))
    total = flags.warmup + flags.steps
    order = mnist.order(len(images), total, flags.batch, seed=1)[:, rank * share : (rank + 1) * share]

    def step(indices: tf.Tensor) -> tf.Tensor:
        x = tf_cnn.pixels(tf.gather(images, indices))
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
