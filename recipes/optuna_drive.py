"""Optuna chooses the trials of a search, and Lockstep trains them: several at a time on the same workers.

pip install optuna; python recipes/optuna_drive.py 30 ./target/release/coordinator --workers 2 --local \
    --dataset digits --model "mlp(32)" --epochs 5 --checkpoint-dir search
"""

import json
import subprocess
import sys

import optuna

AT_A_TIME = 4
LEFT, COMMAND = int(sys.argv[1]), sys.argv[2:]
FAIL, PRUNED = optuna.trial.TrialState.FAIL, optuna.trial.TrialState.PRUNED

study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(n_warmup_steps=1))
lockstep = subprocess.Popen([*COMMAND, "--ask-tell"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
open_trials = {}


def tell(line):
    print(json.dumps(line), file=lockstep.stdin, flush=True)


def begin():
    trial = study.ask()
    flags = {
        "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        "label-smoothing": trial.suggest_float("label-smoothing", 0.0, 0.2),
        "augment": trial.suggest_categorical("augment", ["none", "digits"]),
    }
    open_trials[trial.number] = trial
    tell({"trial": trial.number, "flags": flags})


def take(answer):
    """Hands an answer to Optuna. Returns whether its trial is over."""
    if "refused" in answer:
        # A trial that was to be pruned may have ended meanwhile.
        print(answer["refused"], file=sys.stderr)
        return False
    trial = open_trials[answer["trial"]]
    if "epoch" in answer:
        if "weights" not in answer:
            trial.report(answer["validation_accuracy"], answer["epoch"])
            if trial.should_prune():
                tell({"trial": trial.number, "stop": True})
        return False
    if "error" in answer:
        print(answer["error"], file=sys.stderr)
        study.tell(trial, state=FAIL)
    elif answer["done"] == "complete":
        study.tell(trial, answer["validation_accuracy"])
    else:
        study.tell(trial, state=PRUNED)
    del open_trials[trial.number]
    return True


for _ in range(min(AT_A_TIME, LEFT)):
    begin()
LEFT -= len(open_trials)
while open_trials and (line := lockstep.stdout.readline()):
    if take(json.loads(line)) and LEFT > 0:
        LEFT -= 1
        begin()
lockstep.stdin.close()
if lockstep.wait() == 0:
    print(f"best: trial {study.best_trial.number}, {study.best_value:.4f}, {study.best_params}")
