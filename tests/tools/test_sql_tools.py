import json
import threading
import time
import tracemalloc

import psycopg
import pytest
from langchain_core.tools import ToolException
from pydantic import ValidationError

from tools.sql import sql_tools


@pytest.fixture
def database(database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id int PRIMARY KEY, name text)")
        connection.execute("INSERT INTO t SELECT g, 'n' || g FROM generate_series(1, 10) g")
        connection.execute("CREATE SEQUENCE s")
        yield connection


@pytest.fixture
def tools(database, database_url):
    return {tool.name: tool for tool in sql_tools(database_url, statement_timeout_ms=3000)}


@pytest.fixture
def query(tools):
    return lambda sql, *parameters: tools["sql_query"].invoke(
        {"sql": sql, "parameters": list(parameters)}
    )


@pytest.fixture
def execute(tools):
    return lambda sql, *parameters: tools["sql_execute"].invoke(
        {"sql": sql, "parameters": list(parameters)}
    )


def rows(database):
    return database.execute("SELECT count(*) FROM t").fetchone()[0]


def test_a_query_returns_columns_and_rows(query):
    assert query("SELECT id, name FROM t WHERE id <= $1 ORDER BY id", 2) == {
        "columns": ["id", "name"],
        "rows": [[1, "n1"], [2, "n2"]],
        "truncated": False,
    }


@pytest.mark.usefixtures("database")
def test_parameters_may_be_left_out_and_a_url_may_be_a_function(database_url):
    [query, execute] = sql_tools(lambda: database_url)
    assert query.invoke({"sql": "TABLE t"})["rows"][0] == [1, "n1"]
    assert execute.invoke({"sql": "DELETE FROM t"}) == {"rows_affected": 10}


@pytest.mark.parametrize(
    "sql",
    [
        "VALUES (1)",
        "TABLE t",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "SELECT 1;",
        "/* a */ SELECT 1 -- b",
        "SELECT 1 WHERE 'a%s' LIKE 'a%'",
        "(SELECT 1)",
    ],
)
def test_every_form_of_a_query_runs(query, sql):
    assert query(sql)["rows"][0][0] == 1


def test_values_become_json(query):
    found = query(
        r"""SELECT 12.50::numeric, date '2025-01-02', timestamptz '2025-01-02 03:04:05+00',
        '00000000-0000-0000-0000-000000000001'::uuid, '\xdead'::bytea, interval '90 minutes',
        '{"a": [1, null]}'::jsonb, ARRAY[1.5, 2], 9007199254740993, 'NaN'::float8,
        '-Infinity'::float8, 1.5::float8, true, NULL, '10.0.0.1'::inet, int4range(1, 3)"""
    )["rows"][0]
    assert found[:2] == ["12.50", "2025-01-02"]
    assert found[2].startswith("2025-01-02T")
    assert found[3:] == [
        "00000000-0000-0000-0000-000000000001",
        "\\xdead",
        "1:30:00",
        {"a": [1, None]},
        ["1.5", "2"],
        "9007199254740993",
        "nan",
        "-inf",
        1.5,
        True,
        None,
        "10.0.0.1",
        "[1, 3)",
    ]
    json.dumps(found, allow_nan=False)


def test_parameters_take_their_type_from_their_place(query):
    found = query("SELECT $1::bool, $2::float8, $3::int, $4::text", *[False, 0.5, None, "x"])
    assert found["rows"] == [[False, 0.5, None, "x"]]
    assert query("SELECT name FROM t WHERE id = $1 AND name = $2", 3, "n3")["rows"] == [["n3"]]


def test_a_parameter_is_never_read_as_sql(query, database):
    assert query("SELECT id FROM t WHERE name = $1", "'; DROP TABLE t; --")["rows"] == []
    assert rows(database) == 10


@pytest.mark.usefixtures("database")
def test_a_long_result_is_cut_and_says_so(database_url):
    [query, _] = sql_tools(database_url, max_rows=3)
    cut = query.invoke({"sql": "SELECT id FROM t ORDER BY id"})
    assert (cut["rows"], cut["truncated"]) == ([[1], [2], [3]], True)
    whole = query.invoke({"sql": "SELECT id FROM t ORDER BY id LIMIT 3"})
    assert (whole["rows"], whole["truncated"]) == ([[1], [2], [3]], False)


def test_a_huge_result_does_not_fill_memory(query):
    tracemalloc.start()
    try:
        sql = "SELECT repeat('x', 10000) FROM generate_series(1, 100000)"
        found = query(sql)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found["truncated"] is True
    assert len(found["rows"]) == 100  # the limit of characters comes before that of rows
    assert peak < 10_000_000


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; DROP TABLE t",
        "COMMIT; DROP TABLE t",
        "COMMIT",
        "ROLLBACK",
        "SET TRANSACTION READ WRITE",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "BEGIN READ WRITE",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT set_config('transaction_read_only', 'off', false), write()",
        "INSERT INTO t VALUES (50, 'x')",
        "DELETE FROM t",
        "DROP TABLE t",
        "WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a",
        "SELECT * FROM t FOR UPDATE",
        "SELECT 1 INTO u",
        "CREATE TEMP TABLE u (a int)",
        "DO $$ BEGIN DELETE FROM t; END $$",
        "DO $$ BEGIN COMMIT; DELETE FROM t; END $$",
        "CALL gone()",
        "SELECT write()",
        "SELECT unlock()",
        "SELECT nextval('s')",
        "SELECT lo_create(0)",
        "SELECT query_to_xml('DELETE FROM t', true, true, '')",
        "COPY t TO PROGRAM 'touch /tmp/hitl-pwned'",
        "COPY (SELECT 1) TO STDOUT",
        "EXPLAIN ANALYZE DELETE FROM t",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "tool CURSOR FOR SELECT 1",
        "",
        ";",
        "SELECT 1\x00; DROP TABLE t",
        "LOCK t",
    ],
)
def test_a_read_cannot_escape_its_read_only_transaction(query, database, sql):
    for kind, name, body in (
        ("FUNCTION", "write() RETURNS int", "DELETE FROM t; RETURN 1;"),
        (
            "FUNCTION",
            "unlock() RETURNS int",
            "SET TRANSACTION READ WRITE; DELETE FROM t; RETURN 1;",
        ),
        ("PROCEDURE", "gone()", "COMMIT; DELETE FROM t;"),
    ):
        database.execute(f"CREATE {kind} {name} LANGUAGE plpgsql AS $f$ BEGIN {body} END $f$")
    with pytest.raises(ToolException):
        query(sql)
    assert rows(database) == 10
    assert database.execute("SELECT last_value, is_called FROM s").fetchone() == (1, False)


def test_a_setting_made_by_a_read_does_not_outlive_it(query):
    query("SELECT set_config('search_path', 'evil', false)")
    assert "evil" not in query("SELECT current_setting('search_path')")["rows"][0][0]


@pytest.mark.usefixtures("database")
def test_a_statement_that_takes_too_long_is_ended(database_url):
    [query, execute] = sql_tools(database_url, statement_timeout_ms=200)
    began = time.monotonic()
    for tool, sql in (
        (query, "SELECT pg_sleep(60)"),
        (execute, "DO $$ BEGIN PERFORM pg_sleep(60); END $$"),
    ):
        with pytest.raises(ToolException, match="statement timeout"):
            tool.invoke({"sql": sql})
    assert time.monotonic() - began < 10


@pytest.mark.usefixtures("database")
def test_many_rows_that_each_take_long_are_ended_too(database_url):
    [query, _] = sql_tools(database_url, statement_timeout_ms=200)
    began = time.monotonic()
    with pytest.raises(ToolException, match=r"timeout|takes too long"):
        query.invoke({"sql": "SELECT pg_sleep(0.1) FROM generate_series(1, 100)"})
    assert time.monotonic() - began < 5


@pytest.mark.usefixtures("database")
def test_a_statement_that_swallows_its_timeout_is_ended(database_url):
    """PL/pgSQL can catch `query_canceled`; the limit on the transaction cannot be caught."""
    [_, execute] = sql_tools(database_url, statement_timeout_ms=200)
    loop = """DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(60);
        EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$"""
    with pytest.raises(ToolException, match="transaction timeout"):
        execute.invoke({"sql": loop})


def test_a_change_is_made_and_counted(execute, database):
    assert execute("UPDATE t SET name = $1 WHERE id <= $2", "x", 4) == {"rows_affected": 4}
    assert execute("INSERT INTO t VALUES ($1, $2)", 11, None) == {"rows_affected": 1}
    assert execute("CREATE TABLE u (a int)") == {"rows_affected": 0}
    assert database.execute("SELECT count(*) FROM t WHERE name = 'x'").fetchone() == (4,)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM t; DROP TABLE t",
        "DELETE FROM t; COMMIT",
        "DELETE FROM t RETURNING *",
        "SELECT write()",
        "COMMIT",
        "ROLLBACK",
        "COPY t FROM STDIN",
        "COPY t TO STDOUT",
        "VACUUM t",
        "INSERT INTO t SELECT 1, 'again'",
        "DELETE FROM t WHERE id = 1/0",
        "DELETE FROM t\x00 WHERE id = 1",
        "DELETE FROM no_such_table",
    ],
)
def test_a_statement_that_is_refused_changes_nothing(execute, database, sql):
    with pytest.raises(ToolException):
        execute(sql)
    assert rows(database) == 10


def test_a_refusal_at_commit_is_reported(execute, database):
    database.execute(
        "ALTER TABLE t ADD COLUMN parent int REFERENCES t DEFERRABLE INITIALLY DEFERRED"
    )
    with pytest.raises(ToolException, match="violates foreign key"):
        execute("UPDATE t SET parent = 99")


def test_a_connection_lost_at_commit_is_said_to_be_in_doubt(execute, database):
    """A deferred trigger runs within COMMIT; this one ends its own server process."""
    database.execute(
        """CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
        $f$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $f$"""
    )
    database.execute(
        """CREATE CONSTRAINT TRIGGER die AFTER DELETE ON t DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION die()"""
    )
    with pytest.raises(ToolException, match="it is not known whether the change"):
        execute("DELETE FROM t")


@pytest.mark.usefixtures("database")
def test_a_locked_row_is_not_waited_for_for_ever(database_url):
    [_, execute] = sql_tools(database_url, statement_timeout_ms=200)
    with psycopg.connect(database_url) as other:
        other.execute("UPDATE t SET name = 'x' WHERE id = 1")
        with pytest.raises(ToolException, match="timeout"):
            execute.invoke({"sql": "DELETE FROM t WHERE id = 1"})


def test_no_connection_is_left_open(query, execute, database):
    for _ in range(3):
        query("SELECT 1")
        with pytest.raises(ToolException):
            query("SELECT 1/0")
        with pytest.raises(ToolException):
            execute("COPY t FROM STDIN")
    end = time.monotonic() + 5
    sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    while database.execute(sql).fetchone()[0] > 1 and time.monotonic() < end:
        time.sleep(0.05)
    assert database.execute(sql).fetchone() == (1,)


def test_calls_at_the_same_time_do_not_disturb_each_other(query):
    found = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(query("SELECT $1::int", n)["rows"][0][0]))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(8))


def test_an_unreachable_database_is_reported_without_its_password():
    [query, _] = sql_tools("postgresql://me:hunter2@127.0.0.1:1/x")
    with pytest.raises(ToolException, match="cannot be reached") as caught:
        query.invoke({"sql": "SELECT 1"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"sql": 1},
        {"sql": "SELECT 1", "parameters": [{"a": 1}]},
        {"sql": "SELECT 1", "parameters": "x"},
        {"sql": "SELECT 1", "params": []},
        {"sql": "SELECT '\udc00'"},
    ],
)
def test_arguments_that_do_not_fit_the_schema_are_refused(tools, arguments):
    with pytest.raises(ValidationError):
        tools["sql_query"].invoke(arguments)


def test_a_parameter_with_nul_is_refused(query):
    with pytest.raises(ToolException):
        query("SELECT $1::text", "a\x00b")


@pytest.mark.parametrize("parameters", [[], [1, 2]])
def test_a_wrong_number_of_parameters_is_refused(query, parameters):
    with pytest.raises(ToolException):
        query("SELECT $1::int", *parameters)
