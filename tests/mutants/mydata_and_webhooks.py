"""The rules by which a person sees his own data, nobody else's and nothing before its time; and by which webhooks are delivered."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant
from tests.mutants.naming import one

ACCESS: Final = "node/http/access.py"
VISIBILITY: Final = "node/http/routes/visibility.py"
CONCERNS: Final = "node/index/concerns.py"
TABLES: Final = "node/index/dossier_tables.py"
INDEX: Final = "node/index/sqlite.py"
PAGES: Final = "node/http/pagination.py"
MINE: Final = "node/services/mydata.py"
PLACES: Final = "node/services/webhook_places.py"
SENDER: Final = "node/services/webhook_sender.py"
STORE: Final = "node/services/webhook_store.py"
WEBHOOKS: Final = "node/services/webhooks.py"
RECEIVER: Final = "clients/zhenglian/webhooks.py"
OWN: Final = "contracts/own_grants.py"


def _lacking(name: str, rule: str, file: str, where: str, old: str, new: str) -> Mutant:
    return one(f"mydata-{name}", rule, file, where, old, new, ("mydata",))


MY_DATA: Final = (
    _lacking(
        "silence-of-objects",
        "a grant that is not to be known is not found by its id",
        ACCESS,
        "hidden",
        "if now_ms >= shown_from_ms(grant) or oversees(caller) or caller.account == grant.grantee:",
        "if True:",
    ),
    _lacking(
        "silence-of-events",
        "events of a grant that is not to be known are not shown",
        VISIBILITY,
        "event_shown",
        "if unknown & own or (grants and len(unknown) == len(grants)):",
        "if False:",
    ),
    _lacking(
        "silence-of-attempts",
        "a refused request for access is shown when the longest silence is over",
        CONCERNS,
        "refused_access_shown_ms",
        "return time_ms + NOTICE_DELAY_MS_MAX if attempted in ACCESS_ATTEMPTS else 0",
        "return 0",
    ),
    _lacking(
        "silence-of-entries",
        "entries are read as of a block time",
        INDEX,
        "SqliteIndex.entry_counts",
        "AND shown_from_ms <= ?",
        "AND ? > 0",
    ),
    _lacking(
        "silence-extended",
        "what is put off further is told later",
        TABLES,
        "_write_times",
        "UPDATE notices_to_come SET from_ms = ? WHERE grant_id = ? AND from_ms < ?",
        "UPDATE notices_to_come SET from_ms = ? WHERE grant_id = ? AND from_ms < -?",
    ),
    _lacking(
        "no-empty-next-page",
        "there is a next page only if something is on it",
        PAGES,
        "collect",
        "return Listing(items, None)",
        "return Listing(items, last)",
    ),
    _lacking(
        "others-in-an-event",
        "an event shows nobody the other people in it",
        VISIBILITY,
        "_is_other",
        "return account is not None and account.kind is AccountKind.PERSON",
        "return False",
    ),
    _lacking(
        "mandate-in-force",
        "only a mandate in force shows another's data",
        MINE,
        "in_force",
        "mandate.state is MandateState.ACTIVE and now_ms < mandate.until_ms",
        "True",
    ),
    _lacking(
        "mandate-purposes",
        "a mandate for certain purposes shows nothing else",
        MINE,
        "Scope.covers",
        "return self.purposes is None or purpose in self.purposes",
        "return True",
    ),
    _lacking(
        "refused-is-an-access",
        "a refused attempt is an access of the person it was about",
        CONCERNS,
        "_Happened.entries",
        "yield from self._refused(records)",
        "yield from ()",
    ),
    _lacking(
        "own-holder",
        "a holder opens to itself only what it holds",
        OWN,
        "_item",
        "if certificate.holder != context.account.account_id:",
        "if False:",
    ),
    _lacking(
        "own-restricted",
        "an account that was recovered lately opens nothing to itself",
        OWN,
        "open_own",
        "check_unrestricted(context, account_id)",
        "pass",
    ),
)

WEBHOOK_RULES: Final = (
    _lacking(
        "inner-addresses",
        "nothing is sent to an inner address",
        PLACES,
        "PlacePolicy.allows",
        "return all(_is_public(one) for one in _meant(address))",
        "return True",
    ),
    _lacking(
        "addresses-within",
        "an IPv6 address counts as the IPv4 address that it stands for",
        PLACES,
        "_meant",
        "inner.append(address.sixtofour)",
        "pass",
    ),
    _lacking(
        "every-address-of-a-name",
        "every address of a name is checked",
        PLACES,
        "CheckedResolver.resolve",
        "raise AddressRefused(host)",
        "continue",
    ),
    _lacking(
        "no-redirects",
        "redirects are not followed",
        SENDER,
        "Sender.post",
        "allow_redirects=False",
        "allow_redirects=True",
    ),
    _lacking(
        "checked-at-every-attempt",
        "where to send is checked at every attempt",
        SENDER,
        "Sender.post",
        "self._policy.check_url(url)",
        "pass",
    ),
    _lacking(
        "position-with-deliveries",
        "a webhook's position moves with its deliveries",
        STORE,
        "WebhookStore.enqueue",
        "UPDATE webhooks SET position = ? WHERE webhook_id = ? AND position < ?",
        "UPDATE webhooks SET position = ? WHERE webhook_id = ? AND position < -?",
    ),
    _lacking(
        "last-attempt",
        "after so many attempts a delivery has failed",
        WEBHOOKS,
        "Webhooks._after",
        "if attempts >= ATTEMPTS_MAX:",
        "if False:",
    ),
    _lacking(
        "own-account-only",
        "a webhook is its account's own",
        STORE,
        "WebhookStore.webhook",
        "(account is not None and rows[0][1] != account)",
        "False",
    ),
    _lacking(
        "signed-time",
        "an old delivery is not believed",
        RECEIVER,
        "verify",
        "if abs(now - time_s) > tolerance_s:",
        "if False:",
    ),
    _lacking(
        "signature",
        "only what is signed is believed",
        RECEIVER,
        "verify",
        "if not any(matches):",
        "if False:",
    ),
)
