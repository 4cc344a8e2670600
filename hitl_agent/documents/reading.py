"""From a file to plain data, with the place of everything in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hitl_agent.documents.places import Places, place_after
from hitl_agent.documents.wording import show
from hitl_agent.errors import ConfigurationError

MAX_BYTES = 1_000_000
MAX_LINE = 100_000
MAX_DEPTH = 32
MAX_VALUES = 50_000

# C0 without tab and line breaks, DEL, C1 with NEL, line and paragraph separator, the embeddings,
# overrides and isolates of bidirectional text, surrogates, a byte order mark inside, noncharacters
UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufeff\ufffe\uffff]"
)
_UNSEEN_IN_TEXT = re.compile(UNSEEN.pattern + "|\r(?!\n)")
_DIRECTIVE = re.compile(r"^%(?!YAML 1\.2\s)", re.MULTILINE)

_TOO_LARGE = f"the document is larger than {MAX_BYTES:,} bytes; split it"


def read_data(text: str, file: str) -> tuple[Any, Places]:
    """Return what `text` holds, None if nothing, and where it stands; `file` names it in errors.

    Raises:
        DocumentError: it is no document; with the place of what is wrong.
    """
    # yaml takes its time to load, and most commands read no document
    from hitl_agent.documents.composing import Composer  # noqa: PLC0415

    text = text.removeprefix("\ufeff")
    _check_text(text, file)
    composer = Composer(text, file)
    return composer.compose(), composer.places


def read_text(path: str | Path) -> str:
    """Return the text of the UTF-8 file at `path`, without a byte order mark.

    Raises:
        ConfigurationError: there is no such file, it is no regular file, or it is not readable.
        DocumentError: it is too large, or not UTF-8.
    """
    shown = show(str(path), limit=1000)
    try:
        if not Path(path).exists():
            raise ConfigurationError(f"there is no file {shown}")
        if not Path(path).is_file():
            raise ConfigurationError(f"{shown} is not a file")
        with Path(path).open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{shown} cannot be read: {str(why).lower()}") from error
    if len(content) > MAX_BYTES:
        raise Places(str(path)).error(_TOO_LARGE, (1, 1))
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        message = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        place = place_after(content[: error.start].decode("utf-8"))
        raise Places(str(path)).error(message, place) from None


def _check_text(text: str, file: str) -> None:
    """Refuse directives, and what an editor would not show as it is read."""
    places = Places(file)
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise places.error(_TOO_LARGE, (1, 1))
    if found := _UNSEEN_IN_TEXT.search(text):
        message = f"the character U+{ord(found[0]):04X} cannot be seen and is refused; remove it"
        raise places.error(message, place_after(text[: found.start()]))
    # thousands of `%TAG` lines take libyaml seconds
    if found := _DIRECTIVE.search(text):
        message = "directives are not supported; remove the lines that begin with `%`"
        raise places.error(message, place_after(text[: found.start()]))
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > MAX_LINE:
            raise places.error(f"this line is longer than {MAX_LINE:,}; break it", (number, 1))
