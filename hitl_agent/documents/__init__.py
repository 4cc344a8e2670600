"""YAML documents that a person wrote: plain data, checked, with the place of everything in them.

A document here is what JSON can hold, written in YAML 1.2: mappings with text keys, lists, text,
numbers, true, false and null. Whatever could be read in two ways is refused rather than guessed:
anchors and aliases, tags, directives, merge keys, a key given twice, numbers that a program cannot
keep exactly, line breaks and writing directions that an editor may not show. So a date is text,
`yes` is text, and a document has bounded size, depth and number of values.
"""

from hitl_agent.documents.checking import Complaint, Document, DocumentModel, load_document
from hitl_agent.documents.places import KeyPath, Place
from hitl_agent.documents.reading import MAX_BYTES, MAX_DEPTH, MAX_LINE, MAX_VALUES, read_text
from hitl_agent.documents.wording import closest, show, suggest

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_LINE",
    "MAX_VALUES",
    "Complaint",
    "Document",
    "DocumentModel",
    "KeyPath",
    "Place",
    "closest",
    "load_document",
    "read_text",
    "show",
    "suggest",
]
