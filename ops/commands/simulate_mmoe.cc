#include "ops/commands/simulate_mmoe.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "learner/base/time.h"
#include "learner/synthetic/mmoe_pair.h"

namespace millrace {
namespace {

constexpr EventTime kStart{1'764'000'000'000};

struct Arguments {
  std::int64_t rows = 0, seed = 1, dimension = 100;
  double correlation = 0.5, scale = 1, noise = 0.1, rate = 100;
  std::string out, alphas, betas;
};

// "1,2,3.5"; nothing where that is no list of numbers.
std::optional<std::vector<double>> parse_numbers(std::string_view text) {
  std::vector<double> numbers;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + comma, number);
    if (error != std::errc{} || end != text.data() + comma || !std::isfinite(number)) return {};
    numbers.push_back(number);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return numbers;
}

// Sums from which Pearson's correlation follows.
struct Pearson {
  double n = 0, a = 0, b = 0, aa = 0, bb = 0, ab = 0;

  void add(double x, double y) { n += 1, a += x, b += y, aa += x * x, bb += y * y, ab += x * y; }
  double value() const { return (n * ab - a * b) / std::sqrt((n * aa - a * a) * (n * bb - b * b)); }
};

int wrong(const std::string& text) {
  std::fprintf(stderr, "simulate mmoe: %s\n", text.c_str());
  return kExitUsage;
}

int write_rows(const Arguments& arguments, const MmoePair& pair) {
  std::ofstream file(arguments.out, std::ios::binary | std::ios::trunc);
  std::vector<float> x(static_cast<std::size_t>(pair.dimension()));
  Pearson seen;
  for (std::int64_t row = 0; file && row < arguments.rows; ++row) {
    const auto number = static_cast<std::uint64_t>(row);
    pair.features(number, x);
    const auto labels = pair.labels(number, x);
    seen.add(labels[0], labels[1]);
    const double after = 1000 * static_cast<double>(row) / arguments.rate;
    std::string line =
        fmt::format(R"({{"type":"sample","impression_id":"{}","time":{},"features":{{"x":[)", row,
                    kStart.ms + static_cast<std::int64_t>(after));
    for (std::size_t i = 0; i < x.size(); ++i) line += (i == 0 ? "" : ",") + fmt::to_string(x[i]);
    line += fmt::format(R"(]}},"labels":{{"y1":{},"y2":{}}}}})", labels[0], labels[1]) + "\n";
    file << line;
  }
  if (!file.flush()) {
    std::fprintf(stderr, "%s: cannot be written\n", arguments.out.c_str());
    return kExitFailed;
  }
  std::printf("%lld samples; correlation of the labels %.4f, in closed form %.4f\n",
              static_cast<long long>(arguments.rows), seen.value(), pair.label_correlation());
  return kExitDone;
}

int simulate(const Arguments& arguments) {
  const auto alphas = parse_numbers(arguments.alphas), betas = parse_numbers(arguments.betas);
  if (!alphas || !betas) return wrong("--alphas and --betas are lists of numbers like 1,2,3,4");
  if (alphas->size() != betas->size()) return wrong("there must be as many --betas as --alphas");
  if (arguments.correlation > 1) {
    return wrong(fmt::format("--correlation {} is none; expected −1 to 1", arguments.correlation));
  }
  if (arguments.dimension > 8192) return wrong("--dimension is more than 8192");
  MmoePairOptions options;
  options.seed = static_cast<std::uint64_t>(arguments.seed);
  options.dimension = static_cast<int>(arguments.dimension);
  options.correlation = arguments.correlation;
  options.scale = arguments.scale;
  options.noise = arguments.noise;
  options.alphas = *alphas;
  options.betas = *betas;
  return write_rows(arguments, MmoePair(options));
}

}  // namespace

void add_simulate_mmoe_command(Command& simulate_command) {
  Command& mmoe = simulate_command.add_command(
      "mmoe", "Samples of two regressions y1, y2 of a vector x, related as much as is asked for.");
  auto arguments = std::make_shared<Arguments>();
  mmoe.add_option("--rows", arguments->rows, "How many samples.", 1, Command::kRequired);
  mmoe.add_option("--out", arguments->out, "Write them to this file, one JSON object a line.",
                  Command::kRequired);
  mmoe.add_option("--correlation", arguments->correlation,
                  "Cosine of the two tasks' weights, -1 to 1 (0.5); the labels' correlation "
                  "follows from it.",
                  -1);
  mmoe.add_option("--seed", arguments->seed, "Another seed, other weights and rows.", 0);
  mmoe.add_option("--dimension", arguments->dimension, "Numbers of x (100).", 2);
  mmoe.add_option("--alphas", arguments->alphas,
                  "Factors within the sines, like 1,2,3,4 (14 of them, evenly from 1 to 8).");
  mmoe.add_option("--betas", arguments->betas, "Their shifts, as many (1 to 14).");
  mmoe.add_option("--scale", arguments->scale, "Norm of the tasks' weights (1).", 1e-6);
  mmoe.add_option("--noise", arguments->noise, "Standard deviation of the labels' noise (0.1).", 0);
  mmoe.add_option("--rate", arguments->rate, "Samples per second of event time (100).", 0.001);
  mmoe.run([arguments] { return simulate(*arguments); });
}

}  // namespace millrace
