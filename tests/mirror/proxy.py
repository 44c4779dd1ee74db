"""A proxy for HTTP/1.1 between a coordinator and a server, which counts requests and disturbs them."""

import os
import signal
import socket
import threading
import time


class Proxy:
    def __init__(self, port):
        self.server = port
        self.requests = 0
        self.lock = threading.Lock()
        self.delay = 0.0
        self.drops = ()
        self.cuts_every = 0
        self.refuses = 0
        self.hangs = False
        self.until = None
        self.kill = None
        self.how = {}

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def kill_at(self, at, when):
        """Has the process group killed at that request, before it is passed on or after it was answered. `process`
        must be set soon."""
        self.process = None
        self.kill = (at, when)

    def disturb(self, how):
        """Sets these fields once the first checkpoint is in the bucket: its manifest was taken."""
        self.how = how

    def begin_to_disturb(self):
        how, self.how = self.how, {}
        for_s = how.get("for_s")
        self.until = time.monotonic() + for_s if for_s else None
        for name, value in how.items():
            setattr(self, name, value)

    def kill_now(self):
        while self.process is None:
            time.sleep(0.001)
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        server = None
        try:
            reader = client.makefile("rb")
            server = socket.create_connection(("127.0.0.1", self.server))
            answers = server.makefile("rb")
            while True:
                message = read_message(reader, self.drops)
                if message is None or not self.pass_on(client, server, answers, message):
                    return
        except OSError:
            pass
        finally:
            client.close()
            if server:
                server.close()

    def pass_on(self, client, server, answers, message):
        """Passes a request on, and its answer back. False cuts the connection."""
        head, body = message
        with self.lock:
            self.requests += 1
            number = self.requests
        at, when = self.kill or (0, None)
        if number == at and when == "before":
            self.kill_now()
            return False
        if at and number > at:
            return False
        if self.until and time.monotonic() > self.until:
            self.refuses, self.until = 0, None
        time.sleep(self.delay)
        if self.hangs:
            time.sleep(600)
        if self.refuses:
            client.sendall(b"HTTP/1.1 %d Full\r\ncontent-length: 0\r\n\r\n" % self.refuses)
            return True
        if self.cuts_every and number % self.cuts_every == 0:
            return False
        server.sendall(head + body)
        answer = read_message(answers, (), head.startswith(b"HEAD"))
        if answer is None:
            return False
        if number == at:
            self.kill_now()
            return False
        if self.how and head.startswith(b"PUT ") and b"/manifest.json" in head.splitlines()[0]:
            self.begin_to_disturb()
        client.sendall(answer[0] + answer[1])
        return True


def read_message(reader, drops, has_no_body=False):
    """Head and body of a request or an answer; None at the end."""
    lines, length, chunked = [], 0, False
    while True:
        line = reader.readline()
        if not line:
            return None
        if line in (b"\r\n", b"\n"):
            break
        name, _, value = line.partition(b":")
        name = name.strip().lower()
        if name in drops:
            continue
        if name == b"content-length":
            length = int(value)
        chunked |= name == b"transfer-encoding" and b"chunked" in value.lower()
        lines.append(line)
    head = b"".join(lines) + b"\r\n"
    if has_no_body or (lines and lines[0].startswith(b"HTTP/") and lines[0].split()[1] in (b"204", b"304")):
        return head, b""
    if not chunked:
        return head, reader.read(length)
    body = b""
    while True:
        line = reader.readline()
        size = int(line.split(b";")[0], 16)
        body += line + reader.read(size + 2)
        if size == 0:
            return head, body
