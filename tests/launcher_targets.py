"""What the workers of test_launcher.py do, and how the server is set up."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from harness.workers.forkserver import QUIET_IMPORTS

known = b"not set up"


def remember(payload):
    global known
    known = payload


def start_thread(payload):
    threading.Thread(target=time.sleep, args=[1000], daemon=True).start()


def fail_setup(payload):
    raise ValueError("no such\nplugin")


def echo(payload, send):
    for line in payload.splitlines():
        send(line)


def tell_known(payload, send):
    send(known)


def tell_parent(payload, send):
    send(str(os.getppid()).encode())


def tell_facts(payload, send):
    facts = {
        "pid": os.getpid(),
        "group": os.getpgrp(),
        "int": type(signal.getsignal(signal.SIGINT)).__name__,
        "term": str(signal.getsignal(signal.SIGTERM)),
        "stdin": sys.stdin.read(),
        "quiet": [os.environ.get(name) for name in QUIET_IMPORTS],
    }
    send(json.dumps(facts).encode())


def die(payload, send):
    send(b"last words")
    exec(payload.decode())


def shout(payload, send):
    print("this is no result", flush=True)


def choke(payload, send):
    """Send a message, then one that the runner does not live to see whole."""
    send(b"small")
    send(b"x" * 50_000_000)


def hang(payload, send):
    send(b"up")
    time.sleep(1000)


def send_and_touch(payload, send):
    send(b"sent")
    Path(payload.decode()).touch()
    time.sleep(1000)


def hang_stubbornly(payload, send):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang(payload, send)


def stop_stubbornly(payload, send):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    send(b"up")
    while True:
        os.kill(os.getpid(), signal.SIGSTOP)


def send_for_ever(payload, send):
    while True:
        send(b"again")


def close_channel(payload, send):
    os.closerange(3, 100)
    time.sleep(1000)


def leave_child(payload, send):
    send(str(_stubborn_child()).encode())


def hang_with_child(payload, send):
    send(str(_stubborn_child()).encode())
    time.sleep(1000)


def _stubborn_child():
    """Start a process that a SIGTERM does not end and that holds what this one has open."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(1000)
    return pid


def convolve(payload, send):
    import numpy as np
    import torch

    torch.set_num_threads(2)
    images = torch.ones(8, 3, 32, 32)
    torch.nn.Conv2d(3, 8, 3)(images).sum().backward()
    product = np.ones((300, 300)) @ np.ones((300, 300))
    send(f"{torch.get_num_threads()} threads, {product[0, 0]:.0f}".encode())
