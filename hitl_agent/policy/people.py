"""People, told apart by their names."""

from __future__ import annotations

import re
import unicodedata

# what is not Cf and shows nothing all the same: fillers and variation selectors
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def person(name: str) -> str:
    """Return one spelling for all spellings of a person's name; empty text names nobody.

    Upper and lower case, forms of the same letter, spaces around and what cannot be seen do not
    make another person. Letters that only look alike do: name the reviewers in the policy where
    that matters.
    """
    before = None
    while name != before:  # one pass can leave what the next one folds
        before = name
        name = unicodedata.normalize("NFKC", name).casefold()
        name = "".join(one for one in name if unicodedata.category(one) not in {"Cc", "Cf"})
        name = " ".join(_UNSEEN.sub("", name).split())
    return name
