// The page ops/docs/configuration.md.
#include "ops/config/describe.h"
#include "ops/config/load.h"
#include "ops/config/sections.h"

namespace millrace {
namespace {

constexpr std::string_view kOpening =
    "# Configuration\n"
    "\n"
    "<!-- Generated from the declared options: `millrace check-config --print-page`. -->\n"
    "\n"
    "One YAML file, given as `--config`. `--set section.key=value` and the environment's\n"
    "`MILLRACE_SECTION__KEY` override single keys: first the file, then the environment, then\n"
    "`--set`. Entries of lists are reached by number or by name (`tasks.ctr.label=click`).\n"
    "\n"
    "Durations are written `500ms`, `30s`, `10m`, `24h`, `7d`; sizes `64KiB`, `256MiB`, `1GiB`.\n"
    "`events`, `features` and `tasks` are required; every other key has a default. Unknown keys,\n"
    "wrong types, values outside their limits and values that cannot work together are errors\n"
    "that name file, line, key, value and what was expected; `millrace check-config` finds them\n"
    "all at once (exit 78). Words marked *planned* are known, but not part of this version: they\n"
    "are refused by name. `--print-config` shows the effective configuration, `--print-schema`\n"
    "its JSON Schema.\n";

// What a reader of the table is told about the values a key takes.
std::string takes(const KeyDescription& key) {
  std::string text;
  switch (key.form) {
    case ValueForm::kTruth:
      return "true, false";
    case ValueForm::kWhole:
      text = "whole number";
      break;
    case ValueForm::kNumber:
      text = "number";
      break;
    case ValueForm::kText:
      text = "text";
      break;
    case ValueForm::kDuration:
      text = "duration";
      break;
    case ValueForm::kDurationOrOff:
      text = "duration, or off";
      break;
    case ValueForm::kSize:
      text = "size";
      break;
    case ValueForm::kWholes:
      return "list of whole numbers";
    case ValueForm::kNumbers:
      return "list of numbers";
    case ValueForm::kTexts:
      return "list of texts";
    case ValueForm::kNumberOrNull:
      return "number";
    case ValueForm::kTextMap:
      return "mapping to texts";
    case ValueForm::kNumberMap:
      return "mapping from tasks to numbers";
    case ValueForm::kWord:
    case ValueForm::kWordMap:
    case ValueForm::kFeedbackMap:
      for (const std::string& word : key.words) text += (text.empty() ? "" : ", ") + word;
      for (const std::string& word : key.planned_words) text += ", *" + word + "*";
      if (!key.planned_words.empty()) text += " (*planned*)";
      if (key.form == ValueForm::kFeedbackMap) {
        return "mapping from tasks to: " + text + ", or {policy: …, short_wait: …}";
      }
      return key.form == ValueForm::kWordMap ? "mapping from tasks to: " + text : text;
  }
  if (key.least && key.most) return text + ", " + *key.least + " to " + *key.most;
  if (key.least) return text + ", at least " + *key.least;
  if (key.most) return text + ", at most " + *key.most;
  return text;
}

std::string table(const std::string& prefix, const std::vector<KeyDescription>& keys,
                  bool with_defaults) {
  std::string text = with_defaults ? "| key | takes | default | meaning |\n|---|---|---|---|\n"
                                   : "| key | takes | meaning |\n|---|---|---|\n";
  for (const KeyDescription& key : keys) {
    text += "| `" + prefix + key.key + "` | " + takes(key) + " | ";
    if (with_defaults) text += "`" + key.usual + "` | ";
    text += key.meaning + " |\n";
  }
  return text;
}

std::string events_text() {
  return "## events\n\nRequired: the events by name. `impression` carries the features, `sample` "
         "rows that were joined\nelsewhere; every other name is an outcome. Events may share a "
         "topic; their records then carry `type`.\n\n" +
         table("<name>.", describe_keys(OutcomeEntry{}, OutcomeEntry::fields()), false) +
         "\n`window` belongs to outcomes only.\n";
}

std::string features_text() {
  return "## features\n\nRequired: a list of what the model reads. A categorical value or a bag of "
         "them has an embedding;\na number stands for itself; a dense feature is a vector.\n\n" +
         table("", describe_keys(Feature{}, feature_fields()), false) +
         "\n`pooling` is `mean`, `transform` `none`, `standardize` true, `context` false where "
         "they are not given.\n";
}

std::string tasks_text() {
  return "## tasks\n\nRequired: a list of what is learned.\n\n" +
         table("", describe_keys(TaskEntry{}, TaskEntry::fields()), false) +
         "\n`kind` is `binary`, `transform` `none`, `aggregate` `last` where they are not given.\n";
}

std::string models_text() {
  return "## models\n\nA list of models that learn from the same stream, each with its own state, "
         "metrics and version. An\nentry is the sections as they stand, with what it changes of "
         "them. Without the list there is one\nmodel, called `name`. The first is the first "
         "champion, whose scores are served; `POST\n/v1/admin/champion` and `millrace champion` "
         "change it to another one that has every task.\n\n"
         "| key | takes | meaning |\n|---|---|---|\n"
         "| `name` | text | In answers, metrics and the store; required. At most 64 letters, "
         "digits, `.`, `_` and `-`. |\n"
         "| `tasks` | list of names | The tasks it has. Default: all. A task whose condition is "
         "left out is learned alone, on its condition's rows. |\n"
         "| `features` | list of names | The features it has. Default: all. |\n"
         "| `model`, `balance`, `train`, `embeddings`, `guardrails` | mapping | What it changes of "
         "these sections. What belongs to the stream (batches, policies, sampling, threads) is "
         "refused. |\n";
}

std::string twins_text() {
  return "## twins\n\nFor each of these tasks a model of this task alone, `twin.<task>`, learns "
         "beside the others, as the first\nmodel but for its other tasks. Where the champion is "
         "worse at the task than its twin, the alarm rises.\n\n"
         "| key | takes | default | meaning |\n|---|---|---|---|\n"
         "| `tasks` | list of names | `[]` | The tasks that have a twin. |\n" +
         table("", describe_keys(TransferAlarmOptions{}, TransferAlarmOptions::fields()), true)
             .substr(std::string_view("| key | takes | default | meaning |\n|---|---|---|---|\n")
                         .size());
}

}  // namespace

std::string configuration_page() {
  std::string text(kOpening);
  const Config usual;
  for (const std::string_view key : kTopKeys) {
    text += "\n";
    if (key == "name") {
      text +=
          "## name\n\nThe model's name in answers, metrics and the store; default `default`. "
          "At most 64 letters,\ndigits, `.`, `_` and `-`.\n";
    } else if (key == "score") {
      text +=
          "## score\n\nThe formula that makes one score of the tasks' served values: numbers, "
          "task names, `+ - * /`,\n`^` (right-associative, above unary minus), parentheses, "
          "`min`, `max`, `log`, `exp`. Default: the\nfirst task. A result that is not finite "
          "is `null`, ranked last, and counted.\n";
    } else if (key == "events") {
      text += events_text();
    } else if (key == "features") {
      text += features_text();
    } else if (key == "tasks") {
      text += tasks_text();
    } else if (key == "models") {
      text += models_text();
    } else if (key == "twins") {
      text += twins_text();
    }
    visit_section(usual, key, [&](const auto& options, std::string_view meaning) {
      text += "## " + std::string(key) + "\n\n" + std::string(meaning) + "\n\n" +
              table("", describe_keys(options, options.fields()), true);
    });
  }
  return text;
}

}  // namespace millrace
