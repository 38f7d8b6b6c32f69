"""Generates a synthetic district: nights of extracts, past administrations, the truth, and what is to be expected."""

from __future__ import annotations

import datetime
import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from district.settings import District, settings
from district.synthetic import attendance, enrollment, transcripts
from district.synthetic.assessments import AssessmentYear, assessment_kinds, assessment_source
from district.synthetic.defects import Injection, Kind, inject
from district.synthetic.extract import Extracts, truth_header
from district.synthetic.mishaps import Mishap, Mishaps
from district.synthetic.people import Students, invent_students
from district.synthetic.plan import DistrictPlan, School, make_plan
from district.synthetic.sheet import NEVER, Quota, Sheet

NEWCOMERS = 0.001


def generate(
    folder: Path,
    *,
    size: str | int = "small",
    seed: int = 1,
    nights: int = 2,
    defects: bool = True,
    first_night: datetime.date | None = None,
    mishaps: tuple[Mishap, ...] = (),
    district: District | None = None,
    layouts_folder: Path | None = None,
) -> dict[str, Any]:
    """Writes ``night_<n>/``, ``past/``, ``truth/`` and ``expected.json`` into the folder.

    Returns what is expected, without the list of defects, which only the file holds.

    ``size`` is a name in SIZES or a number of students. The same arguments write the same bytes. Memory does not grow
    with the size: one school at a time. With defects and fewer than some 1,500 children, the one defect of each kind
    is already so large a share that gates hold the run. No defect strikes a school that meets with a mishap.
    """
    plan = make_plan(district or settings().district, size=size, seed=seed, nights=nights, first_night=first_night)
    layouts = layouts_folder or settings().layouts_folder
    with Generation(plan, folder, layouts, defects=defects, mishaps=mishaps) as run:
        for school in plan.schools:
            run.add_school(school)
        return run.finish(size)


class Generation:
    """The files of a plan while they are written, school by school."""

    def __init__(
        self,
        plan: DistrictPlan,
        folder: Path,
        layouts_folder: Path,
        *,
        defects: bool,
        mishaps: tuple[Mishap, ...] = (),
    ) -> None:
        self.plan = plan
        self.defects = defects
        self.mishaps = Mishaps(plan, mishaps)
        self._folder = folder
        self._stack = stack = ExitStack()
        self._found = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8"))  # noqa: SIM115 - the stack closes it
        self._quotas: dict[str, dict[str, Quota]] = {}
        self._newcomers = Quota(NEWCOMERS)
        self._enrollment_year = enrollment.EnrollmentYear(plan)
        self._transcript_year = transcripts.TranscriptYear(plan)
        self._nightly = {
            source.dataset: Extracts(
                source,
                self._paths(source.dataset, ending),
                truth=self._truth(source),
                defects=self._found,
                mishaps=self.mishaps,
            )
            for source, ending in (
                (enrollment.SOURCE, "csv"),
                (attendance.SOURCE, "txt"),
                (transcripts.SOURCE, "csv"),
            )
        }
        current = assessment_source(plan.current.key, layouts_folder)
        scores = self._truth(current)
        paths = {
            night.isoformat(): _made(folder / name) / f"state_assessments_{plan.current.key}.txt"
            for night, name in zip(plan.nights, plan.folders, strict=True)
        }
        self._nightly["state_assessments"] = Extracts(current, paths, truth=scores, defects=self._found)
        self._current_year = AssessmentYear(plan, plan.current, current, nights=len(plan.nights))
        self._past: dict[str, tuple[AssessmentYear, Extracts]] = {}
        for sitting in plan.past:
            source = assessment_source(sitting.key, layouts_folder)
            path = _made(folder / "past") / f"state_assessments_{sitting.key}.txt"
            truth = self._truth(source, name=f"state_assessments_{sitting.key}")
            files = Extracts(source, {sitting.key: path}, truth=truth, defects=self._found)
            self._past[sitting.key] = (AssessmentYear(plan, sitting, source, nights=1), files)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _paths(self, dataset: str, ending: str) -> dict[str, Path]:
        return {
            night.isoformat(): _made(self._folder / name) / f"{dataset}_{night:%Y%m%d}.{ending}"
            for night, name in zip(self.plan.nights, self.plan.folders, strict=True)
        }

    def _truth(self, source: Any, *, name: str = "") -> IO[str]:
        path = _made(self._folder / "truth") / f"{name or source.dataset}.csv"
        file = self._stack.enter_context(path.open("w", encoding="utf-8", newline=""))
        file.write(truth_header(source))
        return file

    def add_school(self, school: School) -> tuple[Students, enrollment.Spans]:
        """Invents one school and writes its rows into every file; returns who is there, and when."""
        plan = self.plan
        students = invent_students(plan, school, self._newcomers)
        spans = self._enrollment_year.spans(school, students)
        enrolled = self._enrollment_year.sheet(school, students, spans)
        absences, span = attendance.attendance_sheet(plan, school, students, spans)
        rows = len(enrolled)
        here = np.ones(rows, dtype=bool)
        # Without a single absence: their rejection makes no orphans. The calm ones are short stays besides.
        quiet = np.bincount(span, minlength=rows) == 0
        calm = quiet & (np.array(enrolled.columns["exit_date"]) != "")
        kinds = enrollment.enrollment_kinds(plan, spared=self.mishaps.schools)
        found = self._inject("enrollment", school, enrolled, kinds, here, calm=calm, quiet=quiet)
        loaded = self._nightly["enrollment"].add(enrolled, found)[:, :rows]
        clean = here.copy()
        clean[[i.row for i in found if i.kind.verdict == "REJECT" and i.row < rows]] = False
        self._add_attendance(school, absences, spans, span, loaded, clean)
        known, sound = _by_student(students, spans, loaded, clean)
        self._add_marks(school, students, known, sound)
        self._add_scores(school, students, known, sound)
        return students, spans

    def _inject(
        self,
        name: str,
        school: School,
        sheet: Sheet,
        kinds: tuple[Kind, ...],
        allowed: np.ndarray,
        *,
        nights: int = 0,
        calm: np.ndarray | None = None,
        quiet: np.ndarray | None = None,
        at_least: int = 1,
    ) -> list[Injection]:
        if not self.defects or not len(sheet) or school.school_id in self.mishaps.schools:
            return []
        # The name's bytes tell the data sets' random streams apart, the same in every process.
        rng = np.random.default_rng([self.plan.seed, school.index, 7, *name.encode()])
        quotas = self._quotas.setdefault(name, {})
        nights = nights or len(self.plan.nights)
        if "school_id" in sheet.columns:
            # A child who moved has a row of another school.
            allowed = allowed & ~np.isin(np.array(sheet.columns["school_id"]), list(self.mishaps.schools))
        return inject(
            sheet, kinds, quotas, rng, nights=nights, allowed=allowed, calm=calm, quiet=quiet, at_least=at_least
        )

    def _add_attendance(
        self, school: School, sheet: Sheet, spans: Any, span: np.ndarray, loaded: np.ndarray, clean: np.ndarray
    ) -> None:
        begin, end = np.array(spans.begin)[span], np.array(spans.end)[span]
        kinds = attendance.attendance_kinds(self.plan, begin, end)
        found = self._inject("attendance", school, sheet, kinds, clean[span])
        self._nightly["attendance"].add(sheet, found, known=loaded[:, span])

    def _add_marks(self, school: School, students: Students, known: np.ndarray, sound: np.ndarray) -> None:
        sheet = self._transcript_year.sheet(school, students)
        parents = known[:, sheet.student]
        found = self._inject("transcripts", school, sheet, transcripts.transcript_kinds(), sound[sheet.student])
        self._nightly["transcripts"].add(sheet, found, known=parents)

    def _add_scores(self, school: School, students: Students, known: np.ndarray, sound: np.ndarray) -> None:
        everyone = np.ones(len(students), dtype=bool)
        sheet = self._current_year.sheet(school, students, allowed=everyone)
        parents = known[:, sheet.student]
        kinds = assessment_kinds(self.plan.current)
        found = self._inject("state_assessments", school, sheet, kinds, sound[sheet.student])
        self._nightly["state_assessments"].add(sheet, found, known=parents)
        for key, (year, files) in self._past.items():
            # Only children whose enrollment loads on every night: a backfill gives the same whenever it runs.
            sheet = year.sheet(school, students, allowed=sound)
            kinds = assessment_kinds(year.administration)
            everything = np.ones(len(sheet), dtype=bool)
            # A retest has few rows; one defect of each kind would be more than the gate lets pass.
            found = self._inject(key, school, sheet, kinds, everything, nights=1, at_least=0)
            files.add(sheet, found)

    def finish(self, size: str | int) -> dict[str, Any]:
        """Closes every file and writes what is to be expected of each, which it returns without the defects."""
        nights: dict[str, dict[str, Any]] = {night.isoformat(): {} for night in self.plan.nights}
        for dataset, files in self._nightly.items():
            for night, result in files.close().items():
                partition = self.plan.current.key if dataset == "state_assessments" else night
                nights[night][dataset] = {"partition": partition, **result}
        past: dict[str, dict[str, Any]] = {}
        for key, (_, files) in self._past.items():
            past[key] = {"state_assessments": {"partition": key, **files.close()[key]}}
        about = {"size": size, "seed": self.plan.seed, "students": self.plan.students}
        expected = {**about, "nights": nights, "past": past}
        self._write_expected(expected)
        return expected

    def _write_expected(self, expected: dict[str, Any]) -> None:
        # The defects are too many to hold in memory and go over from their own file.
        self._found.seek(0)
        with (self._folder / "expected.json").open("w", encoding="utf-8") as file:
            file.write(json.dumps(expected, indent=1).removesuffix("\n}") + ',\n "defects": [')
            for number, line in enumerate(self._found):
                file.write((",\n  " if number else "\n  ") + line.rstrip("\n"))
            file.write("\n ]\n}\n")


def _by_student(students: Students, spans: Any, loaded: np.ndarray, clean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per child: known to the enrollment table, by night; and without a rejected enrollment row on any night."""
    student = np.array(spans.student)
    known = np.zeros((len(loaded), len(students)), dtype=bool)
    for night in range(len(loaded)):
        np.logical_or.at(known[night], student, loaded[night])
    sound = np.ones(len(students), dtype=bool)
    gone = np.array(spans.last) < NEVER
    np.logical_and.at(sound, student, clean & ~gone)
    return known, sound


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
