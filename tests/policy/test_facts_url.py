from __future__ import annotations

import re
import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_agent.policy.facts import facts_of


def url(value: str) -> dict:
    return facts_of("url", value)


def test_every_fact_of_an_address():
    assert url("HTTPS://Bob:pw@API.Example.com:8443/v1/%7Ebob/%c3%a9?q=1#part") == {
        "scheme": "https",
        "host": "api.example.com",
        "port": 8443,
        "private": False,
        "path": "/v1/~bob/%C3%A9",
        "has_credentials": True,
        "has_query": True,
    }
    assert url("http://example.com") == {
        "scheme": "http",
        "host": "example.com",
        "port": 80,
        "private": False,
        "path": "/",
        "has_credentials": False,
        "has_query": False,
    }


@pytest.mark.parametrize(
    ("value", "port"),
    [
        ("http://a.b", 80),
        ("https://a.b", 443),
        ("ws://a.b", 80),
        ("wss://a.b", 443),
        ("ftp://a.b", 21),
        ("custom://a.b", 0),
        ("custom://a.b:7", 7),
        ("https://a.b:65535", 65535),
    ],
)
def test_the_port_is_the_given_one_or_that_of_the_scheme(value, port):
    assert url(value)["port"] == port


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("localhost", "localhost"),
        ("LOCALHOST", "localhost"),
        ("intranet", "intranet"),
        ("db.internal", "db.internal"),
        ("metadata.google.internal", "metadata.google.internal"),
        ("a.localhost", "a.localhost"),
        ("printer.local", "printer.local"),
        ("router.home.arpa", "router.home.arpa"),
        ("nas.lan", "nas.lan"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0X7F.1", "127.0.0.1"),
        ("0x7f.0.0.0x1", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),  # too big in base 10
        ("0", "0.0.0.0"),
        ("0x0", "0.0.0.0"),
        ("10.0.0.1", "10.0.0.1"),
        ("172.16.5.4", "172.16.5.4"),
        ("192.168.257", "192.168.1.1"),
        ("169.254.169.254", "169.254.169.254"),
        ("0xa9.0xfe.0xa9.0xfe", "169.254.169.254"),
        ("0251.0376.0251.0376", "169.254.169.254"),  # in base 10 it is none
        ("0177.0.0.1", "0177.0.0.1"),  # public in base 10: private, and equal to nothing named
        ("010.8.8.8", "010.8.8.8"),  # private in base 10 only
        ("192.168.09.1", "192.168.9.1"),  # in base 8 it is none
        ("100.64.0.1", "100.64.0.1"),
        ("198.18.0.1", "198.18.0.1"),
        ("224.0.0.1", "224.0.0.1"),
        ("240.0.0.1", "240.0.0.1"),
        ("255.255.255.255", "255.255.255.255"),
        ("[::1]", "::1"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
        ("[::]", "::"),
        ("[::ffff:127.0.0.1]", "127.0.0.1"),
        ("[::FFFF:7f00:1]", "127.0.0.1"),
        ("[::127.0.0.1]", "::7f00:1"),
        ("[fe80::1]", "fe80::1"),
        ("[fd00::1]", "fd00::1"),
        ("[fec0::1]", "fec0::1"),
        ("[ff02::1]", "ff02::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[64:ff9b::7f00:1]", "64:ff9b::7f00:1"),
        ("[2002:7f00:1::]", "2002:7f00:1::"),
        ("[2001:0:1:2:3:4:5:6]", "2001:0:1:2:3:4:5:6"),
    ],
)
def test_a_private_host_is_private_in_every_spelling(host, plain):
    found = url(f"http://{host}:8080/a")
    assert (found["host"], found["private"]) == (plain, True)


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("0x08.8.8.8", "8.8.8.8"),
        ("134744072", "8.8.8.8"),
        ("172.32.0.1", "172.32.0.1"),
        ("[2606:4700::1111]", "2606:4700::1111"),
        ("[::ffff:8.8.8.8]", "8.8.8.8"),
        ("[64:ff9b::808:808]", "64:ff9b::808:808"),
        ("example.com", "example.com"),
        ("my_bucket.s3.amazonaws.com", "my_bucket.s3.amazonaws.com"),
        ("notlocal.example", "notlocal.example"),
        ("localhost.example.com", "localhost.example.com"),
        ("home.arpa.example.com", "home.arpa.example.com"),
        ("127.0.0.1.nip.io", "127.0.0.1.nip.io"),  # only the resolver knows
        ("1.1.1.1e", "1.1.1.1e"),
        ("münchen.de", "xn--mnchen-3ya.de"),
        ("MÜNCHEN.DE", "xn--mnchen-3ya.de"),
        ("XN--MNCHEN-3YA.de", "xn--mnchen-3ya.de"),
        ("例え.jp", "xn--r8jz45g.jp"),
        ("аpple.com", "xn--pple-43d.com"),  # noqa: RUF001  a Cyrillic letter: not apple.com
    ],
)
def test_a_public_host_is_not_private(host, plain):
    found = url(f"https://{host}/a")
    assert (found["host"], found["private"]) == (plain, False)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "example.com",
        "example.com/a",
        "//example.com/",
        "/etc/passwd",
        "http:example.com",
        "http:/example.com",
        "http:///example.com",
        "http://",
        "http:///",
        "http://?q",
        "http://#f",
        "http://:80/",
        "http://a:/",
        "http://a:0/",
        "http://a:080/",
        "http://a:65536/",
        "http://a:999999/",
        "http://a:8O/",
        "http://a:٨٠/",
        "http://a:80:80/",
        " http://a.b/",
        "http://a.b/ ",
        "http://a.b/a b",
        "http://a.b\n",
        "http://a.b/\t",
        "ht\ntp://a.b/",
        "http://a\u00a0b.c/",
        "http://a.b/\u200b",
        "http://a.b/\u202ehttp",
        "http://a.b/\x00",
        "http://a.b/\ud800",
        "http://a.b\\@c.d/",
        "http://a.b\\c",
        "http:\\\\a.b\\",
        "http://a.b/..\\c",
        "http://a.b@c.d@e.f/",
        "http://@a.b/",
        "http://:@a.b/",
        "http://a:b:c@d.e/",
        "http://a.b#@c.d/",
        "http://a.b?@c.d/",
        "http://a.b;c.d/",
        "http://a.b,c.d/",
        "http://a.b&c.d/",
        "http://a%2eb/",
        "http://127.0.0.1%2f@a.b:80/..",
        "http://a.b%40c.d/",
        "http://%31%32%37.0.0.1/",
        "http://a..b/",
        "http://.a.b/",
        "http://a.b./",
        "http://localhost./",
        "http://127.0.0.1./",
        "http://256.1.1.1/",
        "http://1.2.3.4.5/",
        "http://127.0.0.0x/a.0xg/..",
        "http://4294967296/",
        "http://0x100000000/",
        "http://127.0.0.256/",
        "http://09.8.8.8.8/",
        "http://020.8.8.8/",  # 16.8.8.8 or 20.8.8.8
        "http://a.1/",
        "http://1e.0x/",
        "http://[::1/",
        "http://::1/",
        "http://[::1]a/",
        "http://a[::1]/",
        "http://[1.2.3.4]/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[v1.a]/",
        "http://[]/",
        "http://１２７.0.0.1/",  # noqa: RUF001
        "http://ⓔxample.com/",
        "http://a。b/",
        "http://a．b/",  # noqa: RUF001
        "http://straße.de/",
        "http://σας.gr/",
        "http://u\u0308.de/",
        "http://\u0308u.de/",
        "http://a\u200d.de/",
        "http://xn--.de/",
        "http://xn--a.de/",
        "http://xn--abc-.de/",
        "http://xn--999999999.de/",
        "http://" + "a" * 64 + ".de/",
        "http://" + "a." * 127 + "de/",
        "http://a.b/" + "a" * 8000,
        "http://a.b/../c",
        "http://a.b/.",
        "http://a.b/c/./d",
        "http://a.b/%2e%2e/c",
        "http://a.b/.%2E/c",
        "http://a.b/%252e%252e%252fc",
        "http://a.b/c/..;/d",
        "http://a.b/c/..%2fd",
        "http://a.b/c/..%5cd",
        "http://a.b/c%5cd",
        "http://a.b/c%00",
        "http://a.b/c%0d%0aHost:x",
        "http://a.b//c",
        "http://a.b/c//d",
        "http://a.b/%2fc",
        "http://a.b/%",
        "http://a.b/%zz",
        "http://a.b/%2525252525252541",
        "file:///etc/passwd",
        "file://localhost/etc/passwd",
        "FILE://a.b/c",
        "javascript://a.b/%0aalert(1)",
        "data:text/html,a",
        "view-source://a.b/",
        "jar:http://a.b!/c",
        "mailto:a@b.c",
        "about:blank",
        "1http://a.b/",
        "-://a.b/",
        "hтtp://a.b/",
    ],
)
def test_what_programs_read_differently_has_no_facts(value):
    with pytest.raises(ValueError, match=r"^[a-z`]"):
        url(value)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("http://a.b/%61dmin", "/admin"),
        ("http://a.b/%2Da%2fb", "/-a%2Fb"),
        ("http://a.b/é", "/%C3%A9"),
        ("http://a.b/@user", "/@user"),
        ("http://a.b/a;v=1/...", "/a;v=1/..."),
        ("http://a.b/a/", "/a/"),
        ("http://a.b/a:b", "/a:b"),
        ("http://a.b/100%25", "/100%25"),
    ],
)
def test_a_path_has_one_spelling(value, path):
    found = url(value)
    assert found["path"] == path
    assert url(f"http://a.b{path}") == found


@pytest.mark.parametrize(
    ("value", "credentials", "query"),
    [
        ("http://google.com@evil.example/", True, False),
        ("http://google.com:80@evil.example/", True, False),
        ("redis://:pw@evil.example/", True, False),
        ("http://a%40b@evil.example/", True, False),
        ("http://evil.example/@google.com", False, False),
        ("http://evil.example/?@google.com", False, True),
        ("http://evil.example/?", False, True),
        ("http://evil.example?", False, True),
        ("http://evil.example/#?a", False, False),
    ],
)
def test_user_names_and_queries_are_seen_and_do_not_hide_the_host(value, credentials, query):
    found = url(value)
    assert found["host"] == "evil.example"
    assert (found["has_credentials"], found["has_query"]) == (credentials, query)


def test_no_name_is_looked_up(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "gethostbyname", refuse)
    assert url("http://localtest.me/")["private"] is False


@given(st.ip_addresses(v=4))
@settings(deadline=None)
def test_every_spelling_of_an_address_is_the_same_host(address):
    a, b, c, d = address.packed
    spellings = [f"{a}.{b}.{c}.{d}", f"{a}.{b}.{c * 256 + d}", f"{a}.{b * 65536 + c * 256 + d}"]
    spellings += [str(int(address)), hex(int(address)), f"{a:#x}.{b}.{c:#X}.{d}"]
    spellings += [f"[::ffff:{address}]"]
    found = [url(f"http://{one}/") for one in spellings]
    assert {one["host"] for one in found} == {str(address)}
    assert len({one["private"] for one in found}) == 1
    # the system's own reading of what a spelling means
    assert {socket.inet_aton(one) for one in spellings[:-1]} == {address.packed}
    assert found[0]["private"] or address.is_global


@given(st.ip_addresses(v=6))
@settings(deadline=None)
def test_an_address_that_is_not_public_is_private(address):
    found = url(f"http://[{address.exploded}]/")
    assert ip_address(found["host"]) in {address, address.ipv4_mapped}
    assert found["private"] or address.is_global


SIGNS = st.text(alphabet="ab.:/@?#[]%01;\\-_~ü", max_size=12)


@given(SIGNS, SIGNS)
@settings(deadline=None)
def test_the_standard_library_finds_the_same_host(authority, rest):
    try:
        found = url(f"http://{authority}/{rest}")
    except ValueError:
        return
    split = urlsplit(f"http://{authority}/{rest}")
    if split.hostname.isascii() and not re.fullmatch(r"[0-9.]+", split.hostname):
        assert split.hostname == found["host"]
    assert (split.port or 80) == found["port"]
    assert (split.username is not None) == found["has_credentials"]
