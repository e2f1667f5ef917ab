// Runs a fuzz target without libFuzzer: on its corpus and on mutations of it.
//   <thing>_fuzz [--runs N | --seconds N] [--seed N] CORPUS
//   <thing>_fuzz FILE      one input again
// An input that ends the process, or takes over 20 seconds, is left as ./crash-<thing>_fuzz.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "learner/base/random.h"
#include "tests/fuzz/target.h"

extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongest = 4096;
constexpr unsigned kMostSeconds = 20;  // for one input

std::string_view current;  // input
std::string crash_file;

// Async-signal-safe, as it runs in the middle of anything.
void leave_input() {
  const int file = ::open(crash_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file < 0) return;
  [[maybe_unused]] const auto written = ::write(file, current.data(), current.size());
  ::close(file);
}

void die(int signal) {
  leave_input();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void leave_input_at_death() {
  if (__sanitizer_set_death_callback != nullptr) {
    __sanitizer_set_death_callback(leave_input);
    for (const int signal : {SIGABRT, SIGALRM}) std::signal(signal, die);
    return;
  }
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM})
    std::signal(signal, die);
}

void run(const std::string& input) {
  current = input;
  ::alarm(kMostSeconds);
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Cuts, doubles, overwrites and joins pieces of inputs.
class Mutator {
 public:
  Mutator(std::uint64_t seed, const std::vector<std::string>& corpus)
      : seed_(seed), corpus_(corpus) {}

  std::string next() {
    std::string text = corpus_[below(corpus_.size())];
    for (std::size_t i = 0, count = 1 + below(4); i < count; ++i) change(text);
    text.resize(std::min(text.size(), kLongest));
    return text;
  }

 private:
  std::size_t below(std::size_t n) { return philox(seed_, 0, at_++)[0] % n; }

  void change(std::string& text) {
    using namespace std::string_view_literals;
    static constexpr std::array kPieces{"\""sv,
                                        "\\"sv,
                                        "{"sv,
                                        "}"sv,
                                        "["sv,
                                        "]"sv,
                                        ","sv,
                                        ":"sv,
                                        ": "sv,
                                        "null"sv,
                                        "1e999"sv,
                                        "\\ud800"sv,
                                        "\xff"sv,
                                        "\xc3"sv,
                                        "\xEF\xBB\xBF"sv,
                                        "0"sv,
                                        "-1"sv,
                                        " "sv,
                                        "\n"sv,
                                        "\r\n"sv,
                                        "\r"sv,
                                        "\t"sv,
                                        "\0"sv,
                                        "\x01"sv,
                                        "NaN"sv,
                                        "true"sv,
                                        "off"sv,
                                        "1ms"sv,
                                        "  "sv,
                                        "- "sv,
                                        "&a "sv,
                                        "*a"sv,
                                        "!!int "sv,
                                        "<<: "sv,
                                        "---\n"sv,
                                        "|\n"sv,
                                        "? "sv,
                                        "#"sv,
                                        "'"sv,
                                        "~"sv,
                                        "%"sv,
                                        "/"sv,
                                        "../"sv,
                                        "chunked"sv,
                                        "Host: a\r\n"sv,
                                        "\\u0000"sv,
                                        ";"sv,
                                        "\xff\xff\xff\xff"sv,
                                        "\x7f"sv,
                                        "\x80"sv,
                                        "99999999999999999999"sv,
                                        "\"type\":\"click\","sv};
    const std::size_t at = below(text.size() + 1), length = 1 + below(12);
    switch (below(6)) {
      case 0:
        text.erase(at, length);
        break;
      case 1:
        text.insert(at, kPieces[below(kPieces.size())]);
        break;
      case 2:
        text.replace(at, std::min(length, text.size() - at), kPieces[below(kPieces.size())]);
        break;
      case 3:
        if (at < text.size()) text[at] = static_cast<char>(below(256));
        break;
      case 4:
        text.insert(at, text.substr(below(text.size() + 1), below(60)));
        break;
      default: {
        const std::string& other = corpus_[below(corpus_.size())];
        text = text.substr(0, at) + other.substr(below(other.size() + 1));
      }
    }
  }

  const std::uint64_t seed_;
  const std::vector<std::string>& corpus_;
  std::uint64_t at_ = 0;
};

std::vector<std::string> read_corpus(const fs::path& folder) {
  std::vector<std::string> corpus;
  for (const auto& entry : fs::directory_iterator(folder)) corpus.push_back(read(entry.path()));
  std::sort(corpus.begin(), corpus.end());
  return corpus;
}

int fuzz(const fs::path& folder, std::uint64_t runs, double seconds, std::uint64_t seed) {
  const std::vector<std::string> corpus = read_corpus(folder);
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: no corpus\n", folder.c_str());
    return 2;
  }
  for (const std::string& input : corpus) run(input);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  Mutator mutator(seed, corpus);
  std::uint64_t done = 0;
  for (; done < runs && (seconds == 0 || std::chrono::steady_clock::now() < end); ++done) {
    run(mutator.next());
  }
  std::printf("%zu inputs of the corpus, %llu mutations: %llu taken, %llu refused\n", corpus.size(),
              static_cast<unsigned long long>(done),
              static_cast<unsigned long long>(fuzz_counts.taken),
              static_cast<unsigned long long>(fuzz_counts.refused));
  if (fuzz_counts.taken > 0 && fuzz_counts.refused > 0) return 0;
  std::fprintf(stderr, "all were taken, or all refused: that tests little\n");
  return 1;
}

int main(int argc, char** argv) {
  std::uint64_t runs = 3000, seed = 1;
  double seconds = 0;
  fs::path path;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (word == "--runs") {
      runs = std::strtoull(value, nullptr, 10), ++i;
    } else if (word == "--seconds") {
      seconds = std::strtod(value, nullptr), runs = UINT64_MAX, ++i;
    } else if (word == "--seed") {
      seed = std::strtoull(value, nullptr, 10), ++i;
    } else {
      path = word;
    }
  }
  crash_file = "crash-" + fs::path(argv[0]).filename().string();
  leave_input_at_death();
  if (fs::is_directory(path)) return fuzz(path, runs, seconds, seed);
  if (!fs::exists(path)) {
    std::fprintf(stderr, "%s [--runs N | --seconds N] [--seed N] CORPUS, or FILE\n", argv[0]);
    return 2;
  }
  run(read(path));
  return 0;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) { return millrace::main(argc, argv); }
