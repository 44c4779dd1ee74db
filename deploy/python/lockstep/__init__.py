"""Runs Lockstep's programs, and opens what they leave in Python.

    run("run", epochs=2, workers=2)   trains, and returns the folder of the run
    metrics("run")                    the run's numbers as a data frame of pandas
    load("run")                       the trained network, as a module of PyTorch or a model of Keras
"""

from ._model import load
from ._programs import ProgramError, Stopped, program, run
from ._record import metrics

__all__ = ["ProgramError", "Stopped", "load", "metrics", "program", "run"]
