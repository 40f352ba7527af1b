"""Try every check on wrong answers, right answers and mutants, and write the table of results.

    python tools/exercise_table.py           write results/exercise-table.json
    python tools/exercise_table.py --print   only print what is not as it should be

A wrong answer counts as killed if the check fails it, at every seed that is tried, with the message
that names its mistake. A right one counts if it passes at every seed. A mutant is killed if it
fails at one of them.
"""

import argparse
import builtins
import importlib.util
import json
import sys
import textwrap
from pathlib import Path

import numpy as np
import torch
from scipy import stats

import mutants
from course_lib import exercises, files
from course_lib.exercises import Exercise, Runner, Wrong, exercise

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "results" / "exercise-table.json"
SEEDS = (11, 12, 13)
# A mutant may never end. The longest answer trains for a second; on a busy machine for ten, and a
# mutant that is as good as the reference must not count as killed there.
SECONDS = 30.0


def hidden(topic):
    """What stands under tests/ about a topic's exercises."""
    path = ROOT / "tests" / "exercises" / f"{topic}.py"
    spec = importlib.util.spec_from_file_location(f"hidden_{topic}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def function_of(source, name, names=None):
    """Compile a function as a notebook's cell would, with the imports that cells have."""
    namespace = {"__name__": "__main__", "torch": torch, "np": np, "stats": stats, **(names or {})}
    exec(compile(textwrap.dedent(source), f"<{name}>", "exec"), namespace)
    return namespace[name]


def all_wrong(one: Exercise):
    """The wrong answers that an exercise knows, and those under tests/, as functions."""
    known = [Wrong(w.code, w.message) for w in one.wrong]
    more = hidden(one.id.partition(".")[0]).WRONG[one.id]
    return known + [Wrong(function_of(code, one.name), message) for code, message in more]


def all_right(one: Exercise):
    """Unusual right answers as functions."""
    more = hidden(one.id.partition(".")[0]).RIGHT[one.id]
    return [function_of(code, one.name) for code in (*one.right, *more)]


def all_mutants(one: Exercise):
    """(what, function) for each mutant of the reference."""
    names = vars(sys.modules[one.reference.__module__])
    used = {name: names[name] for name in one.reference.__code__.co_names if name in names}
    assert not set(used) & set(dir(builtins))
    return [
        (mutant.what, function_of(mutant.source, one.name, used))
        for mutant in mutants.mutants(one.solution())
    ]


def row(one: Exercise, runner: Runner):
    """The results of one exercise, and a sentence for each thing that is not as it should be."""

    def reports(function):
        return (exercises.examine(one, function, seed, runner) for seed in SEEDS)

    faults = []
    wrong, right, changed = all_wrong(one), all_right(one), all_mutants(one)
    n_wrong = n_right = n_killed = 0
    for n, mistake in enumerate(wrong):
        said = [r.message if r.outcome == "failed" else r.outcome for r in reports(mistake.code)]
        if all(mistake.message in message for message in said):
            n_wrong += 1
        else:
            faults.append(f"{one.id}: wrong answer {n}, {mistake.message!r}: {said}")
    for n, function in enumerate(right):
        bad = [report for report in reports(function) if not report.passed]
        n_right += not bad
        faults += [f"{one.id}: right answer {n}: {report!r}" for report in bad[:1]]
    equivalent = hidden(one.id.partition(".")[0]).EQUIVALENT.get(one.id, {})
    survivors = []
    for what, function in changed:
        if any(not report.passed for report in reports(function)):
            n_killed += 1
            if what in equivalent:
                faults.append(f"{one.id}: {what} is listed as equivalent and was killed")
        else:
            reason = equivalent.get(what, "")
            survivors.append({"mutant": what, "reason": reason})
            if not reason:
                faults.append(f"{one.id}: survives: {what}")
    unknown = set(equivalent) - {what for what, _ in changed}
    faults += [f"{one.id}: there is no mutant {what}" for what in sorted(unknown)]
    return {
        "id": one.id,
        "chapter": one.chapter,
        "title": one.title,
        "difficulty": one.difficulty,
        "minutes": one.minutes,
        "wrong_total": len(wrong),
        "wrong_killed": n_wrong,
        "right_total": len(right),
        "right_passed": n_right,
        "mutants_total": len(changed),
        "mutants_killed": n_killed,
        "equivalent": sum(bool(survivor["reason"]) for survivor in survivors),
        "survivors": survivors,
        "mistakes": list(dict.fromkeys(w.message for w in one.wrong)),
    }, faults


def table():
    """All rows, in the order of the topics and exercises, and all faults."""
    rows, faults = [], []
    runner = Runner(seconds=SECONDS)
    try:
        for topic in exercise.TOPICS:
            for one in exercise._of(topic):
                found, wrong = row(one, runner)
                rows.append(found)
                faults += wrong
    finally:
        runner.stop()
    return rows, faults


def as_text(rows):
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--print", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    rows, faults = table()
    for one in rows:
        print(
            f"{one['id']}: wrong {one['wrong_killed']}/{one['wrong_total']}, "
            f"right {one['right_passed']}/{one['right_total']}, "
            f"mutants {one['mutants_killed']}/{one['mutants_total']}, "
            f"equivalent {one['equivalent']}"
        )
    print("\n".join(faults))
    if not options.print:
        FILE.parent.mkdir(exist_ok=True)
        files.write_text(FILE, as_text(rows))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
