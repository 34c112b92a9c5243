//! How numbers, lists and texts of messages are read: within bounds, whatever a peer claims.

use super::bounds::{MAX_DOT, MAX_LIST};
use serde::{Deserialize, Deserializer};

/// From 1, for that nothing is known up to 0 goes without saying.
pub(super) fn dot_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = up_to(deserializer)?;
    (number > 0).then_some(number).ok_or_else(|| serde::de::Error::custom("a dot before the first"))
}

/// Up to [`MAX_DOT`].
pub(super) fn up_to<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    let too_late = || serde::de::Error::custom("a dot beyond the last");
    (number <= MAX_DOT).then_some(number).ok_or_else(too_late)
}

/// Reads a list of at most [`MAX_LIST`] elements, whatever count stands before it.
pub(super) fn bounded<'de, D, T, C>(deserializer: D) -> Result<C, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
    C: Default + Extend<T> + IntoIterator<Item = T>,
{
    struct Visitor<T, C>(std::marker::PhantomData<(T, C)>);
    impl<'de, T: Deserialize<'de>, C: Default + Extend<T>> serde::de::Visitor<'de> for Visitor<T, C> {
        type Value = C;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "a list of at most {MAX_LIST} elements")
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<C, A::Error> {
            let mut list = C::default();
            let mut count = 0;
            while let Some(element) = seq.next_element::<T>()? {
                count += 1;
                if count > MAX_LIST {
                    return Err(serde::de::Error::custom("list too long"));
                }
                list.extend(std::iter::once(element));
            }
            Ok(list)
        }
    }
    deserializer.deserialize_seq(Visitor::<T, C>(std::marker::PhantomData))
}

/// Reads a text out of the frame. A `String` that reads itself makes room first for as many bytes as are claimed.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Visitor;
    impl serde::de::Visitor<'_> for Visitor {
        type Value = String;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a text")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }
    deserializer.deserialize_str(Visitor)
}
