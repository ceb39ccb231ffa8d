// Calls of gRPC over a Unix socket, to a process that is there already.

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "grpc_peer.grpc.pb.h"
#include "row.hpp"
#include "servers.hpp"

namespace killable::bench::peers {

namespace {

constexpr const char* kPeer = "gRPC";

class Service final : public Worker::Service {
  grpc::Status Answer(grpc::ServerContext* /*context*/, const Number* request,
                      Number* reply) override {
    reply->set_value(request->value() + 1);
    return grpc::Status::OK;
  }

  grpc::Status Make(grpc::ServerContext* /*context*/, const Number* request,
                    Numbers* reply) override {
    reply->mutable_values()->Resize(request->value(), 0.5);
    return grpc::Status::OK;
  }
};

void serve(const std::string& path) {
  Service service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  builder.SetMaxSendMessageSize(-1);
  builder.BuildAndStart()->Wait();
}

class Client {
 public:
  explicit Client(const std::string& path) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    stub_ = Worker::NewStub(grpc::CreateCustomChannel(
        "unix:" + path, grpc::InsecureChannelCredentials(), arguments));
  }

  void answer() const {
    Number reply;
    call(&Worker::Stub::Answer, 1, reply);
    if (reply.value() != 2) throw std::runtime_error("a wrong answer");
  }

  std::vector<double> make() const {
    Numbers reply;
    call(&Worker::Stub::Make, kLarge, reply);
    return {reply.values().begin(), reply.values().end()};
  }

 private:
  template <class Reply>
  void call(grpc::Status (Worker::Stub::*method)(grpc::ClientContext*, const Number&,
                                                 Reply*),
            int value, Reply& reply) const {
    grpc::ClientContext context;
    Number request;
    request.set_value(value);
    const grpc::Status status = (*stub_.*method)(&context, request, &reply);
    if (!status.ok()) throw std::runtime_error(status.error_message());
  }

  std::unique_ptr<Worker::Stub> stub_;
};

/// Each client calls 500 times, in a thread of its own.
void row(const Client& first, const Client& second) {
  const auto half = [](const Client& client) {
    for (int i = 0; i < 500; ++i) client.answer();
  };
  std::thread other(half, std::cref(second));
  half(first);
  other.join();
}

}  // namespace
}  // namespace killable::bench::peers

int main() {
  namespace peers = killable::bench::peers;
  using peers::timed;
  const peers::Servers servers(peers::serve);
  const peers::Client first(servers.path(0));
  const peers::Client second(servers.path(1));
  first.answer();
  second.answer();
  peers::measure(peers::kPeer, "warm", 1000,
                 [&] { return timed([&] { first.answer(); }); });
  peers::measure(peers::kPeer, "row", 5,
                 [&] { return timed([&] { row(first, second); }); });
  peers::measure(peers::kPeer, "large", 5, [&] { return timed([&] { first.make(); }); });
}
