"""Forms (表单) that departments register, described by the standard terms of the field dictionary.

Rule: a structure, no behaviour. A form says which terms it wants, never from which certificate: that is for the
dictionary, the grant and what the holder has.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.vocabulary import Code
from ledger.types import AccountId, Count, KeyId, Name, Text, TimeMs, Wire

ENTRIES_PER_FORM_MAX: Final = 64


class FormEntry(Wire):
    """One line of a form.

    Attributes:
        name: unique in the form.
        label_zh, label_en: what people read.
        term: standard term of the field dictionary.
        required: whether the form can be handed in without it.
    """

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]
    label_zh: Name
    label_en: Text
    term: Code
    required: bool


FormEntries = Annotated[tuple[FormEntry, ...], Meta(min_length=1, max_length=ENTRIES_PER_FORM_MAX)]


class Form(Wire):
    """A form as one version of it is.

    Attributes:
        code, version: identity; versions grow by one.
        owner: the department whose form it is; only it brings the next version.
        purpose: code of the purpose for which it is filled in.
        dictionary: version of the field dictionary whose terms it uses.
    """

    code: Code
    version: Count
    owner: AccountId
    registered_by: KeyId
    registered_ms: TimeMs
    name_zh: Name
    name_en: Text
    purpose: Code
    dictionary: Count
    entries: FormEntries
