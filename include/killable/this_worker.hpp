#pragma once

#include <stop_token>

/// For use inside a worker, by the function that it runs. Harmless elsewhere: outside a
/// worker nothing was requested and the token never stops. All are thread-safe.
///
/// By default SIGTERM unwinds the function at its next cancellation point (pthreads(7)).
/// A function that takes a std::stop_token first, or that has called stop_token(),
/// stop_requested() or check_stop() once, is left to end by itself within the grace
/// period.
namespace killable::this_worker {

/// Whether this is a worker that runs a call.
bool inside() noexcept;

/// The call's token: stop is requested by SIGTERM, so by kill(), raise_exception() and a
/// timeout, and by request_stop(). The first use starts a thread that waits for them.
/// Throws: std::system_error where there is no descriptor or no thread to be had for
/// that. The call is then as if it had not asked, and may ask again.
std::stop_token stop_token();

/// Whether stop was requested. Throws as stop_token() does.
bool stop_requested();

/// Throws StopRequested if stop was requested, and else as stop_token() does.
void check_stop();

}  // namespace killable::this_worker
