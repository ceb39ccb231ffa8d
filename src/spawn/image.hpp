#pragma once

#include <string>

namespace killable::spawn {

/// The image to execute as guard, fork server and workers: the program itself if it has
/// the hook before main or called init(); else killable-worker, at `configured` (if not
/// empty), at the environment's KILLABLE_WORKER, or where it was installed. Throws
/// StartError that says what to do if there is none, or if static initialisers ask in an
/// image that was itself executed as one of ours: it would execute itself without end.
std::string choose_image(const std::string& configured);

}  // namespace killable::spawn
