#include "ops/metrics/families.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>
#include <map>
#include <sstream>
#include <vector>

#include "learner/base/check.h"
#include "ops/metrics/catalogue.h"

namespace millrace {
namespace {

prometheus::MetricType type_of(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return prometheus::MetricType::Counter;
    case MetricKind::kGauge:
      return prometheus::MetricType::Gauge;
    case MetricKind::kHistogram:
      return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

prometheus::ClientMetric with_labels(const Metric& metric, MetricFamilies::Labels labels) {
  prometheus::ClientMetric client;
  std::string names;
  for (const auto& [name, value] : labels) {
    if (!names.empty()) names += ',';
    names += name;
    client.label.push_back({std::string(name), std::string(value)});
  }
  MILLRACE_CHECK(names == metric.labels);
  return client;
}

}  // namespace

struct MetricFamilies::Parts {
  std::map<std::string_view, prometheus::MetricFamily> families;

  std::vector<prometheus::ClientMetric>& of(const Metric& metric) {
    prometheus::MetricFamily& family = families[metric.name];
    if (family.name.empty()) {
      family.name = metric.name;
      family.help = metric.help;
      family.type = type_of(metric.kind);
    }
    return family.metric;
  }
};

MetricFamilies::MetricFamilies() : parts_(std::make_unique<Parts>()) {}
MetricFamilies::~MetricFamilies() = default;

void MetricFamilies::add(std::string_view name, Labels labels, double value) {
  const Metric& metric = find_metric(name);
  prometheus::ClientMetric client = with_labels(metric, labels);
  if (metric.kind == MetricKind::kCounter) {
    client.counter.value = value;
  } else {
    client.gauge.value = value;
  }
  parts_->of(metric).push_back(std::move(client));
}

void MetricFamilies::add(std::string_view name, Labels labels, const LatencyHistogram& histogram) {
  const Metric& metric = find_metric(name);
  prometheus::ClientMetric client = with_labels(metric, labels);
  std::uint64_t count = 0;
  for (std::size_t bucket = 0; bucket < histogram.buckets.size(); ++bucket) {
    count += histogram.buckets[bucket].load(std::memory_order_relaxed);
    const double edge = bucket < kLatencyEdges.size() ? kLatencyEdges[bucket]
                                                      : std::numeric_limits<double>::infinity();
    client.histogram.bucket.push_back({count, edge});
  }
  client.histogram.sample_count = count;
  client.histogram.sample_sum = histogram.seconds.load(std::memory_order_relaxed);
  parts_->of(metric).push_back(std::move(client));
}

std::string MetricFamilies::text() const {
  std::vector<prometheus::MetricFamily> families;
  for (const Metric& metric : metric_catalogue()) {
    const auto found = parts_->families.find(metric.name);
    if (found != parts_->families.end()) families.push_back(found->second);
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return out.str();
}

}  // namespace millrace
