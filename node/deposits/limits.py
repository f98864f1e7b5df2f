"""Every bound on deposits in bulk, by name; those on a single file are in `zhenglian.tables.limits`."""

from __future__ import annotations

from typing import Final

JOBS_PER_ORGANIZATION_MAX: Final = 4
"""Jobs of one organisation that have not ended."""

JOBS_KEPT_PER_ORGANIZATION_MAX: Final = 200
"""Jobs of one organisation in all; the oldest that have ended are forgotten first."""

JOB_LIFETIME_MS: Final = 7 * 86_400_000
"""From its beginning on; then it is expired if it has not ended, and forgotten."""

UPLOAD_IDLE_MS: Final = 24 * 3_600_000
"""After so long without a byte, an upload is expired."""

JOBS_AT_ONCE: Final = 2
"""Jobs that are worked on at a time; the others wait their turn."""

CONTENT_BYTES_MAX: Final = 4 * 1024**3
"""Of all jobs together on this node's disk: uploads, sealed rows and files."""

FILES_PER_JOB_MAX: Final = 256
FILE_BYTES_MAX: Final = 8 * 1024 * 1024
MULTIPART_BYTES_MAX: Final = 64 * 1024 * 1024

ROWS_PER_BATCH: Final = 64
"""Rows that are sealed, signed and sent together."""

BATCHES_IN_FLIGHT: Final = 4
SEALING_AT_ONCE: Final = 4

SIGNED_ROWS_PER_CALL_MAX: Final = 64
REPORT_ROWS_MAX: Final = 1_000
"""Rows of one page of a report."""

PIECE_BYTES: Final = 1024 * 1024
"""An upload is sealed and written piece by piece."""

SEALED_FOR_MS: Final = 12 * 3_600_000
"""So long after it was sealed a row goes up as it is; later it is sealed anew, for nobody keeps drafts for ever."""
