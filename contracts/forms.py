"""Forms (表单): what a department wants to know for a purpose, in the standard terms of the field dictionary.

Rule: versions grow by one and never change, so that a filled form says of which version it is. A form opens nothing:
what may be read for it is what a grant opens, and the form's purpose is that grant's.
"""

from __future__ import annotations

from typing import Final

from contracts.certificate_types import check_distinct
from contracts.denials import Denied
from contracts.form_records import Form
from contracts.methods import DEPARTMENT_OFFICER, CallContext, method
from contracts.question_calls import FormsRegister
from contracts.state import FORM_VERSIONS, FORMS, PURPOSES, StateReader, present
from contracts.versions import Contract


@method(FormsRegister, callers=DEPARTMENT_OFFICER, cost=25)
def register(context: CallContext, args: FormsRegister) -> int:
    """Register a form, or the next version of an own one."""
    if PURPOSES.get(context.state, args.purpose) is None:
        raise Denied("unknown_purpose", purpose=args.purpose)
    check_distinct(tuple(entry.name for entry in args.entries))
    held = form(context.state, args.code)
    if held is not None and held.owner != context.account.account_id:
        raise Denied("form_of_another", form=args.code, owner=held.owner.hex())
    version = 1 if held is None else held.version + 1
    new = Form(
        code=args.code,
        version=version,
        owner=context.account.account_id,
        registered_by=context.key.key_id,
        registered_ms=context.time_ms,
        name_zh=args.name_zh,
        name_en=args.name_en,
        purpose=args.purpose,
        dictionary=args.dictionary,
        entries=args.entries,
    )
    FORMS.put(context.state, new.code, version)
    FORM_VERSIONS.put(context.state, (new.code, version), new)
    context.emit("forms.registered", b"", (), form=new.code, version=version, purpose=new.purpose)
    return version


def form(state: StateReader, code: str) -> Form | None:
    """The version of a form that is in use now."""
    version = FORMS.get(state, code)
    return None if version is None else present(FORM_VERSIONS.get(state, (code, version)), "a form's version")


METHODS: Final = (register,)
CONTRACT: Final = Contract(name="forms", methods=METHODS, tables=(FORMS, FORM_VERSIONS))
