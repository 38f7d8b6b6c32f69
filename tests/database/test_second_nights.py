"""Second nights: what is found by comparing lines is what judging the whole file anew finds, night after night."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, example, given, settings
from hypothesis import strategies as st

from databases import TEMPLATE, copied_database
from district.dataset import Column, Dataset, Files, Parent
from district.demo.postgres import Server
from district.extract import changed
from district.pipeline import release
from district.review.holds import waiting
from importing import CHILDREN, FTE_RULE, Outcome, Place, children, csv_bytes, decide, with_gate, working_in
from killing import fork_server, kill_step

# It mends its history: a parent that is held as a whole would only block its child.
FAMILIES = dataclasses.replace(with_gate(CHILDREN, floor=1_000_000), history=True)
VISITS = Dataset(
    name="visits",
    extract=Files("visits_*.csv"),
    key=("student_id", "school_id", "school_year", "visited_on"),
    scope=("school_year",),
    columns=(
        Column("student_id", personal=True),
        Column("school_id"),
        Column("school_year", "integer"),
        Column("visited_on", "date"),
        Column("grade_level_code", code_set="grade", required=True),
        Column("minutes", "integer"),
    ),
    parents=(Parent("children", on=("student_id", "school_id", "school_year")),),
    # Its schools may be held: what is held meets what is carried.
    gate=CHILDREN.gate,
)
HEADER = [column.name for column in VISITS.columns]
CROWD = 24
Row = dict[str, str]


def sql(rule_id: str, query: str, severity: str = "critical", **meta: str) -> dict[str, Any]:
    about = {"rule_id": f"visits.{rule_id}", "title": "A title", "fix": "Mend it.", "owner": "data_person"}
    kwargs = {"unexpected_rows_query": query}
    return {"type": "unexpected_rows_expectation", "severity": severity, "kwargs": kwargs, "meta": about | meta}


def rules(longest: int = 500) -> list[Any]:
    """One rule of each kind: on a row, on a row and its parent, on the batch, and one of Great Expectations' own."""
    young = (
        "select b.row_no from {batch} join district.children c using (student_id, school_id, school_year) "
        "where c.withdrawn_at is null and b.visited_on < c.birth_date"
    )
    crowded = (
        "select row_no from {batch} where (school_id, visited_on) in "
        f"(select school_id, visited_on from {{batch}} group by 1, 2 having count(*) > {CROWD})"
    )
    return [
        sql("long", f"select row_no from {{batch}} where minutes > {longest}", judges="row"),
        sql("before_birth", young.replace("b.", "batch."), judges="row"),
        sql("crowded", crowded, "warning", on_fail="report"),
        {
            "type": "expect_column_values_to_be_between",
            "severity": "warning",
            "kwargs": {"column": "minutes", "min_value": 1},
            "meta": {
                "rule_id": "visits.short",
                "title": "A title",
                "fix": "Mend it.",
                "owner": "data_person",
                "on_fail": "blank",
            },
        },
    ]


def visits(count: int = 120) -> list[Row]:
    return [
        {
            "student_id": child["student_id"],
            "school_id": child["school_id"],
            "school_year": "2027",
            "visited_on": f"2026-10-{5 + number // 60 + number % 3:02d}",
            "grade_level_code": "K",
            "minutes": "30",
        }
        for number, child in ((number, children(60)[number % 60]) for number in range(count))
    ]


def files() -> tuple[list[Row], list[Row]]:
    """The rows of both first files; the last twenty of each are of a closed year, and come every night."""
    last_year = {"school_year": "2026"}
    families = [*children(60), *(row | last_year for row in children(20))]
    return families, [*visits(), *(row | last_year | {"visited_on": "2026-03-02"} for row in visits(20))]


def visits_bytes(rows: list[Row]) -> bytes:
    return "".join(",".join(row.values()) + "\n" for row in [dict(zip(HEADER, HEADER, strict=True)), *rows]).encode()


def closed(rows: list[Row], at: int) -> Row:
    of_it = [row for row in rows if row["school_year"] == "2026"]
    return of_it[at % len(of_it)] if of_it else rows[at]


# What happens to a file between two nights; each takes the rows and the place of one of them.
EDITS: dict[str, Callable[[list[Row], int], object]] = {
    "minutes": lambda rows, at: rows[at].update(minutes="45"),
    "too long": lambda rows, at: rows[at].update(minutes="450"),
    "blanked": lambda rows, at: rows[at].update(minutes="-5"),
    "no number": lambda rows, at: rows[at].update(minutes="soon"),
    "unknown code": lambda rows, at: rows[at].update(grade_level_code="X"),
    "unknown child": lambda rows, at: rows[at].update(student_id="7999999"),
    "closed year, corrected": lambda rows, at: closed(rows, at).update(minutes=str(31 + at % 7)),
    "closed year, rejected": lambda rows, at: closed(rows, at).update(minutes="450"),
    "closed year, gone": lambda rows, at: rows.remove(closed(rows, at)),
    "closed year, unknown child": lambda rows, at: rows.append(closed(rows, at) | {"student_id": "7999999"}),
    "early": lambda rows, at: rows[at].update(visited_on="2015-06-30"),
    "no day": lambda rows, at: rows[at].update(visited_on=""),
    "crowd": lambda rows, at: [
        row.update(visited_on="2026-10-07")
        for row in [each for each in rows if each["school_id"] == "0100"][at % 50 :][:5]
    ],
    "gone": lambda rows, at: rows.pop(at),
    "twice": lambda rows, at: rows.insert(len(rows) // 2, dict(rows[at])),
    "twice, first": lambda rows, at: rows.insert(0, dict(rows[at])),
    "twice, otherwise": lambda rows, at: rows.append(rows[at] | {"minutes": "46"}),
    "twice, blank added": lambda rows, at: rows.append(rows[at] | {"minutes": " 30"}),
    "new": lambda rows, at: rows.append(rows[at] | {"visited_on": "2026-11-02"}),
    "moved": lambda rows, at: rows.append(rows.pop(at)),
    "half a school gone": lambda rows, at: rows.__setitem__(
        slice(None), [row for n, row in enumerate(rows) if n % 2 or row["school_id"] != rows[at]["school_id"]]
    ),
    "a school changed": lambda rows, at: [
        row.update(minutes="44") for row in rows if row["school_id"] == rows[at]["school_id"]
    ],
    "totals": lambda rows, at: rows.insert(at, {"student_id": "", "school_id": "", "school_year": "2027,,,,,"}),
}
FAMILY_EDITS: dict[str, Callable[[list[Row], int], object]] = {
    "born later": lambda rows, at: rows[at].update(birth_date="2026-10-06"),
    "born earlier": lambda rows, at: rows[at].update(birth_date="2014-01-01"),
    "child gone": lambda rows, at: rows.pop(at) if len(rows) > 50 else None,
    "child bad": lambda rows, at: rows[at].update(fte="2"),
}
NIGHTS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from(sorted(EDITS)), st.integers(0, 10_000)), max_size=5),
        st.lists(st.tuples(st.sampled_from(sorted(FAMILY_EDITS)), st.integers(0, 10_000)), max_size=2),
        st.sampled_from(["", "", "", "approve", "suite", "code"]),
        # The step that is killed, and before which of its statements.
        st.none() | st.tuples(st.sampled_from(["extract", "validate", "load"]), st.integers(0, 80)),
    ),
    min_size=1,
    max_size=4,
)


@contextmanager
def district(server: Server, folder: Path) -> Iterator[Place]:
    folder.mkdir()
    with copied_database(server, TEMPLATE) as url:
        place = Place(folder=folder, url=url, server_log=server.running.log)
        place.write_suite([FTE_RULE], FAMILIES)
        place.write_suite(rules(), VISITS)
        yield place


def night(
    place: Place,
    number: int,
    families: list[Row],
    rows: list[Row],
    *,
    whole: bool,
    approve: bool = False,
    before: Callable[..., object] = lambda step, **how: None,
) -> Outcome:
    """A night of both data sets; where no share may differ, a file is judged whole.

    With ``approve``, a person lets through what is held.
    """
    stamp, age = f"2026-11-{number:02d}", 86_400.0 - 3_600 * number
    with working_in(place), pytest.MonkeyPatch.context() as patch:
        if whole:
            patch.setattr(changed, "MOST_DIFFERENT", -1)
        for dataset, content in ((FAMILIES, csv_bytes(families)), (VISITS, visits_bytes(rows))):
            place.drop(content, f"{dataset.name}_1.csv", age=age)
            outcome = place.run(dataset, night=stamp, before=before)
            # Edits may come to what was there two nights ago, which is held.
            told = outcome.rule_id in ("file.resent", "year.closed") or outcome.rule_id.startswith("gate.")
            assert outcome.state in ("loaded", "unchanged") or told, outcome.message
        if approve and waiting(VISITS, outcome.run_key) is not None:
            decide(VISITS, outcome.run_key, choice="approve", person="Pat", role="data_person", reason="It is meant.")
            assert release(VISITS, run_key=outcome.run_key).state == "loaded"
    return outcome


def left_behind(place: Place) -> dict[str, list[Any]]:
    """All that a district's nights came to, save for when; runs go by night, since a killed step may begin another."""
    columns = ", ".join(["source_line", "withdrawn_at is null as stands", *VISITS.target_columns])
    counts = "state, kind, read, rejected, superseded, held, warnings, inserted, updated, unchanged, withdrawn, scope"
    night = "(select dataset || partition from import_log.import_run where id = import_run_id) as night"
    newest = "(select max(id) from import_log.import_run group by dataset, partition)"
    return {
        "rows": place.rows(f"select {night}, {columns} from district.visits order by {', '.join(VISITS.key)}"),
        "runs": place.rows(f"select dataset, {counts} from import_log.import_run where id in {newest} order by id"),
        "issues": place.rows(
            f"select {night}, rule_id, severity, cause, fate, rows, first_line, first_seen "
            f"from import_log.import_issue where import_run_id in {newest} order by 1, 2, 4"
        ),
        "schools": place.rows(
            f"select {night}, school_id, standing, new, changed, unchanged, gone, rejected, unknown_codes, orphans, "
            f"held from import_log.school_change where import_run_id in {newest} order by 1, 2"
        ),
        "holds": place.rows(
            f"select {night}, school_id, rule_id, reason, state from import_log.hold "
            f"where import_run_id in {newest} order by 1, 2, 3"
        ),
        "quarantine": place.rows(
            f"select {night}, source_line, raw, state, (select array_agg(r::text order by r::text) "
            "from jsonb_array_elements(reasons) r) as reasons from import_log.quarantined_row order by 1, 2"
        ),
        "history": place.rows(
            f"select {night}, action, before - '{{withdrawn_at,import_run_id}}'::text[] as row "
            "from import_log.row_history order by 1, 2, 3"
        ),
    }


def compared(place: Place) -> int:
    """How many runs were staged by what differs."""
    return len(place.rows("select id from import_log.import_run where since_id is not null"))


SWEEPING = ["half a school gone", "a school changed"]
# Held as a whole until somebody approves them.
AMENDING = ["closed year, corrected", "closed year, gone"]
MILD = [name for name in sorted(EDITS) if name not in (*SWEEPING, *AMENDING)]
# Every edit there is, each once, whatever the others draw: first what is compared, then what has everything judged.
EVERY_EDIT: list[Any] = [
    ([(name, 7 * number) for number, name in enumerate(names)], families, change, (step, 9 + 5 * part))
    for part, (names, families, change, step) in enumerate(
        [
            (MILD[0::3], [("born earlier", 0)], "", "extract"),
            ([*MILD[1::3], *AMENDING], [("born later", 11)], "approve", "validate"),
            (MILD[2::3], [("child gone", 22)], "", "load"),
            (SWEEPING[:1], [("child bad", 33)], "code", "load"),
            (SWEEPING[1:], [], "suite", "load"),
        ]
    )
]


@pytest.fixture(scope="module")
def forks() -> ForkServerContext:
    return fork_server()


@example(EVERY_EDIT)
@given(NIGHTS)
@settings(
    max_examples=int(os.environ.get("SECOND_NIGHTS", "2")),
    deadline=None,
    # To shrink a sequence of nights takes longer than to read it.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_comparing_lines_comes_to_what_judging_everything_does(
    migrated: Server, tmp_path_factory: pytest.TempPathFactory, forks: ForkServerContext, nights: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("nights")
    families, rows = files()
    with district(migrated, folder / "lines") as lines, district(migrated, folder / "whole") as whole:
        for number, (edits, family_edits, change, killed) in enumerate([([], [], "", None), *nights], start=1):

            def kill(step: str, *, dataset: Dataset, killed: Any = killed, **how: Any) -> None:
                if killed and step == killed[0]:
                    done = kill_step(forks, lines.environment, *killed, dataset, **how)
                    event(f"{step} was killed" if done else f"{step} had ended")

            for name, at in edits:
                EDITS[name](rows, at % len(rows))
            for name, at in family_edits:
                FAMILY_EDITS[name](families, at % len(families))
            for place in (lines, whole):
                if change == "suite":
                    place.write_suite(rules(400), VISITS)
                if change == "code":
                    with (place.folder / "crosswalks" / "grade.csv").open("a", encoding="utf-8") as file:
                        file.write("sis,,,X,Tenth,\n")
                nothing = {} if place is whole else {"before": kill}
                night(place, number, families, rows, whole=place is whole, approve=change == "approve", **nothing)
            seen, wanted = left_behind(lines), left_behind(whole)
            for part in wanted:
                assert seen[part] == wanted[part], f"{part} after night {number}"
        event(f"nights compared: {compared(lines)}")
        assert compared(whole) == 0
        # A fault that only makes every file be judged whole would come to the same rows.
        assert compared(lines) >= 6 or nights != EVERY_EDIT
    shutil.rmtree(folder)


@pytest.fixture
def two(migrated: Server, tmp_path: Path) -> Iterator[tuple[Place, list[Row], list[Row]]]:
    """A district after its first night, and the rows of its files."""
    families, rows = children(60), visits()
    with district(migrated, tmp_path / "lines") as place:
        night(place, 1, families, rows, whole=False)
        yield place, families, rows


def staged_since(place: Place, outcome: Outcome) -> int | None:
    (run,) = place.rows("select since_id from import_log.import_run where run_key = :key", key=outcome.run_key)
    since: int | None = run["since_id"]
    return since


def test_a_changed_line_is_all_that_is_staged(two: tuple[Place, list[Row], list[Row]]) -> None:
    place, families, rows = two
    rows[3]["minutes"] = "45"
    outcome = night(place, 2, families, rows, whole=False)
    assert staged_since(place, outcome) is not None
    assert outcome.summary is not None
    told = dataclasses.asdict(outcome.summary)
    assert {name: told[name] for name in ("read", "updated", "unchanged", "withdrawn")} == {
        "read": 120,
        "updated": 1,
        "unchanged": 119,
        "withdrawn": 0,
    }


def test_a_table_that_was_changed_by_hand_is_made_good(two: tuple[Place, list[Row], list[Row]]) -> None:
    place, families, rows = two
    place.execute("delete from district.visits where student_id = :id", id=rows[5]["student_id"])
    rows[3]["minutes"] = "45"
    outcome = night(place, 2, families, rows, whole=False)
    assert staged_since(place, outcome) is None
    assert outcome.summary is not None
    assert (outcome.summary.inserted, outcome.summary.updated) == (2, 1)


def test_a_closed_year_corrected_by_hand_leaves_the_current_one_and_its_comparison_alone(
    two: tuple[Place, list[Row], list[Row]],
) -> None:
    place, families, rows = two
    closed = [row | {"school_year": "2026", "visited_on": "2026-03-02"} for row in rows[:60]]
    file = place.folder / "closed.csv"
    with working_in(place):
        by_hand = dataclasses.replace(VISITS, parents=())
        for correction in (closed, [*closed[:-1], closed[-1] | {"minutes": "45"}], closed[1:]):
            file.write_bytes(visits_bytes(correction))
            outcome = place.run(by_hand, night="2026-11-01", file=file)
            assert (outcome.state, "is closed" in outcome.message) == ("held", True)
            said = {"person": "Rita Moss", "role": "data_person", "reason": "An audit."}
            decide(by_hand, outcome.run_key, choice="approve", **said)
            assert release(by_hand, run_key=outcome.run_key).state == "loaded"
    rows[3]["minutes"] = "45"
    outcome = night(place, 2, families, rows, whole=False)
    assert staged_since(place, outcome) is not None
    standing = place.rows(
        "select school_year, count(*) filter (where withdrawn_at is null) as stands, "
        "count(*) filter (where minutes = 45) as corrected from district.visits group by 1 order by 1"
    )
    assert [tuple(row.values()) for row in standing] == [(2026, 59, 0), (2027, 120, 1)]


@pytest.mark.parametrize("whole", [False, True])
def test_a_closed_year_in_the_same_file_is_held_only_where_a_row_of_it_would_change(
    migrated: Server, tmp_path: Path, whole: bool
) -> None:
    families, rows = files()
    changes: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "a row of this year": lambda: rows[3].update(minutes="45"),
        "a row of this year gone": lambda: rows.pop(5),
        "a closed row that is rejected": lambda: rows.append(rows[-1] | {"student_id": "7999999"}),
        "another": lambda: rows[4].update(minutes="45"),
    }
    with district(migrated, tmp_path / "lines") as place:
        for number, (what, change) in enumerate(changes.items(), start=1):
            change()
            outcome = night(place, number, families, rows, whole=whole)
            assert (outcome.state, outcome.message) == ("loaded", ""), what
        assert (compared(place) > 0) is not whole
        closed_row = closed(rows, 0)
        for number, change in enumerate((lambda: closed_row.update(minutes="45"), lambda: rows.remove(closed_row)), 6):
            before = place.table_hash(VISITS)
            change()
            outcome = night(place, number, families, rows, whole=whole)
            assert (outcome.rule_id, "2026 is closed" in outcome.message) == ("year.closed", True)
            assert place.table_hash(VISITS) == before


@pytest.mark.parametrize("lost", ["landed copy", "layout", "day that a rule asks for"])
def test_what_cannot_be_compared_is_judged_whole(two: tuple[Place, list[Row], list[Row]], lost: str) -> None:
    place, families, rows = two
    dataset = VISITS
    if lost == "landed copy":
        shutil.rmtree(place.folder / "landed")
    if lost == "layout":
        dataset = dataclasses.replace(VISITS, layout=dataclasses.replace(VISITS.layout, null_tokens=("", "-")))
    if lost == "day that a rule asks for":
        bound = {"column": "visited_on", "min_value": {"$PARAMETER": "school_year_first_day"}}
        asked = rules()[3] | {"kwargs": bound, "meta": rules()[3]["meta"] | {"on_fail": "report"}}
        place.write_suite([asked], VISITS)
        night(place, 2, families, rows, whole=False)
        assert staged_since(place, night(place, 3, families, rows[1:], whole=False)) is not None
        asked["kwargs"]["min_value"] = {"$PARAMETER": "night"}
        place.write_suite([asked], VISITS)
        night(place, 4, families, rows[2:], whole=False)
    rows[3]["minutes"] = "45"
    with working_in(place):
        place.drop(visits_bytes(rows), "visits_1.csv", age=60)
        assert staged_since(place, place.run(dataset, night="2026-11-05")) is None
