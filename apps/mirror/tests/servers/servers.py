"""Real S3 (moto) and real FTP or FTPS servers (pyftpdlib) in one process, with faults to order.

A site is an S3 and an FTP server of a test's own, each at a port of its own; all have a bucket "bucket"
and a user "user". Prints a line once it is ready, then takes a line of JSON a command and answers with a line
each: {"open": FOLDER, "certificate": PEM or null} answers with the number and the ports of a new site;
{"site": NUMBER} goes with {"put": KEY, "text": BODY}, {"delete": KEY}, {"faults": {NAME: VALUE}},
{"counts": true}, {"page": true} for the keys that a page has, and {"endpoint": URL} for objects of another
S3 server. Times of a fault are how often it happens; those without end with the next order.
"""

import json
import logging
import os
import re
import socket
import struct
import sys
import threading
import time
from urllib.parse import parse_qsl, urlencode

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import DTPHandler, FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer
from werkzeug.serving import WSGIRequestHandler, make_server

ZERO = {"list": 0, "get": 0, "waiting": 0, "stor": 0, "dele": 0, "login": 0}


class Site:
    """One test's servers, what is ordered of them, and what they were asked for."""

    def __init__(self, number, root, certificate):
        self.bucket = f"site-{number}"
        self.faults = {}
        self.counts = dict(ZERO)
        self.stored = {}
        self.s3 = make_server("127.0.0.1", 0, self.app, threaded=True, request_handler=Quiet)
        threading.Thread(target=self.s3.serve_forever, daemon=True).start()
        self.ftp = serve_ftp(self, root, certificate)

    def app(self, environ, start_response):
        """moto's answer to a request, spoiled as ordered."""
        faults, counts = self.faults, self.counts
        environ["PATH_INFO"] = re.sub("^/bucket(?=/|$)", f"/{self.bucket}", environ["PATH_INFO"])
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        is_list = query.get("list-type") == "2" and "mirror" in environ.get("HTTP_USER_AGENT", "")
        is_get = environ["REQUEST_METHOD"] == "GET" and "mirror" in environ.get("HTTP_USER_AGENT", "") and not is_list

        def fail(status, code):
            body = f"<Error><Code>{code}</Code><Message>ordered</Message></Error>".encode()
            start_response(status, [("Content-Length", str(len(body)))])
            return [body]

        if (is_list or is_get) and "clock_ahead" in faults:
            there = time.time() + faults["clock_ahead"]
            sent = time.strptime(environ["HTTP_X_AMZ_DATE"] + " UTC", "%Y%m%dT%H%M%SZ %Z")
            if abs(there - timegm(sent)) > 15 * 60:
                return fail("403 Forbidden", "RequestTimeTooSkewed")
        if is_list:
            counts["list"] += 1
            if "page" in faults:
                query["max-keys"] = str(faults["page"])
                environ["QUERY_STRING"] = urlencode(query)
            if faults.get("list_loop"):
                query.pop("continuation-token", None)
                environ["QUERY_STRING"] = urlencode(query)
            if "list_pause" in faults:
                time.sleep(faults["list_pause"])
            if counts["list"] > faults.get("list_503_after", 1 << 60):
                return fail("503 Slow Down", "SlowDown")
            if take(faults, "list_503_times"):
                return fail("503 Slow Down", "SlowDown")
            if take(faults, "list_500_times"):
                return fail("500 Internal Server Error", "InternalError")
            if faults.get("empty"):
                body = b"<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
                start_response("200 OK", [("Content-Length", str(len(body)))])
                return [body]
        if is_get:
            counts["get"] += 1
            if "get_hook" in faults:
                # The object is changed or deleted between its listing and this.
                change(self, faults.pop("get_hook"))
            if "get_wait" in faults:
                counts["waiting"] += 1
                time.sleep(faults["get_wait"])
                counts["waiting"] -= 1
            if take(faults, "get_503_times"):
                return fail("503 Slow Down", "SlowDown")
            if take(faults, "get_500_times"):
                return fail("500 Internal Server Error", "InternalError")
            if faults.get("get_403"):
                return fail("403 Forbidden", "AccessDenied")
        kept = {}

        def keep(status, headers, exc_info=None):
            kept["head"] = (status, headers)

        body = b"".join(moto_app(environ, keep))
        status, headers = kept["head"]

        def replace(body, length):
            rest = [(k, v) for k, v in headers if k.lower() != "content-length"]
            return body, [*rest, ("Content-Length", str(length))]

        if is_list and faults.get("list_cut"):
            body, headers = replace(body[: len(body) // 2], len(body) // 2)
        if is_list and faults.get("list_short"):
            # The length is told as it is, and the connection ends before.
            body = body[: len(body) // 2]
        if is_list and faults.get("list_loop"):
            text = re.sub(r"<IsTruncated>.*?</IsTruncated>", "<IsTruncated>true</IsTruncated>", body.decode())
            text = re.sub(r"<NextContinuationToken>.*?</NextContinuationToken>", "", text)
            text = text.replace("</ListBucketResult>", "<NextContinuationToken>1</NextContinuationToken></ListBucketResult>")
            body, headers = replace(text.encode(), len(text.encode()))
        if is_list and faults.get("list_reversed"):
            text = body.decode()
            objects = re.findall(r"<Contents>.*?</Contents>", text, re.S)
            start, end = text.index(objects[0]), text.rindex(objects[-1]) + len(objects[-1])
            objects = objects[::-1] + objects[:1] * (faults["list_reversed"] == "twice")
            text = re.sub(r"<KeyCount>.*?</KeyCount>", "", text[:start] + "".join(objects) + text[end:])
            body, headers = replace(text.encode(), len(text.encode()))
        if is_get and take(faults, "get_cut_times"):
            # The length is told as it is, and the connection ends before: a source that breaks off.
            body = body[: len(body) // 2]
        if is_get and take(faults, "get_short_times"):
            # A length that is too small, and only so much: an answer that looks whole.
            body, headers = replace(body[: len(body) // 2], len(body) // 2)
        if is_get and take(faults, "get_small_length_times"):
            # A length that is too small, and all the bytes: the rest stands in the way of the next answer.
            _, headers = replace(body, len(body) // 2)
        if is_get and faults.get("get_other"):
            body = bytes(b ^ 1 for b in body)
        start_response(status, headers)
        if is_get and "get_pause" in faults:
            return slowly(self, body, faults["get_pause"])
        return [body]


class Quiet(WSGIRequestHandler):
    def log(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return super().date_time_string(time.time() + getattr(self.server, "clock_ahead", 0))


moto_app = DomainDispatcherApplication(create_backend_app)


def timegm(parts):
    import calendar

    return calendar.timegm(parts)


def take(faults, name):
    """Whether a fault that happens so many times is due."""
    if faults.get(name, 0) <= 0:
        return False
    faults[name] -= 1
    return True


def slowly(site, body, pause):
    step = len(body) // 5 + 1
    for at in range(0, len(body), step):
        time.sleep(pause)
        if at > 0 and "get_during" in site.faults:
            change(site, site.faults.pop("get_during"))
        yield body[at : at + step]


class Data(DTPHandler):
    """A data connection; `site` is that of its server."""

    def close(self):
        faults, counts, stored = self.site.faults, self.site.counts, self.site.stored
        path = getattr(self.file_obj, "name", None)
        if self.receive and path and self._resp and self._resp[0].startswith("226"):
            stored[path] = stored.get(path, 0) + 1
            counts["stor"] += 1
            if stored[path] <= faults.get("stor_451_times", 0):
                self._resp = ("451 Local error, ordered.", self._resp[1])
            elif take(faults, "stor_short_times"):
                # It says that all arrived, and has lost the end.
                self.file_obj.flush()
                os.truncate(path, self.tot_bytes_received // 2)
        super().close()

    def handle_read(self):
        faults = self.site.faults
        super().handle_read()
        if self._closed or self.tot_bytes_received == 0:
            return
        if take(faults, "drop_times"):
            channel = self.cmd_channel
            super().close()
            channel.close()
        elif take(faults, "reset_times"):
            linger = struct.pack("ii", 1, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            super().close()
            self.cmd_channel.respond("426 Connection closed; transfer aborted.")
        elif take(faults, "stall_times"):
            # Nothing more is read, and nothing said.
            self.ioloop.unregister(self._fileno)
        elif self.tot_bytes_received > faults.get("quota", 1 << 60):
            self._resp = ("552 Quota exceeded.", logging.getLogger("pyftpdlib").info)
            self.close()

    # The parent's is the parent's own function.
    handle_read_event = handle_read


class Channel(FTPHandler):
    """A control connection; `site` is that of its server."""

    def ftp_PASS(self, line):
        self.site.counts["login"] += 1
        return super().ftp_PASS(line)

    def ftp_STOR(self, file, mode="w"):
        if take(self.site.faults, "stor_421_times"):
            self.respond("421 Service not available, closing control connection.")
            return self.close_when_done()
        if take(self.site.faults, "stor_452_times"):
            return self.respond("452 Insufficient storage space.")
        if self.site.faults.get("no_overwrite") and os.path.exists(file):
            return self.respond("550 File exists.")
        return super().ftp_STOR(file, mode)

    def ftp_DELE(self, path):
        self.site.counts["dele"] += 1
        # The loop of this site's server alone.
        time.sleep(self.site.faults.get("dele_wait", 0))
        if self.site.faults.get("deny_delete"):
            return self.respond("550 Permission denied.")
        if take(self.site.faults, "dele_450_times"):
            return self.respond("450 File busy.")
        return super().ftp_DELE(path)

    def ftp_RNTO(self, path):
        if self.site.faults.get("rename_refused") == "all":
            return self.respond("550 Permission denied.")
        part = os.path.basename(self._rnfr or "").startswith(".mirror-part-")
        if self.site.faults.get("rename_refused") == "new" and part and not self._rnfr.endswith("-old"):
            return self.respond("550 Permission denied.")
        if self.site.faults.get("rename_over_refused") and os.path.exists(path):
            return self.respond("553 File exists.")
        if self.site.faults.get("rename_lost"):
            # Done, but the connection breaks off before it is said.
            self.site.faults.pop("rename_lost")
            super().ftp_RNTO(path)
            return self.close()
        return super().ftp_RNTO(path)

    def ftp_SIZE(self, path):
        if take(self.site.faults, "size_421_times"):
            self.respond("421 Service not available, closing control connection.")
            return self.close_when_done()
        if self.site.faults.get("no_size"):
            return self.respond("502 Command not implemented.")
        return super().ftp_SIZE(path)

    def ftp_MDTM(self, path):
        if self.site.faults.get("no_times"):
            return self.respond("502 Command not implemented.")
        return super().ftp_MDTM(path)


def serve_ftp(site, root, certificate):
    if certificate:
        from pyftpdlib.handlers import TLS_DTPHandler, TLS_FTPHandler

        handler = type("Handler", (TLS_FTPHandler,), {})
        handler.certfile = certificate
        handler.tls_control_required = True
        handler.tls_data_required = True
        handler.dtp_handler = TLS_DTPHandler
    else:
        handler = type("Handler", (Channel,), {"site": site})
        handler.dtp_handler = type("SiteData", (Data,), {"site": site})
    handler.authorizer = DummyAuthorizer()
    handler.authorizer.add_user("user", "secret", root, perm="elradfmwMT")
    ftp = FTPServer(("127.0.0.1", 0), handler, ioloop=IOLoop())
    threading.Thread(target=ftp.serve_forever, daemon=True).start()
    return ftp


def connect(endpoint):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="key",
        aws_secret_access_key="unseen-secret",
        region_name="us-east-1",
    )


def change(site, command):
    if "put" in command:
        site.client.put_object(Bucket=site.bucket, Key=command["put"], Body=command["text"].encode())
    elif "delete" in command:
        site.client.delete_object(Bucket=site.bucket, Key=command["delete"])


def obey(sites, command):
    if "open" in command:
        site = Site(len(sites), command["open"], command["certificate"])
        site.client = client
        client.create_bucket(Bucket=site.bucket)
        sites.append(site)
        ports = {"s3": site.s3.server_port, "ftp": site.ftp.socket.getsockname()[1]}
        return {"site": len(sites) - 1, **ports}
    site = sites[command["site"]]
    if "endpoint" in command:
        site.client, site.bucket = connect(command["endpoint"]), "bucket"
        site.client.create_bucket(Bucket=site.bucket)
    change(site, command)
    if "faults" in command:
        site.faults.clear()
        site.faults.update(command["faults"])
        site.stored.clear()
        site.counts.update(ZERO)
        site.s3.clock_ahead = command["faults"].get("clock_ahead", 0)
        site.ftp.max_cons_per_ip = command["faults"].get("connections", 0)
        site.ftp.handler.timeout = command["faults"].get("idle", 300)
    if "page" in command:
        page = site.client.list_objects_v2(Bucket=site.bucket, MaxKeys=1000)
        return {"page": page["KeyCount"]}
    left = [name for name, times in site.faults.items() if name.endswith("_times") and times]
    return {"counts": site.counts, "left": left}


def main():
    global client
    logging.disable(logging.CRITICAL)
    own = make_server("127.0.0.1", 0, moto_app, threaded=True, request_handler=Quiet)
    threading.Thread(target=own.serve_forever, daemon=True).start()
    client = connect(f"http://127.0.0.1:{own.server_port}")
    print("{}", flush=True)
    sites = []
    for line in sys.stdin:
        print(json.dumps(obey(sites, json.loads(line))), flush=True)


main()
