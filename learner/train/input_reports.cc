#include "learner/train/input_reports.h"

namespace millrace {

std::vector<TableReport> table_reports(const InputLayer& inputs) {
  std::vector<TableReport> reports;
  for (const EmbeddingTable& table : inputs.tables()) {
    const EmbeddingTable::Counters& counters = table.counters();
    reports.push_back({table.shape().name, table.rows(), counters.admitted, counters.expired,
                       counters.refused, counters.evicted, table.bytes()});
  }
  return reports;
}

std::vector<Standardisation> standardisations(const InputLayer& inputs) {
  std::vector<Standardisation> all;
  for (const RunningMoments& moments : inputs.moments()) {
    all.push_back({moments.mean(), moments.inverse_deviation()});
  }
  return all;
}

Importance::RowOf rows_of(const Schema& schema, const InputLayer& inputs) {
  return [&schema, &inputs](int feature, std::uint64_t key) {
    return inputs.tables()[static_cast<std::size_t>(schema.table_of(feature))].find(key);
  };
}

}  // namespace millrace
