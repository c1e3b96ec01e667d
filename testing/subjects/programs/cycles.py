"""CPython that does --count N cycles of work and marks each; memory goes by --shape.

| shape | memory | truth |
|---|---|---|
| `list_leak` | a list that keeps a bytes object of 20000 in each cycle | growing |
| `dict_leak` | a dict that is never emptied: 100 new keys in each cycle | growing, in ever larger steps too |
| `lru` | a dict of at most 64 entries of 32 KiB, the oldest thrown out | bounded |
| `cursors` | 203 SQLite cursors a cycle, whose weak references are pruned now and then | not growing |
| `generators` | generators, closures and exceptions that come and go | not growing |
| `garbage` | reference cycles that only the collector frees, some of them each time | not growing |

At its end it prints one line {"cycles": N}.
"""

import argparse
import collections
import gc
import json
import os
import socket
import sqlite3


class Marks:
    """The tool's protocol: a label and a newline go out, "ok" and a newline come back."""

    def __init__(self):
        path = os.environ.get("PLIMSOLL_MARKS")
        self.connection = None
        if path:
            self.connection = socket.socket(socket.AF_UNIX)
            self.connection.connect(path)

    def mark(self, label):
        if self.connection:
            self.connection.sendall(label.encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                part = self.connection.recv(3)
                if not part:
                    raise SystemExit("whoever reads the marks has gone")
                answer += part


class Node:
    """Two of them that refer to each other."""

    def __init__(self):
        self.content = bytearray(4000)
        self.other = None


class Work:
    def __init__(self):
        self.kept = []
        self.table = {}
        self.cache = collections.OrderedDict()
        self.database = None

    def list_leak(self, cycle):
        self.kept.append(b"%d" % (cycle % 10) * 20000)

    def dict_leak(self, cycle):
        for item in range(100):
            self.table["key %d of cycle %d" % (item, cycle)] = bytearray(100)

    def lru(self, cycle):
        self.cache[cycle] = bytearray(32 << 10)
        while len(self.cache) > 64:
            self.cache.popitem(last=False)

    def cursors(self, cycle):
        if self.database is None:
            self.database = sqlite3.connect(":memory:")
            self.database.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
        names = (("item %d" % number,) for number in range(100))
        self.database.executemany("INSERT INTO item (name) VALUES (?)", names)
        for number in range(203):
            self.database.cursor().execute("SELECT name FROM item WHERE id = ?", (number,))
        self.database.execute("DELETE FROM item")

    def generators(self, cycle):
        total = 0
        for width in range(50):
            squares = (number * number for number in range(width * 10))
            total += sum(number for number in squares if number % 3)
        try:
            raise ValueError(total, [str(number) for number in range(2000)])
        except ValueError as error:
            return (lambda: error.args)()

    def garbage(self, cycle):
        for _ in range(20):
            one, two = Node(), Node()
            one.other, two.other = two, one


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--shape", default="generators")
    arguments = parser.parse_args()
    marks = Marks()
    work = Work()
    gc.collect()
    for cycle in range(arguments.count):
        getattr(work, arguments.shape)(cycle)
        marks.mark("cycle")
    print(json.dumps({"cycles": arguments.count}))


main()
