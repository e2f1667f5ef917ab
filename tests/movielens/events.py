#!/usr/bin/env python3
"""MovieLens-100K as events: each rating is an impression, and its outcomes follow at once.

events.py FOLDER OUT: reads ml-100k.{inter,user,item} of FOLDER, writes OUT/<topic>.jsonl, one record a
line in event order, each as `impression_id TAB record` (the key that Kafka gets).
"""
import json
import sys
from pathlib import Path


def table(path):
    """The rows of a tab-separated file with a typed header line, as dicts."""
    lines = path.read_text(encoding="utf-8", errors="replace").rstrip("\n").split("\n")
    names = [column.split(":")[0] for column in lines[0].split("\t")]
    return [dict(zip(names, line.split("\t"))) for line in lines[1:]]


def read(folder):
    """The ratings in event order, each with what is known of its user and item."""
    users = {row["user_id"]: row for row in table(folder / "ml-100k.user")}
    items = {row["item_id"]: row for row in table(folder / "ml-100k.item")}
    ratings = table(folder / "ml-100k.inter")
    ratings.sort(key=lambda row: float(row["timestamp"]))  # stable: ties keep the file's order
    return [(row, users[row["user_id"]], items[row["item_id"]]) for row in ratings]


def outcomes_of(rating):
    """The names of the outcomes that a rating stands for."""
    names = ["rating"]
    if rating >= 4:
        names.append("like")
    if rating == 5:
        names.append("love")
    if rating <= 2:
        names.append("dislike")
    return names


def features_of(row, user, item):
    features = {
        "user_id": row["user_id"],
        "item_id": row["item_id"],
        "age": float(user["age"]),
        "gender": user["gender"],
        "occupation": user["occupation"],
        "zip": user["zip_code"][:2],
        "genres": item["class"].split(),
    }
    if item["release_year"].isdigit():
        features["year"] = float(item["release_year"])
    return features


def main():
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    names = ["impression", "rating", "like", "love", "dislike"]
    files = {name: open(out / f"{name}.jsonl", "w", encoding="utf-8") for name in names}
    for number, (row, user, item) in enumerate(read(folder)):
        key, time = f"r{number}", int(float(row["timestamp"])) * 1000
        record = {"impression_id": key, "time": time, "user": row["user_id"],
                  "features": features_of(row, user, item)}
        files["impression"].write(f"{key}\t{json.dumps(record)}\n")
        rating = float(row["rating"])
        for name in outcomes_of(rating):
            outcome = {"impression_id": key, "time": time}
            if name == "rating":
                outcome["value"] = rating
            files[name].write(f"{key}\t{json.dumps(outcome)}\n")
    for file in files.values():
        file.close()


if __name__ == "__main__":
    main()
