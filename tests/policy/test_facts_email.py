from __future__ import annotations

from email.headerregistry import Address, HeaderRegistry
from email.utils import getaddresses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_agent.policy.facts import facts_of


def email(value: object) -> dict:
    return facts_of("email", value)


def test_every_fact_of_addresses():
    assert email("Bob.Roe@Example.COM, ann@b.org,ann@b.org") == {
        "addresses": ["Bob.Roe@example.com", "ann@b.org", "ann@b.org"],
        "domains": ["b.org", "example.com"],
        "count": 3,
    }
    assert email(["ann@b.org"]) == email("ann@b.org")
    assert email([]) == {"addresses": [], "domains": [], "count": 0}


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("a@b.c", "a@b.c"),
        (" a@b.c ", "a@b.c"),
        ("a.b+tag@b-c.d", "a.b+tag@b-c.d"),
        ("o'neil@b.c", "o'neil@b.c"),
        ("<a@b.c>", "a@b.c"),
        ("Ann Roe <a@b.c>", "a@b.c"),
        ("Ann M. O'Neil-Roe <a@b.c>", "a@b.c"),
        ('"Ann Roe" <a@b.c>', "a@b.c"),
        ("Jörg <a@b.c>", "a@b.c"),
        ("a@münchen.de", "a@xn--mnchen-3ya.de"),
        ("a@XN--MNCHEN-3YA.DE", "a@xn--mnchen-3ya.de"),
        ("a@аpple.com", "a@xn--pple-43d.com"),  # noqa: RUF001  a Cyrillic letter
        ("root@localhost", "root@localhost"),
    ],
)
def test_a_plain_address_is_read(value, address):
    assert email(value)["addresses"] == [address]
    assert email([value])["addresses"] == [address]


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        ",",
        "a@b.c,",
        ",a@b.c",
        "a@b.c,,d@e.f",
        "a",
        "a@",
        "@b.c",
        "a b@c.d",
        "a@b.c d@e.f",
        "a@b.c;d@e.f",
        "a@b.c\nBcc: d@e.f",
        "a@b.c\r\nBcc: d@e.f",
        "a@b.c\r\n ,d@e.f",
        "a@b.c\x00",
        "a@b.c\u2028",
        "a@b.c\u200b",
        "\u202ea@b.c",
        "a@b.c\t",
        "a@b@c.d",
        "a@good.com@evil.com",
        "a@good.com <b@evil.com>",
        '"a@good.com" <b@evil.com>',
        "<a@good.com> <b@evil.com>",
        "<a@good.com>b@evil.com",
        "<<a@b.c>>",
        "<a@b.c",
        "a@b.c>",
        "Roe, Ann <a@b.c>",
        '"Roe, Ann" <a@b.c>',
        "Ann (x) <a@b.c>",
        "a@b.c (comment)",
        "(comment)a@b.c",
        "a(x)@b.c",
        "a@(x)b.c",
        '"a"@b.c',
        '"a@evil.com"@b.c',
        '"a b"@c.d',
        "a\\@b.c",
        "group: a@b.c;",
        "undisclosed-recipients:;",
        "@relay.com:a@b.c",
        "<@relay.com:a@b.c>",
        "a%evil.com@b.c",
        "evil.com!a@b.c",
        "|cmd@b.c",
        "/etc/a@b.c",
        "`id`@b.c",
        "-oQ/tmp@b.c",
        ".a@b.c",
        "a.@b.c",
        "a..b@c.d",
        "jörg@b.c",
        "а@b.c",  # noqa: RUF001
        "=?utf-8?q?a=40evil.com=3E?= <b@c.d>",
        "a@[127.0.0.1]",
        "a@[IPv6:::1]",
        "a@127.0.0.1",
        "a@1",
        "a@b..c",
        "a@b.c.",
        "a@.b.c",
        "a@b_c!.d",
        "a@b%2ec",
        "a@b.c?bcc=d@e.f",
        "mailto:a@b.c",
        "a@straße.de",
        "a@ｂ.c",  # noqa: RUF001
        "a@b。c",
        "a@xn--.de",
        "a" * 65 + "@b.c",
        "a@" + "b" * 64 + ".c",
        "a@" + "b." * 130 + "c",
        "a" * 64 + "@" + ".".join(["b" * 50] * 4),
        "x" * 400,
    ],
)
def test_what_mail_programs_read_differently_has_no_facts(value):
    for each in (value, [value], ["a@b.c", value]):
        with pytest.raises(ValueError, match=r"^(an address|the host|`)"):
            email(each)


@pytest.mark.parametrize(
    "value", [["a@b.c,d@e.f"], ["a@b.c", ["d@e.f"]], [{"email": "a@b.c"}], [None]]
)
def test_an_item_of_a_list_is_one_address(value):
    with pytest.raises(ValueError, match=r"^(an address|`)"):
        email(value)


@pytest.mark.parametrize("value", [["a@b.c"] * 1001, ",".join(["a@b.c"] * 1001), "a" * 100_001])
def test_more_addresses_than_anyone_looks_at_are_refused(value):
    with pytest.raises(ValueError, match=r"^there are more than 1,000 addresses"):
        email(value)


TEXT = st.text(alphabet="ab.@,;<>\"()[]: '+-\\=?!%\r\n", max_size=24)
WORDS = st.lists(
    st.sampled_from(
        ["a@b.c", "d@e.f", "Ann", " ", ",", "<", ">", '"', "Roe", ".", "'", "-", "@", "("]
    ),
    max_size=8,
).map("".join)


def lowered(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"


@given(TEXT | WORDS)
@settings(deadline=None)
def test_the_standard_library_reads_the_same_addresses(value):
    try:
        found = email(value)["addresses"]
    except ValueError:
        return
    assert [lowered(one) for _, one in getaddresses([value])] == found
    header = HeaderRegistry()("to", value)
    assert [lowered(one.addr_spec) for one in header.addresses] == found
    assert not header.defects


@given(WORDS)
@settings(deadline=None)
def test_what_is_read_is_an_address_to_the_standard_library(value):
    try:
        found = email(value)
    except ValueError:
        return
    for one in found["addresses"]:
        assert Address(addr_spec=one).domain in found["domains"]
    assert email(found["addresses"]) == found
