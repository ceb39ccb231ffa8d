// EXPECT: a raw pointer cannot cross a process
#include <killable/detail/archive.hpp>

class Named {
 public:
  template <class Archive>
  void serialize(Archive& archive) {
    archive(text_);
  }

 private:
  const char* text_ = nullptr;
};

void misuse(killable::detail::Sink& sink, const Named& value) {
  killable::detail::encode(sink, value);
}
