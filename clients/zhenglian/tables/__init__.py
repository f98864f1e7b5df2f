"""Tables that people have: CSV, JSON, JSON Lines and XLSX files read row by row, in a process of their own.

Rule: a file is hostile until it is read. What looks at its bytes is a child process with bounded memory and time (`worker`);
whoever asks (`reading`) gets rows, or one sentence about what is wrong, and never more than the limits name.
"""

from zhenglian.tables.errors import TableInvalid, TableTooLarge
from zhenglian.tables.reading import FileRow, Opened, open_table
from zhenglian.tables.sniff import TableKind, kind_of

__all__ = ["FileRow", "Opened", "TableInvalid", "TableKind", "TableTooLarge", "kind_of", "open_table"]
