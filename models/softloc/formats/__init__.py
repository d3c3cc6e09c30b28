"""Reading and writing events: tables, text, MIDI, JSON, JAMS, XML; one file per family."""

from softloc.events import Corpus
from softloc.formats.corpus import (
    FileForm,
    corpus_files,
    corpus_sha256,
    label_files,
    read_corpus,
    read_corpus_and_forms,
    write_corpus_csv,
)
from softloc.formats.objects import to_pretty_midi
from softloc.formats.provenance import Provenance
from softloc.formats.reading import LabelFile, read_label_file, read_onsets
from softloc.formats.registry import (
    ALIASES,
    FIELDS,
    FORMATS,
    SUFFIXES,
    WRITABLE,
    Format,
    WriteContext,
    format_named,
    format_of_path,
    formats_table,
    lost_fields,
    render_file,
    render_text,
    text_lines,
    write_onsets,
)
from softloc.formats.tables import render_corpus_csv

__all__ = [
    "ALIASES",
    "FIELDS",
    "FORMATS",
    "SUFFIXES",
    "WRITABLE",
    "Corpus",
    "FileForm",
    "Format",
    "LabelFile",
    "Provenance",
    "WriteContext",
    "corpus_files",
    "corpus_sha256",
    "format_named",
    "format_of_path",
    "formats_table",
    "label_files",
    "lost_fields",
    "read_corpus",
    "read_corpus_and_forms",
    "read_label_file",
    "read_onsets",
    "render_corpus_csv",
    "render_file",
    "render_text",
    "text_lines",
    "to_pretty_midi",
    "write_corpus_csv",
    "write_onsets",
]
