import email
import email.policy
import socket
import ssl
import threading

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from langchain_core.tools import ToolException
from pydantic import ValidationError

from tools import mail as module
from tools.mail import Server, mail_tools


class Inbox:
    """Keeps what arrives; `refuse` and `answer` make it a difficult server."""

    def __init__(self):
        self.envelopes = []
        self.refuse = None
        self.answer = "250 taken"
        self.logins = []

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802
        self.envelopes.append(envelope)
        return self.answer

    def authenticate(self, _server, _session, _envelope, _mechanism, data):
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss/word", handled=False)

    def message(self):
        [envelope] = self.envelopes
        return email.message_from_bytes(envelope.content, policy=email.policy.default)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def inbox():
    return Inbox()


@pytest.fixture
def start(inbox):
    """Start a server; returns its port."""
    controllers = []

    def start(**options):
        controller = Controller(inbox, hostname="127.0.0.1", port=free_port(), **options)
        controllers.append(controller)
        controller.start()
        return controller.port

    yield start
    for controller in controllers:
        controller.stop()


@pytest.fixture
def url(start):
    return f"smtp://127.0.0.1:{start()}"


@pytest.fixture
def send(url):
    [tool] = mail_tools(url, sender="Order desk <desk@shop.example>")

    def send(to="ada@example.com", subject="Hello", body="Dear Ada,\n\nyes.\n"):
        return tool.invoke({"to": to, "subject": subject, "body": body})

    return send


def test_a_mail_arrives_whole(send, inbox):
    result = send(subject="Grüße ✓", body="Zeile eins\nZeile zwei: ü\n.\nend")
    message = inbox.message()
    assert result == {"message_id": message["Message-ID"], "to": "ada@example.com"}
    assert message["Message-ID"].endswith("@shop.example>")
    assert message["From"] == "Order desk <desk@shop.example>"
    assert message["To"] == "ada@example.com"
    assert message["Subject"] == "Grüße ✓"
    assert message["Date"].datetime.tzinfo is not None
    assert message.get_content().splitlines() == ["Zeile eins", "Zeile zwei: ü", ".", "end"]
    [envelope] = inbox.envelopes
    assert envelope.mail_from == "desk@shop.example"
    assert envelope.rcpt_tos == ["ada@example.com"]
    assert envelope.content.isascii()


def test_every_mail_has_an_id_of_its_own(send):
    assert send()["message_id"] != send()["message_id"]


def test_settings_come_from_the_environment_at_each_call(url, inbox, monkeypatch):
    [tool] = mail_tools()
    monkeypatch.setenv("HITL_SMTP_URL", url)
    monkeypatch.setenv("HITL_MAIL_FROM", "desk@shop.example")
    tool.invoke({"to": "a@example.com", "subject": "s", "body": ""})
    assert inbox.message()["From"] == "desk@shop.example"


def test_the_server_may_be_given_by_a_function(url, inbox):
    [tool] = mail_tools(lambda: url, sender="a@shop.example")
    tool.invoke({"to": "a@example.com", "subject": "s", "body": "b"})
    assert inbox.envelopes


def test_without_a_sender_nothing_is_sent(url, inbox, monkeypatch):
    monkeypatch.delenv("HITL_MAIL_FROM", raising=False)
    [tool] = mail_tools(url)
    with pytest.raises(ToolException, match="set HITL_MAIL_FROM"):
        tool.invoke({"to": "a@example.com", "subject": "s", "body": "b"})
    assert inbox.envelopes == []


def test_without_any_setting_the_server_is_the_local_one(monkeypatch):
    monkeypatch.delenv("HITL_SMTP_URL", raising=False)
    asked = []
    monkeypatch.setattr(Server, "send", lambda self, _: asked.append(self))
    [tool] = mail_tools(sender="a@shop.example")
    tool.invoke({"to": "a@example.com", "subject": "s", "body": "b"})
    assert asked == [Server("smtp", "127.0.0.1", 25)]


@pytest.mark.parametrize(
    "to",
    [
        "a@example.com, b@example.com",
        "a@example.com;b@example.com",
        "a@example.com b@example.com",
        "a@example.com\r\nBcc: b@example.com",
        "a@example.com\nRCPT TO:<b@example.com>",
        "a@example.com\x00",
        "a@example.com\x85",
        "Ada <a@example.com>",
        "<a@example.com>",
        '"a b"@example.com',
        '"a@evil.example"@example.com',
        "a@evil.example@example.com",
        "a%evil.example@example.com",
        "evil.example!a@example.com",
        "@evil.example:a@example.com",
        "a@[127.0.0.1]",
        "a@127.0.0.1",
        "a@",
        "@example.com",
        "a",
        "",
        "a..b@example.com",
        ".a@example.com",
        "a@example..com",
        "a@-example.com",
        "a@example.com.",
        "a@exämple.com",
        "а@example.com",  # noqa: RUF001  the first letter is Cyrillic
        "a@example.com(comment)",
        "x" * 65 + "@example.com",
        "group:a@example.com;",
    ],
)
def test_what_is_not_one_plain_address_is_refused(send, inbox, to):
    with pytest.raises(ToolException):
        send(to=to)
    assert inbox.envelopes == []


@pytest.mark.parametrize("to", ["a@example.com", "a.b+c@x-y.example", "o'neil@xn--exmple-cua.com"])
def test_usual_addresses_are_accepted(send, inbox, to):
    assert send(to=to)["to"] == to
    assert inbox.envelopes[0].rcpt_tos == [to]


@pytest.mark.parametrize("subject", ["a\r\nBcc: b@x.example", "a\nb", "a\rb", "a\x00b", "a\x1bb"])
def test_a_subject_cannot_carry_another_header(send, inbox, subject):
    with pytest.raises(ToolException, match="control character"):
        send(subject=subject)
    assert inbox.envelopes == []


@pytest.mark.parametrize("end", ["\r\n.\r\n", "\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n"])
def test_a_body_cannot_end_the_message_and_smuggle_another(send, inbox, end):
    send(body=f"first{end}MAIL FROM:<evil@evil.example>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nx")
    [envelope] = inbox.envelopes
    assert envelope.rcpt_tos == ["ada@example.com"]
    assert "MAIL FROM" in inbox.message().get_content()
    assert b"\r" not in envelope.content.replace(b"\r\n", b"")


def test_control_characters_in_the_body_are_refused(send):
    with pytest.raises(ToolException, match="body"):
        send(body="a\x00b")


def test_a_long_line_is_folded_for_the_wire(send, inbox):
    send(body="x" * 5000)
    [envelope] = inbox.envelopes
    assert max(len(line) for line in envelope.content.split(b"\r\n")) <= 998
    assert inbox.message().get_content().splitlines() == ["x" * 5000]


def test_only_allowed_domains_are_written_to(url, inbox):
    [tool] = mail_tools(url, sender="a@shop.example", allowed_domains=["Example.com"])
    tool.invoke({"to": "a@EXAMPLE.com", "subject": "s", "body": "b"})
    for to in ("a@evil.example", "a@sub.example.com", "a@example.com.evil.example"):
        with pytest.raises(ToolException, match=r"write to one of `example\.com`"):
            tool.invoke({"to": to, "subject": "s", "body": "b"})
    assert len(inbox.envelopes) == 1


def test_an_empty_list_of_domains_allows_nobody(url):
    [tool] = mail_tools(url, sender="a@shop.example", allowed_domains=[])
    with pytest.raises(ToolException, match="not allowed"):
        tool.invoke({"to": "a@example.com", "subject": "s", "body": "b"})


def test_a_refused_recipient_is_reported_as_not_sent(send, inbox):
    inbox.refuse = "550 no such user"
    with pytest.raises(
        ToolException, match=r"was not sent: the server refused the recipient \(550"
    ):
        send()


def test_a_refused_message_is_reported_as_not_sent(send, inbox):
    inbox.answer = "554 smells of spam"
    with pytest.raises(ToolException, match=r"was not sent: .*554 smells of spam"):
        send()


def test_a_server_that_is_not_there_is_reported():
    [tool] = mail_tools(f"smtp://127.0.0.1:{free_port()}", sender="a@shop.example")
    with pytest.raises(ToolException, match=r"was not sent: .*connection refused"):
        tool.invoke({"to": "a@example.com", "subject": "s", "body": "b"})


def talk(script):
    """A server that follows a script of answers, then closes; returns its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listener, listener.accept()[0] as connection:
            reader = connection.makefile("rb")
            with reader:
                connection.sendall(b"220 hello\r\n")
                for answer in script:
                    line = reader.readline()
                    if answer is None:
                        while reader.readline() != b".\r\n":
                            pass
                        return
                    if not line:
                        return
                    connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return listener.getsockname()[1], thread


def test_an_answer_that_is_lost_leaves_the_outcome_open():
    port, thread = talk([b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", None])
    [tool] = mail_tools(f"smtp://127.0.0.1:{port}", sender="a@shop.example")
    with pytest.raises(ToolException, match="it is not known whether the mail was sent"):
        tool.invoke({"to": "a@example.com", "subject": "s", "body": "b"})
    thread.join()


def test_a_server_that_says_nothing_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        [tool] = mail_tools(f"smtp://127.0.0.1:{silent.getsockname()[1]}", sender="a@shop.example")
        with pytest.raises(ToolException, match="did not answer in time"):
            tool.invoke({"to": "a@example.com", "subject": "s", "body": "b"})


def test_a_login_uses_the_name_and_password_of_the_url(start, inbox):
    port = start(authenticator=inbox.authenticate, auth_require_tls=False)
    for password, works in (("p%40ss%2Fword", True), ("wrong", False)):
        [tool] = mail_tools(f"smtp://me:{password}@127.0.0.1:{port}", sender="a@shop.example")
        if works:
            tool.invoke({"to": "a@example.com", "subject": "s", "body": "b"})
        else:
            with pytest.raises(ToolException, match=r"refused the login \(535\)") as caught:
                tool.invoke({"to": "a@example.com", "subject": "s", "body": "b"})
            assert "wrong" not in str(caught.value)
    assert (b"me", b"p@ss/word") in inbox.logins
    assert len(inbox.envelopes) == 1


def test_starttls_is_used_and_its_certificate_checked(start, inbox, certificate, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    port = start(tls_context=context)
    [tool] = mail_tools(f"smtp+starttls://localhost:{port}", sender="a@shop.example")
    with pytest.raises(ToolException, match="certificate verify failed"):
        tool.invoke({"to": "a@example.com", "subject": "s", "body": "b"})
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tool.invoke({"to": "a@example.com", "subject": "s", "body": "b"})
    assert len(inbox.envelopes) == 1


def test_without_tls_on_the_server_starttls_sends_nothing(start, inbox):
    [tool] = mail_tools(f"smtp+starttls://127.0.0.1:{start()}", sender="a@shop.example")
    with pytest.raises(ToolException, match="was not sent"):
        tool.invoke({"to": "a@example.com", "subject": "s", "body": "b"})
    assert inbox.envelopes == []


@pytest.mark.parametrize("url", ["http://x", "127.0.0.1:25", "smtp://", "smtp://x:99999", ""])
def test_a_url_that_names_no_server_is_refused_without_showing_it(url):
    with pytest.raises(ToolException, match=r"^the SMTP URL"):
        Server.parse(url)


def test_a_server_is_shown_without_its_password():
    server = Server.parse("smtps://me:hunter2@mail.example")
    assert server == Server("smtps", "mail.example", 465, "me", "hunter2")
    assert "hunter2" not in repr(server)


def test_unknown_arguments_are_refused(url):
    [tool] = mail_tools(url, sender="a@shop.example")
    with pytest.raises(ValidationError):
        tool.invoke({"to": "a@example.com", "subject": "s", "body": "b", "bcc": "b@example.com"})
