#include "serve/api/score.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <utility>

#include "serve/http/head.h"
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
  auto by = served(request);
  if (!by) return by.error();
  const auto read = reader_.read(request.body, ranks, request_);
  probe_.input.observe(lap(time));
  probe_.unknown_features.fetch_add(request_.unknown_names, std::memory_order_relaxed);
  if (!read) {
    const RequestFault& fault = read.error();
    return error_answer(fault.status, fault.message, request.id, {fault.candidate, fault.feature});
  }
  score_by(*by);
  // Where the champion was asked for by its name, and another is in its place by now.
  for (int again = 0; again < 3 && !by->name.empty() && scores_.model != by->name; ++again) {
    by = served(request);
    if (!by) return by.error();
    score_by(*by);
  }
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

auto ScoreHandler::served(const Request& request) const -> Result<Served, Answer> {
  const std::optional<std::string> name = query_value(request.query, "model");
  if (!name) return Served{};
  if (parts_.served != nullptr) {
    if (auto model = parts_.served->find(*name)) return Served{std::move(model), *name};
  }
  const std::shared_ptr<const ServedShape> shape = parts_.serving->pin().shape();
  const std::string& champion = shape == nullptr ? parts_.model : shape->model;
  if (*name == champion) return Served{};
  return no_model(*name, champion, request.id);
}

Answer ScoreHandler::no_model(const std::string& name, const std::string& champion,
                              const std::string& request_id) const {
  std::string names = champion;
  bool known = false;
  const TrainerReports all = parts_.models ? parts_.models() : TrainerReports{};
  for (const TrainerReport& model : all.models) {
    known |= model.model == name;
    if (model.model == champion || parts_.served == nullptr) continue;
    if (parts_.served->find(model.model) != nullptr) names += ", " + model.model;
  }
  const std::string what =
      known ? "the model " + shortened(name) : "there is no model " + shortened(name);
  const std::string why = !known                     ? ""
                          : parts_.served == nullptr ? " is not served (serve.models: champion)"
                                                     : " has no version that is served";
  return error_answer(404, what + why + "; expected one of those that are served: " + names,
                      request_id);
}

// A part of the tasks becomes all of them, with no value for the others.
void ScoreHandler::score_by(const Served& served) {
  const std::size_t T = task_keys_.size();
  has_task_.assign(T, 1);
  if (served.model == nullptr) {
    scorer_.score(*parts_.serving, request_.context, request_.candidates, scores_);
    return;
  }
  std::unique_ptr<Scorer>& scorer = scorers_[served.name];
  if (scorer == nullptr) scorer = std::make_unique<Scorer>(*parts_.schema, parts_.model_options);
  scorer->score(*served.model, request_.context, request_.candidates, scores_);
  const std::vector<int> tasks = served.model->pin().shape()->projection.tasks();
  if (tasks.size() == T) return;
  has_task_.assign(T, 0);
  for (const int task : tasks) has_task_[static_cast<std::size_t>(task)] = 1;
  const std::vector<float> own = std::exchange(scores_.values, {});
  scores_.values.assign(static_cast<std::size_t>(scores_.rows) * T,
                        std::numeric_limits<float>::quiet_NaN());
  for (std::size_t r = 0; r < static_cast<std::size_t>(scores_.rows); ++r) {
    for (std::size_t k = 0; k < tasks.size(); ++k) {
      scores_.values[r * T + static_cast<std::size_t>(tasks[k])] = own[r * tasks.size() + k];
    }
  }
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
      if (request_.answers_task[t] == 0 || has_task_[t] == 0) continue;
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
