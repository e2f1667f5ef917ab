#include "ops/commands/champion.h"

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
  std::string model;
};

int ask(const Config& config, const std::string& model) {
  std::string body = "{\"model\":";
  append_json_string(body, model);
  const auto answer =
      post_to_daemon(config.serve.listen, "/v1/admin/champion", body + "}", kPatience);
  if (!answer) {
    std::cerr << "millrace champion: " << answer.error().message << '\n';
    return kExitFailed;
  }
  if (answer->status == 200) {
    std::cout << answer->body;
    return kExitDone;
  }
  std::cerr << "millrace champion: the daemon answers " << answer->status << ": " << answer->body
            << '\n';
  return kExitFailed;
}

}  // namespace

void add_champion_command(Command& program) {
  auto arguments = std::make_shared<Arguments>();
  Command& command = program.add_command(
      "champion", "Changes which model's scores the daemon of a configuration serves.");
  add_config_options(command, arguments->config);
  command.add_option("--model", arguments->model, "The name of one of `models`.",
                     Command::kRequired);
  command.run([arguments] {
    return with_config(arguments->config, [&](const LoadedConfig& loaded) {
      return ask(loaded.config, arguments->model);
    });
  });
}

}  // namespace millrace
