// Calls of Cap'n Proto over a Unix socket, to a process that is there already.

#include <capnp/ez-rpc.h>
#include <kj/async.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "capnp_peer.capnp.h"
#include "row.hpp"
#include "servers.hpp"

namespace killable::bench::peers {

namespace {

constexpr const char* kPeer = "Cap'n Proto";

class Service final : public Worker::Server {
  kj::Promise<void> answer(AnswerContext context) override {
    context.getResults().setValue(context.getParams().getValue() + 1);
    return kj::READY_NOW;
  }

  kj::Promise<void> make(MakeContext context) override {
    const auto count = static_cast<unsigned>(context.getParams().getCount());
    auto values = context.getResults().initValues(count);
    for (unsigned i = 0; i < count; ++i) values.set(i, 0.5);
    return kj::READY_NOW;
  }
};

/// 64 MB are more than either side would send or receive otherwise.
capnp::ReaderOptions without_limit() {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = std::numeric_limits<std::uint64_t>::max();
  return options;
}

void serve(const std::string& path) {
  capnp::EzRpcServer server(kj::heap<Service>(), "unix:" + path, 0, without_limit());
  kj::NEVER_DONE.wait(server.getWaitScope());
}

class Client {
 public:
  explicit Client(const std::string& path)
      : client_("unix:" + path, 0, without_limit()), worker_(client_.getMain<Worker>()) {}

  kj::Promise<void> start_answer() {
    auto request = worker_.answerRequest();
    request.setValue(1);
    return request.send().then([](auto&& reply) {
      if (reply.getValue() != 2) throw std::runtime_error("a wrong answer");
    });
  }

  std::vector<double> make() {
    auto request = worker_.makeRequest();
    request.setCount(kLarge);
    const auto reply = request.send().wait(scope());
    const auto values = reply.getValues();
    std::vector<double> numbers(values.size());
    std::copy(values.begin(), values.end(), numbers.begin());
    return numbers;
  }

  kj::WaitScope& scope() { return client_.getWaitScope(); }

 private:
  capnp::EzRpcClient client_;
  Worker::Client worker_;
};

/// 500 calls to each server, all sent before the first reply is awaited.
void row(Client& first, Client& second) {
  kj::Vector<kj::Promise<void>> replies(1000);
  for (int i = 0; i < 500; ++i) {
    replies.add(first.start_answer());
    replies.add(second.start_answer());
  }
  kj::joinPromises(replies.releaseAsArray()).wait(first.scope());
}

}  // namespace
}  // namespace killable::bench::peers

int main() {
  namespace peers = killable::bench::peers;
  using peers::timed;
  const peers::Servers servers(peers::serve);
  peers::Client first(servers.path(0));
  peers::Client second(servers.path(1));
  peers::measure(peers::kPeer, "warm", 1000, [&] {
    return timed([&] { first.start_answer().wait(first.scope()); });
  });
  peers::measure(peers::kPeer, "row", 5,
                 [&] { return timed([&] { row(first, second); }); });
  peers::measure(peers::kPeer, "large", 5, [&] { return timed([&] { first.make(); }); });
}
