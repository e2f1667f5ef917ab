#include "learner/train/business.h"

#include <algorithm>
#include <cmath>

#include "learner/base/check.h"
#include "learner/base/hash.h"
#include "learner/data/feature_key.h"
#include "learner/evaluate/output_metrics.h"

namespace millrace {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

/// The name of a figure's saved values: of what it was, so that a changed formula begins anew.
std::string name_of(const std::string& name, const std::string& formula) {
  return "evaluate/business/" + print_key(hash_bytes(name + '\n' + formula));
}

}  // namespace

void BusinessSums::save(ByteWriter& writer) const {
  writer.put(rows);
  for (const double sum : {weight, observed, predicted}) writer.put(sum);
}

BusinessSums BusinessSums::restored(ByteReader& reader) {
  BusinessSums sums;
  sums.rows = reader.get<std::uint64_t>();
  for (double* sum : {&sums.weight, &sums.observed, &sums.predicted}) {
    *sum = reader.get<double>();
  }
  return sums;
}

void BusinessFigures::Open::add(const BusinessSums& other) {
  BusinessSums::rows += other.rows;
  weight += other.weight;
  observed += other.observed;
  predicted += other.predicted;
}

BusinessFigures::BusinessFigures(const Schema& schema, const EvaluateOptions& options)
    : conditions_(schema.tasks().size()), dependents_(schema.tasks().size()) {
  std::vector<std::string> names;
  const std::vector<Task>& tasks = schema.tasks();
  for (int k = 0; k < static_cast<int>(tasks.size()); ++k) {
    names.push_back(tasks[at(k)].name);
    binary_.push_back(tasks[at(k)].kind == TaskKind::kBinary);
    for (int j = tasks[at(k)].given; j >= 0; j = tasks[at(j)].given) {
      conditions_[at(k)].push_back(j);
      dependents_[at(j)].push_back(k);
    }
  }
  for (const auto& [name, text] : options.business) {
    auto formula = ScoreFormula::parse(text, names);
    if (!formula) continue;  // the configuration was checked: a task is not this model's
    Figure figure{
        name, std::move(formula).value(), name_of(name, text), {}, {}, RowWindow<Open>(Open()), {}};
    for (int k = 0; k < figure.formula.tasks(); ++k) {
      if (!figure.formula.reads(k)) continue;
      MILLRACE_CHECK(tasks[at(k)].policy == FeedbackPolicy::kWait);
      figure.tasks.push_back(k);
    }
    for (auto& [label, span] : spans_of(options)) {
      figure.spans.push_back({label, SpanWindow<Open>(Open(), span)});
    }
    figures_.push_back(std::move(figure));
  }
}

void BusinessFigures::advance(EventTime now) {
  for (Figure& figure : figures_) {
    for (Span& span : figure.spans) span.window.advance(now);
    changed_ |= !figure.spans.empty();
  }
}

bool BusinessFigures::wants(std::span<const float> labels) const {
  return std::any_of(figures_.begin(), figures_.end(), [&](const Figure& figure) {
    return std::any_of(figure.tasks.begin(), figure.tasks.end(),
                       [&](int k) { return !std::isnan(labels[at(k)]); });
  });
}

std::optional<float> BusinessFigures::decided(int task, std::span<const float> labels,
                                              std::span<const std::uint8_t> condition) const {
  if (!std::isnan(labels[at(task)])) return labels[at(task)];
  for (const int j : conditions_[at(task)]) {
    if (labels[at(j)] == 0) return 0.0F;
  }
  const bool holds = std::any_of(dependents_[at(task)].begin(), dependents_[at(task)].end(),
                                 [&](int j) { return condition[at(j)] == 1; });
  return holds && binary_[at(task)] ? std::optional(1.0F) : std::nullopt;
}

void BusinessFigures::add(std::span<const float> labels, std::span<const std::uint8_t> condition,
                          std::span<const float> predictions, double weight) {
  values_.resize(labels.size());
  for (Figure& figure : figures_) {
    bool any = false, all = true;
    for (const int k : figure.tasks) {
      const std::optional<float> label = decided(k, labels, condition);
      any |= !std::isnan(labels[at(k)]);
      all &= label.has_value();
      values_[at(k)] = label.value_or(0);
    }
    if (!any || !all) continue;
    const double observed = figure.formula.evaluate(values_);
    const double predicted = figure.formula.evaluate(predictions);
    if (!std::isfinite(observed) || !std::isfinite(predicted)) continue;
    const BusinessSums row{1, weight, weight * observed, weight * predicted};
    figure.all.add(row);
    figure.window.add(row);
    for (Span& span : figure.spans) span.window.add(row);
    changed_ = true;
  }
}

std::vector<BusinessReport> BusinessFigures::report() const {
  std::vector<BusinessReport> reports;
  for (const Figure& figure : figures_) {
    BusinessReport& report = reports.emplace_back();
    report.name = figure.name;
    report.formula = figure.formula.text();
    report.windows.push_back({"all", figure.all});
    report.windows.push_back({"window", figure.window.tally()});
    for (const Span& span : figure.spans) {
      report.windows.push_back({span.name, span.window.tally()});
    }
  }
  return reports;
}

void BusinessFigures::save(StateChanges& changes) {
  if (!changed_) return;
  changed_ = false;
  for (Figure& figure : figures_) {
    ByteWriter writer;
    figure.all.save(writer);
    changes.values.push_back({figure.saved_as, writer.take()});
    figure.window.save(figure.saved_as + "/window", changes);
    for (Span& span : figure.spans) {
      span.window.save(figure.saved_as + "/span/" + span.name, changes);
    }
  }
}

bool BusinessFigures::restore(std::string_view name, std::string_view bytes) {
  if (!name.starts_with("evaluate/business/")) return false;
  for (Figure& figure : figures_) {
    if (!name.starts_with(figure.saved_as)) continue;
    name.remove_prefix(figure.saved_as.size());
    if (name.empty()) {
      ByteReader reader(bytes);
      figure.all.clear();
      figure.all.add(BusinessSums::restored(reader));
      if (!reader.at_end()) throw StateError("saved figures have a wrong size");
    } else if (const auto piece = name_after(name, "/window")) {
      figure.window.restore(*piece, bytes);
    }
    for (Span& span : figure.spans) {
      if (const auto piece = name_after(name, "/span/" + span.name)) {
        span.window.restore(*piece, bytes);
      }
    }
    changed_ = false;
    return true;
  }
  return true;  // of a figure that is not asked for any more
}

}  // namespace millrace
