"""An image board in small, after ChibiBooru: its caches, its workers, its frameworks, its index.

    image_board.py order --first strings|ids   both caches in one process, one after the other, with
                                               the saving that a reading of RSS before and after says
    image_board.py cache --tags strings|interned|ids    one of them, in a process of its own
    image_board.py board                       the whole program; environment variables change it:
        TAGS=strings|interned|ids (strings)    WORKERS=N (4)    FRAMEWORKS=inside|idle (inside)
    image_board.py serve                       the whole program with an index of embeddings, which
                                               prints `ready {json}` and waits for its input to close

--images N (4000), --tags-each (48). The database is made once in the current folder. The loader
reads the raw metadata with one fetchall(), as ChibiBooru's does. Each worker maps the whole
database by a connection of its own and reads it. Frameworks are a stand-in: a file of 24 MiB that
is mapped as a library is, and 16 MiB of objects that importing leaves. Only the standard library is
needed. `board` and `serve` mark their stages where PLIMSOLL_MARKS is set.
"""

import argparse
import array
import gc
import json
import mmap
import os
import random
import socket
import sqlite3
import sys
import threading
import time

MIB = 1 << 20
marks = None
if "PLIMSOLL_MARKS" in os.environ:
    marks = socket.socket(socket.AF_UNIX)
    marks.connect(os.environ["PLIMSOLL_MARKS"])


def mark(label):
    if marks:
        marks.sendall(label.encode() + b"\n")
        marks.recv(3)


def rss():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * mmap.PAGESIZE


def database_of(images, tags_each):
    path = os.path.abspath("board-%d.db" % images)
    if os.path.exists(path):
        return path
    chance = random.Random(13)
    made = path + ".new-%d" % os.getpid()
    database = sqlite3.connect(made)
    database.execute("CREATE TABLE tags (id INTEGER PRIMARY KEY, name TEXT)")
    database.execute("CREATE TABLE images (id INTEGER PRIMARY KEY, md5 TEXT, tags TEXT, ids BLOB, raw TEXT)")
    names = ["%s_%s_%d" % (chance.choice(["blue", "long", "from"]), chance.choice(["hair", "sky"]), n)
             for n in range(images + 8000)]
    database.executemany("INSERT INTO tags VALUES (?, ?)", enumerate(names))

    def rows():
        for number in range(images):
            ids = [int(len(names) * chance.random() ** 3) for _ in range(tags_each)]
            tags = " ".join(names[at] for at in ids)
            raw = json.dumps({"source": "x" * 3000, "tags": tags})
            yield number, "%032x" % chance.getrandbits(128), tags, array.array("i", ids).tobytes(), raw

    database.executemany("INSERT INTO images VALUES (?, ?, ?, ?, ?)", rows())
    database.commit()
    database.close()
    os.rename(made, path)
    return path


def load_cache(path, kind):
    """What the program keeps: a row for each image, and its posts by the raw metadata."""
    database = sqlite3.connect(path)
    names = dict(database.execute("SELECT id, name FROM tags"))
    counts = dict.fromkeys(names if kind == "ids" else names.values(), 0)
    cache = []
    for number, md5, tags, ids in database.execute("SELECT id, md5, tags, ids FROM images"):
        row = {"id": number, "md5": md5}
        if kind == "ids":
            row["tag_ids"] = array.array("i", ids)
        elif kind == "interned":
            row["tags"] = " ".join(sys.intern(tag) for tag in tags.split())
        else:
            row["tags"] = tags
        cache.append(row)
    posts = {}
    for number, raw in database.execute("SELECT id, raw FROM images").fetchall():
        posts[number] = len(json.loads(raw)["tags"])
    database.close()
    return names, counts, cache, posts


def order(arguments, path):
    other = {"strings": "ids", "ids": "strings"}[arguments.first]
    taken = {}
    for kind in (arguments.first, other):
        gc.collect()
        before = rss()
        cache = load_cache(path, kind)
        taken[kind] = rss() - before
        del cache
        gc.collect()
        print("%-7s +%.2f MiB" % (kind, taken[kind] / MIB))
    change = 100 * (taken["ids"] - taken["strings"]) / max(taken["strings"], 4096)
    print("ids against strings: %+.0f %%" % change)


def work(path, ready, stop):
    database = sqlite3.connect(path)
    database.execute("PRAGMA mmap_size = %d" % (256 * MIB))
    database.execute("PRAGMA cache_size = -256")
    database.execute("SELECT sum(length(raw)) FROM images").fetchone()
    ready.release()
    stop.wait()
    database.close()


def start_workers(path, count):
    ready, stop = threading.Semaphore(0), threading.Event()
    for number in range(count):
        threading.Thread(target=work, args=(path, ready, stop), daemon=True).start()
        ready.acquire()
    return stop


def frameworks():
    path = "frameworks.so"
    if not os.path.exists(path):
        with open(path + ".new-%d" % os.getpid(), "wb") as file:
            file.write(os.urandom(24 * MIB))
            file.flush()
            os.fsync(file.fileno())
        os.rename(file.name, path)
    with open(path, "rb") as file:
        library = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)
    pages = sum(library[at] for at in range(0, len(library), mmap.PAGESIZE))
    return library, pages, [bytes(480) for _ in range(16 * MIB // 512)]


def board(arguments, path):
    environment = os.environ.get
    held = []
    mark("import")
    if environment("FRAMEWORKS", "inside") == "inside":
        held.append(frameworks())
    mark("load caches")
    held.append(load_cache(path, environment("TAGS", "strings")))
    mark("start workers")
    held.append(start_workers(path, int(environment("WORKERS", "4"))))
    mark("up")
    return held


def index(count):
    """Embeddings as the loader leaves them: rows of bytes, then one matrix of floats."""
    rows = [os.urandom(4096) for _ in range(count)]
    return array.array("f", b"".join(rows))


def serve(arguments, path):
    held = [board(arguments, path), index(arguments.images)]
    truth = {"index_bytes": 4096 * arguments.images, "database_bytes": os.path.getsize(path)}
    print("ready", json.dumps(truth), flush=True)
    sys.stdin.readline()
    return held


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=["order", "cache", "board", "serve"])
    parser.add_argument("--first", choices=["strings", "ids"], default="strings")
    parser.add_argument("--tags", choices=["strings", "interned", "ids"], default="strings")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--tags-each", type=int, default=48)
    parser.add_argument("--stay", type=float, default=0.5, help="seconds that `board` is up")
    arguments = parser.parse_args()
    path = database_of(arguments.images, arguments.tags_each)
    if arguments.work == "order":
        order(arguments, path)
    elif arguments.work == "cache":
        held = load_cache(path, arguments.tags)
        gc.collect()
        print("rss %.2f MiB, %d images" % (rss() / MIB, len(held[2])))
    elif arguments.work == "board":
        held = board(arguments, path)
        print("rss %.2f MiB, of %d parts" % (rss() / MIB, len(held)), flush=True)
        # A server stays up; then it ends as it stands, not after its interpreter has freed half.
        time.sleep(arguments.stay)
        os._exit(0)
    else:
        serve(arguments, path)


main()
