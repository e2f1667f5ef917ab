#!/usr/bin/env python3
"""table.py REPORT LOGISTIC: the metrics of a replay's report beside the logistic regression's."""
import json
import sys


def text(value):
    return "-" if value is None else f"{value:.4f}"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        report = json.load(file)
    with open(sys.argv[2], encoding="utf-8") as file:
        logistic = json.load(file)
    print(f"\n{report['events']} events, {report['rows']} rows, {report['seconds']:.1f} s, "
          f"digest {report['digest']}\n")
    header = ("task", "stream", "rows", "AUC", "logistic", "log loss", "NE", "calibration", "RMSE")
    print("{:<9} {:<11} {:>7} {:>8} {:>9} {:>9} {:>8} {:>12} {:>8}".format(*header))
    for task, parts in report["tasks"].items():
        for part, name in (("all", "whole"), ("last_fifth", "last fifth")):
            figures = parts[part]
            peer = logistic.get(task, {}).get(part)
            print("{:<9} {:<11} {:>7} {:>8} {:>9} {:>9} {:>8} {:>12} {:>8}".format(
                task, name, figures["rows"], text(figures["auc"]), text(peer),
                text(figures["log_loss"]), text(figures["normalized_entropy"]),
                text(figures["calibration"]), text(figures["rmse"])))


if __name__ == "__main__":
    main()
