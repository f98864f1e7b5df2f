"""Plans about forms (表单): register one, and have it filled in (免填写).

Rule: what is asked for is what the form wants, the grant opens and the holder has, and not a field more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from contracts.form_records import FormEntry
from contracts.question_calls import FormsRegister
from contracts.records import Output, OutputFormat
from ledger.errors import DecodeError
from zhenglian.api import WAIT_S_MAX, CertificateView, GrantView, TransactionView
from zhenglian.api_questions import FilledForm, FormView, PrefillRequest
from zhenglian.dictionary import Dictionary, is_term, load_dictionary, term_code
from zhenglian.errors import ApiError
from zhenglian.exchange import Core, Plan, Request, decode, exchange, get
from zhenglian.plans import certificates, chain, grants, releases, transactions
from zhenglian.plans.transactions import Signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefilled:
    """A filled form, and the acknowledgement of its release (None where it was acknowledged before)."""

    form: FilledForm
    acknowledged: TransactionView | None


def dictionary(core: Core) -> Plan[Dictionary]:
    """The node's field dictionary."""
    return (yield from get(core, "/v1/dictionary", Dictionary))


def forms(core: Core) -> Plan[list[FormView]]:
    """All forms, by code."""
    return (yield from get(core, "/v1/forms", list[FormView]))


def form(core: Core, code: str) -> Plan[FormView]:
    """One form, the version in use."""
    return (yield from get(core, f"/v1/forms/{code}", FormView))


def register_form(
    core: Core, code: str, *, name_zh: str, purpose: str, entries: Sequence[FormEntry], name_en: str = ""
) -> Plan[TransactionView]:
    """Register a form, or the next version of an own one.

    Raises:
        DecodeError: an entry's term is none of the dictionary's.
        Denied: another department's form, or an unknown purpose; on record.
    """
    unknown = [entry.term for entry in entries if not is_term(entry.term)]
    if unknown:
        raise DecodeError(what=f"form {code}", reason=f"the dictionary has no {', '.join(unknown)}")
    args = FormsRegister(
        code=code,
        name_zh=name_zh,
        name_en=name_en,
        purpose=purpose,
        dictionary=load_dictionary().version,
        entries=tuple(entries),
    )
    return (yield from transactions.settled(core, args))


def prefill(
    core: Core, code: str, grant_id: str, *, node: str = "", display: bool = False, acknowledge: bool = True
) -> Plan[Prefilled]:
    """Have a form filled in under a grant: one release of what it wants. Costs a use.

    Args:
        code: of the form.
        grant_id: hex, for the form's purpose.
        node: operator account (hex) of the node that is to do it; the first that answers when empty.
        display: values masked for a screen, without proofs.
        acknowledge: state on the ledger that it came.

    Raises:
        DecodeError: the grant and the holder's certificates have nothing that the form wants.
        Denied: the contract refused; on record.
    """
    wanted = {entry.term for entry in (yield from form(core, code)).entries}
    outputs = yield from form_outputs(core, grant_id, wanted)
    if not outputs:
        raise DecodeError(what=f"form {code}", reason="nothing that it wants is granted and held")
    signed, base = yield from releases.signed_request(core, grant_id, outputs, node=node)
    body = msgspec.json.encode(PrefillRequest(transaction=signed.text, display=display))
    filled = yield from _send(
        core,
        signed,
        Request(
            method="POST",
            path=f"/v1/forms/{code}/prefill",
            body=body,
            headers=(("idempotency-key", signed.transaction_id[:16].hex()),),
            session=True,
            base=base,
            wait_s=WAIT_S_MAX,
        ),
    )
    if not acknowledge:
        return Prefilled(form=filled, acknowledged=None)
    view = yield from releases.release(core, filled.release_id)
    return Prefilled(form=filled, acknowledged=(yield from releases.acknowledge(core, view)))


def _send(core: Core, signed: Signed, request: Request) -> Plan[FilledForm]:
    try:
        return decode((yield from exchange(core, request)), FilledForm)
    except ApiError as error:
        yield from transactions.raise_denial(core, signed)
        raise error from None


def form_outputs(core: Core, grant_id: str, terms: set[str]) -> Plan[list[Output]]:
    """JSON outputs of the holder's valid certificates with just those granted fields that say one of the terms."""
    grant: GrantView = yield from grants.grant(core, grant_id)
    held = yield from certificates.certificates(core, holder=grant.pii_principal_id)
    outputs: list[Output] = []
    for one in sorted(held, key=lambda found: found.certificate_id):
        fields = (yield from _fields(core, one, grant, terms)) if one.valid else ()
        if fields:
            outputs.append(
                Output(
                    certificate=bytes.fromhex(one.certificate_id),
                    format=OutputFormat.JSON,
                    fields=fields,
                    attachment="",
                )
            )
    return outputs


def _fields(
    core: Core, certificate: CertificateView, grant: GrantView, terms: set[str]
) -> Plan[tuple[str, ...]]:
    kind = yield from chain.certificate_type(core, certificate.certificate_type)
    holder = str(kind.schema.get("holder", ""))
    granted = {
        name
        for item in grant.items
        if item.certificate_type == certificate.certificate_type
        and item.certificate in {None, "", certificate.certificate_id}
        for name in item.fields
    }
    return tuple(
        name
        for name in certificate.fields
        if name in granted and term_code(certificate.certificate_type, holder, name) in terms
    )
