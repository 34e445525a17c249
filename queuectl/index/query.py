"""query: one page of the jobs that match a query.

Owns:       the SQL of filters, orders and cursors.
Guarantees: a cursor continues after the last row seen, whatever was added or removed since. Without tag and search, the
            default order costs the same at a million jobs as at a hundred. Tag and search read every row of the states
            asked for, once; what they find is counted up to MANY.
Fails with: UsageError (no such order, a cursor of another list), IndexUnavailable.
"""

from __future__ import annotations

import json
import zlib
from itertools import islice
from operator import itemgetter

from queuectl.errors import UsageError
from queuectl.index.rows import BIGGEST, as_dict, tag_pattern
from queuectl.job.job import STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from queuectl.index.database import Database
    from queuectl.index.selection import Selection

    Order = tuple[tuple[str, bool], ...]  # column, descending
    Condition = tuple[str, tuple[Any, ...]]  # SQL and its values

MANY = 10_000
GROUP = 500  # rows that are fetched together
# A reason is found as it is stored and as people are shown it: retries_exhausted, retries exhausted.
ERROR = "coalesce(last_error, dead_reason || ' ' || replace(dead_reason, '_', ' '))"
SEARCHED = ("name", "command", ERROR)  # and the tags, which are JSON
ORDERS: dict[str, Order] = {
    "updated": (("updated_at", True), ("id", False)),
    "created": (("created_at", True), ("id", False)),
    "priority": (("priority", True), ("run_at", False), ("id", False)),
    "run_at": (("run_at", False), ("id", False)),
    "id": (("id", False),),
    "state": (("state", False), ("updated_at", True), ("id", False)),
    "queue": (("queue", False), ("updated_at", True), ("id", False)),
    "attempts": (("attempts", True), ("updated_at", True), ("id", False)),
}
BY_INDEX = ("updated", "id")  # orders in which SQLite finds rows without sorting: each page costs the same


class Query:
    """Which jobs, in which order.

    Args:
        states: of job.STATES; none means all.
        fingerprint: of the error of a failed or dead job.
        error: text that the last error contains (the reason of its death where there is none), whatever the case of A
            to Z.
        search: words, each of which name, a tag, the first rows.COMMAND_CHARS of the command or the last error contain,
            whatever the case of A to Z; or part of an id.
        since, until: of the last change; instants, until not included.
        sort: updated and created (newest first), priority (highest first, then as they start), run_at (soonest first),
            attempts (most first), id, state, queue; a `-` in front reverses it.
        limit: rows a page; None for all.
        cursor: where the page before ended; it goes with the same filters and order only.
        is_counted: count all matching jobs, which reads all of them.
        window: since and until as they were asked for, where that is not an instant: "2h" ago is one list, not many.
    """

    __slots__ = (
        "batch",
        "cursor",
        "error",
        "fingerprint",
        "is_counted",
        "limit",
        "queue",
        "search",
        "since",
        "sort",
        "states",
        "tag",
        "until",
        "window",
    )

    def __init__(
        self,
        states: Sequence[str] = (),
        *,
        queue: str | None = None,
        batch: str | None = None,
        tag: str | None = None,
        fingerprint: str | None = None,
        error: str | None = None,
        search: str | None = None,
        since: float | None = None,
        until: float | None = None,
        sort: str = "updated",
        limit: int | None = 50,
        cursor: str | None = None,
        is_counted: bool = True,
        window: object = None,
    ) -> None:
        if sort.removeprefix("-") not in ORDERS:
            raise UsageError(
                f'cannot sort by "{sort}"', f"choose from {', '.join(ORDERS)}; a leading - reverses the order"
            )
        self.states = tuple(dict.fromkeys(states)) or STATES
        self.queue = queue
        self.batch = batch
        self.tag = tag
        self.fingerprint = fingerprint
        self.error = error or None
        self.search = search or None
        self.since = since
        self.until = until
        self.sort = sort
        self.limit = None if limit is None else max(1, min(limit, BIGGEST - 1))
        self.cursor = cursor
        self.is_counted = is_counted
        self.window = window or (since, until)

    @property
    def is_sorted(self) -> bool:
        """Whether each page takes a sort of all rows that match."""
        return self.sort.removeprefix("-") not in BY_INDEX

    @property
    def order(self) -> Order:
        """The columns to sort by."""
        order = ORDERS[self.sort.removeprefix("-")]
        return tuple((column, not down) for column, down in order) if self.sort.startswith("-") else order


class Page:
    """Some of the rows that match.

    Attributes:
        rows: by column; tags are a list, instants are seconds since 1970.
        total: how many match altogether; at least so many when not `is_exact`.
        cursor: for the next page; None after the last.
    """

    __slots__ = ("cursor", "is_exact", "rows", "total")

    def __init__(self, rows: list[dict[str, Any]], total: int, *, is_exact: bool, cursor: str | None) -> None:
        self.rows = rows
        self.total = total
        self.is_exact = is_exact
        self.cursor = cursor


def fetch(database: Database, query: Query) -> Page:
    """Return the page that `query` asks for."""
    database.all("BEGIN")  # all questions inside see the same moment
    try:
        return _Search(database, query).page()
    finally:
        database.all("ROLLBACK")


def select(database: Database, query: Query, states: Sequence[str]) -> Selection:
    """Return every job in `states` that matches, whatever the limit and the cursor of `query`.

    Cost: some 3 µs a job.
    """
    from queuectl.index.selection import Selection

    database.all("BEGIN")
    try:
        search = _Search(database, query)
        selection = Selection(search.select([state for state in query.states if state in states]))
        selection.left_out = search.count_by_state([state for state in query.states if state not in states])
        return selection
    finally:
        database.all("ROLLBACK")


def in_order(database: Database, query: Query) -> tuple[int, Iterator[dict[str, Any]]]:
    """Return how many jobs match behind the cursor, and their rows in order, sorted once and whatever the limit.

    A job that meanwhile was deleted, or is in none of the states asked for, is left out.

    Cost: memory of some 20 bytes a job.
    """
    from queuectl.index.selection import Selection

    database.all("BEGIN")
    try:
        chosen = Selection(_Search(database, query).matching())
    finally:
        database.all("ROLLBACK")
    return len(chosen), _rows_of(database, chosen, query.states)


def _rows_of(database: Database, chosen: Selection, states: Sequence[str]) -> Iterator[dict[str, Any]]:
    ids = (job.id for job in chosen)
    while group := [*islice(ids, GROUP)]:
        marks = ", ".join("?" * len(group))
        found = {row[0]: row for row in database.all(f"SELECT * FROM jobs WHERE id IN ({marks})", group)}
        for row in (as_dict(found[job_id]) for job_id in group if job_id in found):
            if row["state"] in states:
                yield row


def failure_groups(database: Database, query: Query, limit: int | None) -> tuple[list[dict[str, Any]], int]:
    """Return the failed or dead jobs that match, by fingerprint, and how many groups there are: see Reader.failures."""
    from copy import copy

    database.all("BEGIN")
    try:
        found = []
        search = _Search(database, query)
        for row in search.failure_groups(-1 if limit is None else limit):
            made = dict(zip(("fingerprint", "count", "first_at", "last_at"), row, strict=True))
            same = copy(query)
            same.fingerprint = made["fingerprint"]
            found.append({**made, "newest": _Search(database, same).newest()})
        return found, search.count_groups()
    finally:
        database.all("ROLLBACK")


class _Search:
    def __init__(self, database: Database, query: Query) -> None:
        self.database = database
        self.query = query
        self.columns = [column for column, _ in query.order]
        self.after = None if query.cursor is None else _read_cursor(query)
        self.bound = self._bound()

    def _bound(self) -> int:
        """Return how many jobs are in the states and the queue asked for."""
        query = self.query
        counts = (
            self.database.all("counts") if query.queue is None else self.database.all("queue_counts", (query.queue,))
        )
        return sum(n for state, n in counts if state in query.states)

    def page(self) -> Page:
        query = self.query
        keys: list[tuple[Any, ...]] | None = None
        is_exact = query.is_counted
        if not query.is_counted:
            total = self.bound
        elif any(value is not None for value in (query.tag, query.search, query.batch, query.fingerprint, query.error)):
            keys, total = self._scan()
            is_exact = keys is not None
        elif query.since is not None or query.until is not None:
            total = self._count()
        else:
            total = self.bound
        if keys is None:
            keys = self._walk()
        last = keys[query.limit - 1] if query.limit is not None and len(keys) > query.limit else None
        cursor = None if last is None else _write_cursor(query, last[1:])
        return Page(self._rows(keys[: query.limit]), total, is_exact=is_exact, cursor=cursor)

    def select(self, states: Sequence[str]) -> Iterator[tuple[str, str, float, int]]:
        if not states:
            return iter(())
        sql, values = self._in_states(states)
        return self.database.each(
            f"SELECT id, state, updated_at, attempts FROM {sql} ORDER BY {self._order_by()}", values
        )

    def matching(self) -> Iterator[tuple[str, str, float, int]]:
        """Yield id, state, last change and 0 of all that match behind the cursor, in order."""
        sql, values = self._conditions()
        source = self._source()
        return self.database.each(
            f"SELECT id, state, updated_at, 0 FROM {source} WHERE {sql} ORDER BY {self._order_by()}", values
        )

    def count_by_state(self, states: Sequence[str]) -> dict[str, int]:
        if not states:
            return {}
        sql, values = self._in_states(states)
        return dict(self.database.all(f"SELECT state, count(*) FROM {sql} GROUP BY state", values))

    def failure_groups(self, limit: int) -> list[tuple[Any, ...]]:
        """Return fingerprint, count, first and last change of each group, the most frequent first."""
        sql, values = self._failures()
        return self.database.all(
            f"SELECT fingerprint, count(*), min(updated_at), max(updated_at) FROM {sql}"
            " GROUP BY fingerprint ORDER BY 2 DESC, 4 DESC LIMIT ?",
            (*values, limit),
        )

    def _failures(self) -> Condition:
        sql, values = self._in_states(self.query.states)
        if self.query.batch is None:  # in the order of the groups, so that nothing has to be sorted for them
            sql = f"jobs INDEXED BY jobs_failures{sql.removeprefix(self._source())}"
        return f"{sql} AND fingerprint IS NOT NULL", values

    def count_groups(self) -> int:
        sql, values = self._failures()
        return int(self.database.all(f"SELECT count(DISTINCT fingerprint) FROM {sql}", values)[0][0])

    def newest(self) -> dict[str, Any]:
        sql, values = self._in_states(self.query.states)
        return as_dict(self.database.all(f"SELECT * FROM {sql} ORDER BY updated_at DESC, id LIMIT 1", values)[0])

    def _in_states(self, states: Sequence[str]) -> Condition:
        sql, values = self._conditions(states=False, cursor=False)
        more = f" AND {sql}" if sql else ""
        return f"{self._source()} WHERE state IN ({', '.join('?' * len(states))}){more}", (*states, *values)

    # --- conditions

    def _conditions(self, *, states: bool = True, cursor: bool = True) -> Condition:
        query = self.query
        found: list[Condition] = []
        if states:
            found.append((f"state IN ({', '.join('?' * len(query.states))})", query.states))
        equal = (("queue = ?", query.queue), ("batch = ?", query.batch), ("fingerprint = ?", query.fingerprint))
        for sql, value in equal:
            if value is not None:
                found.append((sql, (value,)))
        for sql, instant in (("updated_at >= ?", query.since), ("updated_at < ?", query.until)):
            if instant is not None:
                found.append((sql, (instant,)))
        if query.tag is not None:
            found.append(("instr(',' || substr(tags, 2, length(tags) - 2) || ',', ?)", (tag_pattern(query.tag),)))
        if query.search is not None:
            sql = " OR ".join(rf"{column} LIKE ? ESCAPE '\'" for column in SEARCHED)
            sql += r" OR tags IS NOT NULL AND EXISTS (SELECT 1 FROM json_each(tags) WHERE value LIKE ? ESCAPE '\')"
            words = query.search.split() or [query.search]
            if len(words) == 1:  # short words of several are in many an id
                sql += r" OR id LIKE ? ESCAPE '\'"
            for word in words:
                found.append((f"({sql})", (_containing(word),) * sql.count("?")))
        if query.error is not None:
            found.append((rf"{ERROR} LIKE ? ESCAPE '\'", (_containing(query.error),)))
        if cursor and self.after is not None:
            found.append(_behind(query.order, self.after))
        return " AND ".join(sql for sql, _ in found), tuple(value for _, values in found for value in values)

    def _order_by(self) -> str:
        return ", ".join(f"{column} DESC" if down else column for column, down in self.query.order)

    # --- ways to find them; each returns keys: rowid and the columns of the order

    def _count(self) -> int:
        sql, values = self._conditions(cursor=False)
        found = self.database.one(f"SELECT count(*) FROM jobs INDEXED BY jobs_by_state WHERE {sql}", values)
        return found[0] if found else 0

    def _source(self) -> str:
        """Name the cheapest way to read all rows that may match, in any order."""
        if self.query.batch is not None:
            return "jobs INDEXED BY jobs_batch"
        if self.query.fingerprint is not None:
            return "jobs INDEXED BY jobs_failures"
        return "jobs INDEXED BY jobs_by_state" if self.bound <= MANY else "jobs NOT INDEXED"

    def _scan(self) -> tuple[list[tuple[Any, ...]] | None, int]:
        """Find all; None when they are more than MANY, which makes them quick to find in order."""
        sql, values = self._conditions(cursor=False)
        columns = ", ".join(self.columns)
        found = self.database.all(f"SELECT rowid, {columns} FROM {self._source()} WHERE {sql} LIMIT {MANY + 1}", values)
        if len(found) > MANY:
            return None, MANY
        for number, (_, down) in reversed([*enumerate(self.query.order, 1)]):
            found.sort(key=itemgetter(number), reverse=down)
        behind = [key for key in found if self.after is None or _is_behind(self.query.order, key[1:], self.after)]
        return behind, len(found)

    def _walk(self) -> list[tuple[Any, ...]]:
        """Find the first ones in order, one more than the page holds."""
        limit = -1 if self.query.limit is None else self.query.limit + 1
        columns, order = ", ".join(self.columns), self._order_by()
        if self.columns[0] == "updated_at":
            sql, values = self._conditions(states=False)
            sql = f" AND {sql}" if sql else ""
            part = (
                f"SELECT * FROM (SELECT rowid AS row, {columns} FROM jobs INDEXED BY jobs_by_state"
                f" WHERE state = ?{sql} ORDER BY {order} LIMIT {limit})"
            )
            parts = " UNION ALL ".join([part] * len(self.query.states))
            every = tuple(value for state in self.query.states for value in (state, *values))
            return self.database.all(f"{parts} ORDER BY {order} LIMIT {limit}", every)
        sql, values = self._conditions()
        source = self._source()
        if self.columns == ["id"] and source.endswith("NOT INDEXED"):
            source, sql = "jobs", f"+{sql}"
        return self.database.all(
            f"SELECT rowid, {columns} FROM {source} WHERE {sql} ORDER BY {order} LIMIT {limit}", values
        )

    def _rows(self, keys: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        for start in range(0, len(keys), GROUP):
            rowids = [key[0] for key in keys[start : start + GROUP]]
            marks = ", ".join("?" * len(rowids))
            found = {
                row[0]: row[1:]
                for row in self.database.all(f"SELECT rowid, * FROM jobs WHERE rowid IN ({marks})", rowids)
            }
            made += (as_dict(found[rowid]) for rowid in rowids)
        return made


def _containing(text: str) -> str:
    for special in r"\%_":
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"


# --- cursors: the order, a sum of the filters, and the order's values in the last row seen, in hexadecimal


def _filters_of(query: Query) -> int:
    filters = (query.states, query.queue, query.batch, query.tag, query.fingerprint, query.error, query.search)
    return zlib.crc32(repr((*filters, query.window)).encode("utf-8", "backslashreplace"))


def _write_cursor(query: Query, values: Sequence[Any]) -> str:
    return json.dumps([query.sort, _filters_of(query), *values]).encode().hex()


def _read_cursor(query: Query) -> tuple[Any, ...]:
    try:
        sort, filters, *values = json.loads(bytes.fromhex(query.cursor or ""))
    except (ValueError, TypeError):
        sort, filters, values = None, None, []
    is_ours = sort == query.sort and filters == _filters_of(query) and len(values) == len(query.order)
    if not is_ours or not all(
        _may_stand_in(column, value) for (column, _), value in zip(query.order, values, strict=True)
    ):
        raise UsageError(
            "the cursor does not belong to this list: it goes with the filters and the order it came from",
            "begin again without a cursor",
        )
    return tuple(values)


def _may_stand_in(column: str, value: object) -> bool:
    if column in ("id", "state", "queue"):
        return isinstance(value, str)
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < BIGGEST


def _behind(order: Order, values: Sequence[Any]) -> Condition:
    """Return the condition that holds behind `values`, its first part in a form for which an index can be used."""
    (column, down), *rest = order
    sign, value = "<" if down else ">", values[0]
    if not rest:
        return f"{column} {sign} ?", (value,)
    sql, others = _behind(tuple(rest), values[1:])
    return f"({column} {sign}= ? AND ({column} {sign} ? OR {sql}))", (value, value, *others)


def _is_behind(order: Order, key: Sequence[Any], values: Sequence[Any]) -> bool:
    """Tell the same of a row at hand."""
    for (_, down), mine, theirs in zip(order, key, values, strict=True):
        if mine != theirs:
            return bool((mine < theirs) == down)
    return False
