"""A file synchroniser in small, after yomins-sync: its cache is a database file that it maps into
memory, as bbolt does, and it goes through all entries in batches.

    mapped_sync.py [--entries N] [--keep batch|all] [--wait]

`--keep batch` (the default) drops each batch of 1000 before the next, `--keep all` collects every
entry first, as yomins-sync did before. It logs as yomins-sync does, with figures of a process's own:
`[MEMSTATS:LABEL] Alloc=…MB RSS=…MB`, where Alloc is what the entries at hand take, counted by
their lengths as a runtime counts its heap, and so knows no mapped page. `--wait` logs
to standard error, prints `ready {json}` before its end and waits until its input closes. The database (100 bytes of key and
100 of value an entry, in a file three times as large, as a bbolt file that was much rewritten) is
made once in the current folder. Only the standard library is needed.
"""

import argparse
import json
import mmap
import os
import sys

ENTRY, SPREAD, BATCH = 200, 3, 1000
PAGE = mmap.PAGESIZE


def create(path, entries):
    made = path + ".new-%d" % os.getpid()
    with open(made, "wb") as file:
        for start in range(0, entries, BATCH):
            rows = []
            for number in range(start, min(start + BATCH, entries)):
                key = "tenant-%03d/album-%05d/original-%09d.jpeg" % (number % 10, number // 50, number)
                value = '{"size":%d,"mtime":1762387200,"hash":"%032x","status":1}' % (number, number)
                rows.append((key.ljust(100) + value.ljust(100)).encode())
            file.write(b"".join(rows))
            file.write(bytes(len(rows) * ENTRY * (SPREAD - 1)))
        file.flush()
        os.fsync(file.fileno())
    os.rename(made, path)


def status():
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return {name: int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon", "RssFile")}


def log(label, kept, stream):
    alloc = sum(sys.getsizeof(key) + sys.getsizeof(value) + 120 for key, value in kept.items())
    print("[MEMSTATS:%s] Alloc=%dMB RSS=%dMB" % (label, alloc >> 20, status()["VmRSS"]), file=stream, flush=True)


def batches(database, entries):
    for start in range(0, entries, BATCH):
        count = min(BATCH, entries - start)
        at = start * ENTRY * SPREAD
        # Free pages of the file are looked at too, as a scan of bbolt's pages does.
        for page in range(at, at + count * ENTRY * SPREAD, PAGE):
            database[page]
        batch = {}
        for row in range(count):
            entry = database[at + row * ENTRY : at + (row + 1) * ENTRY].decode()
            batch[entry[:100].rstrip()] = json.loads(entry[100:])
        yield batch


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--keep", choices=["batch", "all"], default="batch")
    parser.add_argument("--wait", action="store_true")
    arguments = parser.parse_args()
    path = "cache-%d.db" % arguments.entries
    if not os.path.exists(path):
        create(path, arguments.entries)
    kept, changed = {}, 0
    # What waits for a `ready` line reads it first.
    stream = sys.stderr if arguments.wait else sys.stdout
    log("START_PREPARE_SCAN", kept, stream)
    with open(path, "rb") as file:
        database = mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
    every = max(1, arguments.entries // BATCH // 4)
    for number, batch in enumerate(batches(database, arguments.entries), 1):
        changed += sum(entry["status"] == 1 for entry in batch.values())
        if arguments.keep == "all":
            kept.update(batch)
        else:
            kept = batch
        if number % every == 0:
            log("AFTER_BATCH_%d" % number, kept, stream)
    log("BEFORE_GC", kept, stream)
    kept = {}
    log("AFTER_GC", kept, stream)
    if arguments.wait:
        truth = {name: int(mib * 2**20) for name, mib in status().items()}
        print("ready", json.dumps({"file_bytes": os.path.getsize(path), **truth}), flush=True)
        sys.stdin.readline()
    database.close()
    print("%d entries looked at" % changed)


main()
