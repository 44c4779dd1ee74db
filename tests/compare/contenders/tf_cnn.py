"""The network in TensorFlow (Keras), its loss, and the threads it may use."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# On by default only where the CPU has VNNI, but faster without it too.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import tensorflow as tf


def one_thread() -> None:
    """To be called before anything is computed."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def network() -> keras.Model:
    """Logits `[batch, 10]` from pixels in [0, 1], `[batch, 28, 28, 1]`: 93,322 parameters."""
    layers = keras.layers
    return keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
        layers.Dense(10),
    ])


def mean_loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def pixels(images: tf.Tensor) -> tf.Tensor:
    """Bytes `[batch, 28, 28]` to what `network` takes."""
    return tf.cast(images[..., tf.newaxis], tf.float32) / 255.0
