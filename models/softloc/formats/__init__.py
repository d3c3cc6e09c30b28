"""Reading and writing events: tables, text, Audacity labels, MIDI; one file per family."""

from softloc.events import Corpus
from softloc.formats.corpus import (
    corpus_sha256,
    read_corpus,
    read_corpus_and_forms,
    write_corpus_csv,
)
from softloc.formats.objects import to_pretty_midi
from softloc.formats.reading import LabelFile, read_label_file, read_onsets
from softloc.formats.registry import (
    FORMATS,
    SUFFIXES,
    Format,
    format_of_path,
    render_file,
    render_text,
    write_onsets,
)
from softloc.formats.tables import render_corpus_csv

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "Corpus",
    "Format",
    "LabelFile",
    "corpus_sha256",
    "format_of_path",
    "read_corpus",
    "read_corpus_and_forms",
    "read_label_file",
    "read_onsets",
    "render_corpus_csv",
    "render_file",
    "render_text",
    "to_pretty_midi",
    "write_corpus_csv",
    "write_onsets",
]
