#pragma once

/// Named places at which a test may kill the process, make it fail or hold it up. They are there
/// only where MILLRACE_FAILPOINTS is defined: in the sources of `millrace-faults` and of the tests
/// of faults, never in `millrace`. tests/support/faults/README.md lists the places and says how
/// they are set off.
///
/// Use in .cc files only, as a statement of its own: MILLRACE_FAILPOINT("commit.before_write");
#ifdef MILLRACE_FAILPOINTS

namespace millrace {
/// Counts one passing of `name`, and does what was asked for there. May throw std::runtime_error.
/// Threads: any.
void pass_failpoint(const char* name);
}  // namespace millrace

#define MILLRACE_FAILPOINT(name) ::millrace::pass_failpoint(name)
#else
#define MILLRACE_FAILPOINT(name) static_cast<void>(0)
#endif
