"""A morphometrics program in small, after Modan2: objects with landmarks in an SQLite database are
created, loaded, unpacked, analysed and deleted. It marks its stages where PLIMSOLL_MARKS is set.

    morphometrics.py lifecycle --objects N [--landmarks L]   one dataset through its six stages
    morphometrics.py operations                              five analyses, one after the other
    morphometrics.py cycles --count N [--keep BYTES]         create, analyse, delete, again and again
    morphometrics.py cursors --count N                       the seed's measurement of its cursors

Every object is loaded the way an ORM does: a query and an instance of its dataset for each. The
analysis imports its library when it first needs it, as Modan2 does. `--keep` leaks that much in
each cycle. Only the standard library is needed.
"""

import argparse
import gc
import os
import random
import socket
import sqlite3
import sys
import time
import tracemalloc

marks = None
if "PLIMSOLL_MARKS" in os.environ:
    marks = socket.socket(socket.AF_UNIX)
    marks.connect(os.environ["PLIMSOLL_MARKS"])


def mark(label):
    if marks:
        marks.sendall(label.encode() + b"\n")
        marks.recv(3)


class Dataset:
    def __init__(self, number, name, dimension):
        self.number, self.name, self.dimension = number, name, dimension
        self.variables, self.wireframe, self.baseline = [], [], []


class Specimen:
    def __init__(self, number, name, text, dataset):
        self.number, self.name, self.text, self.dataset = number, name, text, dataset
        self.landmarks, self.variables, self.centroid = [], [], None


def open_database():
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.execute("CREATE TABLE dataset (id INTEGER PRIMARY KEY, name TEXT, dimension INTEGER)")
    database.execute(
        "CREATE TABLE object (id INTEGER PRIMARY KEY, dataset INTEGER, name TEXT, landmarks TEXT)"
    )
    return database


def create(database, objects, landmarks):
    database.execute("INSERT INTO dataset (name, dimension) VALUES ('leaves', 2)")
    dataset = database.execute("SELECT max(id) FROM dataset").fetchone()[0]
    chance = random.Random(7)
    for number in range(objects):
        rows = ("%.6f\t%.6f" % (chance.random(), chance.random()) for _ in range(landmarks))
        row = (dataset, "object %d" % number, "\n".join(rows))
        database.execute("INSERT INTO object (dataset, name, landmarks) VALUES (?, ?, ?)", row)
    return dataset


def load(database, dataset):
    specimens = []
    rows = database.execute("SELECT id, name, landmarks FROM object WHERE dataset = ?", (dataset,))
    for number, name, text in rows.fetchall():
        parent = database.execute("SELECT * FROM dataset WHERE id = ?", (dataset,)).fetchone()
        specimens.append(Specimen(number, name, text, Dataset(*parent)))
    return specimens


def unpack(specimens):
    for specimen in specimens:
        rows = specimen.text.split("\n")
        specimen.landmarks = [[float(field) for field in row.split("\t")] for row in rows]


def analyse(specimens):
    """The matrix, and how each coordinate varies with each, as lists of floats."""
    # The library that the analysis imports late: here those of the standard library that weigh most.
    import asyncio, ctypes, decimal, email.mime.multipart, http.server, unittest.mock, xml.dom.minidom  # noqa

    table = [[x for row in specimen.landmarks for x in row] for specimen in specimens]
    count, width = len(table), len(table[0])
    means = [sum(column) / count for column in zip(*table)]
    centred = [[x - mean for x, mean in zip(row, means)] for row in table]
    columns = list(zip(*centred))
    some = range(min(width, 20))
    covariance = [[sum(map(float.__mul__, columns[i], columns[j])) / count for i in some] for j in some]
    return centred, covariance


def delete(database, dataset):
    database.execute("DELETE FROM object WHERE dataset = ?", (dataset,))
    database.execute("DELETE FROM dataset WHERE id = ?", (dataset,))


def lifecycle(arguments):
    database = open_database()
    mark("create")
    dataset = create(database, arguments.objects, arguments.landmarks)
    mark("load")
    specimens = load(database, dataset)
    mark("unpack")
    unpack(specimens)
    mark("analyse")
    result = analyse(specimens)
    mark("delete objects")
    del specimens, result
    database.execute("DELETE FROM object WHERE dataset = ?", (dataset,))
    gc.collect()
    mark("delete dataset")
    delete(database, dataset)
    gc.collect()


def operations(arguments):
    database = open_database()
    for objects, landmarks in [(500, 10), (1000, 10), (500, 20), (1000, 20), (2000, 10)]:
        objects *= arguments.times
        mark("%d x %d" % (objects, landmarks))
        one_cycle(database, objects, landmarks)


def one_cycle(database, objects, landmarks):
    dataset = create(database, objects, landmarks)
    specimens = load(database, dataset)
    unpack(specimens)
    analyse(specimens)
    delete(database, dataset)
    del specimens
    gc.collect()


def cycles(arguments):
    database = open_database()
    kept = []
    for _ in range(arguments.count):
        one_cycle(database, arguments.objects, arguments.landmarks)
        kept.append(bytes(arguments.keep))
        mark("cycle")


def cursors(arguments):
    """The seed's method and what it misses: traced bytes after each cycle of 203 cursors."""
    database = open_database()
    traced = [0] * arguments.count
    for _ in range(3):
        one_cycle(database, 100, 10)
    tracemalloc.start()
    for cycle in range(arguments.count):
        for _ in range(203):
            database.execute("SELECT 1").close()
        traced[cycle] = tracemalloc.get_traced_memory()[0]
    fifty = traced[:50]
    early, late = sum(fifty[:10]) / 10, sum(fifty[40:]) / 10
    print("cycles 1-10: %.0f B, cycles 41-50: %.0f B, growth %+.0f B" % (early, late, late - early))
    falls = [at for at in range(1, len(traced)) if traced[at] < traced[at - 1] - 4096]
    floors = [traced[at] for at in falls]
    print("falls at %s, floors %s B, highest %d B" % (falls, floors, max(traced)))


def main():
    parser = argparse.ArgumentParser()
    work = {"lifecycle": lifecycle, "operations": operations, "cycles": cycles, "cursors": cursors}
    parser.add_argument("work", choices=work)
    parser.add_argument("--objects", type=int, default=100)
    parser.add_argument("--landmarks", type=int, default=10)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--keep", type=int, default=0)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--stay", type=float, default=0.5, help="seconds of the stage at rest")
    parser.add_argument("--traced", action="store_true", help="print what tracemalloc says")
    arguments = parser.parse_args()
    if arguments.traced:
        tracemalloc.start()
    work[arguments.work](arguments)
    if marks and arguments.work in ("lifecycle", "operations"):
        # Somebody looks at the result: what is held now is what stays.
        mark("at rest")
        time.sleep(arguments.stay)
    if arguments.traced:
        current, peak = tracemalloc.get_traced_memory()
        print("tracemalloc: peak %.2f MiB, at the end %.2f MiB" % (peak / 2**20, current / 2**20))
    sys.stdout.flush()


main()
