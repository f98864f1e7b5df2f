"""The page that shows `/openapi.json` to people, in Chinese and English.

Rule: nothing is fetched but `/openapi.json`; the policy allows the page's own style and script by their
hashes and nothing else, and the script writes text, never markup.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources
from typing import Final

PAGE: Final = resources.files("node.http").joinpath("docs.html").read_bytes()


def _source(element: str) -> str:
    """The policy's name for the one inline element of that name."""
    found = re.findall(rb"<%b>(.*?)</%b>" % (element.encode(), element.encode()), PAGE, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'" for text in found)


CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src {_source('style')}; script-src {_source('script')}; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
