#include "tests/support/faults/plan.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <limits>

namespace millrace::faults {
namespace {

[[noreturn]] void refuse(std::string_view entry) {
  std::fprintf(stderr, "not a fault: \"%.*s\"; expected place=what@which\n",
               static_cast<int>(entry.size()), entry.data());
  std::exit(2);
}

template <class Number>
Number number_in(std::string_view text, std::string_view entry) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) refuse(entry);
  return number;
}

void parse_which(std::string_view which, std::string_view entry, Fault& fault) {
  if (which.ends_with('+')) {
    fault.first = number_in<std::uint64_t>(which.substr(0, which.size() - 1), entry);
    fault.last = std::numeric_limits<std::uint64_t>::max();
    return;
  }
  const std::size_t dash = which.find('-');
  fault.first = number_in<std::uint64_t>(which.substr(0, dash), entry);
  fault.last = dash == std::string_view::npos
                   ? fault.first
                   : number_in<std::uint64_t>(which.substr(dash + 1), entry);
  if (fault.first == 0 || fault.last < fault.first) refuse(entry);
}

Fault parse_fault(std::string_view entry) {
  Fault fault;
  const std::size_t equals = entry.find('=');
  if (equals == std::string_view::npos || equals == 0) refuse(entry);
  const std::string_view place = entry.substr(0, equals);
  const std::size_t colon = place.find(':');
  fault.place = place.substr(0, colon);
  if (colon != std::string_view::npos) fault.within = place.substr(colon + 1);
  std::string_view what = entry.substr(equals + 1);
  if (const std::size_t at = what.find('@'); at != std::string_view::npos) {
    parse_which(what.substr(at + 1), entry, fault);
    what = what.substr(0, at);
  }
  if (what.starts_with("sleep(") && what.ends_with(')')) {
    fault.milliseconds = number_in<std::int64_t>(what.substr(6, what.size() - 7), entry);
    what = "sleep";
  }
  fault.what = what;
  return fault;
}

}  // namespace

std::vector<Fault> parse_plan(std::string_view text) {
  std::vector<Fault> plan;
  while (!text.empty()) {
    const std::size_t end = text.find(';');
    const std::string_view entry = text.substr(0, end);
    if (!entry.empty()) plan.push_back(parse_fault(entry));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return plan;
}

const Fault* pass(std::vector<Fault>& plan, std::string_view place, std::string_view path) {
  const Fault* happens = nullptr;
  for (Fault& fault : plan) {
    if (fault.place != place || path.find(fault.within) == std::string_view::npos) continue;
    ++fault.passed;
    if (fault.first <= fault.passed && fault.passed <= fault.last) happens = &fault;
  }
  return happens;
}

}  // namespace millrace::faults
