#!/usr/bin/env python3
"""Plays the pods of Kubernetes Jobs with `podman kube play`, and stands in for the Job controller.

    play_jobs.py FOLDER NETWORK JOB... < MANIFESTS

podman skips Jobs. So each Job's pod template becomes a Pod, one for each index, and when one ends, podFailurePolicy,
backoffLimit and backoffLimitPerIndex decide as Kubernetes does. Ends with 0 when all Jobs are complete, and with 1 when
one has failed. What the pods write is in FOLDER, and each pod's end is a line on standard output. A file FOLDER/JOB.pods
with a number changes how many pods a Job has. Probes are left out: podman would run them in the image, which has no shell.
"""

import base64
import copy
import json
import pathlib
import signal
import subprocess
import sys
import time

import yaml

FOLDER, NETWORK = pathlib.Path(sys.argv[1]), sys.argv[2]
SERVES = ("lockstep-coordinator",)  # a pod of this name is what the Service leads to


def podman(*words, check=True):
    done = subprocess.run(["podman", *words], capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"podman {' '.join(words)}: {done.stderr}")
    return done.stdout


class Job:
    def __init__(self, manifest, others):
        self.manifest, self.others = manifest, others
        self.name, self.spec = manifest["metadata"]["name"], manifest["spec"]
        self.indexed = self.spec.get("completionMode") == "Indexed"
        self.tries, self.running, self.failures = 0, {}, {}
        self.ended, self.given_up, self.has_failed = set(), set(), False

    def pods(self):
        wanted = FOLDER / f"{self.name}.pods"
        return int(wanted.read_text()) if wanted.exists() else self.spec.get("completions", 1)

    def start(self, index):
        name = self.name if self.name in SERVES else f"{self.name}-{index}-{self.tries}"
        self.tries += 1
        template = copy.deepcopy(self.spec["template"])
        for container in template["spec"]["containers"]:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                container.pop(probe, None)
        for volume in template["spec"].get("volumes", []):
            if "secret" in volume:
                secret = volume.pop("secret")["secretName"]
                volume["hostPath"] = {"path": str(FOLDER / secret), "type": "Directory"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **template["metadata"]}, "spec": template["spec"]}
        pod["spec"]["hostname"] = name
        file = FOLDER / f"{name}.yaml"
        file.write_text(yaml.safe_dump_all([*self.others, pod]))
        podman("kube", "play", "--network", NETWORK, str(file))
        self.running[index] = name
        print(f"{name} started", flush=True)

    def look(self):
        for index in range(self.pods()):
            if index not in self.running and index not in self.ended | self.given_up:
                self.start(index)
        for index, name in list(self.running.items()):
            main = f"{name}-{self.spec['template']['spec']['containers'][0]['name']}"
            state = json.loads(podman("inspect", "--format", "{{json .State}}", main))
            if state["Status"] not in ("exited", "stopped"):
                continue
            with open(FOLDER / f"{self.name}.log", "a") as log:
                subprocess.run(["podman", "logs", main], stdout=log, stderr=log, check=True)
            podman("pod", "rm", "--force", name)
            del self.running[index]
            self.decide(index, name, state["ExitCode"])

    def decide(self, index, name, code):
        action = "Complete" if code == 0 else self.action(code)
        if action == "Count":
            self.failures[index] = self.failures.get(index, 0) + 1
            limit = self.spec.get("backoffLimitPerIndex", self.spec.get("backoffLimit", 6))
            if self.failures[index] > limit:
                action = "FailIndex" if "backoffLimitPerIndex" in self.spec else "FailJob"
        print(f"{name} ended with {code}: {action}", flush=True)
        if action == "Complete":
            self.ended.add(index)
        elif action == "FailIndex":
            self.given_up.add(index)
        elif action == "FailJob":
            self.has_failed = True

    def action(self, code):
        for rule in self.spec.get("podFailurePolicy", {}).get("rules", []):
            codes = rule.get("onExitCodes", {"operator": "In", "values": []})
            if (code in codes["values"]) == (codes["operator"] == "In"):
                return rule["action"]
        return "Count"

    def is_over(self):
        return self.has_failed or len(self.ended | self.given_up) >= self.pods()


def main():
    # A podman that is at work is ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    manifests = [manifest for manifest in yaml.safe_load_all(sys.stdin) if manifest]
    others = [manifest for manifest in manifests if manifest["kind"] == "ConfigMap"]
    # podman 4.3 mounts a Secret with the letters of base64 as they are. A folder stands for it.
    for secret in (manifest for manifest in manifests if manifest["kind"] == "Secret"):
        folder = FOLDER / secret["metadata"]["name"]
        folder.mkdir(exist_ok=True)
        for key, value in secret["data"].items():
            (folder / key).write_bytes(base64.b64decode(value))
    jobs = [Job(manifest, others) for manifest in manifests if manifest["kind"] == "Job"]
    jobs = [job for job in jobs if job.name in sys.argv[3:]]
    while not all(job.is_over() for job in jobs):
        for job in jobs:
            if not job.is_over():
                job.look()
        time.sleep(0.3)
    sys.exit(any(job.has_failed or job.given_up for job in jobs))


main()
