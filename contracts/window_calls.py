"""What a clerk can ask for in the name of a person without a phone: see `calls.py`."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from contracts.args import Args
from contracts.grant_calls import GrantsApprove
from contracts.vocabulary import Code

FACE_ASSERTION_BYTES_MAX: Final = 2048


class GrantsApproveAtWindow(Args):
    """Officer of a department at a service window or kiosk: what the person in front of it consents to.

    Args:
        consent: as the person would give it with a key of its own; `mandate` and `assistance` are empty.
        place: of the window.
        face: assertion of a registered service over this very consent (`face_assertions.py`), compact JWS.
    """

    consent: GrantsApprove
    place: Code
    face: Annotated[bytes, Meta(min_length=1, max_length=FACE_ASSERTION_BYTES_MAX)]


WINDOW_CALLS: Final[dict[tuple[str, str], type[Args]]] = {
    ("grants", "approve_at_window"): GrantsApproveAtWindow,
}
