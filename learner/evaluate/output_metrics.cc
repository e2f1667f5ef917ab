#include "learner/evaluate/output_metrics.h"

namespace millrace {

std::vector<std::pair<std::string, Duration>> spans_of(const EvaluateOptions& options) {
  std::vector<std::pair<std::string, Duration>> spans;
  for (const auto& span : {options.window, options.long_window}) {
    if (span) spans.emplace_back(print_duration(*span), *span);
  }
  return spans;
}

OutputMetrics::OutputMetrics(std::string name, bool binary, const EvaluateOptions& options,
                             const SliceKeys* slices)
    : name_(std::move(name)),
      binary_(binary),
      keys_(slices != nullptr && slices->count() > 0 ? slices : nullptr),
      all_(binary),
      window_(Tally(binary)),
      last_fifth_(binary) {
  for (auto& [label, span] : spans_of(options)) {
    spans_.push_back({label, SpanWindow<Tally>(Tally(binary), span)});
  }
  if (binary && options.gauc_rows > 0) gauc_.emplace(options.gauc_rows);
  if (binary && options.exact_auc_rows > 0) exact_auc_.emplace(options.exact_auc_rows);
  if (keys_ != nullptr) slices_.emplace(SlicedTally(binary, keys_->count()));
  if (options.history.points > 0) history_.emplace(binary, options.history);
}

void OutputMetrics::advance(EventTime now) {
  if (!now.is_finite()) return;
  now_ = now;  // of the batch at hand, which may be behind rows at once: no state of its own
  for (Span& span : spans_) span.window.advance(now);
  stale_ |= !spans_.empty();
  changed_ |= !spans_.empty();
}

void OutputMetrics::add(const Measurement& measurement, const RowPlace& place) {
  all_.add(measurement);
  window_.add(measurement);
  last_fifth_.add(measurement);
  for (Span& span : spans_) span.window.add(measurement);
  if (gauc_) {
    gauc_->add(place.user, measurement.logit, measurement.label > 0.5, measurement.weight);
  }
  if (exact_auc_) {
    exact_auc_->add(measurement.logit, measurement.label > 0.5, measurement.weight);
  }
  if (slices_) slices_->add(SlicedMeasurement{measurement, place.slice});
  if (history_) history_->add(measurement, now_);
  changed_ = stale_ = true;
}

void OutputMetrics::refresh() const {
  if (!stale_) return;
  stale_ = false;
  report_.all = all();
  report_.window = window();
  report_.last_fifth = last_fifth();
  report_.spans.clear();
  for (const Span& span : spans_) {
    report_.spans.push_back({span.name, span.window.tally().figures()});
  }
  if (gauc_) report_.gauc = gauc_->figure();
  if (exact_auc_) report_.exact_auc = exact_auc_->figure();
  report_.slices.clear();
  if (slices_) {
    const SlicedTally tally = slices_->tally();
    for (int slice = 0; slice < keys_->count(); ++slice) {
      const auto figures = tally.figures(slice);
      if (figures) report_.slices.push_back({keys_->name(slice), *figures});
    }
  }
  if (history_) report_.history = history_->points();
}

void OutputMetrics::save(StateChanges& changes) {
  if (!changed_) return;
  changed_ = false;
  ByteWriter writer;
  all_.sparse().save(writer);
  changes.values.push_back({name_ + "/all", writer.take()});
  window_.save(name_ + "/window", changes);
  for (Span& span : spans_) span.window.save(name_ + "/span/" + span.name, changes);
  if (gauc_) gauc_->save(name_ + "/gauc", changes);
  if (exact_auc_) exact_auc_->save(name_ + "/exact_auc", changes);
  if (slices_) slices_->save(name_ + "/slices/" + keys_->stamp(), changes);
  if (history_) history_->save(name_ + "/history", changes);
}

bool OutputMetrics::restore(std::string_view name, std::string_view bytes) {
  if (!name.starts_with(name_)) return false;
  name.remove_prefix(name_.size());
  if (name == "/all") {
    ByteReader reader(bytes);
    all_.clear();
    all_.add(SparseTally::restored(reader));
    if (!reader.at_end()) throw StateError("saved metrics have a wrong size");
  } else if (const auto piece = name_after(name, "/window")) {
    window_.restore(*piece, bytes);
  } else if (!restore_optional(name, bytes)) {
    return false;
  }
  changed_ = false;
  stale_ = true;
  return true;
}

bool OutputMetrics::restore_optional(std::string_view name, std::string_view bytes) {
  if (name.starts_with("/span/")) {
    for (Span& span : spans_) {
      if (const auto piece = name_after(name, "/span/" + span.name))
        span.window.restore(*piece, bytes);
    }
    return true;
  }
  if (name.starts_with("/slices/")) {
    if (!slices_) return true;
    if (const auto piece = name_after(name, "/slices/" + keys_->stamp())) {
      slices_->restore(*piece, bytes);
    }
    return true;
  }
  if (const auto piece = name_after(name, "/gauc")) {
    if (gauc_) gauc_->restore(*piece, bytes);
    return true;
  }
  if (const auto piece = name_after(name, "/exact_auc")) {
    if (exact_auc_) exact_auc_->restore(*piece, bytes);
    return true;
  }
  if (const auto piece = name_after(name, "/history")) {
    if (history_) history_->restore(*piece, bytes);
    return true;
  }
  return false;
}

}  // namespace millrace
