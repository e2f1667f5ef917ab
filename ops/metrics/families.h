#pragma once

#include <array>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "serve/server.h"

namespace millrace {

/// Collects the values of one scrape under the catalogue's names and prints them in Prometheus'
/// text form. The only wrapper of the metrics library. Threads: one.
class MetricFamilies {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  MetricFamilies();
  ~MetricFamilies();

  /// Requires: `name` is in the catalogue, and `labels` are its labels.
  void add(std::string_view name, Labels labels, double value);
  void add(std::string_view name, Labels labels, const LatencyHistogram& histogram);

  /// Everything added, in the order of the catalogue.
  std::string text() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
