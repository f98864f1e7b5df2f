"""Classes of data (分类分级) and what follows from them: who may ask, whether consent must be separate, how long it may be kept.

Rule: the class only ever takes away from what a purpose's template allows. Every rule that a part falls under holds, so the
strictest wins; what a type declares for a part (askers, purposes) can narrow it further and never widen it. A part that its type
does not name is taken for `UNCLASSIFIED`.

Source: GB/T 43697-2024; Personal Information Protection Law, Articles 19, 28 and 29; Data Security Law, Article 21.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from contracts.class_records import Grade, PartClass, Sensitivity
from contracts.denials import Denied
from contracts.records import Account, AccountKind, CertificateType, GrantItem, PurposeTemplate
from contracts.state import CERTIFICATE_TYPE_VERSIONS, StateReader, certificate_type, present

if TYPE_CHECKING:
    from contracts.methods import CallContext

_DAY_MS: Final = 24 * 60 * 60 * 1000
_YEAR_MS: Final = 365 * _DAY_MS

ORGANIZATIONS: Final = frozenset({AccountKind.DEPARTMENT.value, AccountKind.ENTERPRISE.value})
DEPARTMENTS: Final = frozenset({AccountKind.DEPARTMENT.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRule:
    """What follows from a class.

    Attributes:
        askers: kinds of account that may ask.
        purposes: codes of the purposes for which it may be asked; None for all.
        separate: consent to it must be given by itself (单独同意).
        kept_ms_max: how long a recipient may use and keep it, together.
    """

    askers: frozenset[str]
    purposes: frozenset[str] | None = None
    separate: bool = False
    kept_ms_max: int


_BY_SENSITIVITY: Final = {
    Sensitivity.NONE: ClassRule(askers=ORGANIZATIONS, kept_ms_max=30 * _YEAR_MS),
    Sensitivity.PERSONAL: ClassRule(askers=ORGANIZATIONS, kept_ms_max=10 * _YEAR_MS),
    Sensitivity.SENSITIVE: ClassRule(askers=ORGANIZATIONS, separate=True, kept_ms_max=5 * _YEAR_MS),
}
_BY_LEVEL: Final = {
    1: ClassRule(askers=ORGANIZATIONS, kept_ms_max=30 * _YEAR_MS),
    2: ClassRule(askers=ORGANIZATIONS, kept_ms_max=10 * _YEAR_MS),
    3: ClassRule(askers=ORGANIZATIONS, kept_ms_max=5 * _YEAR_MS),
    4: ClassRule(askers=ORGANIZATIONS, kept_ms_max=3 * _YEAR_MS),
}
# Important data goes to departments only; core data to departments, and for no purpose but those that its type names.
_BY_GRADE: Final = {
    Grade.GENERAL: ClassRule(askers=ORGANIZATIONS, kept_ms_max=30 * _YEAR_MS),
    Grade.IMPORTANT: ClassRule(askers=DEPARTMENTS, kept_ms_max=3 * _YEAR_MS),
    Grade.CORE: ClassRule(askers=DEPARTMENTS, purposes=frozenset(), kept_ms_max=_YEAR_MS),
}


def unclassified(name: str) -> PartClass:
    """The class of a part that its type does not name."""
    return PartClass(name=name, grade=Grade.GENERAL, level=2, sensitivity=Sensitivity.PERSONAL)


def class_of(kind: CertificateType, name: str) -> PartClass:
    """The class of a field or attachment of a type."""
    return next((part for part in kind.classes if part.name == name), None) or unclassified(name)


def rule_of(part: PartClass) -> ClassRule:
    """What holds for a part: every rule of its class, and what its type declares for it."""
    rules = (_BY_SENSITIVITY[part.sensitivity], _BY_LEVEL[part.level], _BY_GRADE[part.grade])
    askers = frozenset.intersection(*(rule.askers for rule in rules))
    if part.askers:
        askers &= frozenset(part.askers)
    purposes = next((rule.purposes for rule in rules if rule.purposes is not None), None)
    if part.purposes:
        purposes = frozenset(part.purposes)
    return ClassRule(
        askers=askers,
        purposes=purposes,
        separate=any(rule.separate for rule in rules),
        kept_ms_max=min(rule.kept_ms_max for rule in rules),
    )


def check_asked(
    context: CallContext,
    template: PurposeTemplate,
    grantee: Account,
    items: tuple[GrantItem, ...],
    kept_ms: int = 0,
) -> None:
    """Whether such an organisation may ask for these items for this purpose, and keep them so long.

    Args:
        context: of the call.
        template: of the purpose.
        grantee: who asks.
        items: what it asks for.
        kept_ms: data life and retention together, milliseconds.

    Raises:
        Denied: class_asker, class_purpose, class_kept_too_long.
    """
    for kind, name in _parts(context.state, items):
        rule = rule_of(class_of(kind, name))
        if grantee.kind.value not in rule.askers:
            raise Denied("class_asker", type=kind.code, name=name, kind=grantee.kind.value)
        if rule.purposes is not None and template.code not in rule.purposes:
            raise Denied("class_purpose", type=kind.code, name=name, purpose=template.code)
        if kept_ms > rule.kept_ms_max:
            raise Denied(
                "class_kept_too_long", type=kind.code, name=name, maximum=rule.kept_ms_max, asked=kept_ms
            )


def consent_separate(state: StateReader, items: tuple[GrantItem, ...]) -> tuple[str, ...]:
    """Which parts of the items need a consent of their own, as "<type>.<name>", each once and in order."""
    separate = (
        f"{kind.code}.{name}" for kind, name in _parts(state, items) if rule_of(class_of(kind, name)).separate
    )
    return tuple(dict.fromkeys(separate))


def check_separate(state: StateReader, items: tuple[GrantItem, ...], separately: tuple[str, ...]) -> None:
    """Whether each part of what is given that needs a consent of its own has it, and nothing else is said to.

    Args:
        state: with the types.
        items: what is given.
        separately: as "<type>.<name>", each shown to the holder and consented to by itself.

    Raises:
        Denied: consent_not_separate, consent_separate_unknown.
    """
    needed = consent_separate(state, items)
    for part in needed:
        if part not in separately:
            raise Denied("consent_not_separate", part=part)
    for part in separately:
        if part not in needed:
            raise Denied("consent_separate_unknown", part=part)


def _parts(state: StateReader, items: Iterable[GrantItem]) -> Iterable[tuple[CertificateType, str]]:
    for item in items:
        latest = present(certificate_type(state, item.certificate_type), "the type of a grant's item")
        for name in (*item.fields, *item.attachments):
            yield _naming(state, latest, name), name


def _naming(state: StateReader, latest: CertificateType, name: str) -> CertificateType:
    """The latest version of a type that has a part: certificates of versions before still have what later ones left out."""
    for version in range(latest.version, 0, -1):
        kind = (
            latest
            if version == latest.version
            else CERTIFICATE_TYPE_VERSIONS.get(state, (latest.code, version))
        )
        if kind is not None and (name in kind.fields or name in kind.attachments):
            return kind
    return latest
