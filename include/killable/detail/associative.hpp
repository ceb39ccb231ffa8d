#pragma once

#include <cstddef>
#include <map>
#include <queue>
#include <set>
#include <stack>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <killable/detail/sequences.hpp>

/// Sets and maps: sequences of their elements. They are built by inserting, so keys that
/// a hostile worker left unsorted, or repeated, make no ill-formed tree.
namespace killable::detail {

/// Comparators and hashes do not cross: the other side makes its own.
template <class C, class... Functors>
inline constexpr Misuse kFunctorMisuse = (std::is_empty_v<Functors> && ...)
                                             ? Misuse::none
                                             : Misuse::comparator_state;

template <class Key>
const Key& key_of(const Key& element) {
  return element;
}
template <class Key, class Mapped>
const Key& key_of(const std::pair<const Key, Mapped>& element) {
  return element.first;
}

/// Charges `source` for the elements that an insertion of `key` will pass over.
template <class C>
void charge_insertion(Source& source, const C& container,
                      const typename C::key_type& key) {
  if constexpr (requires { container.bucket(key); }) {
    if (container.bucket_count() == 0) return;  // bucket() needs one
    const std::size_t bucket = container.bucket(key);
    const auto equal = container.key_eq();
    std::uint64_t probes = 0;
    for (auto i = container.begin(bucket); i != container.end(bucket); ++i, ++probes) {
      if (equal(key_of<typename C::key_type>(*i), key)) break;
    }
    source.charge_probes(probes);
  }
}

template <class C, class... Functors>
struct SetCodec : Crossing<typename C::key_type> {
  using Key = typename C::key_type;
  static constexpr Misuse kMisuse = kFunctorMisuse<C, Functors...>;
  static constexpr std::size_t kMinSize = sizeof(std::uint64_t);

  static void encode(Sink& sink, const C& set) { encode_sequence(sink, set, set.size()); }

  static C decode(Source& source) {
    C set;
    const std::size_t count = decode_count<Key>(source, kNodeSize);
    if constexpr (requires { set.reserve(count); }) set.reserve(count);
    decode_elements<Key>(source, count, [&](Key&& key) {
      charge_insertion(source, set, key);
      set.emplace_hint(set.end(), std::move(key));
    });
    return set;
  }
};

template <class C, class... Functors>
struct MapCodec : Crossing<typename C::key_type, typename C::mapped_type> {
  using Key = typename C::key_type;
  using Mapped = typename C::mapped_type;
  static constexpr Misuse kMisuse = kFunctorMisuse<C, Functors...>;
  static constexpr std::size_t kMinSize = sizeof(std::uint64_t);

  static void encode(Sink& sink, const C& map) {
    Sink::Nesting nesting(sink);
    encode_count(sink, map.size());
    for (const auto& [key, mapped] : map) {
      Codec<Key>::encode(sink, key);
      Codec<Mapped>::encode(sink, mapped);
    }
  }

  static C decode(Source& source) {
    Source::Nesting nesting(source);
    C map;
    const std::size_t count = decode_count<std::pair<Key, Mapped>>(source, kNodeSize);
    if constexpr (requires { map.reserve(count); }) map.reserve(count);
    for (std::size_t i = 0; i != count; ++i) {
      Key key = Codec<Key>::decode(source);
      charge_insertion(source, map, key);
      map.emplace_hint(map.end(), std::move(key), Codec<Mapped>::decode(source));
    }
    return map;
  }
};

template <class K, class L, class A>
struct Codec<std::set<K, L, A>> : SetCodec<std::set<K, L, A>, L> {};
template <class K, class L, class A>
struct Codec<std::multiset<K, L, A>> : SetCodec<std::multiset<K, L, A>, L> {};
template <class K, class H, class E, class A>
struct Codec<std::unordered_set<K, H, E, A>>
    : SetCodec<std::unordered_set<K, H, E, A>, H, E> {};
template <class K, class H, class E, class A>
struct Codec<std::unordered_multiset<K, H, E, A>>
    : SetCodec<std::unordered_multiset<K, H, E, A>, H, E> {};

template <class K, class V, class L, class A>
struct Codec<std::map<K, V, L, A>> : MapCodec<std::map<K, V, L, A>, L> {};
template <class K, class V, class L, class A>
struct Codec<std::multimap<K, V, L, A>> : MapCodec<std::multimap<K, V, L, A>, L> {};
template <class K, class V, class H, class E, class A>
struct Codec<std::unordered_map<K, V, H, E, A>>
    : MapCodec<std::unordered_map<K, V, H, E, A>, H, E> {};
template <class K, class V, class H, class E, class A>
struct Codec<std::unordered_multimap<K, V, H, E, A>>
    : MapCodec<std::unordered_multimap<K, V, H, E, A>, H, E> {};

/// Adapters are the container within, which is their protected member `c`.
template <class Adapter, class... Functors>
struct AdapterCodec : Crossing<typename Adapter::container_type> {
  using Container = typename Adapter::container_type;
  static constexpr Misuse kMisuse = kFunctorMisuse<Adapter, Functors...>;
  static constexpr std::size_t kMinSize = sizeof(std::uint64_t);

  static void encode(Sink& sink, const Adapter& adapter) {
    struct Access : Adapter {
      static const Container& within(const Adapter& adapter) {
        return adapter.*&Access::c;
      }
    };
    Codec<Container>::encode(sink, Access::within(adapter));
  }

  static Adapter decode(Source& source) { return make(Codec<Container>::decode(source)); }

 private:
  static Adapter make(Container&& container) {
    if constexpr (sizeof...(Functors) == 0) {
      return Adapter(std::move(container));
    } else {  // makes a heap of whatever order came
      return Adapter(Functors{}..., std::move(container));
    }
  }
};

template <class T, class C>
struct Codec<std::stack<T, C>> : AdapterCodec<std::stack<T, C>> {};
template <class T, class C>
struct Codec<std::queue<T, C>> : AdapterCodec<std::queue<T, C>> {};
template <class T, class C, class L>
struct Codec<std::priority_queue<T, C, L>>
    : AdapterCodec<std::priority_queue<T, C, L>, L> {};

}  // namespace killable::detail
