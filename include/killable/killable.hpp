#pragma once

/// Everything of killable.
#include <killable/codec.hpp>
#include <killable/errors.hpp>
#include <killable/killable_thread.hpp>
#include <killable/library_function.hpp>
#include <killable/options.hpp>
#include <killable/pool_options.hpp>
#include <killable/process_pool.hpp>
#include <killable/report.hpp>
#include <killable/runtime.hpp>
#include <killable/shared_array.hpp>
#include <killable/this_worker.hpp>
