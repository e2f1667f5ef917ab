#include "serve/api/score_request.h"

#include <algorithm>
#include <utility>

#include "ingest/encode/features.h"
#include "ingest/encode/json_check.h"
#include "ingest/encode/json_features_inner.h"
#include "ingest/encode/name_index.h"
#include "serve/api/context_fallback.h"
#include "serve/http/json_text.h"

namespace millrace {
namespace {

namespace ondemand = simdjson::ondemand;
using ondemand::json_type;

// How deep a value may nest that nobody asked for.
constexpr int kMostDepth = 32;

template <class Named>
std::vector<std::string> names_of(const std::vector<Named>& things) {
  std::vector<std::string> names;
  names.reserve(things.size());
  for (const Named& thing : things) names.push_back(thing.name);
  return names;
}

std::string listed(const std::vector<Task>& tasks) {
  std::string names;
  for (const Task& task : tasks) names += (names.empty() ? "" : ", ") + task.name;
  return names;
}

// The deepest nesting of brackets outside strings.
int depth_of(std::string_view json) {
  int depth = 0, deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

// An empty batch that keeps its memory.
void empty(const Schema& schema, Batch& batch) {
  batch.stream = Stream::kAtOnce;
  batch.rows = 0;
  batch.columns.resize(schema.key_features().size());
  for (KeyColumn& column : batch.columns) {
    column.keys.clear();
    column.ends.clear();
  }
  batch.numeric.clear();
  batch.dense.clear();
}

}  // namespace

std::string_view ScoreRequest::id(int candidate) const {
  const auto at = static_cast<std::size_t>(candidate);
  const std::size_t first = at == 0 ? 0 : id_ends[at - 1];
  return std::string_view(ids).substr(first, id_ends[at] - first);
}

// Every function that reads returns false once `fault` says why, or leaves `fault` empty where the
// body is no JSON, which is said at the end in one place.
struct ScoreRequestReader::Parts {
  using Value = ondemand::value;

  Parts(const Schema& schema, int max_candidates)
      : schema(schema),
        max_candidates(max_candidates),
        feature_names(names_of(schema.features())),
        task_names(names_of(schema.tasks())),
        builder(schema) {}

  void begin(ScoreRequest& into);
  bool read_body(std::string& body, bool ranks);
  bool read_member(std::string_view name, Value& value, bool ranks);
  bool read_context(Value& value);
  bool read_candidates(Value& value);
  bool read_candidate(Value& value, std::string& id);
  bool read_id(Value& value, std::string& id);
  int find_feature(std::string_view name, std::size_t guess) const;
  bool read_known_feature(int feature, Value& value);
  bool read_tasks(Value& value);
  bool read_most(Value& value);
  bool read_explain(Value& value);
  bool skip(Value& value);
  void finish_row(Batch& batch, std::uint8_t* has);

  bool is_null(Value& value, json_type& type);
  bool refuse(std::string message, int status = 400);

  const Schema& schema;
  const int max_candidates;
  const NameIndex feature_names, task_names;
  FeatureBuilder builder;
  EncodedFeatures encoded;
  ondemand::parser parser;
  std::vector<std::uint8_t> has, context_has;
  ScoreRequest* request = nullptr;
  const char* end = nullptr;  // of the body
  int candidate = -1;         // that is being read; −1: none
  std::optional<RequestFault> fault;
};

bool ScoreRequestReader::Parts::refuse(std::string message, int status) {
  if (!fault) fault = RequestFault{status, std::move(message), candidate, {}};
  return false;
}

void ScoreRequestReader::Parts::begin(ScoreRequest& into) {
  request = &into;
  empty(schema, into.context);
  empty(schema, into.candidates);
  into.answers_task.assign(schema.tasks().size(), 1);
  into.most.reset();
  into.unknown_names = 0;
  into.ids.clear();
  into.id_ends.clear();
  has.clear();
  context_has.assign(schema.features().size(), 0);
  candidate = -1;
  fault.reset();
  builder.clear();
}

// Moves the row that was built into the batch; `into` [features] gets what it has.
void ScoreRequestReader::Parts::finish_row(Batch& batch, std::uint8_t* into) {
  const int features = static_cast<int>(schema.features().size());
  for (int f = 0; f < features; ++f) into[f] = builder.has(f) ? 1 : 0;
  builder.finish(encoded);
  append_features(schema, encoded, batch);
}

// Whether the value can be read; `type` is null for a null, which is taken.
bool ScoreRequestReader::Parts::is_null(Value& value, json_type& type) {
  if (value.type().get(type) != simdjson::SUCCESS) return false;
  if (type != json_type::null) return true;
  bool null = false;
  return value.is_null().get(null) == simdjson::SUCCESS && null;
}

// A value that nobody asked for must be JSON all the same, and not nest without bound.
bool ScoreRequestReader::Parts::skip(Value& value) {
  const char* const begin = value.raw_json_token().data();
  const char* at = json_value_end(begin, end);
  if (at == nullptr) return false;
  if (depth_of({begin, static_cast<std::size_t>(at - begin)}) > kMostDepth) {
    return refuse("a value nests deeper than " + std::to_string(kMostDepth) + " levels");
  }
  while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) ++at;
  return at < end && (*at == ',' || *at == '}');
}

bool ScoreRequestReader::Parts::read_body(std::string& body, bool ranks) {
  body.reserve(body.size() + simdjson::SIMDJSON_PADDING);
  end = body.data() + body.size();
  ondemand::document document;
  ondemand::object object;
  if (parser.iterate(body.data(), body.size(), body.capacity()).get(document) !=
      simdjson::SUCCESS) {
    return false;
  }
  const auto error = document.get_object().get(object);
  if (error == simdjson::INCORRECT_TYPE) return refuse("the body: expected an object");
  if (error != simdjson::SUCCESS) return false;
  for (auto item : object) {
    ondemand::field field;
    std::string_view name;
    if (std::move(item).get(field) != simdjson::SUCCESS) return false;
    if (!read_key(field, name)) return false;
    if (!read_member(name, field.value(), ranks)) return false;
  }
  return document.current_location().error() == simdjson::OUT_OF_BOUNDS &&
         surrogates_are_paired(body);
}

bool ScoreRequestReader::Parts::read_member(std::string_view name, Value& value, bool ranks) {
  if (name == "context") return read_context(value);
  if (name == "candidates") return read_candidates(value);
  if (name == "tasks") return read_tasks(value);
  if (name == "k" && ranks) return read_most(value);
  if (name == "explain") return read_explain(value);
  ++request->unknown_names;
  return skip(value);
}

bool ScoreRequestReader::Parts::read_context(Value& value) {
  json_type type;
  if (!is_null(value, type)) return false;
  builder.clear();
  std::fill(context_has.begin(), context_has.end(), std::uint8_t{0});
  empty(schema, request->context);
  if (type == json_type::null) return true;
  ondemand::object object;
  if (type != json_type::object) return refuse("\"context\": expected an object");
  if (value.get_object().get(object) != simdjson::SUCCESS) return false;
  std::size_t guess = 0;
  for (auto item : object) {
    ondemand::field field;
    std::string_view name;
    if (std::move(item).get(field) != simdjson::SUCCESS) return false;
    if (!read_key(field, name)) return false;
    const int feature = find_feature(name, guess);
    if (feature < 0) {
      ++request->unknown_names;
      if (!skip(field.value())) return false;
      continue;
    }
    guess = static_cast<std::size_t>(feature) + 1;
    if (!read_known_feature(feature, field.value())) return false;
  }
  finish_row(request->context, context_has.data());
  return true;
}

bool ScoreRequestReader::Parts::read_candidates(Value& value) {
  json_type type;
  if (!is_null(value, type)) return false;
  empty(schema, request->candidates);
  request->ids.clear();
  request->id_ends.clear();
  has.clear();
  if (type == json_type::null) return true;
  ondemand::array list;
  if (type != json_type::array) return refuse("\"candidates\": expected a list of objects");
  if (value.get_array().get(list) != simdjson::SUCCESS) return false;
  std::string id;
  for (auto item : list) {
    Value element;
    if (item.get(element) != simdjson::SUCCESS) return false;
    if (++candidate == max_candidates) {
      candidate = -1;
      return refuse("more candidates than " + std::to_string(max_candidates) +
                    ", the most that a request may have");
    }
    builder.clear();
    id = "null";
    if (!read_candidate(element, id)) return false;
    const std::size_t features = schema.features().size();
    has.resize(has.size() + features);
    finish_row(request->candidates, has.data() + has.size() - features);
    request->ids += id;
    request->id_ends.push_back(request->ids.size());
  }
  candidate = -1;
  return true;
}

bool ScoreRequestReader::Parts::read_candidate(Value& value, std::string& id) {
  json_type type;
  ondemand::object object;
  if (value.type().get(type) != simdjson::SUCCESS) return false;
  if (type != json_type::object) {
    return refuse("candidate " + std::to_string(candidate) + ": expected an object");
  }
  if (value.get_object().get(object) != simdjson::SUCCESS) return false;
  std::size_t guess = 0;
  for (auto item : object) {
    ondemand::field field;
    std::string_view name;
    if (std::move(item).get(field) != simdjson::SUCCESS) return false;
    if (!read_key(field, name)) return false;
    const int feature = find_feature(name, guess);
    if (name == "id") {
      if (!read_id(field.value(), id)) return false;
      if (feature < 0) continue;
    } else if (feature < 0) {
      ++request->unknown_names;
      if (!skip(field.value())) return false;
      continue;
    }
    guess = static_cast<std::size_t>(feature) + 1;
    if (!read_known_feature(feature, field.value())) return false;
  }
  return true;
}

// Kept as its JSON text, so that it is echoed as it came.
bool ScoreRequestReader::Parts::read_id(Value& value, std::string& id) {
  const std::string problem =
      "candidate " + std::to_string(candidate) + ", \"id\": expected a string or an integer";
  json_type type;
  if (!is_null(value, type)) return false;
  if (type == json_type::null) {
    id = "null";
    return true;
  }
  const char* const begin = value.raw_json_token().data();
  if (type == json_type::string) {
    const char* const after = json_value_end(begin, end);
    if (after == nullptr) return false;
    id.assign(begin, after);
    // Taken, for the parser skips a string that was left as if it might be a name: `"a":[]`.
    ondemand::raw_json_string taken;
    if (value.get_raw_json_string().get(taken) != simdjson::SUCCESS) return false;
    return true;
  }
  if (type != json_type::number) return refuse(problem);
  JsonNumber number;
  const JsonRead read = read_number(value, number);
  if (read == JsonRead::kNotJson) return false;
  if (read != JsonRead::kValue || number.kind == JsonNumber::Kind::kFloat) return refuse(problem);
  id = number.kind == JsonNumber::Kind::kInteger ? std::to_string(number.integer)
                                                 : std::to_string(number.unsigned_integer);
  return true;
}

// −1 for names that are none, and for crosses, which are made of other features.
int ScoreRequestReader::Parts::find_feature(std::string_view name, std::size_t guess) const {
  const int feature = feature_names.find(name, guess);
  return feature >= 0 && schema.is_cross(feature) ? -1 : feature;
}

bool ScoreRequestReader::Parts::read_known_feature(int feature, Value& value) {
  const Feature& known = schema.features()[static_cast<std::size_t>(feature)];
  const JsonRead read = read_feature(value, feature, builder);
  if (read == JsonRead::kNotJson) return false;
  if (read == JsonRead::kNull) return true;
  const bool misplaced = candidate >= 0 && known.context;
  if (read == JsonRead::kValue && !misplaced) return true;
  const std::string place =
      candidate < 0 ? std::string("context") : "candidate " + std::to_string(candidate);
  refuse(place + ", feature \"" + known.name + "\": " +
         (misplaced ? "belongs to the context; expected it in \"context\""
                    : "expected " + expected_value(known)));
  fault->feature = known.name;
  return false;
}

bool ScoreRequestReader::Parts::read_tasks(Value& value) {
  const std::string expected = "\"tasks\": expected a list of names of tasks";
  json_type type;
  if (!is_null(value, type)) return false;
  request->answers_task.assign(schema.tasks().size(), type == json_type::null ? 1 : 0);
  if (type == json_type::null) return true;
  ondemand::array list;
  if (type != json_type::array) return refuse(expected);
  if (value.get_array().get(list) != simdjson::SUCCESS) return false;
  for (auto item : list) {
    Value element;
    std::string_view name;
    if (item.get(element) != simdjson::SUCCESS) return false;
    if (element.type().get(type) != simdjson::SUCCESS) return false;
    if (type != json_type::string) return refuse(expected);
    if (element.get_string().get(name) != simdjson::SUCCESS) return false;
    const int task = task_names.find(name);
    if (task < 0) {
      return refuse("\"tasks\": \"" + shortened(name) + "\" is no task; expected some of " +
                    listed(schema.tasks()));
    }
    request->answers_task[static_cast<std::size_t>(task)] = 1;
  }
  return true;
}

bool ScoreRequestReader::Parts::read_most(Value& value) {
  const std::string expected = "\"k\": expected an integer of at least 1";
  json_type type;
  if (!is_null(value, type)) return false;
  request->most.reset();
  if (type == json_type::null) return true;
  if (type != json_type::number) return refuse(expected);
  JsonNumber number;
  const JsonRead read = read_number(value, number);
  if (read == JsonRead::kNotJson) return false;
  if (read != JsonRead::kValue || number.kind == JsonNumber::Kind::kFloat || number.value < 1) {
    return refuse(expected);
  }
  request->most = number.kind == JsonNumber::Kind::kInteger
                      ? static_cast<std::uint64_t>(number.integer)
                      : number.unsigned_integer;
  return true;
}

bool ScoreRequestReader::Parts::read_explain(Value& value) {
  json_type type;
  if (!is_null(value, type)) return false;
  if (type == json_type::null) return true;
  bool wanted = false;
  if (type != json_type::boolean) return refuse("\"explain\": expected true or false");
  if (value.get_bool().get(wanted) != simdjson::SUCCESS) return false;
  return !wanted || refuse("\"explain\": true is not built in this version", 501);
}

ScoreRequestReader::ScoreRequestReader(const Schema& schema, int max_candidates)
    : parts_(std::make_unique<Parts>(schema, max_candidates)) {}

ScoreRequestReader::~ScoreRequestReader() = default;

Result<Ok, RequestFault> ScoreRequestReader::read(std::string& body, bool ranks,
                                                  ScoreRequest& request) {
  Parts& parts = *parts_;
  parts.begin(request);
  if (!parts.read_body(body, ranks)) {
    const auto broken = json_fault(body);
    if (body.empty()) return RequestFault{400, "the body is empty; expected a JSON object", -1, {}};
    if (!broken && parts.fault) return std::move(*parts.fault);
    std::string message = "the body is not JSON";
    if (broken) message += ": it breaks at byte " + std::to_string(*broken);
    return RequestFault{400, std::move(message), -1, {}};
  }
  if (request.context.rows == 0) parts.finish_row(request.context, parts.context_has.data());
  fill_from_context(parts.schema, parts.context_has, parts.has, request.context,
                    request.candidates);
  return Ok{};
}

}  // namespace millrace
