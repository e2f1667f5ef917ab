#include "ingest/source/kafka_resume.h"

#include <algorithm>
#include <utility>

#include "ingest/source/source.h"

namespace millrace {
namespace {

// What has become of a record that is remembered.
enum class Fate {
  kNone,       // none is remembered
  kSame,       // it is there
  kDifferent,  // at its offset stands another record, or none
  kBeyond,     // the log ends before it
  kGone,       // retention has deleted it, which says nothing
};

Fate fate_of(const std::optional<RecordMark>& mark, const std::optional<RecordMark>& found,
             const PartitionEvidence& evidence) {
  if (!mark) return Fate::kNone;
  if (mark->offset < evidence.low) return Fate::kGone;
  if (mark->offset >= evidence.high) return Fate::kBeyond;
  return found == mark ? Fate::kSame : Fate::kDifferent;
}

bool is_contradiction(Fate fate) { return fate == Fate::kDifferent || fate == Fate::kBeyond; }

struct Fates {
  Fate last, anchor;
};

Fates fates_of(const PartitionEvidence& e) {
  return {fate_of(e.marks.last, e.at_last, e), fate_of(e.marks.anchor, e.at_anchor, e)};
}

std::string what_differs(const RecordMark& mark, const std::optional<RecordMark>& found) {
  return "at offset " + std::to_string(mark.offset) + ", the last that was read, " +
         (found ? difference(mark, *found) : "there is no record");
}

// One case of `resume`: what was found, where to go on with `skip`, and what that loses.
struct Case {
  std::string found;
  std::int64_t position;
  PartitionMarks marks;
  LostRange lost;
};

std::string print_bounds(const PartitionEvidence& e) {
  return "the broker has " + std::to_string(e.low) + " to " + std::to_string(e.high);
}

std::string not_there(std::int64_t position, const PartitionEvidence& e) {
  return "the stored offset " + std::to_string(position) + " is not there; " + print_bounds(e);
}

Case retention(const PartitionKey& key, std::int64_t position, const PartitionEvidence& e) {
  const LostRange lost{key, position, e.low, LossReason::kRetention};
  return {not_there(position, e) + ": " + std::to_string(lost.offsets()) +
              " offsets are lost by retention",
          e.low,
          {},
          lost};
}

Case cut(const PartitionKey& key, std::int64_t position, const PartitionEvidence& e, Fates fates) {
  const RecordMark same = fates.last == Fate::kSame ? *e.marks.last : *e.marks.anchor;
  const std::int64_t at = std::min(position, e.high);
  const std::string what = position > e.high
                               ? not_there(position, e)
                               : what_differs(*e.marks.last, e.at_last) + "; " + print_bounds(e);
  return {what + ": the log was cut behind offset " + std::to_string(same.offset),
          at,
          {same, same},
          {key, same.offset + 1, at, LossReason::kCut}};
}

Case read_on(const PartitionKey& key, std::int64_t position, const PartitionEvidence& e) {
  const std::int64_t anchor = e.marks.anchor->offset;
  return {"at offset " + std::to_string(anchor) + ", read some time ago, " +
              (e.at_anchor ? difference(*e.marks.anchor, *e.at_anchor) : "there is no record") +
              ": the topic was made anew while it was read",
          position,
          {e.marks.last, e.marks.last},
          {key, e.low, std::max(e.low, anchor + 1), LossReason::kMadeAnew}};
}

Case made_anew(const PartitionKey& key, std::int64_t position, const PartitionEvidence& e,
               Fates fates) {
  const std::string what = fates.last == Fate::kDifferent
                               ? what_differs(*e.marks.last, e.at_last) + "; " + print_bounds(e)
                               : not_there(position, e);
  return {what + ": the topic was made anew" + (position > e.high ? " or cut" : ""),
          e.low,
          {},
          {key, position, std::nullopt, LossReason::kMadeAnew}};
}

Resumption settle(const PartitionKey& key, const Case& of, OnLost policy) {
  const std::string where = partition_name(key) + ": " + of.found;
  if (policy == OnLost::kFail) {
    throw LostError("kafka: " + where + "; set kafka.on_lost: skip to go on without them");
  }
  Resumption resumption{of.position, of.marks, of.lost, where};
  if (of.lost.end && of.lost.offsets() == 0) {
    resumption.message += "; nothing is skipped";
  } else {
    resumption.message +=
        "; skipped " + print_range(of.lost) + (of.lost.end ? "" : " of the topic as it was");
  }
  resumption.message += ", going on at " + std::to_string(of.position);
  return resumption;
}

}  // namespace

bool is_unchanged(std::int64_t position, const PartitionEvidence& evidence) {
  const Fates fates = fates_of(evidence);
  return position >= evidence.low && position <= evidence.high && !is_contradiction(fates.last) &&
         !is_contradiction(fates.anchor);
}

Resumption resume(const PartitionKey& key, std::int64_t position, const PartitionEvidence& evidence,
                  OnLost policy) {
  const Fates fates = fates_of(evidence);
  if (is_unchanged(position, evidence)) {
    Resumption same{position, {evidence.marks.last, evidence.marks.last}, std::nullopt, ""};
    if (fates.last == Fate::kGone) {
      same.message = partition_name(key) + ": the last record that was read, offset " +
                     std::to_string(evidence.marks.last->offset) +
                     ", is gone by retention; the stored offset " + std::to_string(position) +
                     " is still there, going on";
    }
    return same;
  }
  if (position < evidence.low) return settle(key, retention(key, position, evidence), policy);
  if (fates.last == Fate::kSame && fates.anchor == Fate::kDifferent) {
    return settle(key, read_on(key, position, evidence), policy);
  }
  if (fates.last == Fate::kSame || fates.anchor == Fate::kSame) {
    return settle(key, cut(key, position, evidence, fates), policy);
  }
  return settle(key, made_anew(key, position, evidence, fates), policy);
}

Resumption resume_vanished(const PartitionKey& key, std::int64_t position, OnLost policy) {
  return settle(key,
                {"it is gone, though its topic is there: the topic was made anew with fewer "
                 "partitions",
                 0,
                 {},
                 {key, position, std::nullopt, LossReason::kMadeAnew}},
                policy);
}

}  // namespace millrace
