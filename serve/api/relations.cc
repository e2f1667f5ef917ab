#include "serve/api/relations.h"

#include <string_view>
#include <vector>

#include "serve/api/insight.h"
#include "serve/http/json_text.h"

namespace millrace {
namespace {

// NaN is written as null.
void write_list(JsonWriter& json, const double* values, std::size_t count) {
  json.begin_list();
  for (std::size_t i = 0; i < count; ++i) json.number(values[i]);
  json.end_list();
}

void write_by_task(JsonWriter& json, std::string_view key, const std::vector<double>& values) {
  json.key(key);
  write_list(json, values.data(), values.size());
}

void write_matrix(JsonWriter& json, std::string_view key, const std::vector<double>& values,
                  std::size_t tasks) {
  json.key(key);
  json.begin_list();
  for (std::size_t i = 0; i < tasks; ++i) write_list(json, values.data() + i * tasks, tasks);
  json.end_list();
}

}  // namespace

std::string print_relations(const TrainerReport& report) {
  const RelationReport& relations = report.relations;
  const std::size_t T = relations.tasks.size();
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  json.key("model");
  json.text(report.model);
  json.key("tasks");
  json.begin_list();
  for (const std::string& task : relations.tasks) json.text(task);
  json.end_list();
  write_by_task(json, "gradient_norm", relations.gradient_norm);
  write_by_task(json, "similarity", relations.similarity);
  write_matrix(json, "gradient_cosine", relations.gradient_cosine, T);
  write_matrix(json, "conflict_rate", relations.conflict_rate, T);
  write_matrix(json, "label_correlation", relations.label_correlation, T);
  write_matrix(json, "mutual_information", relations.mutual_information, T);
  write_matrix(json, "representation_similarity", relations.representation_similarity, T);
  json.key("learned");
  json.begin_object();
  write_matrix(json, "positive", relations.positive, T);
  write_matrix(json, "negative", relations.negative, T);
  write_matrix(json, "neutral", relations.neutral, T);
  json.end_object();
  json.end_object();
  body += '\n';
  return body;
}

Answer answer_relations(const ServeParts& parts, const Request& request) {
  const auto report = report_of(parts, request);
  if (!report) return report.error();
  Answer answer;
  answer.body = print_relations(*report);
  return answer;
}

}  // namespace millrace
