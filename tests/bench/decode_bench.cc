// How fast records become events on one core: the whole decoder with its features, on impressions
// as the contract shows them and on a stream of impressions with their outcomes.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "ingest/event/decode.h"
#include "learner/base/random.h"
#include "tests/support/shop.h"

namespace millrace {
namespace {

std::vector<std::string> impressions() {
  std::vector<std::string> records;
  for (std::uint64_t i = 0; i < 2'000; ++i) {
    const auto r = philox(1, 0, i);
    std::string taste;
    for (std::uint64_t d = 0; d < 8; ++d) {
      taste +=
          (d > 0 ? "," : "") + std::to_string(to_unit(philox(1, 1, 8 * i + d)[0])).substr(0, 5);
    }
    records.push_back(R"({"type":"impression","impression_id":"i1-)" + std::to_string(i) +
                      R"(","time":)" + std::to_string(1'764'000'000'000 + i) + R"(,"user":"u)" +
                      std::to_string(r[0] % 200'000) + R"(","features":{"user_id":"u)" +
                      std::to_string(r[0] % 200'000) + R"(","country":"DE","item_id":"m)" +
                      std::to_string(r[1] % 50'000) + R"(","genres":["drama","crime"],"price":)" +
                      std::to_string(r[2] % 1'000) + ".5,\"taste\":[" + taste + "]}}");
  }
  return records;
}

std::vector<std::string> clicks() {
  std::vector<std::string> records;
  for (std::uint64_t i = 0; i < 2'000; ++i) {
    records.push_back(R"({"type":"click","impression_id":"i1-)" + std::to_string(i) +
                      R"(","time":)" + std::to_string(1'764'000'000'000 + i) + "}");
  }
  return records;
}

void decode_all(benchmark::State& state, const std::vector<std::string>& records) {
  const Schema schema = shop_schema();
  const EventTypes types = shop_events();
  Decoder decoder(schema, types);
  std::int64_t bytes = 0, events = 0;
  while (state.KeepRunning()) {
    for (const std::string& record : records) {
      const auto result = decoder.decode_line(record, 1 << 20);
      if (!result) state.SkipWithError(result.error().message.c_str());
      benchmark::DoNotOptimize(result);
      bytes += static_cast<std::int64_t>(record.size());
    }
    events += static_cast<std::int64_t>(records.size());
  }
  state.SetItemsProcessed(events);
  state.SetBytesProcessed(bytes);
}

void decode_impressions(benchmark::State& state) { decode_all(state, impressions()); }
void decode_clicks(benchmark::State& state) { decode_all(state, clicks()); }

BENCHMARK(decode_impressions)->Unit(benchmark::kMicrosecond);
BENCHMARK(decode_clicks)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
