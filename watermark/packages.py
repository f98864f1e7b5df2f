"""Office files: a ZIP package of XML parts (ECMA-376, part 2), opened within bounds and written deterministically.

Rule: nothing is unpacked before its size is bounded, whatever the directory claims; no XML part may declare entities;
a part that is not changed keeps its bytes, and every package is written with the same times and compression.
"""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from watermark.errors import MediaMalformed, MediaTooLarge, MediaUnsupported
from watermark.limits import (
    PACKAGE_BYTES_MAX,
    PACKAGE_ENTRIES_SEEN_MAX,
    PACKAGE_PARTS_MAX,
    XML_ATTRIBUTES_MAX,
    XML_PART_BYTES_MAX,
    XML_TAGS_MAX,
    within,
)

XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
DOCX: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
WORKBOOK: Final = "xl/workbook.xml"
DOCUMENT: Final = "word/document.xml"
_MAIN_PARTS: Final = {WORKBOOK: XLSX, DOCUMENT: DOCX}
_ENCRYPTED: Final = 0x1
_ENTRY: Final = b"PK\x01\x02"
# ECMA-376, part 2, annex B: no other compression, and of no other can the unpacking be stopped half-way.
_COMPRESSIONS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_COMPRESSION_LEVEL: Final = 6
_TIME: Final = (1980, 1, 1, 0, 0, 0)
_RELATION: Final = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
_FAULTS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    # Covers the standard library's word for a compression that it does not know.
    RuntimeError,
)

# lxml ships no types.
Element = Any


@dataclass(frozen=True, slots=True)
class Package:
    """A package in memory.

    Attributes:
        what: its kind, for messages.
        parts: name → bytes, in the file's order.
    """

    what: str
    parts: Mapping[str, bytes]

    def xml(self, name: str) -> Element:
        """The root element of a part.

        Raises:
            MediaMalformed: no such part, not well-formed, or with a document type.
            MediaTooLarge: above `XML_PART_BYTES_MAX`, `XML_TAGS_MAX` or `XML_ATTRIBUTES_MAX`.
        """
        data = self.parts.get(name)
        if data is None:
            raise MediaMalformed(what=self.what, reason=f"part {name[:100]} is missing")
        within("XML_PART_BYTES_MAX", XML_PART_BYTES_MAX, len(data))
        within("XML_TAGS_MAX", XML_TAGS_MAX, data.count(b"<"))
        within("XML_ATTRIBUTES_MAX", XML_ATTRIBUTES_MAX, data.count(b"="))
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        try:
            root = etree.fromstring(data, parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            raise MediaMalformed(what=self.what, reason=f"part {name[:100]}: {error}"[:200]) from error
        if root.getroottree().docinfo.doctype:
            raise MediaMalformed(what=self.what, reason=f"part {name[:100]} declares a document type")
        return root

    def related(self, name: str) -> dict[str, str]:
        """Relation id → part name, of a part's relations.

        Raises:
            MediaMalformed: they are not well-formed.
        """
        folder, base = posixpath.split(name)
        relations = posixpath.join(folder, "_rels", f"{base}.rels")
        if relations not in self.parts:
            return {}
        return {
            relation.get("Id", ""): posixpath.normpath(
                posixpath.join("/", folder, relation.get("Target", ""))
            ).lstrip("/")
            for relation in self.xml(relations).iter(_RELATION)
            if relation.get("TargetMode") != "External"
        }

    def written(self, changes: Mapping[str, Element]) -> bytes:
        """The package with some parts' XML replaced.

        Raises:
            MediaTooLarge: a part that could not be read back.
        """
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION_LEVEL) as archive:
            for name, data in self.parts.items():
                if name in changes:
                    data = etree.tostring(
                        changes[name], xml_declaration=True, encoding="UTF-8", standalone=True
                    )
                    within("XML_PART_BYTES_MAX", XML_PART_BYTES_MAX, len(data))
                info = zipfile.ZipInfo(name, _TIME)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.create_system = 0
                archive.writestr(info, data, compresslevel=_COMPRESSION_LEVEL)
        return out.getvalue()


def open_package(data: bytes, what: str) -> Package:
    """Unpack a package.

    Args:
        data: the file.
        what: its kind, for messages.

    Raises:
        MediaMalformed: no ZIP, damaged, or with two parts of one name.
        MediaTooLarge: more parts or bytes than the limits, counted as they are unpacked.
        MediaUnsupported: encrypted, or compressed otherwise than Office files are.
    """
    parts: dict[str, bytes] = {}
    room = PACKAGE_BYTES_MAX
    _check_entries(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            within("PACKAGE_PARTS_MAX", PACKAGE_PARTS_MAX, len(entries))
            for entry in entries:
                if entry.flag_bits & _ENCRYPTED:
                    raise MediaUnsupported(what=f"encrypted {what}")
                if entry.compress_type not in _COMPRESSIONS:
                    raise MediaUnsupported(what=f"{what}, compression {entry.compress_type}")
                if entry.filename in parts:
                    raise MediaMalformed(what=what, reason=f"two parts named {entry.filename[:100]}")
                with archive.open(entry) as part:
                    parts[entry.filename] = part.read(room + 1)
                room -= len(parts[entry.filename])
                if room < 0:
                    raise MediaTooLarge(
                        limit="PACKAGE_BYTES_MAX", maximum=PACKAGE_BYTES_MAX, actual=f"> {PACKAGE_BYTES_MAX}"
                    )
    except _FAULTS as error:
        raise MediaMalformed(what=what, reason=f"{type(error).__name__}: {error}"[:200]) from error
    return Package(what, parts)


def _check_entries(data: bytes) -> None:
    """The standard library reads the whole directory, whose size nothing bounds."""
    within("PACKAGE_ENTRIES_SEEN_MAX", PACKAGE_ENTRIES_SEEN_MAX, data.count(_ENTRY))


def package_kind(data: bytes) -> str | None:
    """The media type of an Office package by the names of its parts; None for any other ZIP.

    Raises:
        MediaMalformed: the directory cannot be read.
        MediaTooLarge: more entries than the limit.
    """
    _check_entries(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.NameToInfo
            return next((kind for part, kind in _MAIN_PARTS.items() if part in names), None)
    except _FAULTS as error:
        raise MediaMalformed(what="ZIP", reason=f"{type(error).__name__}: {error}"[:200]) from error


def local(element: Element) -> str:
    """An element's name without its namespace; empty for comments and instructions."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def sibling(element: Element, name: str) -> str:
    """`name` in the namespace of an element."""
    namespace = element.tag.rpartition("}")[0]
    return f"{namespace}}}{name}" if namespace else name
