"""CPython with NumPy: arrays of known bytes, many small objects, threads.

Prints `ready {json}` and waits until its standard input closes or a line arrives.
Arguments: --arrays N --mib M (each), --objects N, --threads N.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import threading

import numpy


def pymalloc_statistics():
    """What CPython's small-object allocator says of itself; null where it does not (3.13t)."""
    with tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            sys._debugmallocstats()
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        file.seek(0)
        text = file.read().decode()
    arenas = re.search(r"# arenas allocated current\s*=\s*([\d,]+)", text)
    held = re.search(r"([\d,]+) arenas \* ([\d,]+) bytes/arena", text)
    in_use = re.search(r"# bytes in allocated blocks\s*=\s*([\d,]+)", text)
    if not (arenas and held and in_use):
        return None
    number = lambda found, group=1: int(found.group(group).replace(",", ""))
    return {
        "arenas": number(arenas),
        "arena_bytes": number(held, 2),
        "in_use_bytes": number(in_use),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--arrays", type=int, default=4)
    parser.add_argument("--mib", type=int, default=16)
    parser.add_argument("--objects", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=4)
    arguments = parser.parse_args()

    length = (arguments.mib << 20) // 8
    arrays = [numpy.full(length, float(i + 1)) for i in range(arguments.arrays)]
    # Tuples of one float each: 56-byte and 24-byte objects of the small-object allocator.
    objects = [(float(i),) for i in range(arguments.objects)]
    object_bytes = sum(sys.getsizeof(one) + sys.getsizeof(one[0]) for one in objects)

    end = threading.Event()
    threads = [threading.Thread(target=end.wait, daemon=True) for _ in range(arguments.threads)]
    for thread in threads:
        thread.start()

    truth = {
        "arrays": [{"address": a.ctypes.data, "bytes": a.nbytes} for a in arrays],
        "array_bytes": sum(a.nbytes for a in arrays),
        "objects": 2 * len(objects),
        "object_bytes": object_bytes,
        "object_table_bytes": sys.getsizeof(objects),
        "pymalloc": pymalloc_statistics(),
        "started_threads": len(threads),
        "threads": len(os.listdir("/proc/self/task")),
        "runtime": sys.version.split()[0],
        "numpy": numpy.__version__,
    }
    print("ready", json.dumps(truth), flush=True)
    sys.stdin.readline()


main()
