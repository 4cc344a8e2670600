import json
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from langchain_core.tools import ToolException
from pydantic import ValidationError

from tools.addresses import is_public, parse, resolve
from tools.http import http_tools

PUBLIC = "93.184.215.14"

INSIDE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "0.0.0.0",
    "0.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.9",
    "192.88.99.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::127.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::1",
    "2001::1",
    "2002:7f00:1::",
    "2002:808:808::",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "100::1",
    "5f00::1",
    "3fff::1",
]

SPELLINGS = [
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "127.1",
    "127.0.1",
    "0",
    "1.2.3.4.5",
    "127.0.0.01",
    "256.1.1.1",
    "134744072",
    "0x8.8.8.8",
    "127.0.0.1..",
    "1.2.3",
    "0X7F.1",
    "①②⑦.⓪.⓪.①",
    "１２７.0.0.1",  # noqa: RUF001
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "exämple.com",
    "127。0。0。1",
    "[::1]evil.test",
    "[::1",
    "[fe80::1%25eth0]",
    "[v1.x]",
    "[127.0.0.1]",
    "a..test",
    "-a.test",
    "a-.test",
    ".test",
    "example.com:0",
    "example.com:99999",
    "example.com:1x",
    "example.com:",
    "example.com:080",
    "user@example.com",
    "user:pw@example.com",
    "@example.com",
    "a%00.test",
    "a%2ftest",
    "*.test",
]


class Handler(BaseHTTPRequestHandler):
    """Answers by path; keeps each request."""

    protocol_version = "HTTP/1.1"

    def _answer(self, status=200, body=b"hello", **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _handle(self):
        length = int(self.headers.get("Content-Length", 0))
        self.server.seen.append((self.command, self.path, self.headers, self.rfile.read(length)))
        path, _, query = self.path.partition("?")
        match path:
            case "/redirect":
                self._answer(302, b"", Location=query)
            case "/redirect307":
                self._answer(307, b"", Location=query)
            case "/loop":
                self._answer(301, b"", Location=f"/loop?{int(query or 0) + 1}")
            case "/count":
                left = int(query)
                self._answer(302, b"", Location=f"/count?{left - 1}") if left else self._answer()
            case "/nowhere":
                self._answer(302, b"no location")
            case "/big":
                self._answer(body=b"x" * 5000)
            case "/latin":
                self._answer(body=b"gr\xfc\xdfe", Content_Type="text/html; charset=ISO-8859-1")
            case "/codec":
                self._answer(body=b"plain", Content_Type="text/plain; charset=rot13")
            case "/binary":
                self._answer(body=b"\x00\xff", Content_Type="image/png")
            case "/missing":
                self._answer(404, b"no")
            case "/drip":
                self._drip()
            case _:
                self._answer(Content_Type="text/plain")

    def _drip(self):
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        try:
            for _ in range(100):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass

    do_GET = do_POST = _handle  # noqa: N815

    def log_message(self, *_):
        pass


class Web(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def handle_error(self, *_):
        pass

    def stop(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


@pytest.fixture
def web():
    server = Web()
    yield server
    server.stop()


@pytest.fixture
def secure(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = Web(context)
    yield server
    server.stop()


@pytest.fixture
def base(web):
    return f"http://127.0.0.1:{web.server_port}"


@pytest.fixture
def get(base):
    [tool, _] = http_tools(allow_private=True, timeout=5)
    return lambda path, **more: tool.invoke({"url": base + path, **more})


@pytest.fixture
def post(base):
    [_, tool] = http_tools(allow_private=True, timeout=5)
    return lambda path, body, **more: tool.invoke({"url": base + path, "body": body, **more})


def test_get_returns_status_url_type_and_text(get, base, web):
    assert get("/a%20b/?q=1&r=[2]#part", headers={"X-Token": "t"}) == {
        "status": 200,
        "url": f"{base}/a%20b/?q=1&r=[2]",
        "content_type": "text/plain",
        "body": "hello",
        "truncated": False,
    }
    [(method, path, headers, _)] = web.seen
    assert (method, path) == ("GET", "/a%20b/?q=1&r=[2]")
    assert headers["Host"] == base.removeprefix("http://")
    assert headers["X-Token"] == "t"
    assert headers.get_all("Host") == [headers["Host"]]


def test_an_error_of_the_server_is_an_answer(get):
    assert (get("/missing")["status"], get("/missing")["body"]) == (404, "no")


def test_post_sends_an_object_as_json_and_text_as_text(post, web):
    post("/", {"name": "ü", "n": [1, None]})
    post("/", "plain ü")
    post("/", "<a/>", headers={"Content-Type": "application/xml"})
    (_, _, first, json_body), (_, _, second, text), (_, _, third, _) = web.seen
    assert json.loads(json_body) == {"name": "ü", "n": [1, None]}
    assert first["Content-Type"] == "application/json"
    assert text.decode() == "plain ü"
    assert second["Content-Type"] == "text/plain; charset=utf-8"
    assert third.get_all("Content-Type") == ["application/xml"]


@pytest.mark.parametrize("body", [{"a": float("nan")}, "x" * 1_000_001])
def test_a_body_that_cannot_be_sent_is_refused(post, web, body):
    with pytest.raises(ToolException, match="body"):
        post("/", body)
    assert web.seen == []


def test_a_long_answer_is_cut_and_says_so(base):
    [tool, _] = http_tools(allow_private=True, max_bytes=100)
    answer = tool.invoke({"url": f"{base}/big"})
    assert (answer["body"], answer["truncated"]) == ("x" * 100, True)
    [tool, _] = http_tools(allow_private=True, max_bytes=5000)
    assert tool.invoke({"url": f"{base}/big"})["truncated"] is False


def test_text_is_decoded_by_its_charset_but_not_by_any_codec(get):
    assert get("/latin")["body"] == "grüße"
    assert get("/codec")["body"] == "plain"
    assert get("/binary")["body"] == "\ufffd\ufffd"


def test_redirects_are_followed_up_to_five(get, base):
    assert get("/count?5")["url"] == f"{base}/count?0"
    with pytest.raises(ToolException, match="more than 5 redirects"):
        get("/count?6")
    with pytest.raises(ToolException, match="more than 5 redirects"):
        get("/loop")


def test_a_redirect_without_a_location_is_an_answer(get):
    assert get("/nowhere")["status"] == 302


def test_post_reports_a_redirect_and_does_not_follow_it(post, web):
    for path in ("/redirect?/other", "/redirect307?/other"):
        answer = post(path, "x")
        assert answer["location"] == "/other"
        assert 300 <= answer["status"] < 400
    assert [path for _, path, _, _ in web.seen] == ["/redirect?/other", "/redirect307?/other"]


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://example.com/",
        "http://user:pw@127.0.0.1/",
        "http://0x7f.1/",
        "gopher://127.0.0.1:25/x",
        "http://[::1",
    ],
)
def test_a_redirect_is_checked_like_a_url(get, location):
    with pytest.raises(ToolException, match="redirects to where"):
        get(f"/redirect?{location}")


def tools_with_names():
    """Tools for which `public.test` has a public address, and `inside.test` has none."""
    names = {"public.test": [PUBLIC], "inside.test": ["10.0.0.5"], "localhost": ["127.0.0.1"]}

    def resolver(host, _):
        return names.get(host, [host])

    return http_tools(resolver=resolver, timeout=5)


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://inside.test:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "//127.0.0.1:{port}/",
    ],
)
def test_a_redirect_to_a_private_address_is_not_followed(web, monkeypatch, location):
    """The connection to the public address is led to the test's server; nothing else is."""
    port = web.server_port
    reached = []
    connect = socket.create_connection

    def led(address, timeout):
        reached.append(address)
        return connect(("127.0.0.1", port) if address[0] == PUBLIC else address, timeout)

    monkeypatch.setattr(socket, "create_connection", led)
    [tool, _] = tools_with_names()
    target = location.format(port=port)
    with pytest.raises(ToolException, match="which is not public"):
        tool.invoke({"url": f"http://public.test/redirect?{target}"})
    assert reached == [(PUBLIC, 80)]
    assert len(web.seen) == 1


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(web, monkeypatch):
    """A name server that answers differently the second time is not asked a second time."""
    answers = [[PUBLIC], ["127.0.0.1"]]
    asked, reached = [], []

    def rebinding(host, _):
        asked.append(host)
        return answers[min(len(asked), 2) - 1]

    def led(address, _timeout):
        reached.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", led)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("resolved again"))
    [tool, _] = http_tools(resolver=rebinding)
    with pytest.raises(ToolException, match="takes no connection"):
        tool.invoke({"url": f"http://rebind.test:{web.server_port}/"})
    assert asked == ["rebind.test"]
    assert reached == [(PUBLIC, web.server_port)]


def test_the_next_address_is_tried_when_one_refuses(web):
    [tool, _] = http_tools(
        allow_private=True, timeout=5, resolver=lambda *_: ["127.0.0.2", "127.0.0.1"]
    )
    answer = tool.invoke({"url": f"http://two.test:{web.server_port}/"})
    assert answer["status"] == 200
    assert web.seen[0][2]["Host"] == f"two.test:{web.server_port}"


def test_one_private_address_among_public_ones_is_enough_to_refuse():
    [tool, _] = http_tools(resolver=lambda *_: [PUBLIC, "10.0.0.1"])
    with pytest.raises(ToolException, match=r"`10.0.0.1`, which is not public"):
        tool.invoke({"url": "http://mixed.test/"})


@pytest.mark.parametrize(
    "address",
    INSIDE,
)
def test_an_address_of_somebodys_inside_is_not_public(address):
    assert not is_public(address)
    [tool, _] = http_tools(resolver=lambda *_: [address])
    with pytest.raises(ToolException, match="which is not public"):
        tool.invoke({"url": "http://name.test/"})


@pytest.mark.parametrize(
    "address", ["8.8.8.8", PUBLIC, "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "192.0.1.1"]
)
def test_an_address_of_the_open_internet_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    SPELLINGS,
)
@pytest.mark.parametrize("allow_private", [False, True])
def test_no_unusual_spelling_of_a_host_is_accepted(host, allow_private):
    asked = []
    [tool, _] = http_tools(
        allow_private=allow_private, resolver=lambda *_: asked.append(1) or [PUBLIC]
    )
    with pytest.raises(ToolException):
        tool.invoke({"url": f"http://{host}/"})
    assert asked == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://example.com/",
        "HTTP:example.com",
        "//example.com/",
        "example.com",
        "",
        "http://",
        "http:///path",
        "http://example.com/a b",
        "http://example.com/\r\nHost: evil",
        "http://exam\tple.com/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com/\x00",
        "data:text/plain,x",
        "javascript:alert(1)",
    ],
)
def test_what_is_no_plain_http_url_is_refused(url):
    for tool, more in zip(http_tools(), ({}, {"body": "x"}), strict=True):
        with pytest.raises(ToolException):
            tool.invoke({"url": url, **more})


def test_the_real_resolver_finds_this_machine_and_is_refused(base):
    [tool, _] = http_tools()
    for host in ("127.0.0.1", "localhost", "localhost.", "LOCALHOST", "[::ffff:127.0.0.1]"):
        port = base.rpartition(":")[2]
        with pytest.raises(ToolException, match="which is not public"):
            tool.invoke({"url": f"http://{host}:{port}/"})


def test_a_url_is_taken_apart_into_what_is_sent():
    target = parse("HTTPS://Example.COM.:443/ü?a=ü&b=%20#x")
    assert target.url == "https://example.com/%C3%BC?a=%C3%BC&b=%20"
    assert parse("http://[2606:4700::1]:8080?x").url == "http://[2606:4700::1]:8080/?x"


def test_a_very_long_host_is_refused_quickly():
    began = time.monotonic()
    with pytest.raises(ToolException):
        parse("http://" + "a" * 5000 + "!/")
    assert time.monotonic() - began < 1


def test_only_allowed_hosts_are_spoken_to_redirects_included(web):
    resolver = lambda *_: ["127.0.0.1"]  # noqa: E731
    [get, post] = http_tools(allow_private=True, allowed_hosts=["A.test"], resolver=resolver)
    port = web.server_port
    assert get.invoke({"url": f"http://a.test:{port}/"})["status"] == 200
    for url in (
        f"http://b.test:{port}/",
        f"http://x.a.test:{port}/",
        f"http://a.test:{port}/redirect?http://b.test:{port}/",
    ):
        with pytest.raises(ToolException, match=r"is not allowed; ask one of `a\.test`"):
            get.invoke({"url": url})
    with pytest.raises(ToolException, match="is not allowed"):
        post.invoke({"url": f"http://b.test:{port}/", "body": ""})


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.test"},
        {"hOsT": "evil.test"},
        {"Content-Length": "0"},
        {"Transfer-Encoding": "chunked"},
        {"Connection": "close"},
        {"Upgrade": "h2c"},
        {"Proxy-Authorization": "x"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Accept-Encoding": "gzip"},
        {"X-HTTP-Method-Override": "DELETE"},
        {"X\r\nHost": "evil"},
        {"X Y": "a"},
        {"X:": "a"},
        {"": "a"},
        {"X": "a\r\nHost: evil"},
        {"X": "a\nb"},
        {"X": "a\x00b"},
        {"X": "ü"},
        {"X": " a"},
        {"X": "a", "x": "b"},
    ],
)
def test_headers_that_change_the_connection_or_carry_others_are_refused(get, post, web, headers):
    with pytest.raises(ToolException, match="header"):
        get("/", headers=headers)
    with pytest.raises(ToolException, match="header"):
        post("/", "x", headers=headers)
    assert web.seen == []


def test_headers_are_not_carried_to_another_server(web, get):
    other = Web()
    try:
        get(f"/redirect?http://127.0.0.1:{other.server_port}/", headers={"Authorization": "secret"})
        get("/redirect?/same", headers={"Authorization": "secret"})
        assert "Authorization" not in other.seen[0][2]
        assert web.seen[-1][2]["Authorization"] == "secret"
    finally:
        other.stop()


def test_proxies_of_the_environment_are_ignored(get, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert get("/")["status"] == 200


def test_tls_is_checked_for_the_name_and_not_for_the_address(secure, certificate, monkeypatch):
    [tool, _] = http_tools(allow_private=True, timeout=5, resolver=lambda *_: ["127.0.0.1"])
    port = secure.server_port
    with pytest.raises(ToolException, match="no valid certificate"):
        tool.invoke({"url": f"https://secure.test:{port}/"})
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    answer = tool.invoke({"url": f"https://secure.test:{port}/"})
    assert (answer["status"], answer["url"]) == (200, f"https://secure.test:{port}/")
    with pytest.raises(ToolException, match="no valid certificate"):
        tool.invoke({"url": f"https://other.test:{port}/"})


def test_a_redirect_from_https_to_http_is_not_followed(secure, base, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    [tool, _] = http_tools(allow_private=True, timeout=5)
    with pytest.raises(ToolException, match="from https to"):
        tool.invoke({"url": f"https://localhost:{secure.server_port}/redirect?{base}/"})


def test_https_to_a_server_that_speaks_http_is_reported(web):
    [tool, _] = http_tools(allow_private=True, timeout=5)
    with pytest.raises(ToolException, match="speaks no TLS"):
        tool.invoke({"url": f"https://127.0.0.1:{web.server_port}/"})


def test_a_server_that_drips_is_given_up(base):
    [tool, _] = http_tools(allow_private=True, timeout=0.4)
    began = time.monotonic()
    with pytest.raises(ToolException, match="did not answer in time"):
        tool.invoke({"url": f"{base}/drip"})
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_says_nothing_is_given_up(scheme):
    get, post = http_tools(allow_private=True, timeout=0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(ToolException, match="did not answer in time"):
            get.invoke({"url": url})
        with pytest.raises(ToolException, match="it is not known whether"):
            post.invoke({"url": url, "body": "x"})


def test_a_name_server_that_says_nothing_is_given_up():
    wake = threading.Event()
    [tool, _] = http_tools(timeout=0.2, resolver=lambda *_: wake.wait(10) or [PUBLIC])
    with pytest.raises(ToolException, match="not resolved in time"):
        tool.invoke({"url": "http://slow.test/"})
    wake.set()


def test_a_name_without_an_address_is_reported():
    def nobody(*_):
        raise socket.gaierror(-2, "Name or service not known")

    for resolver in (nobody, lambda *_: []):
        with pytest.raises(ToolException, match="has no address"):
            resolve(parse("http://no.test"), resolver, allow_private=False, timeout=1)


@pytest.mark.parametrize(
    "junk", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 999999 x\r\n\r\n", b"\x00" * 99]
)
def test_what_speaks_no_http_is_reported(junk):
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(junk)

    thread = threading.Thread(target=serve)
    thread.start()
    get, post = http_tools(allow_private=True, timeout=5)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    with listener:
        with pytest.raises(ToolException, match="does not speak HTTP"):
            get.invoke({"url": url})
        with pytest.raises(ToolException, match="not known whether it did"):
            post.invoke({"url": url, "body": ""})
        thread.join()


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": 1},
        {"url": "http://a.test", "headers": {"a": 1}},
        {"url": "http://a.test", "headers": ["a"]},
        {"url": "http://a.test", "method": "DELETE"},
        {"url": "http://a.test/\ud800"},
    ],
)
def test_arguments_that_do_not_fit_the_schema_are_refused(arguments):
    [tool, _] = http_tools()
    with pytest.raises(ValidationError):
        tool.invoke(arguments)


def test_half_a_character_deep_in_a_body_is_refused(post):
    with pytest.raises(ValidationError, match="half a character"):
        post("/", {"a": [{"b\udc00": 1}]})
