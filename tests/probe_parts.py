"""Parts of a probe that go wrong; each process that looks at one imports this module, and so nothing large."""

import os
import time


def sleep():
    time.sleep(60)
    return "woke up"


def clean_up_late(path):
    try:
        time.sleep(60)
    finally:
        open(path, "w").close()
    return "woke up"


def die():
    os.kill(os.getpid(), 9)
    return "alive"


def shout():
    print("a library speaks")
    raise KeyError(os.environ["MAMMOGAN_TEST"] + " s3cret http://user:pw@host/")
