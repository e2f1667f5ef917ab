"""Prints what `make faults` found: one line a test with its figures, from GoogleTest's JSON."""
import json
import sys

KNOWN = {"name", "file", "line", "status", "result", "timestamp", "time", "classname", "failures"}

failed = 0
for suite in json.load(open(sys.argv[1]))["testsuites"]:
    for test in suite["testsuite"]:
        if test["result"] != "COMPLETED":
            continue
        failed += "failures" in test
        figures = "  ".join(f"{name} {value}" for name, value in test.items() if name not in KNOWN)
        verdict = "FAILED" if "failures" in test else "ok"
        name = f"{suite['name']}.{test['name']}"
        print(f"{verdict:6} {name:72} {float(test['time'][:-1]):7.1f} s  {figures}")
print(f"{failed} failed; the same as JSON in {sys.argv[1]}")
sys.exit(failed > 0)
