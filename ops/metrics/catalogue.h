#pragma once

#include <span>
#include <string>
#include <string_view>

namespace millrace {

enum class MetricKind { kCounter, kGauge, kHistogram };

/// One metric as users see it.
struct Metric {
  std::string_view name;
  MetricKind kind;
  std::string_view labels;  ///< Names of its labels, separated by commas.
  std::string_view help;
};

/// Every metric once: what ops/metrics/export may write, and what ops/docs/metrics.md lists.
std::span<const Metric> metric_catalogue();

/// Requires: a metric of that name is in the catalogue.
const Metric& find_metric(std::string_view name);

/// The page ops/docs/metrics.md.
std::string metrics_page();

}  // namespace millrace
