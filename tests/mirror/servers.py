"""Servers that speak S3, each on a free port with a folder of its own."""

import socket
import subprocess
import tempfile
import time


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Server:
    key = "LOCKSTEPKEY"
    secret = "lockstep-secret"

    def __init__(self, program):
        self.program = program

    def __enter__(self):
        self.port = free_port()
        self.root = tempfile.TemporaryDirectory()
        command = self.command()
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise SystemExit(f"{self.name} does not start")
                time.sleep(0.1)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.root.cleanup()


class S3s(Server):
    name = "s3s-fs"

    def command(self):
        return [
            self.program, "--host", "127.0.0.1", "--port", str(self.port), "--access-key", self.key, "--secret-key",
            self.secret, self.root.name,
        ]


class Moto(Server):
    name = "moto"

    def command(self):
        return [self.program, "-H", "127.0.0.1", "-p", str(self.port)]
