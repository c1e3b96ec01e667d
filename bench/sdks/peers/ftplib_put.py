"""Sends files by Python's ftplib. Arguments: put PORT COUNT BYTES."""

import io
import sys
from ftplib import FTP

_, port, count, size = sys.argv[1:]
count, size = int(count), int(size)
body = b"x" * size
ftp = FTP()
ftp.connect("127.0.0.1", int(port))
ftp.login("user", "secret")
for number in range(count):
    ftp.storbinary(f"STOR ftplib-{number}", io.BytesIO(body))
ftp.quit()
print(count, count * size)
