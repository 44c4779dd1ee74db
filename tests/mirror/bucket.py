"""A look into a bucket past the program: signed requests, and whether each checkpoint is whole."""

import datetime
import hashlib
import hmac
import http.client
import json
import re
import urllib.parse
import xml.etree.ElementTree as ElementTree


class Bucket:
    def __init__(self, port, key, secret):
        self.port, self.key, self.secret = port, key, secret

    def create(self):
        self.request("PUT", "", b"", allowed=(200, 409))

    def get(self, key):
        return self.request("GET", key)

    def put(self, key, body):
        self.request("PUT", key, body)

    def list(self, prefix):
        """Keys and sizes below a prefix."""
        found, token = {}, None
        while True:
            query = {"list-type": "2", "prefix": prefix + "/"} | ({"continuation-token": token} if token else {})
            tree = ElementTree.fromstring(self.request("GET", "", query=query))
            for element in tree.iter():
                element.tag = element.tag.rpartition("}")[2]
            for item in tree.findall("Contents"):
                found[item.findtext("Key")] = int(item.findtext("Size"))
            token = tree.findtext("NextContinuationToken")
            if not token:
                return found

    def request(self, method, key, body=b"", query=None, allowed=(200, 204)):
        path = "/bucket" + (f"/{urllib.parse.quote(key)}" if key else "")
        text = "&".join(
            f"{urllib.parse.quote(k, safe='')}={urllib.parse.quote(v, safe='')}" for k, v in sorted((query or {}).items())
        )
        headers = self.signed(method, path, text, body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, f"{path}?{text}" if text else path, body, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if response.status not in allowed:
            raise SystemExit(f"{method} {path}: {response.status} {content[:200]}")
        return content

    def signed(self, method, path, query, body):
        """AWS's signature, version 4."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        host, digest = f"127.0.0.1:{self.port}", hashlib.sha256(body).hexdigest()
        names = "host;x-amz-content-sha256;x-amz-date"
        head = f"host:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{now}\n"
        canonical = "\n".join([method, path, query, head, names, digest])
        scope = f"{now[:8]}/us-east-1/s3/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        value = f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, SignedHeaders={names}, Signature={signature}"
        return {"Host": host, "x-amz-date": now, "x-amz-content-sha256": digest, "Authorization": value}


def whole(bucket, prefix, left_over=None):
    """Steps of the checkpoints below a prefix, ascending. Fails unless each is whole. With `left_over`, a list, also
    if there are files of no checkpoint."""
    objects = bucket.list(prefix)
    steps, used = [], set()
    for key in objects:
        found = re.fullmatch(re.escape(prefix) + r"/step-(\d{12})/manifest\.json", key)
        if not found:
            continue
        manifest = bucket.get(key)
        digest = hashlib.sha256(manifest).hexdigest()[:16]
        folder = key.rpartition("/")[0]
        attempts = {k.split("/")[-2] for k in objects if k.startswith(folder + "/") and k.count("/") == key.count("/") + 1}
        attempts = sorted(name for name in attempts if name.endswith("-" + digest))
        files = json.loads(manifest)["files"]

        def is_whole(attempt):
            content = {name: f"{folder}/{attempt}/{name}" for name in files}
            return all(
                objects.get(content[name]) == record["bytes"]
                and hashlib.sha256(bucket.get(content[name])).hexdigest() == record["sha256"]
                for name, record in files.items()
            )

        good = [attempt for attempt in attempts if is_whole(attempt)]
        if not good:
            raise SystemExit(f"FAILED: {key} is not whole: {sorted(objects)}")
        used |= {key} | {k for k in objects if k.startswith(tuple(f"{folder}/{attempt}/" for attempt in attempts))}
        steps.append(int(found[1]))
    if left_over is not None:
        left_over.extend(k for k in objects if "/step-" in k and k not in used)
        if left_over:
            raise SystemExit(f"FAILED: left over: {left_over}")
    return sorted(steps)
