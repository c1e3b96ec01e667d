"""A real S3 (moto) and a real FTP or FTPS server (pyftpdlib) in one process, with faults to order.

Arguments: the folder that FTP serves, and for FTPS a file with key and certificate. Prints one line of
JSON with both ports, then takes a line of JSON a command and answers with a line each:
{"put": KEY, "text": BODY}, {"delete": KEY}, {"faults": {NAME: VALUE}}, {"counts": true}.
"""

import json
import logging
import re
import sys
import threading
import time
from urllib.parse import parse_qsl, urlencode

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import DTPHandler, FTPHandler
from pyftpdlib.servers import FTPServer
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "bucket"
faults = {}
counts = {"list": 0, "get": 0, "stor": 0}
stored = {}


class Quiet(WSGIRequestHandler):
    def log(self, *_):
        pass


moto_app = DomainDispatcherApplication(create_backend_app)


def app(environ, start_response):
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    is_list = query.get("list-type") == "2" and "mirror" in environ.get("HTTP_USER_AGENT", "")
    is_get = environ["REQUEST_METHOD"] == "GET" and "mirror" in environ.get("HTTP_USER_AGENT", "") and not is_list

    def fail(status, code):
        body = f"<Error><Code>{code}</Code><Message>ordered</Message></Error>".encode()
        start_response(status, [("Content-Length", str(len(body)))])
        return [body]

    if is_list:
        counts["list"] += 1
        if "page" in faults:
            query["max-keys"] = str(faults["page"])
            environ["QUERY_STRING"] = urlencode(query)
        if counts["list"] > faults.get("list_503_after", 1 << 60):
            return fail("503 Slow Down", "SlowDown")
        if faults.get("list_503_times", 0) > 0:
            faults["list_503_times"] -= 1
            return fail("503 Slow Down", "SlowDown")
        if faults.get("empty"):
            body = b"<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
            start_response("200 OK", [("Content-Length", str(len(body)))])
            return [body]
    if is_get:
        counts["get"] += 1
        if faults.get("get_503_times", 0) > 0:
            faults["get_503_times"] -= 1
            return fail("503 Slow Down", "SlowDown")
    kept = {}

    def keep(status, headers, exc_info=None):
        kept["head"] = (status, headers)

    body = b"".join(moto_app(environ, keep))
    status, headers = kept["head"]
    if is_list and faults.get("list_cut"):
        body = body[: len(body) // 2]
        headers = [(k, v) for k, v in headers if k.lower() != "content-length"]
        headers.append(("Content-Length", str(len(body))))
    if is_list and faults.get("list_reversed"):
        text = body.decode()
        objects = re.findall(r"<Contents>.*?</Contents>", text, re.S)
        start, end = text.index(objects[0]), text.rindex(objects[-1]) + len(objects[-1])
        objects = objects[::-1] + objects[:1] * (faults["list_reversed"] == "twice")
        text = re.sub(r"<KeyCount>.*?</KeyCount>", "", text[:start] + "".join(objects) + text[end:])
        body = text.encode()
        headers = [(k, v) for k, v in headers if k.lower() != "content-length"]
        headers.append(("Content-Length", str(len(body))))
    if is_get and faults.get("get_cut_times", 0) > 0:
        faults["get_cut_times"] -= 1
        # The length is told as it is, and the connection ends before: a source that breaks off.
        body = body[: len(body) // 2]
    if is_get and faults.get("get_other"):
        body = bytes(b ^ 1 for b in body)
    start_response(status, headers)
    if is_get and "get_pause" in faults:
        return slowly(body, faults["get_pause"])
    return [body]


def slowly(body, pause):
    step = len(body) // 5 + 1
    for at in range(0, len(body), step):
        time.sleep(pause)
        yield body[at : at + step]


class Data(DTPHandler):
    def close(self):
        path = getattr(self.file_obj, "name", None)
        if self.receive and path and self._resp and self._resp[0].startswith("226"):
            stored[path] = stored.get(path, 0) + 1
            counts["stor"] += 1
            if stored[path] <= faults.get("stor_451_times", 0):
                self._resp = ("451 Local error, ordered.", self._resp[1])
        super().close()

    def handle_read(self):
        super().handle_read()
        if self.receive and faults.get("drop_times", 0) > 0 and self.tot_bytes_received > 0:
            faults["drop_times"] -= 1
            channel = self.cmd_channel
            super().close()
            channel.close()


def refuse(self, path):
    if faults.get("deny_delete"):
        return self.respond("550 Permission denied.")
    return FTPHandler.ftp_DELE(self, path)


def rename(self, path):
    import os

    if faults.get("rename_over_refused") and os.path.exists(path):
        return self.respond("553 File exists.")
    return FTPHandler.ftp_RNTO(self, path)


def main():
    root = sys.argv[1]
    logging.disable(logging.CRITICAL)
    s3 = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=s3.serve_forever, daemon=True).start()

    authorizer = DummyAuthorizer()
    authorizer.add_user("user", "secret", root, perm="elradfmwMT")
    if len(sys.argv) > 2:
        from pyftpdlib.handlers import TLS_DTPHandler, TLS_FTPHandler

        class Handler(TLS_FTPHandler):
            pass

        Handler.certfile = sys.argv[2]
        Handler.tls_control_required = True
        Handler.tls_data_required = True
        Handler.dtp_handler = TLS_DTPHandler
    else:

        class Handler(FTPHandler):
            ftp_DELE = refuse
            ftp_RNTO = rename

        Handler.dtp_handler = Data
    Handler.authorizer = authorizer
    ftp = FTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=ftp.serve_forever, daemon=True).start()

    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{s3.server_port}",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=BUCKET)
    print(json.dumps({"s3": s3.server_port, "ftp": ftp.socket.getsockname()[1]}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        answer = {}
        if "put" in command:
            client.put_object(Bucket=BUCKET, Key=command["put"], Body=command["text"].encode())
        elif "delete" in command:
            client.delete_object(Bucket=BUCKET, Key=command["delete"])
        elif "faults" in command:
            faults.clear()
            faults.update(command["faults"])
            stored.clear()
            counts.update(dict.fromkeys(counts, 0))
        answer["counts"] = counts
        print(json.dumps(answer), flush=True)


main()
