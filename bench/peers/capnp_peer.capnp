@0xb9f6c1c7e2a35d48;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("killable::bench::peers");

interface Worker {
  answer @0 (value :Int32) -> (value :Int32);
  make @1 (count :Int32) -> (values :List(Float64));
}
