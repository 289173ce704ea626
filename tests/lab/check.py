"""Cases for end-to-end tests, counted and printed as tests/t.h does.

    from check import case, equal, true, main

    @case("a message by sendmail arrives")
    def _(lab):
        equal(sendmail(...).code, 0)

    main(Lab, start)

A case that raises has failed, with the place and the evidence; the others
still run. "python3 tests/e2e/x.py WORD" runs only cases whose sentence holds
the word.
"""

import os
import shutil
import sys
import time
import traceback

from space import LabError

cases = []


class Failed(Exception):
    """An assertion did not hold."""


def case(sentence, unless=None):
    """Register a case; "unless" is a reason to skip it."""
    def add(function):
        cases.append((sentence, function, unless))
        return function
    return add


def equal(got, want, what=""):
    if got != want:
        raise Failed("%s\n  got  %.2000r\n  want %.2000r" % (what, got, want))


def true(holds, claim):
    if not holds:
        raise Failed("does not hold: %s" % claim)


def same_bytes(got, want, what=""):
    """Equal bytes; shows the surroundings of the first difference."""
    if got == want:
        return
    at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b),
              min(len(got), len(want)))
    low = max(0, at - 40)
    raise Failed("%s: differ at %d (of %d, %d)\n  got  %r\n  want %r" % (
        what, at, len(got), len(want), got[low:at + 40], want[low:at + 40]))


def place(error):
    """The line of the test file that failed, outermost of its own."""
    frames = [f for f in traceback.extract_tb(error.__traceback__)
              if "/e2e/" in os.path.normpath(f.filename)]
    if not frames:
        return "?"
    return "%s:%d" % (os.path.relpath(frames[-1].filename), frames[-1].lineno)


def main(make_lab, start=None):
    """Run the cases in order against one lab; exits."""
    words = [w for w in sys.argv[1:] if not w.startswith("-")]
    name = os.path.basename(sys.argv[0])[:-3]
    passed, failed, skipped = 0, 0, 0
    lab = None
    try:
        lab = make_lab()
        if start:
            start(lab)
    except Exception:  # the lab or the daemon did not come up
        traceback.print_exc(file=sys.stdout)
        if lab:
            print(lab.evidence())
            save(lab, name)
        print("cases: 0 passed, %d failed" % max(1, len(cases)))
        sys.exit(1)
    for sentence, function, unless in cases:
        if words and not all(w in sentence for w in words):
            continue
        if unless:
            skipped += 1
            print("skipped: %s: %s" % (sentence, unless))
            continue
        began = time.monotonic()
        try:
            function(lab)
            passed += 1
            if "-v" in sys.argv:
                print("%5.1f s  %s" % (time.monotonic() - began, sentence))
        except (Failed, LabError) as error:
            failed += 1
            print("%s: %s\n  %s" % (place(error), sentence, error))
            print(lab.evidence(), flush=True)
        except Exception as error:
            failed += 1
            print("%s: %s" % (place(error), sentence))
            traceback.print_exc(file=sys.stdout)
            print(lab.evidence(), flush=True)
    problems = finish(lab)
    if problems and not words:
        failed += 1
        print("after the last case:\n" + problems)
    else:
        passed += 1
    if failed:
        save(lab, name)
    print("cases: %d passed, %d failed%s" % (
        passed, failed, ", %d skipped" % skipped if skipped else ""))
    sys.stdout.flush()
    sys.exit(0 if failed == 0 and passed > 0 else 1)


def finish(lab):
    """Stop the daemon; what is wrong with how it ended, or ""."""
    problems = ""
    if lab.sealpostd and lab.sealpostd.process:
        try:
            code = lab.sealpostd.stop()
            if code != 0:
                problems += "sealpostd ended with %r\n" % code
        except LabError as error:
            problems += "%s\n" % error
    if lab.sealpostd:
        for line in lab.sealpostd.lines():
            if "Sanitizer" in line or "runtime error:" in line:
                problems += line + "\n"
    return problems


def save(lab, name):
    from lab import logs_folder
    folder = logs_folder(name)
    shutil.rmtree(folder, ignore_errors=True)
    lab.save(folder)
    print("logs and transcripts: " + os.path.relpath(folder))
