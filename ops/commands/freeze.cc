#include "ops/commands/freeze.h"

#include <iostream>
#include <memory>
#include <string>

#include "learner/base/json_text.h"
#include "ops/commands/with_config.h"
#include "ops/http_client.h"

namespace millrace {
namespace {

constexpr Duration kPatience{15'000};

struct Arguments {
  ConfigArguments config;
  std::string task, reason;
};

int ask(const Config& config, const std::string& what, const Arguments& arguments) {
  std::string body = "{";
  const auto add = [&](const char* key, const std::string& value) {
    if (value.empty()) return;
    body += (body.size() > 1 ? ",\"" : "\"") + std::string(key) + "\":";
    append_json_string(body, value);
  };
  add("task", arguments.task);
  add("reason", arguments.reason);
  const auto answer =
      post_to_daemon(config.serve.listen, "/v1/admin/" + what, body + "}", kPatience);
  if (!answer) {
    std::cerr << "millrace " << what << ": " << answer.error().message << '\n';
    return kExitFailed;
  }
  if (answer->status == 200) {
    std::cout << answer->body;
    return kExitDone;
  }
  std::cerr << "millrace " << what << ": the daemon answers " << answer->status << ": "
            << answer->body << '\n';
  return kExitFailed;
}

void add(Command& program, const std::string& what, const std::string& help, bool has_reason) {
  auto arguments = std::make_shared<Arguments>();
  Command& command = program.add_command(what, help);
  add_config_options(command, arguments->config);
  command.add_option("--task", arguments->task, "The task; without it, all of learning.");
  if (has_reason) {
    command.add_option("--reason", arguments->reason, "Why, for whoever looks at it later.");
  }
  command.run([arguments, what] {
    return with_config(arguments->config, [&](const LoadedConfig& loaded) {
      return ask(loaded.config, what, *arguments);
    });
  });
}

}  // namespace

void add_freeze_commands(Command& program) {
  add(program, "freeze", "Stops learning of a task, or of all, in the daemon of a configuration.",
      true);
  add(program, "resume", "Lets a frozen task, or all, learn again.", false);
}

}  // namespace millrace
