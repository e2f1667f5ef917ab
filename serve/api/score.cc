#include "serve/api/score.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <span>

#include "serve/http/json_text.h"
#include "serve/http/respond.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

// Seconds since `start`, which moves on to now.
double lap(Clock::time_point& start) {
  const auto now = Clock::now();
  const std::chrono::duration<double> took = now - start;
  start = now;
  return took.count();
}

}  // namespace

ScoreHandler::ScoreHandler(const ServeOptions& options, const ServeParts& parts, ServeProbe& probe)
    : parts_(parts),
      probe_(probe),
      reader_(*parts.schema, options.max_candidates),
      scorer_(*parts.schema, parts.model_options) {
  for (const Task& task : parts.schema->tasks()) {
    std::string key;
    append_json_string(key, task.name);
    task_keys_.push_back(key + ":");
  }
}

Answer ScoreHandler::answer(bool ranks, Request& request) {
  if (!parts_.serving->has_version()) {
    return error_answer(503, "no version of the weights was published yet", request.id);
  }
  auto time = Clock::now();
  const auto read = reader_.read(request.body, ranks, request_);
  probe_.input.observe(lap(time));
  probe_.unknown_features.fetch_add(request_.unknown_names, std::memory_order_relaxed);
  if (!read) {
    const RequestFault& fault = read.error();
    return error_answer(fault.status, fault.message, request.id, {fault.candidate, fault.feature});
  }
  scorer_.score(*parts_.serving, request_.context, request_.candidates, scores_);
  apply_formula();
  order(ranks);
  probe_.compute.observe(lap(time));
  Answer answer;
  answer.body = write();
  probe_.output.observe(lap(time));
  probe_.candidates.fetch_add(static_cast<std::uint64_t>(scores_.rows), std::memory_order_relaxed);
  probe_.keys.fetch_add(scores_.keys, std::memory_order_relaxed);
  probe_.unknown_keys.fetch_add(scores_.unknown_keys, std::memory_order_relaxed);
  return answer;
}

void ScoreHandler::apply_formula() {
  const std::size_t T = task_keys_.size();
  fused_.resize(static_cast<std::size_t>(scores_.rows));
  std::uint64_t not_finite = 0;
  for (std::size_t r = 0; r < fused_.size(); ++r) {
    fused_[r] = parts_.formula->evaluate(std::span<const float>(scores_.values).subspan(r * T, T));
    if (!std::isfinite(fused_[r])) ++not_finite;
  }
  probe_.not_finite.fetch_add(not_finite, std::memory_order_relaxed);
}

void ScoreHandler::order(bool ranks) {
  order_.resize(fused_.size());
  std::iota(order_.begin(), order_.end(), 0);
  if (!ranks) return;
  auto score = [&](int row) {
    const double value = fused_[static_cast<std::size_t>(row)];
    return std::isfinite(value) ? value : -std::numeric_limits<double>::infinity();
  };
  std::stable_sort(order_.begin(), order_.end(), [&](int a, int b) { return score(a) > score(b); });
  if (request_.most && *request_.most < order_.size()) order_.resize(*request_.most);
}

std::string ScoreHandler::write() const {
  const std::size_t T = task_keys_.size();
  std::string body;
  body.reserve(256 + order_.size() * (64 + 24 * T));
  JsonWriter json(body);
  json.begin_object();
  json.key("model");
  json.text(scores_.model.empty() ? parts_.model : scores_.model);
  json.key("version");
  json.text(print_version(scores_.version));
  json.key("age_seconds");
  if (scores_.seen.is_finite()) {
    json.number(static_cast<double>((parts_.clock() - scores_.seen).count()) / 1000);
  } else {
    json.raw("null");
  }
  json.key("unknown_ids");
  json.number(scores_.keys == 0
                  ? 0.0
                  : static_cast<double>(scores_.unknown_keys) / static_cast<double>(scores_.keys));
  json.raw("\"results\":");
  json.begin_list();
  for (const int row : order_) {
    const auto r = static_cast<std::size_t>(row);
    json.raw("{\"id\":");
    json.raw(request_.id(row));
    json.raw("\"score\":");
    json.number(fused_[r]);
    json.raw("\"tasks\":");
    json.begin_object();
    for (std::size_t t = 0; t < T; ++t) {
      if (request_.answers_task[t] == 0) continue;
      json.raw(task_keys_[t]);
      json.number(scores_.values[r * T + t]);
    }
    json.end_object();
    json.end_object();
  }
  json.end_list();
  json.end_object();
  body += '\n';
  return body;
}

}  // namespace millrace
