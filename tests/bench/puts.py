#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""puts.py SOCKET SOURCE COUNT RESULT [--together]: COUNT new containers that want SOURCE, one after
another or all at once. RESULT gets one line: median and 99th percentile of request to answer, and the
time from the first answer to the last, in milliseconds."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time


def start_time(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def request(name, pid, source):
    body = json.dumps({"tenant": "default", "pid": pid, "start_time": start_time(pid),
                       "weights": [{"source": source, "mount_location": "/models/m"}]}).encode()
    head = (f"PUT /v1/containers/{name}?wait=120 HTTP/1.1\r\nHost: agent\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n")
    return head.encode() + body


def ask(path, text, times):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        begin = time.monotonic()
        sock.connect(path)
        sock.sendall(text)
        answer = sock.recv(65536)
        times.append((begin, time.monotonic()))
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"puts.py: {answer!r}")


def main():
    path, source, count, result = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    together = "--together" in sys.argv[5:]
    processes = [subprocess.Popen(["sleep", "infinity"]) for _ in range(count)]
    times = []
    try:
        texts = [request(f"b{os.getpid()}-{i}", process.pid, source)
                 for i, process in enumerate(processes)]
        if together:
            threads = [threading.Thread(target=ask, args=(path, text, times)) for text in texts]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        else:
            for text in texts:
                ask(path, text, times)
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
    if len(times) != count:
        raise SystemExit(f"puts.py: {len(times)} of {count} answers")
    took = sorted(1000 * (end - begin) for begin, end in times)
    ends = sorted(end for _, end in times)
    with open(result, "w", encoding="ascii") as file:
        file.write(f"{took[len(took) // 2]:.2f} {took[len(took) * 99 // 100]:.2f} "
                   f"{1000 * (ends[-1] - ends[0]):.1f}\n")


main()
