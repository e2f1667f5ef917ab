#include "ops/commands/command_line.h"

#include <CLI/CLI.hpp>
#include <cmath>
#include <exception>
#include <iostream>

#include "learner/base/check.h"
#include "ops/config/suggest.h"

namespace millrace {

struct Command::Parts {
  std::unique_ptr<CLI::App> owned;  // of the program; commands below are owned by their parents
  CLI::App* app = nullptr;
  std::vector<std::unique_ptr<Command>> commands;
  std::function<int()> action;
  bool refused = false;

  // Complains about the first word that names no command where one must stand; empty if all do.
  std::string unknown_command(int argc, char** argv) const {
    if (commands.empty() || argc < 1 || argv[0][0] == '-') return {};
    std::vector<std::string> known;
    for (const auto& command : commands) {
      const Parts& parts = *command->parts_;
      if (parts.app->get_name() == argv[0]) return parts.unknown_command(argc - 1, argv + 1);
      if (!parts.refused) known.push_back(parts.app->get_name());
    }
    const std::string near = nearest_word(argv[0], known);
    return std::string(argv[0]) + " is no command of " + app->get_name() + "; " +
           (near.empty() ? "expected " + join_words(known) : "did you mean " + near + "?");
  }

  // "simulate mmoe": without the program's own name.
  std::string full_name() const {
    std::string name = app->get_name();
    for (const CLI::App* at = app->get_parent(); at != nullptr; at = at->get_parent()) {
      if (at->get_parent() != nullptr) name = at->get_name() + " " + name;
    }
    return name;
  }

  // The action of the innermost command that was named.
  const Parts& chosen() const {
    for (const auto& command : commands) {
      if (command->parts_->app->parsed()) return command->parts_->chosen();
    }
    return *this;
  }
};

Command::Command(std::string name, std::string description) : parts_(std::make_unique<Parts>()) {
  parts_->owned = std::make_unique<CLI::App>(std::move(description), std::move(name));
  parts_->app = parts_->owned.get();
}

Command::Command(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Command::~Command() = default;

Command& Command::add_command(const std::string& name, const std::string& description) {
  auto parts = std::make_unique<Parts>();
  parts->app = parts_->app->add_subcommand(name, description);
  parts_->app->require_subcommand(1);
  parts_->commands.push_back(std::unique_ptr<Command>(new Command(std::move(parts))));
  return *parts_->commands.back();
}

void Command::refuse_command(const std::string& name) {
  Command& command = add_command(name, "");
  command.parts_->app->group("");  // in no help
  command.parts_->app->set_help_flag();
  command.parts_->app->allow_extras();
  command.parts_->refused = true;
}

void Command::add_flag(const std::string& name, bool& target, const std::string& help) {
  parts_->app->add_flag(name, target, help);
}

void Command::add_option(const std::string& name, std::string& target, const std::string& help,
                         bool required) {
  parts_->app->add_option(name, target, help)->required(required);
}

void Command::add_option(const std::string& name, std::vector<std::string>& target,
                         const std::string& help, bool required) {
  parts_->app->add_option(name, target, help)->required(required);
}

namespace {

// A check whose failure says what was expected.
template <class Number>
auto at_least(Number least) {
  return [least](const std::string& text) -> std::string {
    Number value{};
    const bool read = CLI::detail::lexical_cast(text, value);
    if (read && std::isfinite(static_cast<double>(value)) && value >= least) return {};
    std::ostringstream expected;
    expected << text << " is not a" << (std::is_integral_v<Number> ? " whole" : "")
             << " number of at least " << least;
    return expected.str();
  };
}

}  // namespace

void Command::add_option(const std::string& name, std::int64_t& target, const std::string& help,
                         std::int64_t least, bool required) {
  parts_->app->add_option(name, target, help)
      ->required(required)
      ->check(CLI::Validator(at_least(least), "", ""));
}

void Command::add_option(const std::string& name, std::optional<std::int64_t>& target,
                         const std::string& help, std::int64_t least, bool required) {
  parts_->app->add_option(name, target, help)
      ->required(required)
      ->check(CLI::Validator(at_least(least), "", ""));
}

void Command::add_option(const std::string& name, double& target, const std::string& help,
                         double least, bool required) {
  parts_->app->add_option(name, target, help)
      ->required(required)
      ->check(CLI::Validator(at_least(least), "", ""));
}

namespace {

template <class Target>
void add_duration(CLI::App& app, const std::string& name, Target& target, const std::string& help,
                  Duration least) {
  app.add_option_function<std::string>(
         name, [&target](const std::string& text) { target = *parse_duration(text); }, help)
      ->type_name("DURATION")
      ->check(CLI::Validator(
          [least](const std::string& text) -> std::string {
            const auto value = parse_duration(text);
            if (value && *value >= least) return {};
            return text + " is not a duration of at least " + print_duration(least);
          },
          "", ""));
}

}  // namespace

void Command::add_option(const std::string& name, Duration& target, const std::string& help,
                         Duration least) {
  add_duration(*parts_->app, name, target, help, least);
}

void Command::add_option(const std::string& name, std::optional<Duration>& target,
                         const std::string& help, Duration least) {
  add_duration(*parts_->app, name, target, help, least);
}

void Command::add_choice(const std::string& name, const std::vector<std::string>& names,
                         std::function<void(std::size_t)> take, const std::string& help) {
  parts_->app
      ->add_option_function<std::string>(
          name,
          [names, take = std::move(take)](const std::string& text) {
            const auto at = std::find(names.begin(), names.end(), text);
            take(static_cast<std::size_t>(at - names.begin()));
          },
          help)
      ->check(CLI::IsMember(names));
}

void Command::run(std::function<int()> action) { parts_->action = std::move(action); }

int Command::main(int argc, char** argv, const std::string& version) {
  CLI::App& app = *parts_->app;
  app.set_version_flag("--version", version);
  if (const auto mistake = parts_->unknown_command(argc - 1, argv + 1); !mistake.empty()) {
    std::cerr << mistake << '\n';
    return kExitUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& answered) {  // --help, --version
    return app.exit(answered);
  } catch (const CLI::ParseError& mistake) {
    app.exit(mistake);  // says what is wrong, on stderr
    return kExitUsage;
  }
  const Parts& chosen = parts_->chosen();
  if (chosen.refused) {
    std::cerr << "millrace: the command `" << chosen.full_name()
              << "` is not built yet; `millrace --help` lists those that are\n";
    return kExitUsage;
  }
  MILLRACE_CHECK(chosen.action != nullptr);
  try {
    return chosen.action();
  } catch (const std::exception& failure) {
    std::cerr << "millrace " << chosen.full_name() << ": " << failure.what() << '\n';
    return kExitFailed;
  }
}

}  // namespace millrace
