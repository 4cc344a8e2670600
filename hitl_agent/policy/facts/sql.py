"""Facts of SQL: what a text would do to a database.

    kinds          what its statements do, sorted: `select`, `insert`, `drop`, ...; `other` for what
                   is not plainly known
    tables         what is read or written, sorted, in lower case, with the schema where it is given
    written        those of `tables` that statements insert into, update, create, drop, ...
    statements     how many statements there are
    reads_only     whether the text surely changes nothing: every statement is a query, `SHOW`,
                   `DESCRIBE` or `EXPLAIN` without `ANALYZE`, locks nothing, and calls nothing but
                   functions known to be harmless
    without_where  whether an UPDATE or DELETE, at any depth, has no condition or one that holds for
                   every row, as `1 = 1` does; TRUNCATE counts

A statement that is not understood, or that calls a function that may do anything, has `?` among
its `tables` or `written`, so that `written.all(t, t == "scratch")` does not hold for it. Inside a
statement all is seen: what an inner WITH deletes counts. What only the database knows is not seen:
triggers, rules, the functions that a view calls, or that PostgreSQL and Oracle find behind the name
of a column, dynamic SQL. A function or an operator is taken for the usual one of its name. A
condition that holds for every row because of what the rows are is not recognised.

The database is not known, so the text is first split into words by rules that all common ones
share. Whatever they read differently could hide a statement from one of them and is refused:
backslashes before quotes, prefixed and dollar-quoted strings, conditional and nested comments, `#`
and `--` without a space, client commands. Only then does sqlglot parse it, for no database in
particular, else for PostgreSQL, MySQL or SQL Server. Time is bounded by counting its steps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, TypeGuard

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel, ParseError, TokenError
from sqlglot.parser import Parser

from hitl_agent.documents import show

MAX_SQL = 20_000
"""Longest text, in characters."""

UNKNOWN = "?"
"""Stands in `tables` and `written` for any table."""

_MAX_TOKENS = 8000
_MAX_STATEMENTS = 100
_MAX_LEVELS = 25  # of parentheses
_MAX_STEPS = 20_000  # of the parser: a quarter of a second; a query takes one or two for each word
_STEPS_OF_ERROR = 5  # an alternative given up costs as much as this many steps
_DIALECTS = ("", "postgres", "mysql", "tsql")

# --- words, as all databases split them ---

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
    # MySQL wants a space after `--`; and what it, MariaDB or TiDB run from a comment begins so
    |(?P<comment>--(?:[ \t][^\r\n]*)?(?=\r?\n|\Z)|/\*(?!\s*\w*[!+]).*?\*/)
    |(?P<text>'[^']*(?:''[^']*)*')
    |(?P<name>"[^"]*(?:""[^"]*)*"|`[^`]*`)
    |(?P<parameter>(?<![\w$])\$[0-9]+(?![\w$]))
    |(?P<word>\w+)
    |(?P<sign>-(?!-)|/(?![*/])|[+*%=<>|&^~.,:;?()\[\]@!])
    """,
    re.VERBOSE | re.DOTALL,
)
_BEFORE_QUOTE = frozenset(" \t\r\n(,=<>!|+-*/.[~;")
_ODD_BACKSLASHES = {
    "'": re.compile(r"(?<!\\)(?:\\\\)*\\'"),
    '"': re.compile(r"(?<!\\)(?:\\\\)*\\\""),
}
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_IN_BACKTICKS = re.compile(r"(?:(?!--|/\*)[^'\";\\])*")
_STATEMENT_IN_TEXT = re.compile(
    r";\s*(?:alter|begin|call|commit|copy|create|declare|delete|do|drop|exec|execute|grant|insert"
    r"|merge|replace|revoke|select|set|truncate|update|with)\b",
    re.IGNORECASE,
)
_TABLE_NAME = re.compile(r"[\w $-]+")


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


class _Piece(NamedTuple):
    """A statement as it is written."""

    text: str
    tokens: list[_Token]

    @property
    def words(self) -> list[str]:
        """The words outside quotes, in lower case."""
        return [token.text.lower() for token in self.tokens if token.kind == "word"]

    def after(self, count: int) -> _Piece:
        """Return the statement without its first `count` tokens."""
        rest = self.tokens[count:]
        start = rest[0].start if rest else len(self.text)
        return _Piece(
            self.text[start:], [_Token(one.kind, one.text, one.start - start) for one in rest]
        )


_DIFFERENTLY = "which databases read differently"


class _Splitter:
    """Splits a text into statements, and refuses it where databases or clients do so differently.

    Args:
        sql: the text.
    """

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._pieces: list[_Piece] = []
        self._tokens: list[_Token] = []  # of the statement at hand
        self._levels = 0
        self._bracket = -1  # the level that an open `[` stands on

    def split(self) -> list[_Piece]:
        """Return the statements.

        Raises:
            ValueError: there is none, or they can be read in several ways.
        """
        position = count = 0
        while position < len(self._sql):
            found = _TOKEN.match(self._sql, position)
            if found is None:
                wrong = show(self._sql[position : position + 8])
                raise ValueError(f"it holds {wrong}, {_DIFFERENTLY}")
            token = _Token(found.lastgroup or "", found[0], position)
            if token.kind == "comment":
                self._check_comment(token.text)
            elif token.kind in {"text", "name"}:
                self._check_quotes(token)
            if token.kind not in {"space", "comment"}:
                count += 1
                self._take(token)
            if count > _MAX_TOKENS:
                raise ValueError(f"it has more than {_MAX_TOKENS:,} words and signs")
            position = found.end()
        if self._levels or self._bracket >= 0:
            raise ValueError("its parentheses do not match")
        self._end_piece()
        if not self._pieces:
            raise ValueError("it holds no statement")
        if len(self._pieces) > _MAX_STATEMENTS:
            raise ValueError(f"it holds more than {_MAX_STATEMENTS} statements")
        return self._pieces

    def _take(self, token: _Token) -> None:
        match token.text:
            case ";":
                if self._levels or self._bracket >= 0:
                    raise ValueError("there is a `;` within parentheses")
                self._end_piece()
                return
            case "(":
                self._levels += 1
                if self._levels > _MAX_LEVELS:
                    raise ValueError("its parentheses nest too deeply")
            case ")":
                self._levels -= 1
                if self._levels < 0:
                    raise ValueError("its parentheses do not match")
            case "[":
                if self._bracket >= 0:
                    raise ValueError(f"it holds `[` within brackets, {_DIFFERENTLY}")
                self._bracket = self._levels
            case "]":
                # SQL Server takes all up to here for a name: what follows must read the same
                after = token.start + 1
                if self._bracket != self._levels or self._sql[after : after + 1] == "]":
                    raise ValueError(f"it holds a `]`, {_DIFFERENTLY}")
                self._bracket = -1
        self._tokens.append(token)

    def _end_piece(self) -> None:
        if self._tokens:
            start, last = self._tokens[0].start, self._tokens[-1]
            text = self._sql[start : last.start + len(last.text)]
            moved = [_Token(one.kind, one.text, one.start - start) for one in self._tokens]
            self._pieces.append(_Piece(text, moved))
        self._tokens = []

    def _check_comment(self, text: str) -> None:
        if self._bracket >= 0 or ";" in text or "/*" in text[2:]:
            raise ValueError(f"it has a comment with `;` or `/*` in it, {_DIFFERENTLY}")
        if not re.sub(r"[\t\r\n]", "", text).isprintable():
            raise ValueError("it has a comment with something in it that is not seen")

    def _check_quotes(self, token: _Token) -> None:
        """Refuse quotes that some database ends elsewhere."""
        text, before = token.text, self._sql[max(token.start - 1, 0) : token.start]
        if before and before not in _BEFORE_QUOTE:
            raise ValueError(f"it has {show(before + text[:8])} without a space, {_DIFFERENTLY}")
        if text[:3] in {"'''", '"""'}:
            raise ValueError(f"it has three quotes in a row, {_DIFFERENTLY}")
        if text[0] in _ODD_BACKSLASHES and _ODD_BACKSLASHES[text[0]].search(text):
            raise ValueError(f"it has a backslash before a quote, {_DIFFERENTLY}")
        backticks = text[0] == "`" and not _IN_BACKTICKS.fullmatch(text[1:-1])
        if backticks or (self._bracket >= 0 and "]" in text):
            raise ValueError(f"it has {show(text[:20])}, {_DIFFERENTLY}")
        if _UNSEEN.search(text):
            raise ValueError("it has quotes with something in them that is not seen")
        if _STATEMENT_IN_TEXT.search(text):
            raise ValueError("it has quotes with a statement in them, which some clients run")


# --- parsing within bounds ---


class _TooMuchWork(Exception):
    """Raised in the midst of parsing."""


class _Budget:
    """How many steps of the parser are left."""

    def __init__(self) -> None:
        self.left = _MAX_STEPS

    def spend(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left < 0:
            raise _TooMuchWork


def _counting(dialect: Dialect) -> type[Parser]:
    """Return the parser of a dialect, made to count its steps."""

    class Counting(dialect.parser_class):  # type: ignore[name-defined,misc]
        budget: _Budget

        def _advance(self, times: int = 1) -> None:
            # it tries alternatives by going back, which can double the work at each level
            self.budget.spend()
            super()._advance(times)

        def raise_error(self, message: str, *args: Any, **kwargs: Any) -> Any:
            self.budget.spend(_STEPS_OF_ERROR)
            return super().raise_error(message, *args, **kwargs)

        def _warn_unsupported(self) -> None:
            """Log nothing: what is not supported is `other` here."""

    return Counting


@cache
def _grammar(name: str) -> tuple[Dialect, type[Parser]]:
    """Return a dialect that logs nothing, and its counting parser.

    Raises:
        ValueError: the parser that is installed does not count.
    """
    dialect = Dialect.get_or_raise(name)

    def as_written(path: exp.Expr | None) -> exp.Expr | None:
        return path  # a JSON path is no concern of ours, and a wrong one would be logged

    dialect.to_json_path = as_written  # type: ignore[method-assign]
    parser_class = _counting(dialect)
    # what is counted is no public part of sqlglot: other releases step elsewhere, and the C build
    # lets no parser be derived. Work that cannot be bounded is not begun
    budget = _Budget()
    with suppress(TypeError):
        _trees("select a from t", dialect, parser_class, budget)
    if budget.left > _MAX_STEPS - 4:
        raise ValueError("the `sqlglot` that is installed, perhaps `sqlglotc`, cannot be bounded")
    return dialect, parser_class


def _trees(
    text: str, dialect: Dialect, parser_class: type[Parser], budget: _Budget
) -> list[exp.Expr | None]:
    parser = parser_class(dialect=dialect, error_level=ErrorLevel.IMMEDIATE)
    parser.budget = budget  # type: ignore[attr-defined]
    return parser.parse(dialect.tokenize(text), text)


def _parsed(pieces: list[_Piece]) -> list[exp.Expr]:
    """Parse statements by the first grammar that fits all of them.

    Raises:
        ValueError: none does, or it takes too long to find out.
    """
    budget = _Budget()
    for name in _DIALECTS:
        try:
            return [_one(piece.text, name, budget) for piece in pieces]
        except (ParseError, TokenError):
            continue
        except _TooMuchWork:
            raise ValueError("it takes too long to parse") from None
    raise ValueError("it is no SQL that can be parsed")


def _one(text: str, name: str, budget: _Budget) -> exp.Expr:
    trees = _trees(text, *_grammar(name), budget)
    if len(trees) != 1 or trees[0] is None:  # sqlglot sees a `;` where we saw none
        raise ValueError(f"it has a `;`, {_DIFFERENTLY}")
    return trees[0]


# --- what a statement does ---

_KINDS: Mapping[type[exp.Expr], str] = {
    exp.Alter: "alter",
    exp.Analyze: "analyze",
    exp.Comment: "comment",
    exp.Commit: "commit",
    exp.Copy: "copy",
    exp.Create: "create",
    exp.Delete: "delete",
    exp.Describe: "describe",
    exp.Drop: "drop",
    exp.Grant: "grant",
    exp.Insert: "insert",
    exp.Merge: "merge",
    exp.Revoke: "revoke",
    exp.Rollback: "rollback",
    exp.Set: "set",
    exp.Transaction: "begin",
    exp.TruncateTable: "truncate",
    exp.Update: "update",
    exp.Use: "use",
}
_QUERIES = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values)
# whose targets say all about what they write; of the others anything may be written
_TARGETED = (
    exp.Alter,
    exp.Create,
    exp.Delete,
    exp.Drop,
    exp.Insert,
    exp.Merge,
    exp.TruncateTable,
    exp.Update,
)
_WITHOUT_TARGET = (exp.Commit, exp.Describe, exp.Rollback, exp.Transaction)  # and write nothing
# what stands in a query that changes or locks something, and writes nothing by itself
_PARTS_OF_CHANGES: tuple[type[exp.Expr], ...] = (
    exp.Into,
    exp.Lock,
    exp.OnConflict,
    exp.Returning,
    exp.Schema,
    exp.When,
    exp.Whens,
    exp.WithTableHint,
    *_KINDS,
)
_COMMAND_VERBS = frozenset(_KINDS.values()) - {"describe"}

# words of a query that can make it more than one, wherever they stand outside quotes
_CHANGING_WORDS = frozenset(
    {"alter", "call", "copy", "create", "delete", "drop", "dumpfile", "exec", "execute", "grant"}
    | {"insert", "into", "lock", "merge", "outfile", "revoke", "truncate", "update"}
)
# SQL Server needs no `;`: one of these read as an alias is a statement of its own; `s.nextval`
# moves a sequence on
_STATEMENT_NAMES = frozenset(
    {"call", "checkpoint", "commit", "exec", "execute", "go", "nextval", "reconfigure", "revert"}
    | {"rollback", "shutdown"}
)
# `DELETE FROM ONLY t`: where the grammar at hand lacks a keyword it takes it for the table
_NO_TABLE = frozenset(
    {"all", "any", "as", "by", "cascade", "concurrently", "cross", "database", "default"}
    | {"delayed", "delete", "distinct", "dumpfile", "each", "exists", "external", "final"}
    | {"foreign", "from", "full", "function", "global", "high_priority", "if", "ignore", "in"}
    | {"index", "inner", "insert", "into", "join", "lateral", "left", "local", "low_priority"}
    | {"materialized", "natural", "new", "not", "old", "on", "only", "or", "outer", "outfile"}
    | {"partition", "procedure", "program", "quick", "recursive", "restrict", "right", "row"}
    | {"rowset", "schema", "select", "sequence", "set", "statistics", "table", "tables", "temp"}
    | {"temporary", "top", "trigger", "unlogged", "update", "user", "using", "values", "view"}
    | {"where", "with", "xml"}
)

# what queries are made of; anything else in one may change something
_PLAIN = """
Add Alias Aliases All Any AtTimeZone Between BitString BitwiseAnd BitwiseLeftShift BitwiseNot
BitwiseOr BitwiseRightShift BitwiseXor Boolean Bracket CTE CharacterSet Collate Column ColumnDef
Cube DPipe DataType DataTypeParam Describe Distance Distinct Div Dot EQ Escape Except Fetch Filter
From GT GTE Glob Group GroupingSets Having HavingMax HexString ILike Identifier IgnoreNulls In
IntDiv Intersect Interval IntervalSpan Is JSONKeyValue JSONPath JSONPathKey JSONPathRoot
JSONPathSubscript JSONPathWildcard JSONValue Join LT LTE Lateral Like Limit LimitOptions Literal
Mod Mul NEQ National Neg Not Null NullSafeEQ NullSafeNEQ Offset Operator Order Ordered Overlaps
Parameter Paren Pivot PivotAlias Placeholder Prior Pseudocolumn Qualify RespectNulls Rollup Select
SessionParameter SimilarTo Slice Star Sub Subquery Table TableAlias TableSample Tuple Union Values
Var Where Window WindowSpec With WithinGroup
"""
_HARMLESS = """
Abs Acos Acosh AddMonths And AnyValue ApproxDistinct ApproxQuantile ArgMax ArgMin Array ArrayAgg
ArrayAll ArrayAny ArrayAppend ArrayConcat ArrayContainedBy ArrayContains ArrayContainsAll
ArrayDistinct ArrayExcept ArrayFirst ArrayIntersect ArrayLast ArrayMax ArrayMin ArrayOverlaps
ArrayPosition ArrayPrepend ArrayRemove ArrayReverse ArraySize ArraySlice ArraySort ArraySum
ArrayToString ArrayUniqueAgg Ascii Asin Asinh Atan Atan2 Atanh Avg Base64Encode BitLength
BitwiseAndAgg BitwiseCount BitwiseOrAgg BitwiseXorAgg ByteLength Case Cast Cbrt Ceil Chr Coalesce
Concat ConcatWs Contains Convert ConvertTimezone Corr Cos Cosh Cot Coth Count CountIf CovarPop
CovarSamp CumeDist CurrentCatalog CurrentDatabase CurrentDate CurrentDatetime CurrentRole
CurrentSchema CurrentTime CurrentTimestamp CurrentTimezone CurrentUser CurrentVersion Date DateAdd
DateBin DateDiff DateFromParts DateStrToDate DateSub DateToDateStr DateTrunc Datetime DatetimeAdd
DatetimeDiff DatetimeSub DatetimeTrunc Day DayOfMonth DayOfWeek DayOfWeekIso DayOfYear Dayname
DecodeCase Degrees DenseRank Elt EndsWith Exists Exp Explode ExplodingGenerateSeries Extract
Factorial First FirstValue Floor Format GenerateSeries Greatest GroupConcat Grouping GroupingId Hex
Hour If Initcap JSONArray JSONArrayAgg JSONArrayContains JSONBContains JSONBContainsAllTopKeys
JSONBContainsAnyTopKeys JSONBContainsTopKey JSONBExists JSONBExtract JSONBExtractScalar
JSONBObjectAgg JSONExtract JSONExtractArray JSONExtractScalar JSONFormat JSONKeys JSONObject
JSONObjectAgg JSONStripNulls JSONType JustifyDays JustifyHours JustifyInterval Kurtosis Lag Last
LastDay LastValue Lead Least Left Length Levenshtein List Ln Localtime Localtimestamp Log
LogicalAnd LogicalOr Lower LowerHex MD5 MakeInterval Map Max Median Min Minute Mode Month Monthname
MonthsBetween Normalize NthValue Ntile Nullif NumberToStr Nvl2 Or Overlay Pad ParseJSON PercentRank
PercentileCont PercentileDisc Pi Pow Quantile Quarter Radians Rand Rank RegexpCount RegexpExtract
RegexpExtractAll RegexpILike RegexpInstr RegexpLike RegexpReplace RegexpSplit RegexpSubstr RegrAvgx
RegrAvgy RegrCount RegrIntercept RegrR2 RegrSlope RegrSxx RegrSxy RegrSyy Repeat Replace Reverse
Right Round RowNumber SHA SHA2 SHA2Digest SafeDivide Second SessionUser Sign Sin Sinh Skewness
Soundex Space Split SplitPart Sqrt StartsWith Stddev StddevPop StddevSamp StrPosition StrToDate
StrToTime StrToUnix String StringToArray Struct StructExtract Stuff Substring SubstringIndex Sum
Tan Tanh Time TimeAdd TimeDiff TimeFromParts TimeStrToDate TimeStrToTime TimeSub TimeToStr
TimeToUnix TimeTrunc Timestamp TimestampAdd TimestampDiff TimestampFromParts TimestampSub
TimestampTrunc ToArray ToBase64 ToChar ToDays ToDouble ToNumber Translate Trim Trunc TryCast
TsOrDsAdd TsOrDsDiff TsOrDsToDate TsOrDsToTime TsOrDsToTimestamp Typeof Unhex Unicode UnixDate
UnixMicros UnixMillis UnixSeconds UnixToStr UnixToTime Unnest Upper UtcDate UtcTime UtcTimestamp
Uuid Variance VariancePop Week WeekOfYear WidthBucket Xor Year
"""
# functions that sqlglot has no class for; none of them is known to do anything but work out a value
_HARMLESS_NAMES = """
adddate age array_length array_lower array_ndims array_upper bit_and bit_count bit_or bool_and
bool_or btrim cardinality choose clock_timestamp cume_dist curdate curtime datalength date_format
date_part dateadd datename datepart div encode eomonth every field find_in_set found_rows
from_unixtime gen_random_uuid getdate isdate isfinite isnull isnumeric json_agg json_array_elements
json_array_elements_text json_array_length json_build_array json_build_object json_each
json_group_array json_group_object json_object_agg json_object_keys json_query json_typeof
json_valid json_value jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length
jsonb_build_array jsonb_build_object jsonb_each jsonb_object_keys jsonb_pretty jsonb_set
jsonb_typeof julianday len listagg localtime make_date make_time make_timestamp makedate newid now
numnonnulls numnulls octet_length patindex printf quote quote_ident quote_literal regexp_match
regexp_matches regexp_split_to_array regexp_split_to_table row row_to_json scale sha256 similarity
statement_timestamp strftime string_split subdate substr sysdate time_to_sec timeofday timestampadd
timezone to_date to_json to_jsonb to_timestamp to_tsquery to_tsvector total transaction_timestamp
ts_rank unix_timestamp unixepoch user version weekday yearweek
"""
_PLAIN_NODES = frozenset(_PLAIN.split())
_HARMLESS_NODES = frozenset(_HARMLESS.split())
_HARMLESS_CALLS = frozenset(_HARMLESS_NAMES.split())
_EXPLAIN = re.compile(
    r"explain (?:\( (?:(?:analy[zs]e|buffers|costs|format|settings|summary|timing|verbose|wal)"
    r"(?: (?:on|off|true|false|json|text|xml|yaml))? (?:, )?)+\) "
    r"|(?:query plan |extended |format = (?:json|text|tree|traditional) )?"
    r"(?:analy[zs]e )?(?:verbose )?)"
)


@dataclass
class _Doing:
    """What a statement does, as far as it has been looked at."""

    kinds: set[str] = field(default_factory=set)
    tables: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    reads: bool = True
    everywhere: bool = False  # changes or deletes all rows

    def not_understood(self) -> None:
        self.kinds.add("other")
        self.anything()
        self.tables.add(UNKNOWN)

    def anything(self) -> None:
        """Note that any table may be written."""
        self.reads = False
        self.written.add(UNKNOWN)


def facts(value: object) -> dict[str, Any]:
    """Work out the facts of a text.

    Raises:
        ValueError: it is no SQL, or databases read it differently.
    """
    if type(value) is not str:
        raise ValueError(f"it is {show(value)}, not text")
    if len(value) > MAX_SQL:
        raise ValueError(f"it is longer than {MAX_SQL:,} characters")
    pieces = _Splitter(value).split()
    done = [_Doing() for _ in pieces]
    inner: list[tuple[_Piece, _Doing]] = []
    for piece, doing in zip(pieces, done, strict=True):
        if piece.words[:1] == ["show"]:
            _show(piece, doing)
        else:
            inner.append((_explained(piece, doing), doing))
    trees = _parsed([piece for piece, _ in inner])
    for tree, (piece, doing) in zip(trees, inner, strict=True):
        _look(tree, piece, doing)
    written = set().union(*(one.written for one in done))
    return {
        "kinds": sorted(set().union(*(one.kinds for one in done))),
        "tables": sorted(written.union(*(one.tables for one in done))),
        "written": sorted(written),
        "statements": len(pieces),
        "reads_only": all(one.reads for one in done),
        "without_where": any(one.everywhere for one in done),
    }


def _show(piece: _Piece, doing: _Doing) -> None:
    """Take in a SHOW, which reads unless it works something out."""
    doing.kinds.add("show")
    if any(token.kind == "sign" and token.text not in {".", ",", "="} for token in piece.tokens):
        doing.not_understood()


def _explained(piece: _Piece, doing: _Doing) -> _Piece:
    """Return the statement that an EXPLAIN is about, or the same one."""
    if piece.words[:1] != ["explain"]:
        return piece
    spelled = [token.text.lower() for token in piece.tokens[:20]]
    found = _EXPLAIN.match("".join(f"{one} " for one in spelled))
    if found is None or found[0].count(" ") >= len(piece.tokens):
        return piece
    doing.kinds.add("explain")
    if "analy" in found[0]:  # it runs the statement
        doing.reads = False
    return piece.after(found[0].count(" "))


class _Step(NamedTuple):
    """A part of a statement and the names that its WITHs give to queries."""

    node: exp.Expr
    queries: Mapping[str, exp.Expr]


def _steps(root: exp.Expr) -> Iterator[_Step]:
    """Yield every part from the outside in, without recursion."""
    waiting = [_Step(root, {})]
    while waiting:
        node, queries = waiting.pop()
        within = node.args.get("with_")
        if isinstance(within, exp.With):
            named = {one.alias.lower(): one for one in within.expressions}
            # a query sees those before it; with RECURSIVE also itself and those after it
            seen = {**queries, **named} if within.args.get("recursive") else dict(queries)
            for one in within.expressions:
                waiting.append(_Step(one, dict(seen)))
                seen[one.alias.lower()] = one
            queries = {**queries, **named}
        yield _Step(node, queries)
        waiting.extend(_Step(one, queries) for one in node.iter_expressions() if one is not within)


def _look(root: exp.Expr, piece: _Piece, doing: _Doing) -> None:
    """Take in all that a statement does."""
    while isinstance(root, (exp.Subquery, exp.Paren)) and not root.args.get("with_"):
        root = root.this
    query = isinstance(root, (exp.Describe, *_QUERIES))
    _begin(root, piece, doing, query=query)
    aliases: set[int] = set()  # of nodes that name a table by its alias
    for node, queries in _steps(root):
        _look_at_change(node, queries, doing, aliases)
        if isinstance(node, exp.Table):
            doing.tables |= _named(node, queries) if id(node) not in aliases else set()
        elif isinstance(node, exp.Identifier):
            if not node.args.get("quoted") and node.name.lower() in _STATEMENT_NAMES:
                doing.not_understood()
        elif isinstance(node, exp.Func):
            if not _is_harmless(node):
                doing.anything()
        elif query and type(node).__name__ not in _PLAIN_NODES:
            doing.reads = False
            if not isinstance(node, _PARTS_OF_CHANGES):
                doing.anything()


def _begin(root: exp.Expr, piece: _Piece, doing: _Doing, *, query: bool) -> None:
    """Take in what a statement is as a whole."""
    if query:
        if not isinstance(root, exp.Describe):
            doing.kinds.add("values" if isinstance(root, exp.Values) else "select")
        doing.reads = doing.reads and not _CHANGING_WORDS.intersection(piece.words)
        if _calls_quoted(piece):
            doing.anything()
    else:
        doing.reads = False
        if type(root) not in _KINDS:
            doing.not_understood()


def _calls_quoted(piece: _Piece) -> bool:
    """Return whether a quoted name is called: it may be another function than the usual one."""
    pairs = zip(piece.tokens, piece.tokens[1:], strict=False)
    return any(one.kind == "name" and two.text == "(" for one, two in pairs)


def _is_harmless(node: exp.Func) -> bool:
    if isinstance(node.parent, exp.Dot):  # the function of a schema is somebody's own
        return False
    if isinstance(node, exp.Anonymous):
        return isinstance(node.this, str) and node.this.lower() in _HARMLESS_CALLS
    return type(node).__name__ in _HARMLESS_NODES


def _look_at_change(
    node: exp.Expr, queries: Mapping[str, exp.Expr], doing: _Doing, aliases: set[int]
) -> None:
    """Take in a part that is, or may be, a statement by itself."""
    match node:
        case exp.When():  # a part of MERGE; INSERT and UPDATE in it are nodes of their own
            then = node.args.get("then")
            if isinstance(then, exp.Var) and "DELETE" in then.name.upper():
                doing.kinds.add("delete")
        case exp.OnConflict():
            doing.kinds |= {"update"} if node.expressions else set()
        case exp.Into():  # SELECT ... INTO makes a table
            doing.kinds.add("create")
            doing.written |= _written(node.this, queries)
        case exp.Returning() if node.args.get("into"):  # SQL Server's OUTPUT ... INTO
            doing.written |= _written(exp.Table(this=node.args["into"].copy()), queries)
        case exp.AlterRename() | exp.SwapTable():
            doing.written |= _written(node.this, queries)
        case exp.Command() | exp.Execute():
            doing.not_understood()
            text = f"{node.this} {node.args.get('expression') or ''}".lower()
            doing.kinds |= _COMMAND_VERBS.intersection(text.split()[:1])
            doing.everywhere |= any(word in text for word in ("delete", "truncate", "update"))
        case _ if type(node) in _KINDS:
            _change(node, queries, doing, aliases)


def _change(
    node: exp.Expr, queries: Mapping[str, exp.Expr], doing: _Doing, aliases: set[int]
) -> None:
    """Take in a statement of a known kind."""
    doing.kinds.add(_KINDS[type(node)])
    if isinstance(node.parent, exp.When):
        return  # MERGE has the target and the condition
    match node:
        case exp.Describe():
            # MySQL's DESCRIBE ANALYZE runs what it describes
            doing.reads = doing.reads and not node.args.get("style")
        case exp.Insert():
            alternative = str(node.args.get("alternative")).lower()  # INSERT OR ...
            if node.args.get("overwrite") or alternative == "replace":
                doing.kinds.add("replace")
        case exp.Update() | exp.Delete():
            doing.everywhere |= _is_everywhere(node)
        case exp.TruncateTable():
            doing.everywhere = True
    if isinstance(node, _TARGETED):
        for target in _targets(node, aliases):
            doing.written |= _written(target, queries)
    elif not isinstance(node, _WITHOUT_TARGET):
        doing.anything()


def _targets(node: exp.Expr, aliases: set[int]) -> Iterator[exp.Expr | None]:
    """Yield what a statement writes; `aliases` takes in nodes that are no table's own name."""
    args = node.args
    if isinstance(node, exp.Drop):
        if not isinstance(node.parent, exp.Alter):  # there it is a column or the like
            yield from args.get("tables") or [None]
    elif isinstance(node, exp.TruncateTable):
        yield from node.expressions or [None]
    elif isinstance(node, (exp.Update, exp.Delete)):
        sources = [node.this, *_listed(args.get("using")), *_listed(args.get("from_"))]
        sources = [one.this if isinstance(one, exp.From) else one for one in sources if one]
        sources += [join.this for one in sources for join in _listed(one.args.get("joins"))]
        known = {one.alias.lower(): one for one in sources if one.alias}
        joined = [join.this for join in _listed(node.this and node.this.args.get("joins"))]
        for target in _listed(args.get("tables")) or [node.this, *joined]:
            real = known.get(target.name.lower()) if _is_bare(target) else None
            if real is None or real is target:
                yield target
            else:  # `UPDATE a SET ... FROM accounts a`
                aliases.add(id(target))
                yield real
    else:
        yield node.this


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _is_bare(node: object) -> TypeGuard[exp.Table]:
    return isinstance(node, exp.Table) and not node.args.get("db")


def _written(target: Any, queries: Mapping[str, exp.Expr]) -> set[str]:
    """Return the tables that a target stands for."""
    if isinstance(target, exp.Schema):
        target = target.this
    elif isinstance(target, exp.Index):
        target = target.args.get("table")
    elif isinstance(target, exp.UserDefinedFunction):
        target = target.this
    if not isinstance(target, exp.Table):
        return {UNKNOWN}
    found = _named(target, {})
    if _is_bare(target) and (query := queries.get(target.name.lower())):
        # SQL Server writes through the query to what it reads
        found |= {name for step in _steps(query) for name in _read_by(step)}
    return found or {UNKNOWN}


def _read_by(step: _Step) -> set[str]:
    return _named(step.node, step.queries) if isinstance(step.node, exp.Table) else set()


def _named(table: exp.Table, queries: Mapping[str, exp.Expr]) -> set[str]:
    """Return the name of a table, or nothing for a function or a query of a WITH.

    Raises:
        ValueError: the name can be read as another.
    """
    if isinstance(table.this, exp.Func):
        return set()
    parts = [table.args.get("catalog"), table.args.get("db"), table.args.get("this")]
    while parts and parts[0] is None:
        del parts[0]
    parts = [one for one in parts if one is not None]  # a schema by itself has no `this`
    names: list[str] = []
    for part in parts:
        for one in part.flatten() if isinstance(part, exp.Dot) else [part]:
            if one == "":  # SQL Server's `database..table`
                names.append("")
                continue
            if not isinstance(one, exp.Identifier):
                return {UNKNOWN}
            name = one.name
            if not _TABLE_NAME.fullmatch(name) or name != name.strip():
                raise ValueError(f"it names a table {show(name)}, which can be read as another")
            bare = len(parts) == 1 and not one.args.get("quoted")
            if bare and name.lower() in _NO_TABLE:
                raise ValueError(f"it has {show(name)} where a table should be named")
            names.append(name.lower())
    if len(names) == 1 and names[0] in queries:
        return set()
    return {".".join(names)} if names else {UNKNOWN}


# --- conditions that hold for every row ---


def _is_everywhere(node: exp.Update | exp.Delete) -> bool:
    """Return whether an UPDATE or DELETE has no condition, or one that surely always holds."""
    where = node.args.get("where")
    if where is None or where.this is None:
        return True
    table = node.this
    quoted = isinstance(table, exp.Table) and isinstance(table.this, exp.Identifier)
    return _always(where.this, ansi=quoted and bool(table.this.args.get("quoted")))


def _always(condition: exp.Expr, *, ansi: bool) -> bool:
    """Return whether a condition holds for every row, whatever is in it.

    Args:
        condition: of an UPDATE or DELETE.
        ansi: whether a word in double quotes is a name for sure; to MySQL it is text.
    """
    if isinstance(condition, exp.Paren):
        return _always(condition.this, ansi=ansi)
    if isinstance(condition, (exp.And, exp.Or)):
        parts = _operands(condition)
        if isinstance(condition, exp.And):
            return all(_always(one, ansi=ansi) for one in parts)
        return _complement(parts) or any(_always(one, ansi=ansi) for one in parts)
    if not any(_is_column(one, ansi=ansi) for one in condition.find_all(exp.Column)):
        return True
    if isinstance(condition, exp.Like) and isinstance(condition.expression, exp.Literal):
        return set(condition.expression.name) == {"%"}
    compared = isinstance(condition, (exp.EQ, exp.GTE, exp.LTE, exp.NullSafeEQ, exp.Is, exp.Like))
    return compared and condition.this == condition.expression


def _operands(condition: exp.Expr) -> list[exp.Expr]:
    """Return what ANDs or ORs in a row connect."""
    found, waiting = [], [condition]
    while waiting:
        node = waiting.pop()
        if type(node) is type(condition):
            waiting += [node.this, node.expression]
        else:
            found.append(node)
    return found


def _is_column(column: exp.Column, *, ansi: bool) -> bool:
    """Return whether a value differs from row to row, and is no parameter or text."""
    name = column.this
    if not isinstance(name, exp.Identifier) or name.name.startswith("$"):
        return isinstance(name, exp.Star)
    return ansi or not name.args.get("quoted") or bool(column.args.get("table"))


_OPPOSITES = ((exp.EQ, exp.NEQ), (exp.LT, exp.GTE), (exp.GT, exp.LTE))


def _complement(parts: list[exp.Expr]) -> bool:
    """Return whether one of several conditions is another one's opposite."""
    plain = [one.unnest() for one in parts]
    known = set(plain)
    for one in plain:
        if isinstance(one, exp.Not) and one.this.unnest() in known:
            return True
        for first, second in _OPPOSITES:
            if isinstance(one, first) and second(this=one.this, expression=one.expression) in known:
                return True
    return False
