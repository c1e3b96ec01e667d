"""What an image board does with a new file, with Pillow and imagehash: MD5, a copy in place, a small picture,
perceptual hash, hash of colours, a row in SQLite. Threads as the original has them.

    ingest.py make FOLDER COUNT          pictures of 1 to 4 million pixels, the same for the same count
    ingest.py take FROM FOLDER WORKERS METHOD    takes them in; METHOD is the effort of WebP, 0 to 6
"""

import hashlib
import json
import os
import random
import resource
import shutil
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import imagehash
from PIL import Image, ImageDraw, ImageFilter


def make(folder, count):
    """Shapes and soft noise: they compress about as drawings do."""
    os.makedirs(folder, exist_ok=True)
    for number in range(count):
        draw = random.Random(number)
        width, height = draw.randint(900, 2200), draw.randint(1100, 1800)
        small = Image.effect_noise((width // 8, height // 8), 60).convert("RGB")
        picture = small.resize((width, height), Image.Resampling.BICUBIC)
        shapes = ImageDraw.Draw(picture)
        for _ in range(60):
            x, y = draw.randint(0, width), draw.randint(0, height)
            color = tuple(draw.randint(0, 255) for _ in range(3))
            size = draw.randint(10, 500)
            shapes.ellipse((x, y, x + size, y + draw.randint(10, 500)), fill=color, outline="black")
        picture = picture.filter(ImageFilter.GaussianBlur(0.7))
        if number % 3 == 0:
            picture.save(f"{folder}/{number:04}.png", compress_level=3)
        else:
            picture.save(f"{folder}/{number:04}.jpg", quality=92)


def look(source, folder, method):
    md5 = hashlib.md5()
    with open(source, "rb") as file:
        while block := file.read(1 << 17):
            md5.update(block)
    md5 = md5.hexdigest()
    stem, ending = os.path.splitext(os.path.basename(source))
    name = f"{stem}_{md5}{ending}"
    bucket = hashlib.md5(name.encode()).hexdigest()[:3]
    os.makedirs(f"{folder}/images/{bucket}", exist_ok=True)
    os.makedirs(f"{folder}/thumbnails/{bucket}", exist_ok=True)
    with Image.open(source) as picture:
        picture.load()
        width, height = picture.size
        phash = str(imagehash.phash(picture, hash_size=16))
        colors = str(imagehash.colorhash(picture, binbits=3))
        small = picture.convert("RGB")
        small.thumbnail((800, 800), Image.Resampling.LANCZOS)
        small.save(f"{folder}/thumbnails/{bucket}/{stem}_{md5}.webp", "WEBP", quality=85, method=method)
    shutil.copyfile(source, f"{folder}/images/{bucket}/{name}")
    return f"{bucket}/{name}", md5, width, height, phash, colors


def take(source, folder, workers, method):
    os.makedirs(folder)
    connection = sqlite3.connect(f"{folder}/images.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE images (filepath, md5 UNIQUE, width, height, phash, colorhash)")
    begun = time.perf_counter()
    files = sorted(os.path.join(source, name) for name in os.listdir(source))
    with ThreadPoolExecutor(workers) as pool:
        for row in pool.map(lambda file: look(file, folder, method), files):
            connection.execute("INSERT INTO images VALUES (?, ?, ?, ?, ?, ?)", row)
            connection.commit()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "taken_in": len(files),
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "rss_peak_bytes": usage.ru_maxrss * 1024,
    }))


if sys.argv[1] == "make":
    make(sys.argv[2], int(sys.argv[3]))
else:
    take(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
