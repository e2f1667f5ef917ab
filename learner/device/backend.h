#pragma once
// Owned by the learner's device part.
namespace millrace {
template <class T>
class Backend;
}
