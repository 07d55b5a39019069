#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A model server: POST an image to /ocr, get its text. Python's standard library and tesseract.

It is part of the image. Its model is not: it reads that from --model, as a server would that was
written for any platform. Nothing here knows of Ballast.
"""

import argparse
import http.server
import json
import os
import subprocess
import sys

LARGEST_IMAGE = 16 * 1024 * 1024


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    model = ""

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        if self.path != "/health":
            self.answer(404, {"error": "POST an image to /ocr"})
            return
        self.answer(200, {"status": "ok", "uid": os.getuid(), "model": sorted(os.listdir(self.model))})

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != "/ocr" or not 0 < length <= LARGEST_IMAGE:
            self.close_connection = True
            self.answer(400, {"error": "POST an image of at most 16 MiB to /ocr"})
            return
        done = subprocess.run(
            ["tesseract", "stdin", "stdout", "--tessdata-dir", self.model, "-l", "eng", "--psm", "6"],
            input=self.rfile.read(length), capture_output=True, check=False)
        if done.returncode != 0:
            self.answer(422, {"error": done.stderr.decode(errors="replace").strip()})
            return
        self.answer(200, {"text": done.stdout.decode().strip()})

    def log_message(self, format, *args):
        pass


def main():
    parser = argparse.ArgumentParser(description="Text of images, by tesseract.")
    parser.add_argument("--port", type=int, default=8107)
    parser.add_argument("--model", required=True, help="directory with eng.traineddata")
    arguments = parser.parse_args()
    Handler.model = arguments.model
    if not os.path.exists(os.path.join(arguments.model, "eng.traineddata")):
        sys.exit(f"{arguments.model} has no eng.traineddata")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    print(f"listening on port {arguments.port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
