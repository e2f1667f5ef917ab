#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/fields.h"
#include "learner/base/time.h"

namespace millrace {

/// What a command's process ends with (contract, Commands).
inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;      ///< Anything else; the message says what to do next.
inline constexpr int kExitUsage = 2;       ///< The command line is wrong.
inline constexpr int kExitBadConfig = 78;  ///< The configuration is wrong.

/// One command of the program, or the program itself. The only wrapper of the command-line library.
///
/// A command is declared by a function `add_<name>_command(Command& program)` in
/// ops/commands/<name>.h, which main.cc calls:
///
///   auto arguments = std::make_shared<Arguments>();
///   Command& command = program.add_command("inspect", "Shows the last commit of a store.");
///   command.add_option("--store", arguments->store, "The store's folder.", Command::kRequired);
///   command.run([arguments] { return inspect(*arguments); });
///
/// Targets of options are borrowed until the action has ended: keep them in a shared_ptr that the
/// action holds. Threads: one.
class Command {
 public:
  static constexpr bool kRequired = true;

  Command(std::string name, std::string description);
  ~Command();
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  /// A command below this one. A command that has commands does nothing itself: one must be named.
  Command& add_command(const std::string& name, const std::string& description);
  /// A command that is planned but not part of this version: it is in no help, and refused by name
  /// with exit 2.
  void refuse_command(const std::string& name);

  /// `name` is like "--store" or "--seconds,-s".
  void add_flag(const std::string& name, bool& target, const std::string& help);
  void add_option(const std::string& name, std::string& target, const std::string& help,
                  bool required = false);
  /// May be given several times.
  void add_option(const std::string& name, std::vector<std::string>& target,
                  const std::string& help, bool required = false);
  /// A whole number of at least `least`; the target's value is the default.
  void add_option(const std::string& name, std::int64_t& target, const std::string& help,
                  std::int64_t least, bool required = false);
  void add_option(const std::string& name, std::optional<std::int64_t>& target,
                  const std::string& help, std::int64_t least, bool required = false);
  /// A finite number of at least `least`; the target's value is the default.
  void add_option(const std::string& name, double& target, const std::string& help, double least,
                  bool required = false);

  /// A duration of at least `least`, as the configuration has it: 20s, 2h.
  void add_option(const std::string& name, Duration& target, const std::string& help,
                  Duration least);
  void add_option(const std::string& name, std::optional<Duration>& target, const std::string& help,
                  Duration least);
  /// One of the values that `Choices` of the type name.
  template <class T>
  requires requires { Choices<T>::all; }
  void add_choice(const std::string& name, T& target, const std::string& help) {
    std::vector<std::string> names;
    for (const auto& choice : Choices<T>::all) names.emplace_back(choice.name);
    add_choice(
        name, names, [&target](std::size_t at) { target = Choices<T>::all[at].value; }, help);
  }

  /// What the command does; gives the exit code. Exceptions become exit 1 with their message.
  void run(std::function<int()> action);

  /// Of the program: reads the command line and runs the command that it names. `--help`,
  /// `--version` and mistakes are answered here. Returns the exit code.
  int main(int argc, char** argv, const std::string& version);

 private:
  void add_choice(const std::string& name, const std::vector<std::string>& names,
                  std::function<void(std::size_t)> take, const std::string& help);

  struct Parts;
  explicit Command(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
