"""The database's tables and views, its version, and migration from older versions.

`MIGRATIONS[n]` makes version n from version n - 1; version 0 is an empty file, so new and old databases go through the
same steps. Views hold no data and are recreated at every migration.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import duckdb
from pydantic import ValidationError

from harness.errors import InputError
from harness.records.trial import Trial
from harness.results import tables


def _first_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Version 1: the first tables."""
    con.execute(
        """CREATE TABLE trials (
            trial_id VARCHAR PRIMARY KEY,
            kind VARCHAR NOT NULL,
            status VARCHAR NOT NULL,             -- planned, running, ok, failed, pruned
            title VARCHAR,
            spec VARCHAR,
            config_id VARCHAR,
            parents VARCHAR[],
            role VARCHAR,           -- whose number: student, prepared, shipped
            model_key VARCHAR,      -- the model that a distil trial makes and a finetune trial scores
            teacher_key VARCHAR,    -- the model that a distil or prepare trial learns from
            arch_key VARCHAR,       -- identity of teacher and student: what one measurement serves
            milestone INTEGER,
            method VARCHAR, family VARCHAR, teacher VARCHAR, student VARCHAR, language VARCHAR,
            suite VARCHAR, task VARCHAR, protocol VARCHAR,
            learning_rate DOUBLE, epochs INTEGER, distil_seed BIGINT, finetune_seed BIGINT,
            labels VARCHAR, config VARCHAR, data VARCHAR,              -- JSON
            error VARCHAR, error_message VARCHAR, error_step BIGINT, error_term VARCHAR,
            started_at DOUBLE, finished_at DOUBLE, seconds DOUBLE, resumed INTEGER,
            device VARCHAR, fingerprint VARCHAR, precision VARCHAR, threads INTEGER,
            tokens BIGINT, tokens_per_second DOUBLE, weights_sha256 VARCHAR,
            dev_value DOUBLE, selected BOOLEAN,
            flags VARCHAR[], facts VARCHAR, provenance VARCHAR,        -- JSON
            origin VARCHAR, result_sha256 VARCHAR
        );
        CREATE TABLE scores (
            trial_id VARCHAR NOT NULL,
            suite VARCHAR, task VARCHAR, language VARCHAR, split VARCHAR, metric VARCHAR,
            value DOUBLE, n BIGINT, data_id VARCHAR, dev_value DOUBLE,
            reported BOOLEAN,                    -- of the split and the metrics that make the task's score
            selected BOOLEAN,                    -- of the setting that dev scores chose
            flags VARCHAR[]
        );
        CREATE TABLE progress (
            trial_id VARCHAR NOT NULL, step BIGINT, steps BIGINT, loss DOUBLE, terms VARCHAR,
            learning_rate DOUBLE, tokens_per_second DOUBLE, "at" DOUBLE, gradient_norm DOUBLE
        );
        CREATE TABLE measurements (
            trial_id VARCHAR NOT NULL, arch_key VARCHAR, model_key VARCHAR,
            metric VARCHAR, value DOUBLE, unit VARCHAR, protocol VARCHAR, fingerprint VARCHAR, device VARCHAR,
            spread DOUBLE, valid BOOLEAN
        );
        """
    )


def _utilisation(con: duckdb.DuckDBPyConnection) -> None:
    """Version 2: how well a trial used its machine."""
    con.execute(
        "ALTER TABLE trials ADD COLUMN flops_per_second DOUBLE; ALTER TABLE trials ADD COLUMN utilisation DOUBLE"
    )


def _no_information(con: duckdb.DuckDBPyConnection) -> None:
    """Version 3: the score of guessing."""
    con.execute("ALTER TABLE scores ADD COLUMN no_information DOUBLE")


def _whole_identities(con: duckdb.DuckDBPyConnection) -> None:
    """Version 4: measurements are keyed by the whole identity of what was measured, instead of four fields."""
    trials: dict[str, Trial] = {}
    for row in con.execute(
        "SELECT trial_id, kind, parents, config_id, labels, config, data FROM trials WHERE config IS NOT NULL"
    ).fetchall():
        with suppress(ValidationError):  # of a harness whose jobs this one cannot read: its key stays unknown
            trials[row[0]] = tables.trial_of(*row)
    keys = {trial_id: tables.measured_as(trial, trials) for trial_id, trial in trials.items()}
    con.execute(
        "UPDATE trials SET arch_key = key FROM (SELECT unnest($ids) AS id, unnest($keys) AS key) WHERE trial_id = id",
        {"ids": list(keys), "keys": list(keys.values())},
    )
    con.execute(
        "UPDATE trials SET arch_key = NULL WHERE NOT list_contains($ids, trial_id)", {"ids": list(keys)}
    )
    con.execute(
        "UPDATE measurements SET arch_key = trials.arch_key FROM trials "
        "WHERE trials.trial_id = measurements.trial_id"
    )


def _clipped(con: duckdb.DuckDBPyConnection) -> None:
    """Version 5: the number of clipped steps."""
    con.execute("ALTER TABLE progress ADD COLUMN clipped DOUBLE")


def _names_by_content(con: duckdb.DuckDBPyConnection) -> None:
    """Version 6: names of models, architectures and protocols are recomputed from the content of teachers and from what
    determines ids now; protocols include the precision that was used."""
    _rename(con, ("model_key", "teacher_key", "arch_key", "protocol"))
    con.execute(
        "UPDATE measurements SET arch_key = trials.arch_key, model_key = trials.model_key FROM trials "
        "WHERE measurements.trial_id = trials.trial_id"
    )


def _rename(con: duckdb.DuckDBPyConnection, columns: tuple[str, ...]) -> None:
    """Recompute these columns of `trials`, which are among `harness.results.renaming.NAMES`."""
    from harness.results.renaming import renamed

    if con.execute("SELECT count(*) FROM trials").fetchone() == (0,):
        return  # a new database
    con.register("fresh", renamed(con))
    setting = ", ".join(f"{name} = fresh.{name}" for name in columns)
    con.execute(f"UPDATE trials SET {setting} FROM fresh WHERE trials.trial_id = fresh.trial_id")
    con.unregister("fresh")


def _analyses(con: duckdb.DuckDBPyConnection) -> None:
    """Version 7: students beside their teachers on held-out text."""
    con.execute(
        """CREATE TABLE layer_pairs (
            trial_id VARCHAR NOT NULL,
            measure VARCHAR,                     -- cka, or the relations qq, kk, vv
            student_layer INTEGER, teacher_layer INTEGER, value DOUBLE
        );
        CREATE TABLE transfers (
            trial_id VARCHAR NOT NULL,
            objective VARCHAR,                   -- the method by whose objective the student is measured
            loss DOUBLE, fitted VARCHAR[], missing VARCHAR
        );
        """
    )


def _rarity(con: duckdb.DuckDBPyConnection) -> None:
    """Version 8: scores by the share of words that the tokenizer splits."""
    con.execute(
        """CREATE TABLE rarity (
            trial_id VARCHAR NOT NULL, task VARCHAR, language VARCHAR, metric VARCHAR,
            quarter INTEGER, low DOUBLE, high DOUBLE, n BIGINT, value DOUBLE
        )"""
    )


def _encoders(con: duckdb.DuckDBPyConnection) -> None:
    """Version 9: a score belongs to every model with the encoder that was fine-tuned, and settings are chosen for
    encoders."""
    from harness.results.selection import mark_selected

    con.execute("ALTER TABLE trials ADD COLUMN encoder_key VARCHAR")
    _rename(con, ("encoder_key",))
    mark_selected(con)


MIGRATIONS: dict[int, Callable[[duckdb.DuckDBPyConnection], None]] = {
    1: _first_tables,
    2: _utilisation,
    3: _no_information,
    4: _whole_identities,
    5: _clipped,
    6: _names_by_content,
    7: _analyses,
    8: _rarity,
    9: _encoders,
}
"""Version -> the step that makes it from the version before."""

VERSION = max(MIGRATIONS)
"""The version that this code reads and writes."""

VIEWS = """
CREATE OR REPLACE VIEW models AS
    -- one row per model that was trained here or scored here
    SELECT model_key, coalesce(max(config_id) FILTER (kind = 'finetune'), max(config_id)) AS config_id,
           any_value(role) AS role, any_value(milestone) AS milestone,
           any_value(method) AS method, any_value(family) AS family, any_value(teacher) AS teacher,
           any_value(student) AS student, any_value(language) AS language,
           any_value(distil_seed) AS distil_seed, any_value(arch_key) AS arch_key,
           any_value(teacher_key) AS teacher_key,
           coalesce(max(encoder_key) FILTER (kind IN ('distil', 'prepare')), max(encoder_key)) AS encoder_key,
           any_value(config) FILTER (kind IN ('distil', 'prepare')) AS config,
           max(tokens) FILTER (kind = 'distil') AS tokens
    FROM trials WHERE model_key IS NOT NULL
    GROUP BY model_key;

CREATE OR REPLACE VIEW evaluations AS
    -- one row per model and fine-tuning trial of its encoder: a trial counts for every model with that encoder
    SELECT m.model_key, m.config_id, m.milestone, m.role, t.trial_id, t.status, t.error, t.suite, t.task, t.protocol,
           t.learning_rate, t.epochs, t.finetune_seed, t.selected, t.finished_at, t.config
    FROM models m JOIN trials t USING (encoder_key)
    WHERE t.kind = 'finetune';

CREATE OR REPLACE VIEW cells AS
    -- one row per model, task and language: the chosen setting's reported score; its metrics are averaged,
    -- then its fine-tuning seeds
    SELECT model_key, any_value(config_id) AS config_id, any_value(milestone) AS milestone,
           any_value(role) AS role, suite, task, language, protocol,
           CASE WHEN count(value) = count(*) THEN avg(value) END AS value, count(*) AS runs,
           min(n) AS n, max(no_information) AS no_information, max(dev_value) AS dev_value,
           max(finished_at) AS finished_at, list_distinct(flatten(list(flags))) AS flags
    FROM (
        SELECT e.model_key, e.finetune_seed, any_value(e.config_id) AS config_id,
               any_value(e.milestone) AS milestone, any_value(e.role) AS role,
               max(e.finished_at) AS finished_at, s.suite, s.task, s.language, e.protocol,
               CASE WHEN count(s.value) = count(*) THEN avg(s.value) END AS value,
               min(s.n) AS n, max(s.dev_value) AS dev_value, flatten(list(s.flags)) AS flags,
               CASE WHEN min(s.no_information) = max(s.no_information)
                         AND count(s.no_information) = count(*) THEN max(s.no_information) END AS no_information
        FROM scores s JOIN evaluations e USING (trial_id)
        WHERE s.reported AND s.selected AND e.status = 'ok'
        GROUP BY e.model_key, e.finetune_seed, e.protocol, s.suite, s.task, s.language
    )
    GROUP BY model_key, suite, task, language, protocol;
"""


def version_of(con: duckdb.DuckDBPyConnection) -> int:
    """The version stored in the file; 0 for an empty one. InputError if it is not a harness database."""
    try:
        row = con.execute("SELECT max(version) FROM harness_schema").fetchone()
    except duckdb.CatalogException:
        if con.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (0,):
            return 0
        raise InputError("its tables are not those of the harness") from None
    return int(row[0]) if row and row[0] is not None else 0


def check_version(version: int) -> None:
    """InputError if the file is from a newer harness."""
    if version > VERSION:
        raise InputError(
            f"its schema version is {version}, and this harness knows up to {VERSION}; update the harness, "
            "or rebuild the database in a new file: `harness ingest --db NEW`"
        )


def migrate(con: duckdb.DuckDBPyConnection) -> list[int]:
    """Migrate the open database to `VERSION` in one transaction; returns the versions made, in order (none
    if it is current)."""
    present = version_of(con)
    check_version(present)
    missing = [version for version in sorted(MIGRATIONS) if version > present]
    if not missing:
        return []
    con.execute("BEGIN")
    try:
        con.execute("CREATE TABLE IF NOT EXISTS harness_schema (version INTEGER)")
        for version in missing:
            MIGRATIONS[version](con)
            con.execute("INSERT INTO harness_schema VALUES (?)", [version])
        con.execute(VIEWS)
        con.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # a commit that failed has rolled back by itself
            con.execute("ROLLBACK")
        raise
    return missing
